package proof_test

import (
	"runtime"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/internal/proof"
)

// TestMemoryComesBack: a burst of password checks leaves nothing behind for long.
func TestMemoryComesBack(t *testing.T) {
	h := hasher(t, proof.DefaultParams())
	held := func() uint64 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapSys - m.HeapReleased
	}
	before := held()
	for range 12 {
		if _, _, err := h.Verify(t.Context(), "", "wrong"); err != nil {
			t.Fatal(err)
		}
	}
	after := held()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for range 100 {
		if held() < before+16<<20 {
			t.Logf("held %d MB before, %d after, %d at rest", before>>20, after>>20, held()>>20)
			return
		}
		<-tick.C
	}
	t.Errorf("held %d MB before, %d after, %d ten seconds later", before>>20, after>>20, held()>>20)
}
