package embedded

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/keyreeve/keyreeve/internal/cluster"
)

// process is a localkube that runs, started by this control plane or by one before it.
type process struct {
	control
	pid int
	// ended is closed when the process is gone. failure then says how, if it is known.
	ended   <-chan struct{}
	failure func() error
	// release lets go of the process without ending it.
	release context.CancelFunc
	// setup is the digest of what it was started with, empty if that is not known.
	setup string
	// known is a handle by which the process can be killed for sure; nil if there is none.
	known *os.Process
}

// Waits.
const (
	stopGrace   = 10 * time.Second // for a process that was asked to stop
	killGrace   = 5 * time.Second  // for a process that was killed
	socketWait  = 20 * time.Second // for a new process to open its control socket
	socketPoll  = 10 * time.Millisecond
	statusPoll  = 25 * time.Millisecond
	upkeepEvery = time.Minute
)

// Exit codes of localkube.
const (
	exitSpec  = 2 // it does not take the spec: trying again is no use
	exitTaken = 3 // another process holds the data folder
)

// errSpec says that localkube refused what it was told to run.
var errSpec = errors.New("localkube refused its description")

// setup is the digest of what a process is started with besides its generation.
func (s *Supervisor) setup(d cluster.Desired, f folder) string {
	h := sha256.New()
	line, err := s.lineSocket(f)
	if err != nil {
		line = err.Error()
	}
	for _, part := range []string{
		s.Binary, s.Hooks.TokenReviewURL, s.Hooks.AuthorizationURL, s.Hooks.CA, s.Hooks.Authority.CertPEM(), d.Endpoint, d.FQDN, s.OrphanTimeout.String(), line,
	} {
		fmt.Fprintf(h, "%d:%s", len(part), part)
	}
	if info, err := os.Stat(s.Binary); err == nil { // another build is another program
		fmt.Fprintf(h, "%d,%d", info.Size(), info.ModTime().UnixNano())
	}
	return hex.EncodeToString(h.Sum(nil))
}

// find looks for a process that runs for a cluster: by the record of it, and at the place where its socket would be.
func (s *Supervisor) find(ctx context.Context, f folder) (*process, controlStatus, bool) {
	rec := f.readRecord()
	sockets := []string{rec.Socket}
	if own, err := s.socket(f); err == nil && own != rec.Socket {
		sockets = append(sockets, own)
	}
	for _, socket := range sockets {
		if socket == "" {
			continue
		}
		c := control{socket: socket}
		st, err := c.status(ctx)
		if err != nil {
			continue
		}
		hold, release := context.WithCancel(context.WithoutCancel(ctx))
		ended, err := c.alive(hold)
		if err != nil {
			release()
			continue
		}
		p := &process{control: c, pid: st.PID, ended: ended, release: release, failure: func() error { return errors.New("it ended") }}
		if rec.PID == st.PID {
			p.known, _ = rec.running()
			p.setup = rec.Setup
			p.ended = afterwards(hold, ended, rec)
		}
		return p, st, true
	}
	return nil, controlStatus{}, false
}

// afterwards is closed once ended is and the process has left the process table, or does not leave it: its connections
// end an instant before it does. It does not wait for a process that hold was released from.
func afterwards(hold context.Context, ended <-chan struct{}, rec record) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		<-ended
		waitUntil(hold, killGrace, func() bool { _, ok := rec.running(); return !ok })
	}()
	return done
}

// clear ends whatever runs for a cluster and cannot be adopted.
func (s *Supervisor) clear(ctx context.Context, f folder) error {
	if p, _, ok := s.find(ctx, f); ok {
		return p.end(ctx)
	}
	if err := ctx.Err(); err != nil {
		return err // not found may mean not looked for
	}
	// A process that does not answer, as one that was only just started.
	p, ok := f.readRecord().running()
	if !ok {
		return nil
	}
	gone := func() bool { _, ok := f.readRecord().running(); return !ok }
	for _, step := range []struct {
		signal syscall.Signal
		wait   time.Duration
	}{{syscall.SIGTERM, stopGrace}, {syscall.SIGKILL, killGrace}} {
		if err := p.Signal(step.signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return fmt.Errorf("stop localkube: %w", err)
		}
		if waitUntil(ctx, step.wait, gone) {
			return nil
		}
	}
	return fmt.Errorf("stop localkube: process %d does not end", p.Pid)
}

// end stops the process, by force if need be, and returns when it is gone.
func (p *process) end(ctx context.Context) error {
	defer p.release()
	asked := p.stop(ctx)
	if asked == nil && p.wait(ctx, stopGrace) {
		return nil
	}
	if p.known == nil {
		return fmt.Errorf("stop localkube: process %d does not end, and cannot be told from others for sure: end it by hand (%w)", p.pid, errors.Join(asked, ctx.Err()))
	}
	if err := p.known.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop localkube: %w", err)
	}
	if p.wait(ctx, killGrace) {
		return nil
	}
	return fmt.Errorf("stop localkube: process %d does not end", p.pid)
}

func (p *process) wait(ctx context.Context, most time.Duration) bool {
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-p.ended:
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	return false
}

func waitUntil(ctx context.Context, most time.Duration, holds func() bool) bool {
	timer := time.NewTimer(most)
	defer timer.Stop()
	tick := time.NewTicker(socketPoll)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-timer.C:
			return false
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// start starts a process for a cluster and returns when its control API answers.
func (s *Supervisor) start(ctx context.Context, d cluster.Desired, f folder) (*process, error) {
	for _, dir := range []string{f.data(), filepath.Dir(f.audit())} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("folder of cluster: %w", err)
		}
	}
	socket, err := s.socket(f)
	if err != nil {
		return nil, err
	}
	doc, err := s.spec(ctx, d, f, socket)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("description of cluster: %w", err)
	}
	log, err := f.openLog()
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }() // the process has its own handle
	// The process is meant to outlive ctx, and this program if it is killed: it gets a session of its own and no pipe
	// whose other end could break, but for the one it reads its description from.
	cmd := exec.Command(s.Binary, "run") //nolint:noctx,gosec // no context, see above; the program is the configured one
	cmd.Stdin = strings.NewReader(string(text))
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Dir = string(f)
	cmd.Env = environment(os.Environ())
	cmd.SysProcAttr = ownSession()
	if err := f.writeRecord(record{Socket: socket, Setup: s.setup(d, f)}); err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start localkube: %w", err)
	}
	rec := record{PID: cmd.Process.Pid, Started: startedTicks(cmd.Process.Pid), Socket: socket, Setup: s.setup(d, f)}
	if err := f.writeRecord(rec); err != nil {
		s.Log.WarnContext(ctx, "a cluster's process could not be recorded", "cluster", d.ID.String(), "error", err)
	}
	return s.attach(ctx, cmd, f, socket)
}

// environment leaves out what a cluster has no business with, such as the key that seals the database.
func environment(all []string) []string {
	keep := []string{"PATH", "HOME", "TMPDIR", "XDG_RUNTIME_DIR", "LANG", "TZ", "GOMAXPROCS", "GOMEMLIMIT", "GOGC", "GODEBUG", "GOCOVERDIR"}
	return slices.DeleteFunc(slices.Clone(all), func(e string) bool {
		name, _, _ := strings.Cut(e, "=")
		return !slices.Contains(keep, name)
	})
}

// attach waits for a new process's control API.
func (s *Supervisor) attach(ctx context.Context, cmd *exec.Cmd, f folder, socket string) (*process, error) {
	exited := make(chan struct{})
	var result error
	go func() {
		defer close(exited)
		result = describeExit(cmd.Wait(), f)
	}()
	p := &process{
		control: control{socket: socket}, pid: cmd.Process.Pid, known: cmd.Process, ended: exited,
		failure: func() error { <-exited; return result }, release: func() {},
	}
	timer := time.NewTimer(socketWait)
	defer timer.Stop()
	tick := time.NewTicker(socketPoll)
	defer tick.Stop()
	for {
		if st, err := p.status(ctx); err == nil && st.PID == p.pid {
			break
		}
		select {
		case <-tick.C:
			continue
		case <-exited:
			return nil, p.failure()
		case <-timer.C:
		case <-ctx.Done():
		}
		_ = p.known.Kill()
		<-exited
		return nil, errors.Join(errors.New("localkube does not open its control socket"), ctx.Err())
	}
	// The connection tells localkube that somebody looks after it; its end is seen by cmd.Wait as well.
	hold, release := context.WithCancel(context.WithoutCancel(ctx))
	if _, err := p.alive(hold); err != nil {
		release()
		_ = p.known.Kill()
		<-exited
		return nil, err
	}
	p.release = release
	return p, nil
}

func describeExit(err error, f folder) error {
	if err == nil {
		return errors.New("localkube ended")
	}
	words := f.lastWords()
	if e, ok := errors.AsType[*exec.ExitError](err); ok {
		switch e.ExitCode() {
		case exitSpec:
			return fmt.Errorf("%w: %s", errSpec, words)
		case exitTaken:
			return errors.New("another localkube runs on the data folder")
		}
	}
	return fmt.Errorf("localkube ended (%w): %s", err, words)
}
