package proof

import (
	"runtime/debug"
	"sync"
	"time"
)

// Each password check takes some 20 MB for a moment, and the runtime keeps what it once had for minutes, in case it is
// needed again. A burst of sign-ins, or of guesses, would leave a small server large. So when a burst is over, its memory
// is given back at once.
const (
	// restAfter is how long nobody signs in before memory is given back.
	restAfter = 3 * time.Second
	// restWorth is how much must have been used for that to be worth a collection.
	restWorth = 64 << 10 // KiB
)

// rest gives memory back after bursts.
type rest struct {
	mu    sync.Mutex
	total uint64 // KiB since the last time
	timer *time.Timer
}

// used notes a check that takes so many KiB.
func (r *rest) used(kib uint32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.total += uint64(kib); r.total < restWorth {
		return
	}
	if r.timer == nil {
		r.timer = time.AfterFunc(restAfter, r.give)
		return
	}
	r.timer.Reset(restAfter)
}

func (r *rest) give() {
	r.mu.Lock()
	r.total = 0
	r.mu.Unlock()
	debug.FreeOSMemory()
}
