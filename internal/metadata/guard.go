package metadata

import (
	"sync"
	"time"

	"github.com/keyreeve/keyreeve/internal/logon"
	"github.com/keyreeve/keyreeve/internal/throttle"
)

// The bounds: an address may be wrong wrongBurst times at once, and once more every wrongPause.
const (
	wrongBurst = 20
	wrongPause = 2 * time.Second
	retryAfter = "2"
	maxSecret  = 256
	maxProven  = 10_000
)

// guard bounds wrong secrets by address. Hosts that share an address with one that is wrong, behind one NAT, go on: a
// secret that was right is looked up whatever else comes from there. It holds hashes alone.
type guard struct {
	once  sync.Once
	limit throttle.Limit

	mu     sync.Mutex
	proven map[string]time.Time // when a secret was right the last time
}

func (g *guard) init() {
	g.limit.Burst, g.limit.Every = wrongBurst, wrongPause
	g.proven = map[string]time.Time{}
}

// admits reports whether a secret may be looked up.
func (g *guard) admits(hash, address string, now time.Time) bool {
	g.once.Do(g.init)
	g.mu.Lock()
	_, proven := g.proven[hash]
	g.mu.Unlock()
	return proven || g.limit.Left(logon.Network(address), now)
}

// wrong notes that a secret was wrong; it may have been right before.
func (g *guard) wrong(hash, address string, now time.Time) {
	g.mu.Lock()
	delete(g.proven, hash)
	g.mu.Unlock()
	g.limit.Allow(logon.Network(address), now)
}

// right notes that a secret was right. With too many of them those that were not seen for longest are forgotten, which can only
// make them wait.
func (g *guard) right(hash string, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, ok := g.proven[hash]; !ok && len(g.proven) >= maxProven {
		oldest, at := "", now
		for k, seen := range g.proven {
			if !seen.After(at) {
				oldest, at = k, seen
			}
		}
		delete(g.proven, oldest)
	}
	g.proven[hash] = now
}
