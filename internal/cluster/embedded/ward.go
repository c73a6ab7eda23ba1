package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/keyreeve/keyreeve/internal/cluster"
	"github.com/keyreeve/keyreeve/internal/pki"
)

// ward is one cluster that is looked after.
type ward struct {
	sup    *Supervisor
	folder folder
	log    *slog.Logger

	ctx    context.Context //nolint:containedctx // the life of the loop, which outlives every call
	cancel context.CancelFunc
	done   chan struct{} // closed when the loop has ended

	line      bool // whether the API server is answered at the line; the loop's own
	answering sync.WaitGroup

	mu      sync.Mutex
	desired cluster.Desired
	version int  // of desired
	settled int  // the version that the running cluster has reached
	end     bool // whether to end the process when the loop ends
	leaving bool
	endErr  error
	status  cluster.Status
	refused error         // why the present version can never be
	changed chan struct{} // closed and replaced at each change of the above
	wake    chan struct{} // tells the loop that desired changed
}

func newWard(s *Supervisor, d cluster.Desired, f folder) *ward {
	w := &ward{
		sup: s, folder: f, desired: d, version: 1, done: make(chan struct{}), changed: make(chan struct{}), wake: make(chan struct{}, 1),
		log: s.Log.With("cluster", d.ID.String(), "name", d.Name),
	}
	w.status.NodesWant = len(d.Nodes)
	w.ctx, w.cancel = context.WithCancel(context.Background())
	return w
}

// want sets what the cluster should be.
func (w *ward) want(d cluster.Desired) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if same(w.desired, d) && w.refused == nil {
		return
	}
	w.desired = d
	w.version++
	w.refused = nil
	w.status.Ready = false
	w.tell()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// tell wakes those who wait for a change. The lock is held.
func (w *ward) tell() {
	close(w.changed)
	w.changed = make(chan struct{})
}

func (w *ward) present() (cluster.Desired, int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.desired, w.version
}

func (w *ward) snapshot() cluster.Status {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.status
}

// note changes the status and tells those who want to know.
func (w *ward) note(change func(*cluster.Status)) {
	w.mu.Lock()
	before := w.status
	change(&w.status)
	after := w.status
	id := w.desired.ID
	if after != before {
		w.tell()
	}
	w.mu.Unlock()
	if after != before && w.sup.Progress != nil {
		w.sup.Progress(id, after)
	}
}

func (w *ward) waitReady(ctx context.Context) error {
	for {
		w.mu.Lock()
		ready, refused, leaving := w.status.Ready && w.settled == w.version, w.refused, w.leaving
		trouble, changed := w.status.Trouble, w.changed
		w.mu.Unlock()
		switch {
		case ready:
			return nil
		case refused != nil:
			return refused
		case leaving:
			return ErrUnknown
		}
		select {
		case <-changed:
		case <-ctx.Done():
			if trouble != "" {
				return fmt.Errorf("embedded: the cluster is not ready: %w: %s", context.Cause(ctx), trouble)
			}
			return fmt.Errorf("embedded: the cluster is not ready: %w", context.Cause(ctx))
		}
	}
}

// leave ends the loop, and the process with it if end is set.
func (w *ward) leave(ctx context.Context, end bool) error {
	w.mu.Lock()
	w.end, w.leaving = end, true
	w.tell()
	w.mu.Unlock()
	w.cancel()
	select {
	case <-w.done:
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.endErr
	case <-ctx.Done():
		return fmt.Errorf("embedded: stop: %w", context.Cause(ctx))
	}
}

// Pauses between attempts.
const (
	firstPause = 200 * time.Millisecond
	longPause  = 30 * time.Second
)

// run looks after the cluster until the ward is left.
func (w *ward) run() {
	defer close(w.done)
	defer w.answering.Wait() // the context has ended
	pause := firstPause
	for w.ctx.Err() == nil {
		wasReady, err := w.attend()
		if w.ctx.Err() != nil {
			return
		}
		if err == nil {
			pause = firstPause
			continue // ended on purpose, to begin anew
		}
		if wasReady {
			pause = firstPause
		}
		w.log.Warn("a cluster's process ended or did not come up", "error", err, "nextTry", pause.String())
		w.note(func(s *cluster.Status) {
			*s = cluster.Status{NodesWant: s.NodesWant, Restarts: s.Restarts + 1, Trouble: err.Error()}
		})
		if errors.Is(err, errSpec) {
			w.refuse(err)
		}
		w.pause(pause)
		pause = min(2*pause, longPause)
	}
}

func (w *ward) refuse(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.refused = err
	w.tell()
}

// pause waits; a new description cuts it short.
func (w *ward) pause(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-w.wake:
	case <-w.ctx.Done():
	}
}

// attend brings a process up, by adoption or anew, and watches it until it ends. A nil error says that it was ended on
// purpose. wasReady reports whether it had become ready.
func (w *ward) attend() (wasReady bool, err error) {
	d, version := w.present()
	p, started, err := w.obtain(d)
	if err != nil {
		return false, err
	}
	for {
		if err := w.bringUp(p, d); err != nil {
			return wasReady, w.drop(p, err)
		}
		wasReady = true
		w.settle(version)
		again, err := w.watch(p, d, started)
		if !again {
			return wasReady, err
		}
		// Other nodes are wanted, or nothing that a running process could not take over.
		d, version = w.present()
		w.note(func(s *cluster.Status) { s.Ready, s.NodesWant = false, len(d.Nodes) })
	}
}

// obtain adopts the process that runs, or starts one.
func (w *ward) obtain(d cluster.Desired) (*process, time.Time, error) {
	if err := w.openLine(); err != nil {
		return nil, time.Time{}, err
	}
	p, st, ok := w.sup.find(w.ctx, w.folder)
	if ok && st.Generation == d.Generation && p.setup == w.sup.setup(d, w.folder) && st.Phase != "stopping" {
		w.log.Info("a cluster's process was adopted", "pid", p.pid)
		return p, st.StartedAt, nil
	}
	if ok {
		p.release()
	}
	if err := w.sup.clear(w.ctx, w.folder); err != nil {
		return nil, time.Time{}, err
	}
	p, err := w.sup.start(w.ctx, d, w.folder)
	if err != nil {
		return nil, time.Time{}, err
	}
	w.log.Info("a cluster's process was started", "pid", p.pid, "generation", d.Generation)
	return p, w.sup.Now(), nil
}

// drop lets go of a process after a failure: one that has ended says how; one that goes on is ended, so that the next
// attempt begins anew. When the ward is being left, parting decides.
func (w *ward) drop(p *process, err error) error {
	if w.ctx.Err() != nil {
		return w.part(p)
	}
	select {
	case <-p.ended:
		p.release()
		return errors.Join(err, p.failure())
	default:
	}
	return errors.Join(err, p.end(w.ctx))
}

// part ends the process, or leaves it running, when the ward is left.
func (w *ward) part(p *process) error {
	w.mu.Lock()
	end := w.end
	w.mu.Unlock()
	if !end {
		p.release()
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopGrace+killGrace)
	defer cancel()
	err := p.end(ctx)
	w.mu.Lock()
	w.endErr = err
	w.mu.Unlock()
	return err
}

// bringUp gives the process its nodes, waits until it is ready and lets the gate in. It fails when the process ends.
func (w *ward) bringUp(p *process, d cluster.Desired) error {
	if err := p.setNodes(w.ctx, specNodes(d.Nodes)); err != nil {
		return err
	}
	if err := w.awaitReady(p); err != nil {
		return err
	}
	// What runs goes on running while the gate cannot be let in: only trying again helps.
	for pause := firstPause; ; pause = min(2*pause, longPause) {
		err := w.open(d)
		if err == nil {
			return nil
		}
		w.log.Warn("the gate could not be let into a cluster", "error", err, "nextTry", pause.String())
		w.note(func(s *cluster.Status) { s.Trouble = err.Error() })
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-p.ended:
			timer.Stop()
			return err
		case <-w.ctx.Done():
			timer.Stop()
			return w.ctx.Err()
		}
	}
}

func (w *ward) open(d cluster.Desired) error {
	access, err := w.sup.letGateIn(w.ctx, d)
	if err != nil {
		return err
	}
	if w.sup.Opened == nil {
		return nil
	}
	if err := w.sup.Opened(w.ctx, d.ID, access); err != nil {
		return fmt.Errorf("tell the gate: %w", err)
	}
	return nil
}

func (w *ward) awaitReady(p *process) error {
	tick := time.NewTicker(statusPoll)
	defer tick.Stop()
	for {
		st, err := p.status(w.ctx)
		if err == nil {
			w.note(func(s *cluster.Status) {
				s.Generation, s.Version, s.NodesWant, s.NodesHave = st.Generation, st.Version, st.Nodes.Want, st.Nodes.Ready
			})
			if st.Ready {
				return nil
			}
		}
		select {
		case <-tick.C:
		case <-p.ended:
			return errors.New("it ended before it was ready")
		case <-w.ctx.Done():
			return w.ctx.Err()
		}
	}
}

// settle notes that the cluster is as a version of its description says.
func (w *ward) settle(version int) {
	w.mu.Lock()
	w.settled = version
	current := version == w.version
	w.tell()
	w.mu.Unlock()
	if current {
		w.note(func(s *cluster.Status) { s.Ready, s.Trouble = true, "" })
	}
}

// watch returns when the process has ended, or was ended because another generation is wanted or its certificates are
// old; again is true when the process goes on and only its nodes are to be set.
func (w *ward) watch(p *process, d cluster.Desired, started time.Time) (again bool, err error) {
	tick := time.NewTicker(upkeepEvery)
	defer tick.Stop()
	for {
		select {
		case <-w.ctx.Done():
			return false, w.part(p)
		case <-p.ended:
			p.release()
			return false, p.failure()
		case <-w.wake:
			now, _ := w.present()
			if now.Generation == d.Generation {
				return true, nil
			}
			w.note(func(s *cluster.Status) { s.Ready = false })
			return false, p.end(w.ctx)
		case <-tick.C:
			if err := w.folder.boundLog(); err != nil {
				w.log.Warn("a cluster's log could not be cut", "error", err)
			}
			if w.sup.Now().After(started.Add(pki.ComponentLife / 3 * 2)) {
				w.log.Info("a cluster is started anew for new certificates")
				w.note(func(s *cluster.Status) { s.Ready = false })
				return false, p.end(w.ctx)
			}
		}
	}
}
