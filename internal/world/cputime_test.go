package world_test

import (
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// threadTime is the processor time that the calling thread has used, processTime that of the whole process.
func threadTime(tb testing.TB) time.Duration {
	tb.Helper()
	return clock(tb, unix.CLOCK_THREAD_CPUTIME_ID)
}

func processTime(tb testing.TB) time.Duration {
	tb.Helper()
	return clock(tb, unix.CLOCK_PROCESS_CPUTIME_ID)
}

func clock(tb testing.TB, id int32) time.Duration {
	tb.Helper()
	var t unix.Timespec
	if err := unix.ClockGettime(id, &t); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(t.Nano())
}

// loop runs a benchmark's body and reports, beside the time that went by, how much of it the processor worked for it, on the whole
// and in the batch that others on the machine disturbed least.
func loop(b *testing.B, body func(i int)) {
	b.Helper()
	b.ReportAllocs()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	const batch = 1 << 11
	var all, best time.Duration
	i, n, before := 0, 0, time.Duration(0)
	for b.Loop() {
		if n == 0 {
			before = threadTime(b)
		}
		body(i)
		i++
		if n++; n == batch {
			took := threadTime(b) - before
			if all += took; best == 0 || took < best {
				best = took
			}
			n = 0
		}
	}
	if i >= batch {
		b.ReportMetric(float64(all)/float64(i-n), "cpu-ns/op")
		b.ReportMetric(float64(best)/batch, "best-ns/op")
	}
}
