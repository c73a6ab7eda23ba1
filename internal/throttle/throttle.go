// Package throttle owns limits on how often something may be done: token buckets by key, held in memory, bounded in
// number, with the time as an input. It knows not what the keys mean.
package throttle

import (
	"sync"
	"time"
)

// Limit is a token bucket for each key: Burst at once, and one more every Every. Fill the fields, then use it; it is
// safe for concurrent use.
type Limit struct {
	Burst int
	Every time.Duration
	// Keys bounds how many keys are remembered; 0 means 10,000. Beyond it the fullest buckets are forgotten first,
	// which can only be lenient.
	Keys int

	mu      sync.Mutex
	buckets map[string]bucket
}

type bucket struct {
	left float64
	at   time.Time
}

// Allow takes one from key's bucket and reports whether there was one.
func (l *Limit) Allow(key string, now time.Time) bool { return l.take(key, now, 1) }

// Left reports whether key's bucket has one left, without taking it.
func (l *Limit) Left(key string, now time.Time) bool { return l.take(key, now, 0) }

func (l *Limit) take(key string, now time.Time, n float64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	b, ok := l.buckets[key]
	if !ok {
		b = bucket{left: float64(l.Burst), at: now}
	}
	b = l.refill(b, now)
	allowed := b.left >= 1
	if !allowed || n == 0 {
		return allowed
	}
	b.left -= n
	if l.buckets == nil {
		l.buckets = map[string]bucket{}
	}
	l.buckets[key] = b
	l.prune(key, now)
	return true
}

func (l *Limit) refill(b bucket, now time.Time) bucket {
	if d := now.Sub(b.at); d > 0 {
		b.left = min(float64(l.Burst), b.left+float64(d)/float64(l.Every))
		b.at = now
	}
	return b
}

// prune forgets full buckets, and if that is not enough the fullest ones, when there are too many.
func (l *Limit) prune(keep string, now time.Time) {
	limit := l.Keys
	if limit == 0 {
		limit = 10_000
	}
	if len(l.buckets) <= limit {
		return
	}
	fullest, most := "", -1.0
	for k, b := range l.buckets {
		if k == keep {
			continue
		}
		b = l.refill(b, now)
		if b.left >= float64(l.Burst) {
			delete(l.buckets, k)
			continue
		}
		if b.left > most {
			fullest, most = k, b.left
		}
	}
	if len(l.buckets) > limit {
		delete(l.buckets, fullest)
	}
}
