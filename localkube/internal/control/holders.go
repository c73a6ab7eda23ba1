package control

import (
	"context"
	"sync"
	"time"
)

// Holders counts the connections that hold GET /alive.
type Holders struct {
	mu      sync.Mutex
	count   int
	changed chan struct{}
}

// NewHolders starts with none.
func NewHolders() *Holders { return &Holders{changed: make(chan struct{}, 1)} }

func (h *Holders) add() (release func()) {
	h.shift(1)
	return func() { h.shift(-1) }
}

func (h *Holders) shift(by int) {
	h.mu.Lock()
	h.count += by
	h.mu.Unlock()
	select {
	case h.changed <- struct{}{}:
	default:
	}
}

func (h *Holders) none() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.count == 0
}

// Orphaned waits until there has been no holder for as long as timeout, and reports true, or until ctx ends. With no
// timeout it waits for ctx alone.
func (h *Holders) Orphaned(ctx context.Context, timeout time.Duration) bool {
	if timeout <= 0 {
		<-ctx.Done()
		return false
	}
	for {
		var expired <-chan time.Time
		var timer *time.Timer
		if h.none() {
			timer = time.NewTimer(timeout)
			expired = timer.C
		}
		select {
		case <-expired:
			if h.none() {
				return true
			}
		case <-h.changed:
		case <-ctx.Done():
		}
		if timer != nil {
			timer.Stop()
		}
		if ctx.Err() != nil {
			return false
		}
	}
}
