package grant

import (
	"fmt"
	"testing"
	"time"
)

func TestReplays(t *testing.T) {
	var r replays
	now := time.Now()
	for i, want := range []bool{true, true, true, false} {
		if got := r.fresh("a", fmt.Sprint(i), now.Add(time.Minute), now); got != want {
			t.Errorf("address %d: %t", i, got)
		}
	}
	if !r.fresh("a", "0", now.Add(time.Minute), now) || !r.fresh("b", "9", now.Add(time.Minute), now) {
		t.Error("a known address or another assertion is refused")
	}
	for i := range 3 * maxSeen {
		r.fresh(fmt.Sprintf("id %d", i), "1", now.Add(time.Duration(i)*time.Second), now)
	}
	if len(r.seen) > maxSeen {
		t.Errorf("%d remembered", len(r.seen))
	}
}
