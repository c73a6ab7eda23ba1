package keyring

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/keyreeve/keyreeve/internal/seal"
)

// ErrNoKey says that no key of the ring may sign now.
var ErrNoKey = errors.New("keyring: no signing key is active")

// Ring holds the opened signing keys of this process. The zero Ring is empty; it is safe for concurrent use.
type Ring struct {
	mu      sync.RWMutex
	keys    []Public
	signers map[string]*Signer
}

// Load makes the ring hold exactly these keys. Keys it does not hold yet are opened; sealed returns the sealed private
// half of one. On error the ring is left as it was.
func (r *Ring) Load(keys []Public, s *seal.Sealer, sealed func(kid string) ([]byte, error)) error {
	r.mu.RLock()
	old := r.signers
	r.mu.RUnlock()
	signers := make(map[string]*Signer, len(keys))
	for _, p := range keys {
		if have, ok := old[p.KID]; ok {
			signers[p.KID] = have
			continue
		}
		blob, err := sealed(p.KID)
		if err != nil {
			return fmt.Errorf("keyring: key %s: %w", p.KID, err)
		}
		key, err := Open(p, blob, s)
		if err != nil {
			return err
		}
		if signers[p.KID], err = key.Signer(); err != nil {
			return err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keys, r.signers = slices.Clone(keys), signers
	return nil
}

// Active returns the RS256 signer to use at now, or ErrNoKey.
func (r *Ring) Active(now time.Time) (*Signer, error) { return r.active(RS256, now) }

// ActiveES256 returns the ES256 signer to use at now, or ErrNoKey.
func (r *Ring) ActiveES256(now time.Time) (*Signer, error) { return r.active(ES256, now) }

func (r *Ring) active(alg jose.SignatureAlgorithm, now time.Time) (*Signer, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	p, ok := Active(Of(alg, r.keys), now)
	if !ok {
		return nil, ErrNoKey
	}
	return r.signers[p.KID], nil
}

// Of returns the keys of an algorithm.
func Of(alg jose.SignatureAlgorithm, keys []Public) []Public {
	return slices.DeleteFunc(slices.Clone(keys), func(k Public) bool { return k.Algorithm != string(alg) })
}

// Set is a published key set (RFC 7517 5).
type Set struct {
	Keys []json.RawMessage `json:"keys"`
}

// Published returns the key set at now: the keys that sign, that will sign, and those whose tokens still live. The
// RS256 key that signs comes first, for readers that take only one.
func Published(keys []Public, now time.Time) Set {
	live := slices.DeleteFunc(slices.Clone(keys), func(k Public) bool { return !k.Verifies(now) })
	active, _ := Active(Of(RS256, live), now)
	slices.SortFunc(live, func(a, b Public) int {
		if (a.KID == active.KID) != (b.KID == active.KID) {
			if a.KID == active.KID {
				return -1
			}
			return 1
		}
		return compareAge(b, a)
	})
	set := Set{Keys: make([]json.RawMessage, 0, len(live))}
	for _, k := range live {
		set.Keys = append(set.Keys, k.JWK)
	}
	return set
}

// compareAge orders keys by when they start to sign.
func compareAge(a, b Public) int {
	if c := a.ActiveFrom.Compare(b.ActiveFrom); c != 0 {
		return c
	}
	return strings.Compare(a.KID, b.KID)
}
