// Package harness starts the built programs for end-to-end tests: a Keyreeve of its own for each test, on free ports and
// a temporary data folder, with nothing left behind.
package harness

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/internal/datadir"
)

// Root returns the top folder of the checkout.
func Root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "SCOPE.md")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("the top folder of the checkout was not found")
		}
		dir = filepath.Dir(dir)
	}
}

// Program returns the path of a built program, such as "keyreeve" or "clients/kubectl". It fails the test when the
// program is not there: `make test` builds and installs all of them.
func Program(t testing.TB, name string) string {
	t.Helper()
	path := filepath.Join(Root(t), "bin", name)
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%s is not there: run `make build clients`", path)
	}
	return path
}

// Keyreeve is a running `keyreeve up`.
type Keyreeve struct {
	Data   datadir.Dir
	Listen string
	Admin  datadir.InitialAdmin
	// ReadyAfter is the time from the start of the process to its line `ready`.
	ReadyAfter time.Duration

	// more are flags beside those that every test needs.
	more []string
	// ports is the range for the API servers of clusters.
	ports string

	t    testing.TB
	cmd  *exec.Cmd
	done chan struct{}
	err  error
	log  *logBuffer
}

// Up starts a Keyreeve, with more flags than every test needs, and stops it at the end of the test.
func Up(t testing.TB, more ...string) *Keyreeve {
	t.Helper()
	k := &Keyreeve{Data: datadir.Dir(filepath.Join(t.TempDir(), "data")), Listen: freePorts(t), ports: clusterPorts(), more: more, t: t}
	t.Cleanup(func() {
		k.Stop()
		if t.Failed() {
			k.dump()
		}
	})
	k.Start()
	return k
}

// dump shows the ends of the logs of a test that failed.
func (k *Keyreeve) dump() {
	k.t.Logf("log of keyreeve:\n%s", k.log.tail())
	logs, _ := filepath.Glob(filepath.Join(k.Data.Clusters(), "*", "localkube.log"))
	for _, path := range logs {
		text, _ := os.ReadFile(path)
		k.t.Logf("%s:\n%s", path, text[max(0, len(text)-8000):])
	}
}

// Start starts the process again on the same data.
func (k *Keyreeve) Start() {
	k.t.Helper()
	// Clusters that a killed control plane left behind stop by themselves, so a broken test leaves nothing running.
	args := []string{"up", "--data", string(k.Data), "--listen", k.Listen, "--cluster-ports", k.ports, "--orphan-timeout", "45s", "--log-level", "debug"}
	cmd := exec.Command(Program(k.t, "keyreeve"), append(args, k.more...)...)
	cmd.Dir = Root(k.t)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		k.t.Fatal(err)
	}
	if k.log == nil {
		k.log = &logBuffer{}
	}
	cmd.Stderr = k.log
	start := time.Now()
	if err := cmd.Start(); err != nil {
		k.t.Fatal(err)
	}
	k.cmd, k.done = cmd, make(chan struct{})
	ready := make(chan time.Duration, 1)
	go func() {
		in := bufio.NewScanner(stdout)
		for in.Scan() {
			if in.Text() == "ready" {
				ready <- time.Since(start)
			}
		}
		_, _ = io.Copy(io.Discard, stdout)
		k.err = cmd.Wait()
		close(k.done)
	}()
	select {
	case k.ReadyAfter = <-ready:
	case <-k.done:
		k.t.Fatalf("keyreeve up ended: %v\n%s", k.err, k.log.tail())
	case <-time.After(60 * time.Second):
		k.t.Fatalf("keyreeve up was not ready within a minute\n%s", k.log.tail())
	}
	if k.Admin, err = k.Data.ReadInitialAdmin(); err != nil {
		k.t.Fatal(err)
	}
}

// Pid returns the process id.
func (k *Keyreeve) Pid() int { return k.cmd.Process.Pid }

// Kill ends the process at once (SIGKILL), as a crash would. Its clusters go on.
func (k *Keyreeve) Kill() {
	_ = k.cmd.Process.Kill()
	<-k.done
}

// Stop ends the process in good order.
func (k *Keyreeve) Stop() {
	if k.cmd == nil {
		return
	}
	_ = k.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-k.done:
	case <-time.After(30 * time.Second):
		k.t.Errorf("keyreeve did not stop within 30 s")
		k.Kill()
	}
}

// Log returns the end of what the process logged.
func (k *Keyreeve) Log() string { return k.log.tail() }

// Env returns the environment of a person's terminal after `keyreeve env`: a home of their own, the clients in PATH, and
// nothing of this machine's configuration of az or kubectl.
func (k *Keyreeve) Env(home string) []string {
	k.t.Helper()
	out, err := exec.Command(Program(k.t, "keyreeve"), "env", "--data", string(k.Data), "--output", "json", "--clients").Output()
	if err != nil {
		k.t.Fatalf("keyreeve env: %v", err)
	}
	vars := map[string]string{}
	if err := json.Unmarshal(out, &vars); err != nil {
		k.t.Fatal(err)
	}
	env := BareEnv(home)
	for name, value := range vars {
		env = append(env, name+"="+value)
	}
	return env
}

// BareEnv returns the environment of a terminal in which nothing is set but a home and a path.
func BareEnv(home string) []string {
	return []string{"HOME=" + home, "PATH=" + os.Getenv("PATH"), "LANG=C.UTF-8", "TERM=dumb", "TZ=UTC"}
}

// Run runs a program of bin/ in an environment and returns its output and exit status.
func Run(t testing.TB, env []string, name string, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, Program(t, name), args...)
	cmd.Env = env
	var o, e bytes.Buffer
	cmd.Stdout, cmd.Stderr = &o, &e
	err := cmd.Run()
	if cmd.ProcessState == nil {
		t.Fatalf("%s: %v", name, err)
	}
	return o.String(), e.String(), cmd.ProcessState.ExitCode()
}

// Must is Run for a command that has to succeed; it returns its output without the last line break.
func Must(t testing.TB, env []string, name string, args ...string) string {
	t.Helper()
	stdout, stderr, status := Run(t, env, name, args...)
	if status != 0 {
		t.Fatalf("%s %s: exit status %d\n%s%s", name, strings.Join(args, " "), status, stdout, stderr)
	}
	return strings.TrimRight(stdout, "\n")
}

// freePorts finds four free ports in a row on loopback.
func freePorts(t testing.TB) string {
	t.Helper()
	var cfg net.ListenConfig
	for range 50 {
		first, err := cfg.Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addr, ok := first.Addr().(*net.TCPAddr)
		if !ok {
			t.Fatal("not TCP")
		}
		open := []net.Listener{first}
		for i := 1; i < 4; i++ {
			l, err := cfg.Listen(t.Context(), "tcp", fmt.Sprintf("127.0.0.1:%d", addr.Port+i))
			if err != nil {
				break
			}
			open = append(open, l)
		}
		for _, l := range open {
			_ = l.Close()
		}
		if len(open) == 4 {
			return first.Addr().String()
		}
	}
	t.Fatal("no four free ports in a row")
	return ""
}

// clusterPorts picks a range for the API servers of one test's clusters, so that tests of other packages, which run at the
// same time, hardly ever choose the same port between looking and listening.
func clusterPorts() string {
	first := 20000 + rand.IntN(400)*20
	return fmt.Sprintf("%d-%d", first, first+19)
}

// logBuffer keeps the last part of a log.
type logBuffer struct {
	mu  sync.Mutex
	buf []byte
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.buf = append(b.buf, p...)
	const keep = 1 << 20
	if len(b.buf) > 2*keep {
		b.buf = append([]byte(nil), b.buf[len(b.buf)-keep:]...)
	}
	return len(p), nil
}

func (b *logBuffer) tail() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return string(b.buf[max(0, len(b.buf)-16<<10):])
}

// All returns everything kept of the log.
func (k *Keyreeve) All() string {
	k.log.mu.Lock()
	defer k.log.mu.Unlock()
	return string(k.log.buf)
}
