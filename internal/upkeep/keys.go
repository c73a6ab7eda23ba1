package upkeep

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/keyring"
	"github.com/keyreeve/keyreeve/internal/seal"
	"github.com/keyreeve/keyreeve/internal/store"
)

// Keys keeps the signing keys: it makes the first one, rotates them, retires old ones, and loads into this process's
// ring what any process wrote. Fill every field that has no default.
type Keys struct {
	DB     *store.DB
	Ring   *keyring.Ring
	Sealer *seal.Sealer
	// Policy says when keys come and go; zero means keyring.DefaultPolicy.
	Policy keyring.Policy
	// Every is how often to look; 0 means a minute. It must be shorter than Policy.PublishAhead, in which other
	// processes learn a new key.
	Every time.Duration
	Now   func() time.Time
	Log   *slog.Logger
	// Generate makes an RS256 key; nil means keyring.Generate.
	Generate func(now, activeFrom time.Time) (keyring.Key, error)
	// ES256 keeps keys of that algorithm too; without it those that are there are withdrawn.
	ES256 bool
}

// learnedIn is how long other processes are given to learn the first key of an algorithm beside others.
const learnedIn = time.Minute

// plan decides what to do with the keys of an algorithm.
func (k Keys) plan(alg jose.SignatureAlgorithm, keys []keyring.Public, now time.Time) keyring.Plan {
	mine := keyring.Of(alg, keys)
	if alg == keyring.ES256 && !k.ES256 {
		return k.Policy.Withdraw(mine, now)
	}
	plan := k.Policy.Plan(mine, now)
	settled := func(key keyring.Public) bool { return key.CreatedAt.Before(now.Add(-learnedIn)) }
	if plan.Create && len(mine) == 0 && slices.ContainsFunc(keys, settled) {
		plan.CreateFrom = now.Add(learnedIn)
	}
	return plan
}

func (k Keys) generate(alg jose.SignatureAlgorithm, now time.Time) (keyring.Key, error) {
	if alg == keyring.ES256 {
		return keyring.GenerateES256(now, now)
	}
	return k.Generate(now, now)
}

func (k Keys) withDefaults() (Keys, error) {
	if k.Policy == (keyring.Policy{}) {
		k.Policy = keyring.DefaultPolicy()
	}
	if k.Every == 0 {
		k.Every = time.Minute
	}
	if k.Generate == nil {
		k.Generate = keyring.Generate
	}
	return k, k.Policy.Check()
}

// Ensure brings the keys to what the policy asks for now and loads the ring. Call it before anything is signed.
func (k Keys) Ensure(ctx context.Context) error {
	k, err := k.withDefaults()
	if err != nil {
		return err
	}
	var keys []keyring.Public
	read := func(tx *store.Tx) (err error) {
		keys, err = tx.SigningKeys()
		return err
	}
	if err := k.DB.View(ctx, read); err != nil {
		return err
	}
	for _, alg := range keyring.Algorithms() {
		if plan := k.plan(alg, keys, k.Now()); !plan.Empty() {
			if err := k.carryOut(ctx, alg, plan.Create); err != nil {
				return err
			}
		}
	}
	return k.load(ctx)
}

// carryOut plans again inside a transaction and does what is planned. A key is generated before, since that takes long;
// if another process was faster it is thrown away.
func (k Keys) carryOut(ctx context.Context, alg jose.SignatureAlgorithm, create bool) error {
	now := k.Now()
	var fresh keyring.Key
	if create {
		var err error
		if fresh, err = k.generate(alg, now); err != nil {
			return err
		}
	}
	_, err := k.DB.Update(ctx, func(tx *store.Tx) error {
		keys, err := tx.SigningKeys()
		if err != nil {
			return err
		}
		plan := k.plan(alg, keys, now)
		if plan.Create && create {
			fresh.ActiveFrom = plan.CreateFrom.UTC()
			if err := k.add(tx, fresh); err != nil {
				return err
			}
		}
		for _, p := range plan.Supersede {
			sealed, err := tx.SealedSigningKey(p.KID)
			if err != nil {
				return err
			}
			if err := tx.PutSigningKey(p, sealed); err != nil {
				return err
			}
			k.Log.InfoContext(ctx, "signing key superseded", "kid", p.KID, "retiresAt", p.RetiresAt)
		}
		for _, kid := range plan.Retire {
			if err := tx.DeleteSigningKey(kid); err != nil {
				return err
			}
			k.Log.InfoContext(ctx, "signing key retired", "kid", kid)
		}
		return nil
	})
	return err
}

func (k Keys) add(tx *store.Tx, fresh keyring.Key) error {
	sealed, err := fresh.Seal(k.Sealer)
	if err != nil {
		return err
	}
	if err := tx.PutSigningKey(fresh.Public, sealed); err != nil {
		return err
	}
	return tx.Audit(audit.Record{
		At: k.Now(), Event: audit.SigningKeyRotated, ActorName: "upkeep", Target: fresh.KID,
		Detail: map[string]string{"activeFrom": fresh.ActiveFrom.Format(time.RFC3339)},
	})
}

// load opens the keys of the store into the ring.
func (k Keys) load(ctx context.Context) error {
	return k.DB.View(ctx, func(tx *store.Tx) error {
		keys, err := tx.SigningKeys()
		if err != nil {
			return err
		}
		return k.Ring.Load(keys, k.Sealer, tx.SealedSigningKey)
	})
}

// Run keeps the keys until ctx ends. A look that fails is logged and tried again: the ring goes on with what it holds.
func (k Keys) Run(ctx context.Context) error {
	k, err := k.withDefaults()
	if err != nil {
		return err
	}
	return every(ctx, k.Every, func() {
		if err := k.Ensure(ctx); err != nil && ctx.Err() == nil {
			k.Log.ErrorContext(ctx, "signing keys could not be kept", "error", err)
		}
	})
}

// Sweep clears away what has ended. Fill every field that has no default.
type Sweep struct {
	DB *store.DB
	// Every is how often; 0 means ten minutes.
	Every time.Duration
	// After is how long what has ended is kept, so that a late client is told "expired" and not "unknown"; 0 means an hour.
	After time.Duration
	Now   func() time.Time
	Log   *slog.Logger
}

// operationsKept is how long the record of a long-running operation that ended can be asked for.
const operationsKept = 7 * 24 * time.Hour

// Once clears away what ended more than After ago and returns how many rows went.
func (s Sweep) Once(ctx context.Context) (int64, error) {
	if s.After == 0 {
		s.After = time.Hour
	}
	var n int64
	_, err := s.DB.Update(ctx, func(tx *store.Tx) (err error) {
		if n, err = tx.DeleteExpired(s.Now().Add(-s.After)); err != nil {
			return err
		}
		old, err := tx.DeleteActivities(s.Now().Add(-audit.ActivityKept))
		if err != nil {
			return err
		}
		n += old
		return tx.DeleteEndedOperations(s.Now().Add(-operationsKept))
	})
	if err != nil {
		return 0, fmt.Errorf("upkeep: sweep: %w", err)
	}
	return n, nil
}

// Run sweeps until ctx ends.
func (s Sweep) Run(ctx context.Context) error {
	if s.Every == 0 {
		s.Every = 10 * time.Minute
	}
	return every(ctx, s.Every, func() {
		n, err := s.Once(ctx)
		switch {
		case err != nil && ctx.Err() == nil:
			s.Log.ErrorContext(ctx, "sweep failed", "error", err)
		case n > 0:
			s.Log.InfoContext(ctx, "swept", "rows", n)
		}
	})
}

// every calls do again and again until ctx ends. It starts after the first pause.
func every(ctx context.Context, pause time.Duration, do func()) error {
	t := time.NewTicker(pause)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
			do()
		}
	}
}
