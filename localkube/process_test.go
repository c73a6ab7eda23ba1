package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/localkube/internal/control"
	"github.com/keyreeve/keyreeve/localkube/internal/spec"
)

const (
	startTimeout = 60 * time.Second
	stopTimeout  = 5 * time.Second
)

// process is one running localkube.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	socket string
	log    *logBuffer
	ready  chan struct{}
	ended  chan struct{}
	code   int
}

// logBuffer is a buffer that a process writes while a test reads.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// launch starts a process. It is killed when the test ends.
func launch(t *testing.T, s *spec.Spec) *process {
	t.Helper()
	doc, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, socket: s.ControlSocket, log: &logBuffer{}, ready: make(chan struct{}), ended: make(chan struct{})}
	p.cmd = exec.Command(program(), "run")
	p.cmd.Stdin = bytes.NewReader(doc)
	p.cmd.Stderr = p.log
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			if n > 0 || lines.Text() != "ready" {
				t.Errorf("standard output has %q", lines.Text())
				continue
			}
			close(p.ready)
		}
		_ = p.cmd.Wait()
		p.code = p.cmd.ProcessState.ExitCode()
		close(p.ended)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.ended
		if t.Failed() {
			t.Logf("log of process %d:\n%s", p.cmd.Process.Pid, p.log.String())
		}
	})
	return p
}

// launchUnread starts a process whose standard output and error lead nowhere: whoever read them is gone.
func launchUnread(t *testing.T, s *spec.Spec) *process {
	t.Helper()
	doc, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, socket: s.ControlSocket, log: &logBuffer{}, ended: make(chan struct{})}
	p.cmd = exec.Command(program(), "run", "-log-level", "debug")
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = bytes.NewReader(doc), w, w
	if err := errors.Join(r.Close(), p.cmd.Start(), w.Close()); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait()
		p.code = p.cmd.ProcessState.ExitCode()
		close(p.ended)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.ended
	})
	return p
}

// waitReady waits for the line on standard output, and answers how long that took.
func (p *process) waitReady() time.Duration {
	p.t.Helper()
	begin := time.Now()
	select {
	case <-p.ready:
	case <-p.ended:
		p.t.Fatalf("ended with code %d before it was ready:\n%s", p.code, p.log.String())
	case <-time.After(startTimeout):
		p.t.Fatal("not ready in time")
	}
	return time.Since(begin)
}

// waitEnd waits for the process to end, and answers its exit code.
func (p *process) waitEnd(within time.Duration) int {
	p.t.Helper()
	select {
	case <-p.ended:
		return p.code
	case <-time.After(within):
		p.t.Fatalf("still runs after %s", within)
		return -1
	}
}

// call asks the control API, and reads the answer into out unless that is nil.
func (p *process) call(method, path, body string, out any) int {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), method, "http://localkube"+path, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	res, err := p.http().Do(req)
	if err != nil {
		p.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer func() { _ = res.Body.Close() }()
	if out != nil {
		if err := json.NewDecoder(res.Body).Decode(out); err != nil {
			p.t.Fatalf("%s %s: read answer: %v", method, path, err)
		}
	}
	return res.StatusCode
}

func (p *process) http() *http.Client {
	return &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", p.socket)
		},
	}}
}

func (p *process) status() control.Status {
	p.t.Helper()
	var s control.Status
	if code := p.call(http.MethodGet, "/status", "", &s); code != http.StatusOK {
		p.t.Fatalf("status answers %d", code)
	}
	return s
}

// watch holds GET /alive, and answers a channel that is closed when the other end is gone.
func (p *process) watch() <-chan struct{} {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, "http://localkube/alive", http.NoBody)
	if err != nil {
		p.t.Fatal(err)
	}
	res, err := p.http().Do(req)
	if err != nil {
		p.t.Fatalf("hold alive: %v", err)
	}
	gone := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		close(gone)
	}()
	return gone
}

// freePort is the address of a port that was free a moment ago.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// errNotYet says that what is waited for is not there yet.
var errNotYet = errors.New("not yet")

// eventually waits until check is content.
func eventually(t *testing.T, within time.Duration, what string, check func() error) time.Duration {
	t.Helper()
	begin := time.Now()
	for {
		err := check()
		if err == nil {
			return time.Since(begin)
		}
		if time.Since(begin) > within {
			t.Fatalf("%s: not within %s: %v", what, within, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func notYet(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errNotYet, fmt.Sprintf(format, args...))
}
