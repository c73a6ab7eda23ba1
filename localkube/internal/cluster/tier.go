package cluster

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// part is something that runs until its context ends.
type part struct {
	name string
	run  func(context.Context) error
}

// tier is a group of parts that stop together. A tier does not hear of the process's end: it is stopped in its turn,
// before what it stands on.
type tier struct {
	cancel context.CancelFunc
	done   chan struct{}
}

// start starts parts. The first that fails is told to fail.
func start(ctx context.Context, fail func(error), parts ...part) *tier {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	t := &tier{cancel: cancel, done: make(chan struct{})}
	var wg sync.WaitGroup
	for _, p := range parts {
		wg.Go(func() {
			if err := p.run(ctx); err != nil {
				fail(fmt.Errorf("%s: %w", p.name, err))
			}
		})
	}
	go func() {
		wg.Wait()
		close(t.done)
	}()
	return t
}

// stop ends a tier, and reports whether it ended before the deadline.
func (t *tier) stop(deadline time.Time) bool {
	t.cancel()
	select {
	case <-t.done:
		return true
	case <-time.After(time.Until(deadline)):
		return false
	}
}
