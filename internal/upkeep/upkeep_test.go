package upkeep_test

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/keyring"
	"github.com/keyreeve/keyreeve/internal/keyring/keytest"
	"github.com/keyreeve/keyreeve/internal/proof"
	"github.com/keyreeve/keyreeve/internal/resource"
	"github.com/keyreeve/keyreeve/internal/session"
	"github.com/keyreeve/keyreeve/internal/store"
	"github.com/keyreeve/keyreeve/internal/upkeep"
)

// rig is a store with a clock and ready-made keys.
type rig struct {
	*testing.T
	db  *store.DB
	now atomic.Pointer[time.Time]
	// made counts the keys that were generated.
	made atomic.Int32
	fail error
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{T: t}
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	r.now.Store(&start)
	var err error
	r.db, err = store.Open(t.Context(), store.Options{
		Path: filepath.Join(t.TempDir(), "test.db"), Now: r.Now, BeforeCommit: func() error { return r.fail },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.db.Close() })
	return r
}

func (r *rig) Now() time.Time { return *r.now.Load() }

func (r *rig) move(d time.Duration) {
	at := r.Now().Add(d)
	r.now.Store(&at)
}

func (r *rig) keys(ring *keyring.Ring) upkeep.Keys {
	return upkeep.Keys{
		DB: r.db, Ring: ring, Sealer: keytest.Sealer(r.T), Now: r.Now, Log: slog.New(slog.DiscardHandler),
		Generate: func(now, from time.Time) (keyring.Key, error) {
			n := int(r.made.Add(1)) - 1
			return keyring.FromPrivate(keytest.Private(r.T, n%keytest.Count), now, from)
		},
	}
}

func (r *rig) stored() []keyring.Public {
	r.Helper()
	var out []keyring.Public
	if err := r.db.View(r.Context(), func(tx *store.Tx) (err error) { out, err = tx.SigningKeys(); return err }); err != nil {
		r.Fatal(err)
	}
	return out
}

func (r *rig) active(ring *keyring.Ring) string {
	r.Helper()
	s, err := ring.Active(r.Now())
	if err != nil {
		r.Fatal(err)
	}
	return s.KID()
}

func TestKeysRotate(t *testing.T) {
	r := newRig(t)
	var one, two keyring.Ring // two processes on one store
	a, b := r.keys(&one), r.keys(&two)
	ensure := func(k upkeep.Keys) {
		t.Helper()
		if err := k.Ensure(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	ensure(a)
	ensure(b)
	first := r.active(&one)
	if len(r.stored()) != 1 || r.active(&two) != first {
		t.Fatal("the second process must take the key of the first")
	}
	revision := r.db.Head()
	ensure(a)
	if r.db.Head() != revision {
		t.Error("a look that finds nothing to do writes")
	}
	r.move(29 * 24 * time.Hour)
	ensure(b)
	if len(r.stored()) != 2 || r.active(&two) != first {
		t.Fatal("the next key must be published a day ahead, and not sign yet")
	}
	ensure(a)
	r.move(24 * time.Hour)
	second := r.active(&one)
	if second == first || r.active(&two) != second {
		t.Fatal("both processes must sign with the second key from the same moment on")
	}
	ensure(a)
	r.move(keyring.DefaultPolicy().VerifyAfter)
	ensure(b)
	if keys := r.stored(); len(keys) != 1 || keys[0].KID != second {
		t.Fatalf("the first key is not retired: %v", keys)
	}
	var rotated int
	if err := r.db.View(t.Context(), func(tx *store.Tx) error {
		records, err := tx.AuditRecords(100)
		for _, rec := range records {
			if rec.Event == audit.SigningKeyRotated {
				rotated++
			}
		}
		return err
	}); err != nil || rotated != 2 {
		t.Errorf("%d rotations in the audit log, %v", rotated, err)
	}
}

func TestManyProcessesMakeOneKey(t *testing.T) {
	r := newRig(t)
	rings := make([]keyring.Ring, 4)
	var wg sync.WaitGroup
	for i := range rings {
		wg.Go(func() {
			if err := r.keys(&rings[i]).Ensure(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if len(r.stored()) != 1 {
		t.Fatalf("%d keys", len(r.stored()))
	}
	for i := range rings {
		if r.active(&rings[i]) != r.stored()[0].KID {
			t.Error("a process signs with another key")
		}
	}
}

func TestAFailedLookLeavesTheRing(t *testing.T) {
	r := newRig(t)
	var ring keyring.Ring
	k := r.keys(&ring)
	if err := k.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	first := r.active(&ring)
	r.move(40 * 24 * time.Hour)
	r.fail = errors.New("disk full")
	if err := k.Ensure(t.Context()); err == nil {
		t.Fatal("no error")
	}
	if r.active(&ring) != first {
		t.Error("the ring lost its key")
	}
	k.Policy = keyring.Policy{Every: time.Hour, PublishAhead: 2 * time.Hour, VerifyAfter: time.Hour}
	if err := k.Ensure(t.Context()); err == nil {
		t.Error("a policy that cannot work was taken")
	}
}

func TestSweep(t *testing.T) {
	r := newRig(t)
	tenant := directory.Tenant{ID: ident.New[ident.TenantID](), Domains: []string{"x.test"}}
	user := ident.New[ident.ObjectID]()
	end := func(after time.Duration) time.Time { return r.Now().Add(after) }
	_, err := r.db.Update(t.Context(), func(tx *store.Tx) error {
		var errs []error
		errs = append(errs, tx.PutTenant(tenant))
		for i, life := range []time.Duration{time.Hour, 100 * 24 * time.Hour} {
			s := session.Session{ID: ident.New[ident.SessionID](), Tenant: tenant.ID, User: user, CreatedAt: r.Now(), ExpiresAt: end(life)}
			name := []string{"short", "long"}[i]
			errs = append(errs, tx.PutSession(s),
				tx.PutRefreshToken(session.RefreshToken{Hash: name, Session: s.ID, ExpiresAt: end(life)}),
				tx.PutDeviceCode(session.DeviceCode{Hash: name, UserCode: name, ExpiresAt: end(life)}),
				tx.PutAttempts(name, proof.Attempts{Failures: 1, Last: end(life)}))
		}
		return errors.Join(errs...)
	})
	if err != nil {
		t.Fatal(err)
	}
	sweep := upkeep.Sweep{DB: r.db, Now: r.Now, Log: slog.New(slog.DiscardHandler)}
	for _, step := range []struct {
		move time.Duration
		want int64
	}{
		{2 * time.Hour, 0},       // what ended an hour ago is kept, so that a late client learns why
		{time.Second, 2},         // refresh token and device code
		{24 * time.Hour, 2},      // session and failures, a day later
		{50 * 24 * time.Hour, 0}, // the rest lives
		{0, 0},
	} {
		r.move(step.move)
		if n, err := sweep.Once(t.Context()); err != nil || n != step.want {
			t.Errorf("after %s more: %d rows, %v, want %d", step.move, n, err, step.want)
		}
	}
}

// TestSweepForgetsOldOperations: an operation that ended can be asked for a week long; one in progress stays.
func TestSweepForgetsOldOperations(t *testing.T) {
	r := newRig(t)
	ended, running := ident.New[ident.OperationID](), ident.New[ident.OperationID]()
	_, err := r.db.Update(t.Context(), func(tx *store.Tx) error {
		return errors.Join(
			tx.PutOperation(resource.Operation{ID: ended, ResourceKey: "/a", Status: resource.Succeeded, StartedAt: r.Now()}),
			tx.PutOperation(resource.Operation{ID: running, ResourceKey: "/a", Status: resource.InProgress, StartedAt: r.Now()}))
	})
	if err != nil {
		t.Fatal(err)
	}
	sweep := upkeep.Sweep{DB: r.db, Now: r.Now, Log: slog.New(slog.DiscardHandler)}
	there := func(id ident.OperationID) bool {
		return r.db.View(t.Context(), func(tx *store.Tx) error { _, err := tx.Operation(id); return err }) == nil
	}
	for _, step := range []struct {
		move time.Duration
		want bool
	}{{6 * 24 * time.Hour, true}, {25 * time.Hour, false}} {
		r.move(step.move)
		if _, err := sweep.Once(t.Context()); err != nil {
			t.Fatal(err)
		}
		if there(ended) != step.want || !there(running) {
			t.Errorf("after %s more: ended %v, running %v", step.move, there(ended), there(running))
		}
	}
}

// TestRunLooksAgainAndAgain runs both loops in a bubble of false time.
func TestRunLooksAgainAndAgain(t *testing.T) {
	r := newRig(t)
	var ring keyring.Ring
	synctest.Test(t, func(t *testing.T) {
		k := r.keys(&ring)
		k.Now = func() time.Time { return time.Now().UTC() } // the bubble's
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- k.Run(ctx) }()
		<-time.After(time.Minute + time.Second)
		synctest.Wait()
		if _, err := ring.Active(time.Now()); err != nil {
			t.Errorf("after a minute: %v", err)
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("it must end quietly with its context: %v", err)
		}
	})
}

// TestSweepForgetsOldActivities: the activity log goes back 90 days.
func TestSweepForgetsOldActivities(t *testing.T) {
	r := newRig(t)
	tenant := ident.New[ident.TenantID]()
	_, err := r.db.Update(t.Context(), func(tx *store.Tx) error {
		return tx.PutActivity(audit.Activity{At: r.Now(), Tenant: tenant, Action: "a/b/write"})
	})
	if err != nil {
		t.Fatal(err)
	}
	sweep := upkeep.Sweep{DB: r.db, Now: r.Now, Log: slog.New(slog.DiscardHandler)}
	for _, step := range []struct {
		move time.Duration
		want int
	}{{89 * 24 * time.Hour, 1}, {25 * time.Hour, 0}} {
		r.move(step.move)
		if _, err := sweep.Once(t.Context()); err != nil {
			t.Fatal(err)
		}
		n := 0
		err := r.db.View(t.Context(), func(tx *store.Tx) error {
			return tx.Activities(tenant, ident.SubscriptionID{}, time.Time{}, r.Now(), store.ActivityPlace{}, func(store.ActivityPlace, audit.Activity) bool { n++; return true })
		})
		if err != nil || n != step.want {
			t.Errorf("after %s more: %d, %v", step.move, n, err)
		}
	}
}

// TestTwoAlgorithms: each has keys that rotate by themselves; one that is no longer wanted goes with its last token.
func TestTwoAlgorithms(t *testing.T) {
	r := newRig(t)
	var ring keyring.Ring
	k := r.keys(&ring)
	count := func(alg jose.SignatureAlgorithm) int { return len(keyring.Of(alg, r.stored())) }
	ensure := func() {
		t.Helper()
		if err := k.Ensure(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	ensure()
	r.move(time.Hour)
	k.ES256 = true
	ensure()
	if _, err := ring.ActiveES256(r.Now()); !errors.Is(err, keyring.ErrNoKey) {
		t.Error("a key signs that other processes may not have learned yet", err)
	}
	r.move(2 * time.Minute)
	ensure()
	first, err := ring.ActiveES256(r.Now())
	if err != nil || count(keyring.ES256) != 1 || count(keyring.RS256) != 1 {
		t.Fatal(err, r.stored())
	}
	r.move(30 * 24 * time.Hour)
	ensure() // the next keys, published ahead
	r.move(25 * time.Hour)
	ensure()
	second, err := ring.ActiveES256(r.Now())
	if err != nil || second.KID() == first.KID() {
		t.Errorf("the key did not rotate: %v", err)
	}
	r.move(30 * time.Hour)
	ensure()
	if count(keyring.ES256) != 1 || count(keyring.RS256) != 1 {
		t.Errorf("%+v", r.stored())
	}
	k.ES256 = false
	ensure()
	r.move(28 * time.Hour)
	ensure()
	if count(keyring.ES256) != 1 {
		t.Error("a key is gone whose tokens live")
	}
	r.move(2 * time.Hour)
	ensure()
	if count(keyring.ES256) != 0 || count(keyring.RS256) != 1 {
		t.Errorf("%+v", r.stored())
	}
	k.ES256 = true // and back
	ensure()
	r.move(2 * time.Minute)
	ensure()
	if _, err := ring.ActiveES256(r.Now()); err != nil {
		t.Error(err)
	}

	fresh := newRig(t)
	var other keyring.Ring
	k = fresh.keys(&other)
	k.ES256 = true
	ensure()
	if _, err := other.ActiveES256(fresh.Now()); err != nil {
		t.Errorf("a new installation waits: %v", err)
	}
}
