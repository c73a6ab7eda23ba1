// Package memory owns how the process lies in the machine's memory: large tables on large pages.
//
// It knows nothing of what the memory holds.
package memory

import (
	"runtime"
	"runtime/debug"
)

// enough is how much has to be in use before large pages are worth it.
const enough = 128 << 20

// Settle is called when what will stay has been loaded. Decisions read a few places each, all over it; on pages of 4 KiB a
// processor spends about a quarter of such a decision on looking up where the page is. What is loaded is moved to pages of 2 MiB,
// where the system has them. A small process is left as it is. It returns how many bytes are on large pages now.
func Settle() (moved int) {
	var m runtime.MemStats
	if runtime.ReadMemStats(&m); m.HeapAlloc < enough {
		return 0
	}
	debug.FreeOSMemory() // what was only needed to load is given back, not moved
	return gather()
}
