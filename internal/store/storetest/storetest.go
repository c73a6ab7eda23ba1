// Package storetest owns the behaviour that every engine of the store has: what each method does, what a commit is, and
// what followers see. A test of an engine calls Run with a function that opens it; the package knows no engine.
package storetest

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/feed"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/store"
)

// Opener opens the database that belongs to a folder, new the first time; the second time it is the same one. The
// caller closes it.
type Opener func(t testing.TB, dir string, opt store.Options) *store.DB

// Run holds an engine to the behaviour of the store.
func Run(t *testing.T, open Opener) {
	s := &suite{open: open, called: map[string]bool{}}
	t.Run("methods", func(t *testing.T) {
		for _, c := range slices.Concat(directoryCases(), applicationCases(), signInCases(), resourceCases(), identityCases(), armCases()) {
			t.Run(c.name, func(t *testing.T) { c.run(t, s.bench(t, store.Options{})) })
			for m := range strings.FieldsSeq(c.methods) {
				s.called[m] = true
			}
		}
		tx := reflect.TypeFor[*store.Tx]()
		for method := range tx.Methods() {
			if name := method.Name; !s.called[name] {
				t.Errorf("Tx.%s has no case in the suite of package storetest", name)
			}
		}
	})
	for _, c := range slices.Concat(commitCases(), feedCases(), concurrencyCases()) {
		t.Run(c.name, func(t *testing.T) { c.run(t, s) })
	}
}

type suite struct {
	open   Opener
	called map[string]bool
}

// methodCase says what some methods of a transaction do.
type methodCase struct {
	name    string
	methods string
	run     func(t *testing.T, b *bench)
}

// storeCase says how the store as a whole behaves.
type storeCase struct {
	name string
	run  func(t *testing.T, s *suite)
}

// bench is an open store with one tenant in it.
type bench struct {
	t      testing.TB
	db     *store.DB
	clock  *clock
	tenant ident.TenantID
}

type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// zoned is a time with nanoseconds in a zone of its own: what is stored is the instant, in full.
func zoned() time.Time {
	return time.Date(2026, 2, 28, 23, 59, 59, 987654321, time.FixedZone("Kathmandu", 5*3600+45*60))
}

func (s *suite) bench(t testing.TB, opt store.Options) *bench {
	t.Helper()
	b := &bench{t: t, clock: &clock{now: zoned()}, tenant: ident.Derive[ident.TenantID]("storetest", "tenant")}
	if opt.Now == nil {
		opt.Now = b.clock.Now
	}
	b.db = s.open(t, t.TempDir(), opt)
	t.Cleanup(func() {
		if err := b.db.Close(); err != nil {
			t.Error(err)
		}
	})
	b.update(func(tx *store.Tx) error { return tx.PutTenant(b.aTenant()) })
	return b
}

func (b *bench) aTenant() directory.Tenant {
	return directory.Tenant{ID: b.tenant, DisplayName: "Contoso", Domains: []string{"contoso.test"}, CreatedAt: zoned()}
}

// update writes and fails the test if it cannot.
func (b *bench) update(fn func(tx *store.Tx) error) feed.Revision {
	b.t.Helper()
	rev, err := b.db.Update(context.Background(), fn)
	if err != nil {
		b.t.Fatal(err, errors.Unwrap(err)) // the cause is hidden in the text
	}
	return rev
}

func (b *bench) view(fn func(tx *store.Tx) error) {
	b.t.Helper()
	if err := b.db.View(context.Background(), fn); err != nil {
		b.t.Fatal(err)
	}
}

// refused writes and fails the test unless it is refused with this kind of fault, and with this cause if any.
func (b *bench) refused(kind fault.Kind, fn func(tx *store.Tx) error) {
	b.t.Helper()
	head := b.db.Head()
	_, err := b.db.Update(context.Background(), fn)
	checkFault(b.t, err, kind)
	if b.db.Head() != head {
		b.t.Errorf("head is %d after a refused write, was %d", b.db.Head(), head)
	}
}

func checkFault(t testing.TB, err error, kind fault.Kind) {
	t.Helper()
	if err == nil || fault.As(err).Kind != kind {
		t.Fatalf("got %v, want a fault of kind %v", err, kind)
	}
	if (kind == fault.NotFound) != store.IsNotFound(err) || (kind == fault.Conflict) != store.IsExists(err) {
		t.Fatalf("the cause of %v is %v", err, fault.As(err).Unwrap())
	}
}

// has fails unless get, called in a reading transaction, returns want.
func has[T any](b *bench, get func(tx *store.Tx) (T, error), want T) {
	b.t.Helper()
	b.view(func(tx *store.Tx) error {
		got, err := get(tx)
		if err != nil {
			return err
		}
		if diff := cmp.Diff(want, got); diff != "" {
			b.t.Errorf("-want +got:\n%s", diff)
		}
		return nil
	})
}

// lacks fails unless get returns NotFound.
func lacks[T any](b *bench, get func(tx *store.Tx) (T, error)) {
	b.t.Helper()
	err := b.db.View(context.Background(), func(tx *store.Tx) error {
		_, err := get(tx)
		return err
	})
	checkFault(b.t, err, fault.NotFound)
}

// life holds what every kind of document does: it comes back as it was put, times and all, is replaced by another put,
// and is gone after a delete, which works once.
func life[T any](b *bench, first, second T, put func(*store.Tx, T) error, get func(*store.Tx) (T, error), remove func(*store.Tx) error) {
	b.t.Helper()
	lacks(b, get)
	for _, doc := range []T{first, second, first} {
		b.update(func(tx *store.Tx) error {
			if err := put(tx, doc); err != nil {
				return err
			}
			got, err := get(tx) // a transaction sees its own writes
			if diff := cmp.Diff(doc, got); err == nil && diff != "" {
				b.t.Errorf("inside -want +got:\n%s", diff)
			}
			return err
		})
		has(b, get, doc)
	}
	if remove == nil {
		return
	}
	b.update(remove)
	lacks(b, get)
	b.refused(fault.NotFound, remove)
}

// events returns the events of one commit.
func (b *bench) events(rev feed.Revision) []feed.Event {
	b.t.Helper()
	cs, err := b.db.Changes(context.Background(), rev-1, 1)
	if err != nil || len(cs) != 1 || cs[0].Revision != rev {
		b.t.Fatalf("change %d: %v, %v", rev, cs, err)
	}
	return cs[0].Events
}

// keys returns "op kind key" of each event, sorted: the order within a delete is the engine's.
func keys(events []feed.Event) []string {
	out := []string{}
	for _, e := range events {
		out = append(out, string(e.Op)+" "+string(e.Kind)+" "+e.Key)
	}
	slices.Sort(out)
	return out
}

func (b *bench) told(rev feed.Revision, want ...string) {
	b.t.Helper()
	slices.Sort(want)
	if diff := cmp.Diff(want, keys(b.events(rev))); diff != "" {
		b.t.Errorf("events of %d: -want +got:\n%s", rev, diff)
	}
}

func oid(name string) ident.ObjectID { return ident.Derive[ident.ObjectID]("storetest", name) }

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func sorted(ids ...ident.ObjectID) []ident.ObjectID {
	slices.SortFunc(ids, func(a, b ident.ObjectID) int { return strings.Compare(a.String(), b.String()) })
	return ids
}
