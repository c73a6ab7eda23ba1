package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"sync"
	"time"

	"github.com/keyreeve/keyreeve/internal/cluster"
	"github.com/keyreeve/keyreeve/internal/ident"
)

// Supervisor keeps the embedded clusters running. Its fields are set before the first call and not changed after.
type Supervisor struct {
	// Binary is the localkube program.
	Binary string
	// Dir holds a folder for each cluster.
	Dir string
	// SocketDir holds the control sockets; empty is a private folder below XDG_RUNTIME_DIR or the temporary folder.
	SocketDir string
	// Host is the address that API servers listen at; empty is 127.0.0.1.
	Host string
	// Ports are the first and last port for API servers; zero is 10440 to 10999.
	Ports [2]int
	Hooks Hooks
	// OrphanTimeout ends a process that nobody has looked after for so long; 0 is never.
	OrphanTimeout time.Duration
	// Detach leaves the processes running when the supervisor is closed.
	Detach bool
	Now    func() time.Time
	Log    *slog.Logger

	// Opened, if set, is called each time a cluster has become ready, with what the gate needs to look into it. Its error
	// is noted and it is called again.
	Opened func(context.Context, ident.ClusterID, cluster.Access) error
	// Closed, if set, is called when a cluster was stopped or deleted.
	Closed func(ident.ClusterID)
	// Progress, if set, is told of each change of a cluster's status.
	Progress func(ident.ClusterID, cluster.Status)

	mu     sync.Mutex
	wards  map[ident.ClusterID]*ward
	closed bool
}

// ErrUnknown says that no cluster of an id is looked after.
var ErrUnknown = errors.New("embedded: no such cluster")

// errClosed says that the supervisor was closed.
var errClosed = errors.New("embedded: the supervisor is closed")

func (s *Supervisor) host() string {
	if s.Host == "" {
		return "127.0.0.1"
	}
	return s.Host
}

// folder returns a cluster's folder, as an absolute path.
func (s *Supervisor) folder(id ident.ClusterID) (folder, error) {
	abs, err := filepath.Abs(filepath.Join(s.Dir, id.String()))
	if err != nil {
		return "", fmt.Errorf("embedded: %w", err)
	}
	return folder(abs), nil
}

func (s *Supervisor) socketFolder() (string, error) {
	if s.SocketDir != "" {
		return s.SocketDir, nil
	}
	return socketDir()
}

func (s *Supervisor) socket(f folder) (string, error) {
	dir, err := s.socketFolder()
	if err != nil {
		return "", err
	}
	return socketPath(dir, f, ".sock")
}

// Endpoint chooses a free address for a new cluster's API server, HOST:PORT, that taken does not hold.
func (s *Supervisor) Endpoint(ctx context.Context, taken func(endpoint string) bool) (string, error) {
	ports := s.Ports
	if ports == [2]int{} {
		ports = [2]int{10440, 10999}
	}
	for port := ports[0]; port <= ports[1]; port++ {
		endpoint := net.JoinHostPort(s.host(), strconv.Itoa(port))
		if taken(endpoint) {
			continue
		}
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", endpoint)
		if err != nil {
			continue
		}
		_ = l.Close()
		return endpoint, nil
	}
	return "", fmt.Errorf("embedded: no free port from %d to %d at %s", ports[0], ports[1], s.host())
}

// Ensure makes a cluster run as described, or go on running, and does not wait for it. A process that is there already
// is adopted if its generation is the one wanted, and replaced if not.
func (s *Supervisor) Ensure(_ context.Context, d cluster.Desired) error {
	f, err := s.folder(d.ID)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errClosed
	}
	if w, ok := s.wards[d.ID]; ok {
		w.want(d)
		return nil
	}
	w := newWard(s, d, f)
	if s.wards == nil {
		s.wards = map[ident.ClusterID]*ward{}
	}
	s.wards[d.ID] = w
	go w.run()
	return nil
}

func (s *Supervisor) ward(id ident.ClusterID) (*ward, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w, ok := s.wards[id]
	return w, ok
}

// WaitReady returns when a cluster is as last described to Ensure: its API server answers, its nodes are ready, and the
// gate has been let in. It fails when the context ends, or when the description is refused.
func (s *Supervisor) WaitReady(ctx context.Context, id ident.ClusterID) error {
	w, ok := s.ward(id)
	if !ok {
		return ErrUnknown
	}
	return w.waitReady(ctx)
}

// Status returns how a cluster runs.
func (s *Supervisor) Status(id ident.ClusterID) (cluster.Status, bool) {
	w, ok := s.ward(id)
	if !ok {
		return cluster.Status{}, false
	}
	return w.snapshot(), true
}

// Stop ends a cluster's process and keeps its data. One that is not looked after is no error.
func (s *Supervisor) Stop(ctx context.Context, id ident.ClusterID) error {
	s.mu.Lock()
	w, ok := s.wards[id]
	s.mu.Unlock()
	if ok {
		if err := w.leave(ctx, true); err != nil {
			return err
		}
		s.mu.Lock()
		delete(s.wards, id)
		s.mu.Unlock()
	}
	// One that a control plane before this one left behind.
	f, err := s.folder(id)
	if err != nil {
		return err
	}
	if err := s.clear(ctx, f); err != nil {
		return err
	}
	if s.Closed != nil {
		s.Closed(id)
	}
	return nil
}

// Delete ends a cluster's process and removes its data. Doing it again is no error.
func (s *Supervisor) Delete(ctx context.Context, id ident.ClusterID) error {
	if err := s.Stop(ctx, id); err != nil {
		return err
	}
	f, err := s.folder(id)
	if err != nil {
		return err
	}
	if err := os.RemoveAll(string(f)); err != nil {
		return fmt.Errorf("embedded: data of cluster: %w", err)
	}
	return nil
}

// Close lets go of every cluster: their processes end, unless Detach is set. It returns when all have ended, or with
// the context's end.
func (s *Supervisor) Close(ctx context.Context) error {
	s.mu.Lock()
	s.closed = true
	wards := s.wards
	s.wards = nil
	s.mu.Unlock()
	var all sync.WaitGroup
	errs := make(chan error, len(wards))
	for _, w := range wards {
		all.Go(func() { errs <- w.leave(ctx, !s.Detach) })
	}
	all.Wait()
	close(errs)
	var out error
	for err := range errs {
		out = errors.Join(out, err)
	}
	return out
}

// same reports whether two descriptions ask for the same.
func same(a, b cluster.Desired) bool { return reflect.DeepEqual(a, b) }
