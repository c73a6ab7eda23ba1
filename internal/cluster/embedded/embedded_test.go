package embedded

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/internal/cluster"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/pki"
)

// killedPlane is what a control plane needs that the test kills.
type killedPlane struct {
	Authority pki.KeyPair
	Sockets   string
	Desired   cluster.Desired
}

func (k killedPlane) supervisor(dir string) (*Supervisor, error) {
	ca, err := pki.ParseAuthority(k.Authority)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return &Supervisor{
		Binary: self, Dir: dir, SocketDir: k.Sockets, Now: time.Now, Log: slog.New(slog.DiscardHandler),
		Hooks: Hooks{TokenReviewURL: "https://127.0.0.1:1/t", AuthorizationURL: "https://127.0.0.1:1/a", CA: ca.CertPEM(), Authority: ca},
	}, nil
}

// rig is a data folder with one cluster described, and as many control planes on it as a test wants, one after another.
type rig struct {
	t    *testing.T
	dir  string
	plan killedPlane
	id   ident.ClusterID
}

func newRig(t *testing.T) *rig {
	t.Helper()
	ca, err := pki.NewAuthority("hooks", time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	secrets, err := pki.NewSecrets("c", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	id := ident.New[ident.ClusterID]()
	return &rig{t: t, dir: t.TempDir(), id: id, plan: killedPlane{
		Authority: ca.Pair(), Sockets: t.TempDir(),
		Desired: cluster.Desired{
			ID: id, Name: "c", Generation: 1, Endpoint: freeEndpoint(t), FQDN: "c.test", ServiceCIDR: "10.0.0.0/16", PodCIDR: "10.244.0.0/16",
			ServiceIP: "10.0.0.1", Secrets: secrets, Nodes: []cluster.Node{{Name: "n0", Pool: "p", VMSize: "s"}},
		},
	}}
}

func freeEndpoint(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// plane starts a control plane. It ends what it looks after when the test ends, unless it was closed before.
func (r *rig) plane(with ...func(*Supervisor)) *Supervisor {
	r.t.Helper()
	s, err := r.plan.supervisor(r.dir)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, f := range with {
		f(s)
	}
	r.t.Cleanup(func() {
		s.Detach = false
		if err := s.Close(context.Background()); err != nil {
			r.t.Error(err)
		}
		if p, ok := r.folder().readRecord().running(); ok {
			_ = p.Kill()
		}
	})
	return s
}

func (r *rig) folder() folder { return folder(filepath.Join(r.dir, r.id.String())) }

// up brings the cluster up and returns its process id.
func (r *rig) up(s *Supervisor) int {
	r.t.Helper()
	if err := s.Ensure(r.t.Context(), r.plan.Desired); err != nil {
		r.t.Fatal(err)
	}
	return r.ready(s)
}

func (r *rig) ready(s *Supervisor) int {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 30*time.Second)
	defer cancel()
	if err := s.WaitReady(ctx, r.id); err != nil {
		r.t.Fatal(err)
	}
	return r.folder().readRecord().PID
}

func detach(s *Supervisor) { s.Detach = true }

func gone(pid int) bool { return startedTicks(pid) == "" }

func TestStart(t *testing.T) {
	r := newRig(t)
	t.Setenv("KEYREEVE_SEAL_KEY", "do-not-tell")
	var opened []cluster.Access
	s := r.plane(func(s *Supervisor) {
		s.Opened = func(_ context.Context, id ident.ClusterID, a cluster.Access) error {
			if id != r.id {
				t.Errorf("opened %s", id)
			}
			opened = append(opened, a)
			return nil
		}
	})
	r.up(s)
	st, _ := s.Status(r.id)
	if !st.Ready || st.Generation != 1 || st.NodesHave != 1 || st.Version != "v0.0.0" || st.Restarts != 0 || st.Trouble != "" {
		t.Errorf("status %+v", st)
	}
	if len(opened) != 1 || opened[0].Host != "https://"+r.plan.Desired.Endpoint || string(opened[0].CA) != r.plan.Desired.Secrets.Cluster.Cert {
		t.Errorf("opened %d times: %+v", len(opened), opened)
	}
	for name, want := range map[string]string{
		"applied-clusterroles":        `"verbs":["get","list","watch"]`,
		"applied-clusterrolebindings": `"name":"system:keyreeve:gate"`,
	} {
		if b, _ := os.ReadFile(filepath.Join(r.folder().data(), name)); !strings.Contains(string(b), want) {
			t.Errorf("%s is %s", name, b)
		}
	}
	if env, _ := os.ReadFile(filepath.Join(r.folder().data(), "environment")); strings.Contains(string(env), "do-not-tell") || !strings.Contains(string(env), "PATH=") {
		t.Errorf("environment of the process: %s", env)
	}
	pid := r.folder().readRecord().PID
	if group, err := syscall.Getpgid(pid); err != nil || group != pid {
		t.Errorf("process %d is in group %d: %v", pid, group, err)
	}
}

func TestCrash(t *testing.T) {
	r := newRig(t)
	times := make(chan struct{}, 8)
	s := r.plane(func(s *Supervisor) {
		s.Opened = func(context.Context, ident.ClusterID, cluster.Access) error { times <- struct{}{}; return nil }
	})
	first := r.up(s)
	<-times
	if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-times // it was opened again: it is back
	if second := r.ready(s); second == first || !gone(first) {
		t.Errorf("process %d after %d", second, first)
	}
	if st, _ := s.Status(r.id); st.Restarts != 1 {
		t.Errorf("status %+v", st)
	}
}

func TestAdopt(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*rig, *Supervisor)
		adopts bool
	}{
		{"same", func(*rig, *Supervisor) {}, true},
		{"other nodes", func(r *rig, _ *Supervisor) { r.plan.Desired.Nodes = nil }, true},
		{"no record", func(r *rig, _ *Supervisor) { _ = os.Remove(r.folder().record()) }, false},
		{"generation", func(r *rig, _ *Supervisor) { r.plan.Desired.Generation = 2 }, false},
		{"hook moved", func(_ *rig, s *Supervisor) { s.Hooks.TokenReviewURL = "https://127.0.0.1:2/t" }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			one := r.plane(detach)
			first := r.up(one)
			if err := one.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			if gone(first) {
				t.Fatal("the process did not outlive its control plane")
			}
			two := r.plane()
			tt.change(r, two)
			second := r.up(two)
			if (second == first) != tt.adopts || gone(first) == tt.adopts {
				t.Errorf("adopted: %v, want %v; first gone: %v", second == first, tt.adopts, gone(first))
			}
			st, _ := two.Status(r.id)
			if st.NodesHave != len(r.plan.Desired.Nodes) || st.Generation != r.plan.Desired.Generation {
				t.Errorf("status %+v", st)
			}
			if err := two.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			if !gone(second) {
				t.Error("the process goes on after Close")
			}
		})
	}
}

// TestCopyOfAFolder: a control plane on a copy of the data, such as a backup that is tried out, leaves the process of the
// original alone.
func TestCopyOfAFolder(t *testing.T) {
	r := newRig(t)
	first := r.up(r.plane())
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(r.dir)); err != nil {
		t.Fatal(err)
	}
	r.plan.Desired.Endpoint = freeEndpoint(t) // the original holds the other
	r.up(r.plane(func(s *Supervisor) { s.Dir = dir }))
	second, ok := folder(filepath.Join(dir, r.id.String())).readRecord().running()
	if gone(first) || !ok || second.Pid == first {
		t.Errorf("the original's process is gone: %v; the copy's own: %v, %v", gone(first), second, ok)
	}
}

// TestKilledPlane kills a control plane with -9: its cluster goes on, and the next control plane adopts it.
func TestKilledPlane(t *testing.T) {
	r := newRig(t)
	plan, err := json.Marshal(r.plan)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, "supervise", r.dir)
	cmd.Stdin = strings.NewReader(string(plan))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "up\n" {
		t.Fatal(line, err)
	}
	first := r.folder().readRecord().PID
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	noticed := make(chan struct{}, 8)
	s := r.plane(func(s *Supervisor) {
		s.Progress = func(_ ident.ClusterID, st cluster.Status) {
			if st.Restarts > 0 && st.Generation == 0 {
				noticed <- struct{}{}
			}
		}
	})
	if second := r.up(s); second != first {
		t.Errorf("process %d, want the adopted %d", second, first)
	}
	// An adopted process that dies is noticed as well.
	if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-noticed
	if r.ready(s) == first {
		t.Error("the dead process was adopted")
	}
}

// TestSecondProcess holds the data folder by a process that cannot be found: nothing runs beside it.
func TestSecondProcess(t *testing.T) {
	r := newRig(t)
	one := r.plane(detach)
	first := r.up(one)
	if err := one.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(r.folder().record()); err != nil {
		t.Fatal(err)
	}
	troubles := make(chan string, 64)
	two := r.plane(func(s *Supervisor) {
		s.SocketDir = t.TempDir()
		s.Progress = func(_ ident.ClusterID, st cluster.Status) { troubles <- st.Trouble }
	})
	if err := two.Ensure(t.Context(), r.plan.Desired); err != nil {
		t.Fatal(err)
	}
	if got := <-troubles; !strings.Contains(got, "another localkube runs on the data folder") {
		t.Errorf("trouble %q", got)
	}
	if gone(first) {
		t.Error("the process that holds the folder was ended")
	}
	if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	r.ready(two)
}

func TestNodes(t *testing.T) {
	r := newRig(t)
	s := r.plane()
	first := r.up(s)
	for n := range 3 {
		r.plan.Desired.Nodes = append(r.plan.Desired.Nodes, cluster.Node{Name: "m" + strconv.Itoa(n), Pool: "p", VMSize: "s"})
		if second := r.up(s); second != first {
			t.Fatal("started anew for other nodes")
		}
		if st, _ := s.Status(r.id); st.NodesHave != n+2 {
			t.Errorf("status %+v", st)
		}
	}
	r.plan.Desired.Generation++
	if second := r.up(s); second == first || !gone(first) {
		t.Error("another generation did not start anew")
	}
}

func TestRefused(t *testing.T) {
	r := newRig(t)
	good := r.plan.Desired.Name
	r.plan.Desired.Name = "refused"
	s := r.plane()
	if err := s.Ensure(t.Context(), r.plan.Desired); err != nil {
		t.Fatal(err)
	}
	if err := s.WaitReady(t.Context(), r.id); !errors.Is(err, errSpec) || !strings.Contains(err.Error(), "is refused by this fake") {
		t.Fatalf("got %v", err)
	}
	r.plan.Desired.Name = good
	r.up(s)
}

func TestStopAndDelete(t *testing.T) {
	for _, name := range []string{"c", "stubborn"} {
		t.Run(name, func(t *testing.T) {
			if name == "stubborn" && testing.Short() {
				t.Skip("waits for the grace of a process that does not stop")
			}
			r := newRig(t)
			r.plan.Desired.Name = name
			s := r.plane()
			first := r.up(s)
			if err := s.Stop(t.Context(), r.id); err != nil {
				t.Fatal(err)
			}
			if !gone(first) {
				t.Error("the process goes on")
			}
			if err := s.WaitReady(t.Context(), r.id); !errors.Is(err, ErrUnknown) {
				t.Errorf("got %v", err)
			}
			if _, err := os.Stat(r.folder().data()); err != nil {
				t.Error("Stop took the data:", err)
			}
			for range 2 {
				if err := s.Delete(t.Context(), r.id); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := os.Stat(string(r.folder())); !errors.Is(err, fs.ErrNotExist) {
				t.Error("Delete left something:", err)
			}
		})
	}
}

// TestDeleteOrphan deletes a cluster that only a control plane before this one knew of.
func TestDeleteOrphan(t *testing.T) {
	r := newRig(t)
	one := r.plane(detach)
	first := r.up(one)
	if err := one.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	var closed []ident.ClusterID
	two := r.plane(func(s *Supervisor) { s.Closed = func(id ident.ClusterID) { closed = append(closed, id) } })
	if err := two.Delete(t.Context(), r.id); err != nil {
		t.Fatal(err)
	}
	if !gone(first) || len(closed) != 1 {
		t.Errorf("gone: %v, closed: %v", gone(first), closed)
	}
}

// TestOpened tries again until the gate has been told; meanwhile the cluster runs and is not ready.
func TestOpened(t *testing.T) {
	r := newRig(t)
	calls := 0
	s := r.plane(func(s *Supervisor) {
		s.Opened = func(context.Context, ident.ClusterID, cluster.Access) error {
			if calls++; calls < 3 {
				return errors.New("not now")
			}
			return nil
		}
	})
	first := r.up(s)
	if calls != 3 || gone(first) {
		t.Errorf("%d calls", calls)
	}
}

func TestEndpoint(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	port := l.Addr().(*net.TCPAddr).Port
	s := &Supervisor{Ports: [2]int{port, port}}
	if e, err := s.Endpoint(t.Context(), func(string) bool { return false }); err == nil {
		t.Errorf("got the busy %s", e)
	}
	free := freeEndpoint(t)
	_, text, _ := net.SplitHostPort(free)
	s.Ports[0], _ = strconv.Atoi(text)
	s.Ports[1] = s.Ports[0]
	if e, err := s.Endpoint(t.Context(), func(string) bool { return false }); err != nil || e != free {
		t.Errorf("got %s, %v", e, err)
	}
	if e, err := s.Endpoint(t.Context(), func(string) bool { return true }); err == nil {
		t.Errorf("got the taken %s", e)
	}
}

func TestLog(t *testing.T) {
	f := folder(t.TempDir())
	for n := range 2 {
		file, err := f.openLog()
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = file.Close() }()
		_, _ = fmt.Fprintln(file, "from", n)
		if n == 1 {
			if err := file.Truncate(logLimit + 1); err != nil {
				t.Fatal(err)
			}
			_, _ = file.WriteString("\nlast words\n")
			if got := f.lastWords(); got != "last words" {
				t.Errorf("last words %q", got)
			}
			if err := f.boundLog(); err != nil {
				t.Fatal(err)
			}
			_, _ = file.WriteString("after\n")
		}
	}
	now, _ := os.ReadFile(f.log())
	old, _ := os.ReadFile(f.log() + ".1")
	if string(now) != "after\n" || len(old) != logKeep || !strings.HasSuffix(string(old), "last words\n") {
		t.Errorf("log is %q, the old one has %d bytes", now, len(old))
	}
}

// TestSocketDir refuses a folder that others may write to, or that is somebody else's link.
func TestSocketDir(t *testing.T) {
	base := t.TempDir()
	t.Setenv("XDG_RUNTIME_DIR", base)
	dir, err := socketDir()
	if len(base) < 60 {
		if err != nil || dir != filepath.Join(base, "keyreeve") {
			t.Fatal(dir, err)
		}
		if err := os.Chmod(dir, 0o770); err != nil {
			t.Fatal(err)
		}
		if _, err := socketDir(); err == nil {
			t.Error("a folder of a group was taken")
		}
	}
	if _, err := socketPath(strings.Repeat("x", 100), "f", ".sock"); err == nil {
		t.Error("a path too long was taken")
	}
	a, _ := socketPath("/s", "a", ".sock")
	b, _ := socketPath("/s", "b", ".sock")
	if a == b {
		t.Error("two clusters share a socket")
	}
}
