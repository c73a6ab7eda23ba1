package world

import (
	"testing"
	"unsafe"

	"pgregory.net/rapid"
)

// TestTableAgainstMap inserts and removes numbers whose hashes often meet, and asks about all.
func TestTableAgainstMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spread := rapid.SampledFrom([]uint64{1, 5, 97, 1 << 40}).Draw(t, "spread")
		hash := func(n uint32) uint64 { return uint64(n) * 0x9e3779b97f4a7c15 % spread }
		var tab table
		want := map[uint32]bool{}
		for range rapid.IntRange(1, 400).Draw(t, "steps") {
			n := rapid.Uint32Range(0, 200).Draw(t, "number")
			if want[n] || rapid.IntRange(0, 4).Draw(t, "remove") == 0 {
				tab.remove(hash(n), n)
				delete(want, n)
			} else {
				tab.insert(hash(n), n)
				want[n] = true
			}
		}
		if tab.n != len(want) {
			t.Fatalf("counts %d, want %d", tab.n, len(want))
		}
		for n := range uint32(201) {
			got, ok := tab.find(hash(n), func(x uint32) bool { return x == n })
			if ok != want[n] || ok && got != n {
				t.Fatalf("finds %d of %d: %t", got, n, ok)
			}
		}
	})
}

// TestNodeIsTwoLines holds that a node is two lines of a processor's cache, as those who fetch it believe.
func TestNodeIsTwoLines(t *testing.T) {
	if got := unsafe.Sizeof(node{}); got != 128 {
		t.Errorf("%d bytes", got)
	}
}
