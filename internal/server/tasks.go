package server

import (
	"context"
	"errors"
	"sync"
)

// task is a part of the server that runs until its context ends.
type task func(context.Context) error

// runTasks runs all parts together. The first error stops the others; all of them have ended when it returns.
func runTasks(ctx context.Context, tasks ...task) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	errs := make([]error, len(tasks))
	var wg sync.WaitGroup
	for i, t := range tasks {
		wg.Go(func() {
			defer stop()
			if err := t(ctx); err != nil && !errors.Is(err, context.Canceled) {
				errs[i] = err
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
