package arm

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/feed"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/resource"
	"github.com/keyreeve/keyreeve/internal/store"
)

// Worker does one kind of long-running operation.
type Worker struct {
	// Do does the work. It may be called again for the same operation after a crash or a restart: each of its steps must be
	// harmless when done already. It returns soon after its context ends; the operation then stays in progress.
	Do func(ctx context.Context, op resource.Operation) error
	// Succeeded and Failed, if set, run in the transaction that ends the operation, so that the resource's state and the
	// operation's change together. An error of theirs undoes both, and they are tried again.
	Succeeded func(tx *store.Tx, op resource.Operation) error
	Failed    func(tx *store.Tx, op resource.Operation, cause error) error
}

// Runner does long-running operations. It learns of them from the change feed: those left over from before a restart come
// with its snapshot, so that an operation on record is an operation that runs.
type Runner struct {
	DB  *store.DB
	Now func() time.Time
	Log *slog.Logger

	workers map[workerKey]Worker
}

type workerKey struct{ resourceType, verb string }

// GroupType is the resource type under which workers for whole resource groups are registered.
const GroupType = groupType

// Register names the worker for a verb on a resource type, such as Microsoft.ContainerService/managedClusters. All are
// registered before Run. Registering one twice panics.
func (r *Runner) Register(resourceType, verb string, w Worker) {
	key := workerKey{strings.ToLower(resourceType), verb}
	if _, ok := r.workers[key]; ok || w.Do == nil {
		panic(fmt.Sprintf("arm: worker for %s of %s is there twice or does nothing", verb, resourceType))
	}
	if r.workers == nil {
		r.workers = map[workerKey]Worker{}
	}
	r.workers[key] = w
}

// Run does operations until ctx ends, and returns when every worker has. It is called once.
func (r *Runner) Run(ctx context.Context) error {
	box := &inbox{wake: make(chan struct{}, 1)}
	if err := r.DB.Follow(ctx, box.add); err != nil {
		if ctx.Err() != nil {
			return nil // stopped before it began
		}
		return err
	}
	defer box.close()
	var work sync.WaitGroup
	defer work.Wait()
	running := map[ident.OperationID]context.CancelFunc{}
	for {
		for _, op := range box.take() {
			cancel, known := running[op.ID]
			switch {
			case op.Status == resource.InProgress && !known:
				opCtx, cancel := context.WithCancel(ctx)
				running[op.ID] = cancel
				work.Go(func() { r.perform(opCtx, op) })
			case op.Status != resource.InProgress && known:
				cancel()
				delete(running, op.ID)
			}
		}
		select {
		case <-ctx.Done():
			for _, cancel := range running {
				cancel()
			}
			return nil
		case <-box.wake:
		}
	}
}

// perform does one operation and ends it. When the context ends first, the operation stays as it is.
func (r *Runner) perform(ctx context.Context, op resource.Operation) {
	log := r.Log.With("operation", op.ID.String(), "verb", op.Verb, "resource", op.ResourceKey)
	w, ok := r.workers[workerKey{resourceType(op.ResourceKey), op.Verb}]
	var err error
	if ok {
		log.DebugContext(ctx, "operation begins")
		err = r.do(ctx, log, w, op)
	} else {
		err = fault.Wrap(fmt.Errorf("no worker for %s of %s", op.Verb, resourceType(op.ResourceKey)), "arm")
	}
	if err != nil && ctx.Err() != nil {
		log.DebugContext(ctx, "operation interrupted")
		return
	}
	if err != nil {
		log.ErrorContext(ctx, "operation failed", "error", err, "cause", fmt.Sprint(fault.As(err).Unwrap()))
	} else {
		log.DebugContext(ctx, "operation done")
	}
	// What is done is done: a shutdown that begins now must not keep it from being written down.
	write := context.WithoutCancel(ctx)
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		ended := r.end(write, w, op, err)
		if ended == nil {
			return
		}
		log.ErrorContext(ctx, "the end of an operation could not be written", "error", ended, "cause", fmt.Sprint(fault.As(ended).Unwrap()))
		pause := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			pause.Stop()
			return
		case <-pause.C:
		}
	}
}

// do calls the worker; a panic is a failure.
func (r *Runner) do(ctx context.Context, log *slog.Logger, w Worker, op resource.Operation) (err error) {
	defer func() {
		if p := recover(); p != nil {
			log.ErrorContext(ctx, "panic in a worker", "panic", p, "stack", string(debug.Stack()))
			err = fault.Wrap(fmt.Errorf("panic: %v", p), "arm")
		}
	}()
	return w.Do(ctx, op)
}

func (r *Runner) end(ctx context.Context, w Worker, op resource.Operation, cause error) error {
	_, err := r.DB.Update(ctx, func(tx *store.Tx) error {
		first, err := FinishOperation(tx, r.Now(), op.ID, cause)
		if err != nil || !first {
			if store.IsNotFound(err) {
				return nil // removed with its resource
			}
			return err
		}
		if err := noteEnd(tx, r.Now(), op, cause); err != nil {
			return err
		}
		switch {
		case cause == nil && w.Succeeded != nil:
			return w.Succeeded(tx, op)
		case cause != nil && w.Failed != nil:
			return w.Failed(tx, op, cause)
		}
		return nil
	})
	return err
}

// inbox holds what the feed says of operations until the runner gets to it; the feed must never wait.
type inbox struct {
	mu     sync.Mutex
	ops    []resource.Operation
	closed bool
	wake   chan struct{}
}

func (b *inbox) add(c feed.Change) {
	var ops []resource.Operation
	for _, e := range c.Events {
		if e.Kind != feed.Operation || e.Op != feed.Put {
			continue
		}
		var op resource.Operation
		// The value was written by this program's own store; one that cannot be read names no work.
		if err := json.Unmarshal(e.Value, &op); err == nil {
			ops = append(ops, op)
		}
	}
	if len(ops) == 0 {
		return
	}
	b.mu.Lock()
	if !b.closed {
		b.ops = append(b.ops, ops...)
	}
	b.mu.Unlock()
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

func (b *inbox) take() []resource.Operation {
	b.mu.Lock()
	defer b.mu.Unlock()
	ops := b.ops
	b.ops = nil
	return ops
}

func (b *inbox) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed, b.ops = true, nil
}
