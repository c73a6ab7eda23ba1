package bench

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func peers() []struct {
	name string
	make func(testing.TB, *corpus) func(int) bool
} {
	return []struct {
		name string
		make func(testing.TB, *corpus) func(int) bool
	}{
		{"kubernetes", newKubernetes}, {"cedar", newCedar}, {"opa", newOPA},
	}
}

// TestEnginesAgree holds every engine against the meaning of the words: what is compared answers the same.
func TestEnginesAgree(t *testing.T) {
	c := newCorpus(300)
	k := newKeyreeve(t, c)
	engines := map[string]func(int) bool{"bindings": k.byBindings, "assignments": k.byAssignments}
	for _, p := range peers() {
		engines[p.name] = p.make(t, c)
	}
	allowed := 0
	for i, q := range c.questions {
		want := c.slow(q)
		if want {
			allowed++
		}
		for name, decide := range engines {
			if got := decide(i); got != want {
				t.Fatalf("%s says %t of %+v, want %t", name, got, q, want)
			}
		}
	}
	if allowed < len(c.questions)/5 || allowed > len(c.questions)*4/5 {
		t.Errorf("one-sided: %d of %d are allowed", allowed, len(c.questions))
	}
}

// BenchmarkCompareDecision asks each peer and Keyreeve the same questions in turns, so that both meet the same machine. Times are
// of the processor: op is one decision of Keyreeve by bindings, of the peer, and of Keyreeve by assignments.
func BenchmarkCompareDecision(b *testing.B) {
	for _, n := range []int{100, 10_000, 100_000} {
		c := newCorpus(n)
		k := newKeyreeve(b, c)
		for _, p := range peers() {
			decide := p.make(b, c)
			b.Run(fmt.Sprintf("%d-bindings/%s", n, p.name), func(b *testing.B) { compare(b, len(c.questions), k, decide) })
		}
	}
}

func compare(b *testing.B, questions int, k *keyreeve, peer func(int) bool) {
	const batch = 16
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var ours, assigned, theirs time.Duration
	asked := 0
	run := func(decide func(int) bool) time.Duration {
		start := now(b)
		for i := range batch {
			decide((asked + i) % questions)
		}
		return now(b) - start
	}
	for b.Loop() {
		theirs += run(peer)
		ours += run(k.byBindings)
		assigned += run(k.byAssignments)
		asked += batch
	}
	per := func(d time.Duration) float64 { return float64(d) / float64(asked) }
	b.ReportMetric(0, "ns/op") // of a turn of three, which says nothing
	b.ReportMetric(per(theirs), "peer-ns")
	b.ReportMetric(per(ours), "bindings-ns")
	b.ReportMetric(per(assigned), "assignments-ns")
	b.ReportMetric(per(theirs)/per(ours), "ratio-bindings")
	b.ReportMetric(per(theirs)/per(assigned), "ratio-assignments")
}

// now is the processor time that the calling thread has used.
func now(tb testing.TB) time.Duration {
	tb.Helper()
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(t.Nano())
}
