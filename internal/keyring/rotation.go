package keyring

import (
	"fmt"
	"slices"
	"time"
)

// Policy says when keys come and go.
type Policy struct {
	// Every is how long a key signs before the next one takes over.
	Every time.Duration
	// PublishAhead is how long a key is published before it signs, so that those who cache the key set learn it.
	PublishAhead time.Duration
	// VerifyAfter is how long a superseded key still verifies: the longest life of a token, with room for clocks.
	VerifyAfter time.Duration
}

// DefaultPolicy rotates every 30 days and publishes a day ahead. The longest tokens live 28 hours.
func DefaultPolicy() Policy {
	return Policy{Every: 30 * 24 * time.Hour, PublishAhead: 24 * time.Hour, VerifyAfter: 29 * time.Hour}
}

// Check reports what is wrong with a policy.
func (p Policy) Check() error {
	switch {
	case p.Every <= 0, p.PublishAhead < 0, p.VerifyAfter <= 0:
		return fmt.Errorf("keyring: every and verifyAfter must be positive, publishAhead must not be negative: %+v", p)
	case p.PublishAhead >= p.Every:
		return fmt.Errorf("keyring: publishAhead (%s) must be shorter than every (%s)", p.PublishAhead, p.Every)
	}
	return nil
}

// Plan is what has to be done to the keys at one moment.
type Plan struct {
	// Create asks for a new key that starts to sign at CreateFrom.
	Create     bool
	CreateFrom time.Time
	// Supersede are keys to write back, with RetiresAt set.
	Supersede []Public
	// Retire are the ids of keys to delete: no token they signed still lives.
	Retire []string
}

// Empty reports whether there is nothing to do.
func (p Plan) Empty() bool { return !p.Create && len(p.Supersede) == 0 && len(p.Retire) == 0 }

// Plan decides what to do with the keys of one algorithm at now. Carrying it out and planning again yields an empty plan.
func (p Policy) Plan(keys []Public, now time.Time) Plan {
	var plan Plan
	keys = slices.SortedFunc(slices.Values(keys), compareAge)
	for i, k := range keys {
		switch {
		case !k.Verifies(now):
			plan.Retire = append(plan.Retire, k.KID)
		case k.RetiresAt.IsZero() && i+1 < len(keys) && !keys[i+1].ActiveFrom.After(now):
			k.RetiresAt = keys[i+1].ActiveFrom.Add(p.VerifyAfter)
			if k.Verifies(now) {
				plan.Supersede = append(plan.Supersede, k)
			} else {
				plan.Retire = append(plan.Retire, k.KID)
			}
		}
	}
	if len(keys) == 0 || !keys[len(keys)-1].RetiresAt.IsZero() {
		// Nobody has cached a key set yet, or the newest key was withdrawn: there is nothing to wait for.
		plan.Create, plan.CreateFrom = true, now
		return plan
	}
	newest := keys[len(keys)-1]
	next := newest.ActiveFrom.Add(p.Every)
	if now.Before(next.Add(-p.PublishAhead)) {
		return plan
	}
	plan.Create, plan.CreateFrom = true, next
	if earliest := now.Add(p.PublishAhead); next.Before(earliest) {
		plan.CreateFrom = earliest
	}
	return plan
}

// Withdraw decides what to do with keys that shall sign no more: they verify until no token of theirs lives.
func (p Policy) Withdraw(keys []Public, now time.Time) Plan {
	var plan Plan
	for _, k := range keys {
		switch {
		case !k.Verifies(now):
			plan.Retire = append(plan.Retire, k.KID)
		case k.RetiresAt.IsZero():
			k.RetiresAt = now.UTC().Add(p.VerifyAfter)
			plan.Supersede = append(plan.Supersede, k)
		}
	}
	return plan
}

// Active returns the key that signs at now: the last one to have become active.
func Active(keys []Public, now time.Time) (Public, bool) {
	var best Public
	found := false
	for _, k := range keys {
		if k.ActiveFrom.After(now) || !k.Verifies(now) {
			continue
		}
		if !found || compareAge(best, k) < 0 {
			best, found = k, true
		}
	}
	return best, found
}

// Verifies reports whether the key's signatures are accepted at now. A key that does not sign yet verifies already:
// another process's clock may be ahead.
func (p Public) Verifies(now time.Time) bool { return p.RetiresAt.IsZero() || now.Before(p.RetiresAt) }
