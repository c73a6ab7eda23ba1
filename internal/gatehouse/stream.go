package gatehouse

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/feed"
	"github.com/keyreeve/keyreeve/internal/gatefeed"
	"github.com/keyreeve/keyreeve/internal/web"
)

// writeWithin bounds how long a gate may take to read a frame.
const writeWithin = 20 * time.Second

// stream tells a gate of its cluster until one of both goes.
func (h *Handler) stream(w http.ResponseWriter, r *http.Request) error {
	g, err := h.known(r)
	if err != nil {
		return err
	}
	after := feed.Revision(0)
	if text := r.URL.Query().Get("after"); text != "" {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 0 {
			return fault.New(fault.Invalid, "", "after is not a revision.")
		}
		after = feed.Revision(n)
	}
	if err := h.Hub.begin(r.Context()); err != nil {
		return err
	}
	s := &streaming{h: h, w: w, rc: http.NewResponseController(w), gate: g, view: gatefeed.Of(g.cluster), at: after}
	// The stream is longer than any other answer: what bounds those is lifted, and each frame has its own bound.
	if err := s.rc.SetReadDeadline(time.Time{}); err != nil {
		return fault.Wrap(err, "stream of a gate")
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	connection := h.Roster.connect(g.cluster.ID, g.fingerprint, h.Now())
	defer func() { h.Roster.disconnect(g.cluster.ID, g.fingerprint, connection, h.Now()) }()
	err = s.run(r.Context())
	if f := fault.As(err); err != nil && (f.Kind == fault.Forbidden || f.Kind == fault.NotFound) {
		err = errors.Join(err, s.send(gatefeed.Frame{Revoked: f.Public}))
	}
	ev := web.EventOf(r)
	ev.Add("cluster", g.cluster.ID.String())
	ev.Add("revision", int64(s.at))
	if err != nil && r.Context().Err() == nil {
		h.Log.InfoContext(r.Context(), "stream of a gate ended", "cluster", g.cluster.ID.String(), "gate", g.fingerprint, "error", err)
	}
	return nil // the answer has begun: the gate sees its end
}

// streaming is one stream.
type streaming struct {
	h    *Handler
	w    http.ResponseWriter
	rc   *http.ResponseController
	gate gate
	view gatefeed.View
	// at is how far the gate has been told.
	at feed.Revision
}

func (s *streaming) run(ctx context.Context) error {
	if err := s.send(gatefeed.Frame{Hello: &gatefeed.Hello{Protocol: gatefeed.Protocol, Cluster: s.gate.cluster.ID, Issuer: s.h.Issuer}}); err != nil {
		return err
	}
	if err := s.resume(ctx); err != nil {
		return err
	}
	beat := time.NewTicker(gatefeed.HeartbeatEvery)
	defer beat.Stop()
	for {
		batch, wake, err := s.h.Hub.since(s.at)
		if errors.Is(err, errGone) {
			if err := s.anew(ctx); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		if err := s.tell(ctx, batch); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.h.Stop:
			return errors.New("the control plane stops")
		case <-wake:
			if err := s.h.refresh(&s.gate); err != nil {
				return err
			}
		case <-beat.C:
			if err := s.h.refresh(&s.gate); err != nil {
				return err
			}
			if err := s.send(gatefeed.Frame{Heartbeat: &gatefeed.Mark{Revision: s.at, At: s.h.Now().UTC()}}); err != nil {
				return err
			}
		}
	}
}

// resume brings the gate from where it was to what the hub keeps.
func (s *streaming) resume(ctx context.Context) error {
	if s.at == 0 {
		return s.anew(ctx)
	}
	head := s.h.DB.Head()
	if s.at > head {
		return s.anew(ctx) // the gate is ahead: this is another store, or one from a backup
	}
	if _, _, err := s.h.Hub.since(s.at); !errors.Is(err, errGone) {
		return err
	}
	missed, err := s.h.Hub.recall(ctx, s.at)
	if errors.Is(err, errGone) {
		return s.anew(ctx)
	}
	if err != nil {
		return err
	}
	return s.tell(ctx, missed)
}

// tell sends what concerns the cluster of some changes, and how far they go.
func (s *streaming) tell(ctx context.Context, batch []gatefeed.Attributed) error {
	told := s.at
	for _, a := range batch {
		if a.Revision <= s.at {
			continue
		}
		events, anew := s.view.Change(a)
		if anew {
			return s.anew(ctx)
		}
		s.at = a.Revision
		if len(events) == 0 {
			continue
		}
		if err := s.send(gatefeed.Frame{Change: &feed.Change{Revision: a.Revision, At: a.At, Events: events}}); err != nil {
			return err
		}
		told = s.at
	}
	if told == s.at {
		return nil
	}
	return s.send(gatefeed.Frame{Heartbeat: &gatefeed.Mark{Revision: s.at, At: batch[len(batch)-1].At}})
}

// anew sends a snapshot of what the cluster's view is now.
func (s *streaming) anew(ctx context.Context) error {
	if err := s.h.refresh(&s.gate); err != nil {
		return err
	}
	snap, err := s.h.Hub.snapshot(ctx, s.gate.cluster.ID)
	if err != nil {
		return err
	}
	s.view = snap.view
	if err := s.send(gatefeed.Frame{Snapshot: &snap.mark}); err != nil {
		return err
	}
	for events := snap.events; len(events) > 0; {
		n := min(gatefeed.Chunk, len(events))
		if err := s.send(gatefeed.Frame{Events: events[:n]}); err != nil {
			return err
		}
		events = events[n:]
	}
	s.at = snap.mark.Revision
	return s.send(gatefeed.Frame{Complete: true})
}

// send writes one frame. The gate has a bounded time to take it.
func (s *streaming) send(f gatefeed.Frame) error {
	line, err := json.Marshal(f)
	if err != nil {
		return fault.Wrap(err, "stream of a gate")
	}
	if err := s.rc.SetWriteDeadline(s.h.Now().Add(writeWithin)); err != nil {
		return fault.Wrap(err, "stream of a gate")
	}
	if _, err := s.w.Write(append(line, '\n')); err != nil {
		return err
	}
	return s.rc.Flush()
}
