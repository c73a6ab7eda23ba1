package memory

import (
	"runtime"
	"testing"
)

// TestSettle holds that memory that was loaded is what it was after it was moved, and that a small process is left alone.
func TestSettle(t *testing.T) {
	if got := Settle(); got != 0 {
		t.Errorf("a small process: %d bytes moved", got)
	}
	held := make([]uint64, 2*enough/8)
	for i := range held {
		held[i] = uint64(i) * 3
	}
	moved := Settle()
	t.Logf("%d of %d bytes are on large pages", moved, 8*len(held))
	for i := range held {
		if held[i] != uint64(i)*3 {
			t.Fatalf("word %d is %d", i, held[i])
		}
	}
	runtime.KeepAlive(held)
}
