package gatehouse

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"sync"

	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/feed"
	"github.com/keyreeve/keyreeve/internal/gatefeed"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/managedcluster"
	"github.com/keyreeve/keyreeve/internal/store"
)

// Hub follows the store once for the streams of all gates: it says of each change whom it concerns and keeps the newest,
// so that a gate that was away for a while goes on where it was. It costs nothing until the first gate connects.
type Hub struct {
	DB  *store.DB
	Log *slog.Logger
	// Keep is how many changes are kept; 0 means 10,000.
	Keep int

	start sync.Mutex
	begun bool

	mu sync.Mutex
	// loaded is set by the snapshot that the index begins with.
	loaded bool
	index  *gatefeed.Index
	// ring holds the newest changes, oldest first, without gaps; its last is at head.
	ring []gatefeed.Attributed
	head feed.Revision
	// wake is closed, and replaced, at each change.
	wake   chan struct{}
	broken error
}

func (h *Hub) keep() int {
	if h.Keep == 0 {
		return 10_000
	}
	return h.Keep
}

// begin starts following, once.
func (h *Hub) begin(ctx context.Context) error {
	h.start.Lock()
	defer h.start.Unlock()
	if h.begun {
		return nil
	}
	h.mu.Lock()
	h.loaded, h.index, h.wake = false, gatefeed.NewIndex(), make(chan struct{})
	h.mu.Unlock()
	if err := h.DB.Follow(ctx, h.see); err != nil {
		return err
	}
	h.begun = true
	return nil
}

// see takes a change in; first the parts of the snapshot.
func (h *Hub) see(c feed.Change) {
	h.mu.Lock()
	defer h.mu.Unlock()
	a, err := h.index.Attribute(c)
	if err != nil {
		if h.broken == nil {
			h.Log.Error("gates cannot be told of changes any more", "error", err)
		}
		h.broken = err
	}
	if h.loaded {
		h.ring = append(h.ring, a)
		if keep := h.keep(); len(h.ring) > 2*keep {
			h.ring = append([]gatefeed.Attributed(nil), h.ring[len(h.ring)-keep:]...)
		}
	}
	h.loaded, h.head = !c.Partial, c.Revision
	close(h.wake)
	h.wake = make(chan struct{})
}

// since returns the changes after a revision, in order, and what is closed at the next one; errGone when some are not
// kept.
func (h *Hub) since(after feed.Revision) ([]gatefeed.Attributed, <-chan struct{}, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.broken != nil {
		return nil, nil, h.broken
	}
	if after >= h.head {
		return nil, h.wake, nil // a snapshot may be a little ahead of the followers
	}
	first := h.head - feed.Revision(len(h.ring)) // the newest that is not in the ring
	if after < first {
		return nil, nil, errGone
	}
	return h.ring[after-first:], h.wake, nil
}

// recall returns the changes after a revision up to the hub's first, from the store; errGone when they are not kept there,
// or when it is not known any more whom one of them concerned.
func (h *Hub) recall(ctx context.Context, after feed.Revision) ([]gatefeed.Attributed, error) {
	missed, err := h.DB.Changes(ctx, after, h.keep())
	if errors.Is(err, store.ErrCompacted) {
		return nil, errGone
	}
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make([]gatefeed.Attributed, 0, len(missed))
	for _, c := range missed {
		a, known, err := h.index.Recall(c)
		if err != nil {
			return nil, err
		}
		if !known {
			return nil, errGone
		}
		out = append(out, a)
	}
	return out, nil
}

// snapshot is what the gates of a cluster see of the store at one revision.
type snapshot struct {
	mark   gatefeed.Mark
	view   gatefeed.View
	events []feed.Event
}

// snapshot takes one; NotFound when there is no such cluster.
func (h *Hub) snapshot(ctx context.Context, id ident.ClusterID) (snapshot, error) {
	snap, err := h.DB.Snapshot(ctx)
	if err != nil {
		return snapshot{}, err
	}
	at := slices.IndexFunc(snap.Events, func(e feed.Event) bool { return e.Kind == feed.Cluster && e.Key == id.String() })
	if at < 0 {
		return snapshot{}, fault.New(fault.NotFound, "", "The cluster is not attached any more.")
	}
	var c managedcluster.Cluster
	if err := json.Unmarshal(snap.Events[at].Value, &c); err != nil {
		return snapshot{}, fault.Wrap(err, "cluster of a gate")
	}
	a, err := gatefeed.NewIndex().Attribute(snap)
	if err != nil {
		return snapshot{}, err
	}
	out := snapshot{mark: gatefeed.Mark{Revision: snap.Revision, At: snap.At}, view: gatefeed.Of(c)}
	out.events = out.view.Snapshot(a)
	return out, nil
}
