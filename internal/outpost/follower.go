package outpost

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/keyreeve/keyreeve/internal/feed"
	"github.com/keyreeve/keyreeve/internal/gatefeed"
	"github.com/keyreeve/keyreeve/internal/world"
)

// follower keeps the gate's world by the control plane's stream.
type follower struct {
	link    *link
	journal *journal
	now     func() time.Time
	log     *slog.Logger
	// replaced is called with each new world, and the issuer whose tokens count, before it is followed further.
	replaced func(*world.World, string) error
	// withdrawn is called when the control plane says that this gate is one no more.
	withdrawn func()

	// at is the revision that the world has reached.
	at feed.Revision
	// issuer is what the last stream said.
	issuer string
	world  *world.World

	connected atomic.Bool
	revoked   atomic.Bool
	revision  atomic.Int64
	// moved is signalled when the revision changes.
	moved chan struct{}

	mu sync.Mutex
	// heard is when the control plane was last heard from, with the reading of the monotonic clock if this process did.
	heard     time.Time
	heardDisk time.Time
}

// silence is how long a stream may say nothing before it counts as broken: some heartbeats.
const silence = 5 * gatefeed.HeartbeatEvery

// Heard returns when the control plane was last heard from; the zero time when that is not known.
func (f *follower) Heard() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	// A clock that was set back must not make what is old look new.
	if f.heard.After(f.now().Add(time.Minute)) {
		return time.Time{}
	}
	return f.heard
}

// hear notes that the control plane speaks, and that the world is as it says.
func (f *follower) hear() {
	now := f.now()
	f.mu.Lock()
	f.heard = now
	write := now.Sub(f.heardDisk) >= gatefeed.HeartbeatEvery
	if write {
		f.heardDisk = now
	}
	f.mu.Unlock()
	if write {
		if err := f.journal.state.write(heardFile, heard{Revision: f.at, Clock: now.UTC()}, false); err != nil {
			f.log.Warn("when the control plane was heard could not be kept", "error", err)
		}
	}
}

// restore begins with what the journal holds.
func (f *follower) restore(issuer string) error {
	f.issuer = issuer
	snapshot, found, err := f.journal.load()
	if err != nil {
		f.log.Warn("the journal cannot be read; the gate begins anew", "error", err)
		return nil
	}
	if !found || issuer == "" {
		return nil
	}
	if err := f.rebuild(snapshot); err != nil {
		f.log.Warn("the journal cannot be used; the gate begins anew", "error", err)
		f.at, f.world = 0, nil
		return nil
	}
	var h heard
	ok, err := f.journal.state.read(heardFile, &h)
	if err != nil {
		f.log.Warn("when the control plane was heard is not known", "error", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case !ok:
	case h.Revision <= f.at:
		f.heard = h.Clock
	default:
		f.heard = snapshot.At // the journal lost its end: it is as old as its last change
	}
	f.log.Info("gate goes on from its journal", "revision", int64(f.at), "heard", f.heard)
	return nil
}

// rebuild makes the world of a snapshot and puts it in place of the one before.
func (f *follower) rebuild(snapshot feed.Change) error {
	w, err := world.New()
	if err != nil {
		return err
	}
	if err := w.Apply(snapshot); err != nil {
		return err
	}
	if err := f.replaced(w, f.issuer); err != nil {
		return err
	}
	f.world = w
	f.revoked.Store(false)
	f.reached(snapshot.Revision)
	f.kept(f.journal.begin(snapshot))
	return nil
}

func (f *follower) reached(r feed.Revision) {
	f.at = r
	f.revision.Store(int64(r))
	f.signal()
}

func (f *follower) signal() {
	select {
	case f.moved <- struct{}{}:
	default:
	}
}

// Run follows until ctx ends, connecting again and again.
func (f *follower) Run(ctx context.Context) error {
	wait := reconnectLeast
	for {
		began := f.now()
		err := f.once(ctx)
		f.connected.Store(false)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // it was told to end
		}
		if f.now().Sub(began) > reconnectMost {
			wait = reconnectLeast
		}
		f.log.Warn("no stream from the control plane", "error", err, "again", wait.String())
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait/2 + rand.N(wait/2)): //nolint:gosec // only so that many gates do not come back at one moment
		}
		wait = min(2*wait, reconnectMost)
	}
}

// How long the gate waits before it connects again.
const (
	reconnectLeast = 200 * time.Millisecond
	reconnectMost  = 2 * time.Second
)

// once follows one stream to its end.
func (f *follower) once(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watchdog := time.AfterFunc(silence, func() { cancel(errors.New("the control plane fell silent")) })
	defer watchdog.Stop()
	var shaken atomic.Bool
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		TLSHandshakeDone: func(_ tls.ConnectionState, err error) { shaken.Store(err == nil) },
	})
	req, err := http.NewRequestWithContext(traced, http.MethodGet, f.link.url("/gate/v1/stream?after="+strconv.FormatInt(int64(f.at), 10)), nil)
	if err != nil {
		return err
	}
	res, err := f.link.client().Do(req)
	if err != nil {
		if c := context.Cause(ctx); c != nil {
			return c
		}
		if shaken.Load() && isAlert(err) {
			f.revoke()
		}
		return err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		switch res.StatusCode {
		case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound:
			f.revoke()
		}
		return refusal(res)
	}
	dec := json.NewDecoder(res.Body)
	var building *feed.Change
	for {
		var frame gatefeed.Frame
		if err := dec.Decode(&frame); err != nil {
			return cause(ctx, err)
		}
		watchdog.Reset(silence)
		if building, err = f.take(frame, building); err != nil {
			return err
		}
		f.connected.Store(true)
	}
}

func cause(ctx context.Context, err error) error {
	if c := context.Cause(ctx); c != nil {
		return c
	}
	if errors.Is(err, io.EOF) {
		return errors.New("the stream ended")
	}
	return err
}

// isAlert reports whether the other end of a TLS connection refused it. After a handshake it is the control plane that did,
// for our certificate; before, it could be anyone on the way.
func isAlert(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error"
}

// revoke forgets everything: who was told that this gate is one no more answers nobody, also after a restart. What is forgotten
// comes back by a snapshot, if the control plane gives one.
func (f *follower) revoke() {
	if f.revoked.Swap(true) {
		return
	}
	f.log.Error("the control plane says that this gate is revoked: it stops deciding")
	f.withdrawn()
	f.at, f.world = 0, nil
	f.journal.drop()
	f.mu.Lock()
	f.heard, f.heardDisk = time.Time{}, time.Time{}
	f.mu.Unlock()
}

// take applies one frame. building is the snapshot that is being read.
func (f *follower) take(frame gatefeed.Frame, building *feed.Change) (*feed.Change, error) {
	switch {
	case frame.Revoked != "":
		f.revoke()
		return nil, fmt.Errorf("the control plane says: %s", frame.Revoked)
	case frame.Hello != nil:
		return building, f.hello(*frame.Hello)
	case frame.Snapshot != nil:
		return &feed.Change{Revision: frame.Snapshot.Revision, At: frame.Snapshot.At}, nil
	case frame.Events != nil:
		if building == nil {
			return nil, errors.New("events outside a snapshot")
		}
		building.Events = append(building.Events, frame.Events...)
		return building, nil
	case frame.Complete:
		if building == nil {
			return nil, errors.New("the end of no snapshot")
		}
		if err := f.rebuild(*building); err != nil {
			return nil, err
		}
		f.log.Info("gate has a new snapshot", "revision", int64(f.at), "events", len(building.Events))
		f.hear()
		return nil, nil
	case building != nil:
		return nil, errors.New("a snapshot that does not end")
	case frame.Change != nil:
		if err := f.change(*frame.Change); err != nil {
			return nil, err
		}
		f.hear()
	case frame.Heartbeat != nil:
		if f.world == nil {
			return nil, errors.New("a heartbeat before a snapshot")
		}
		if frame.Heartbeat.Revision > f.at {
			if err := f.world.Skip(frame.Heartbeat.Revision, frame.Heartbeat.At); err != nil {
				return nil, f.broken(err)
			}
			f.reached(frame.Heartbeat.Revision)
		}
		f.hear()
	}
	return nil, nil
}

func (f *follower) hello(h gatefeed.Hello) error {
	if h.Protocol != gatefeed.Protocol {
		return fmt.Errorf("the control plane speaks protocol %d, this gate %d", h.Protocol, gatefeed.Protocol)
	}
	if h.Cluster != f.link.cluster {
		return errors.New("the control plane speaks of another cluster")
	}
	f.signal() // a control plane that started again does not know where this gate is
	if h.Issuer != f.issuer {
		f.issuer = h.Issuer
		if f.world != nil {
			return f.replaced(f.world, f.issuer)
		}
	}
	return nil
}

// change applies a change. Revisions between are of commits that concern other clusters.
func (f *follower) change(c feed.Change) error {
	if f.world == nil || c.Revision <= f.at {
		return fmt.Errorf("change %d does not follow %d", c.Revision, f.at)
	}
	if err := f.world.Skip(c.Revision-1, c.At); err != nil {
		return f.broken(err)
	}
	if err := f.world.Apply(c); err != nil {
		return f.broken(err)
	}
	f.reached(c.Revision)
	f.kept(f.journal.add(c))
	return nil
}

// kept looks at how keeping something on disk went. A disk that is full must not hold up a revocation: the gate goes on in
// memory, and has nothing to begin with when it starts again.
func (f *follower) kept(err error) {
	if err == nil {
		return
	}
	f.log.Error("the gate's journal cannot be kept: a restart will need the control plane", "error", err)
	f.journal.drop()
}

// broken begins anew with the next stream: the world says that it does not know until then.
func (f *follower) broken(err error) error {
	f.at = 0
	return err
}
