package world_test

import (
	"runtime"
	"syscall"
	"testing"
	"time"
)

// threadTime is the processor time that the calling thread has used (getrusage(2)).
func threadTime(tb testing.TB) time.Duration {
	tb.Helper()
	const thread = 1 // RUSAGE_THREAD
	var u syscall.Rusage
	if err := syscall.Getrusage(thread, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// loop runs a benchmark's body and reports, beside the time that went by, how much of it the processor worked for it: on a
// machine that others share, only that says something.
func loop(b *testing.B, body func(i int)) {
	b.Helper()
	b.ReportAllocs()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	i, before := 0, time.Duration(0)
	for b.Loop() {
		if i == 0 {
			before = threadTime(b)
		}
		body(i)
		i++
	}
	b.ReportMetric(float64(threadTime(b)-before)/float64(i), "cpu-ns/op")
}
