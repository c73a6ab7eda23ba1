package cli

import (
	"math"
	"os"
	"runtime/debug"
	"time"
)

const (
	// startLimit is how much memory the start may take before garbage is collected: collecting would make up almost
	// half of its processor time.
	startLimit = 384 << 20
	// restPercent trades processor time for memory: a cluster at rest makes little garbage.
	restPercent = 50
	// settled is when the controllers have made the garbage of their start.
	settled = 10 * time.Second
)

// hurry puts garbage collection off, and answers how to end that. Whoever sets GOGC or GOMEMLIMIT decides instead.
func hurry() (rest func()) {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return func() {}
	}
	debug.SetMemoryLimit(startLimit)
	debug.SetGCPercent(-1)
	return func() {
		debug.SetGCPercent(restPercent)
		debug.SetMemoryLimit(math.MaxInt64)
		debug.FreeOSMemory()
		time.AfterFunc(settled, debug.FreeOSMemory)
	}
}
