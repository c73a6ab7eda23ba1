package throttle_test

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/keyreeve/keyreeve/internal/throttle"
)

func start() time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) }

func TestBurstThenPace(t *testing.T) {
	l := &throttle.Limit{Burst: 3, Every: time.Second}
	now := start()
	for range 3 {
		if !l.Left("a", now) || !l.Allow("a", now) {
			t.Fatal("refused within the burst")
		}
	}
	if l.Left("a", now) || l.Allow("a", now) {
		t.Fatal("allowed beyond the burst")
	}
	if !l.Allow("b", now) {
		t.Fatal("one key pays for another")
	}
	now = now.Add(time.Second)
	if !l.Allow("a", now) || l.Allow("a", now) {
		t.Fatal("a second must give back exactly one")
	}
	now = now.Add(time.Hour)
	for range 3 {
		if !l.Allow("a", now) {
			t.Fatal("not refilled")
		}
	}
	if l.Allow("a", now) {
		t.Fatal("refilled beyond the burst")
	}
}

// TestNeverMoreThanTheBucket: over any time, at most burst + elapsed/every are allowed, whatever the pattern.
func TestNeverMoreThanTheBucket(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		burst := rapid.IntRange(1, 20).Draw(t, "burst")
		l := &throttle.Limit{Burst: burst, Every: time.Second}
		now, allowed := start(), 0
		for range rapid.IntRange(1, 200).Draw(t, "tries") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(3*time.Second)).Draw(t, "pause")))
			if l.Allow("k", now) {
				allowed++
			}
		}
		if most := burst + int(now.Sub(start())/time.Second) + 1; allowed > most {
			t.Fatalf("%d allowed, want at most %d", allowed, most)
		}
	})
}

// TestKeysAreBounded: strangers cannot fill the memory, and a key that is at its limit is not the one forgotten.
func TestKeysAreBounded(t *testing.T) {
	l := &throttle.Limit{Burst: 2, Every: time.Hour, Keys: 10}
	now := start()
	l.Allow("bad", now)
	l.Allow("bad", now)
	for i := range 1000 {
		l.Allow(fmt.Sprint(i), now)
	}
	if l.Allow("bad", now) {
		t.Error("the key at its limit was forgotten")
	}
}
