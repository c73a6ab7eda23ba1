package store_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/feed"
	"github.com/keyreeve/keyreeve/internal/store"
	"github.com/keyreeve/keyreeve/internal/store/postgrestest"
)

// replica is one process's view of a shared database: it follows, and writes what it is told.
type replica struct {
	db *store.DB

	mu      sync.Mutex
	seen    []feed.Revision
	changed chan struct{}
}

func newReplica(t *testing.T, opt store.Options) *replica {
	t.Helper()
	opt.Now = time.Now
	db, err := store.Open(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	r := &replica{db: db, changed: make(chan struct{})}
	if err := db.Follow(t.Context(), r.see); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- db.Watch(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-done, db.Close()); err != nil {
			t.Error(err)
		}
	})
	return r
}

func (r *replica) see(c feed.Change) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = append(r.seen, c.Revision)
	close(r.changed)
	r.changed = make(chan struct{})
}

func (r *replica) last() (feed.Revision, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.seen[len(r.seen)-1], r.changed
}

// await waits until a revision was seen.
func (r *replica) await(t *testing.T, rev feed.Revision) {
	t.Helper()
	limit := time.After(time.Minute)
	for {
		at, changed := r.last()
		if at >= rev {
			return
		}
		select {
		case <-changed:
		case <-limit:
			t.Fatalf("at %d after a minute, want %d", at, rev)
		}
	}
}

// whole fails unless the replica saw every revision from its snapshot on, once and in order.
func (r *replica) whole(t *testing.T) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := 1; i < len(r.seen); i++ {
		if r.seen[i] != r.seen[i-1]+1 {
			t.Fatalf("saw %d after %d", r.seen[i], r.seen[i-1])
		}
	}
}

func putSetting(tx *store.Tx) error { return tx.SetSetting("n", "v") }

func TestReplicasFollowEachOther(t *testing.T) {
	dsn := postgrestest.Database(t, "replicas")
	replicas := make([]*replica, 3)
	for i := range replicas {
		replicas[i] = newReplica(t, store.Options{Postgres: dsn, Poll: time.Hour}) // notifications alone
	}
	const writers, each = 4, 25
	var wg sync.WaitGroup
	for i, r := range replicas {
		for w := range writers {
			wg.Go(func() {
				for n := range each {
					rev, err := r.db.Update(t.Context(), func(tx *store.Tx) error { return tx.SetSetting(fmt.Sprint(i, w, n), "v") })
					if err != nil {
						t.Error(err, errors.Unwrap(err))
						return
					}
					if at, _ := r.last(); at < rev {
						t.Errorf("replica %d answered %d at %d", i, rev, at)
					}
				}
			})
		}
	}
	wg.Wait()
	for _, r := range replicas {
		r.await(t, feed.Revision(len(replicas)*writers*each))
		r.whole(t)
	}
}

// TestReplicasPoll holds that what no notification tells is found by asking.
func TestReplicasPoll(t *testing.T) {
	dsn := postgrestest.Database(t, "poll")
	a := newReplica(t, store.Options{Postgres: dsn})
	raw, err := sql.Open("pgx", dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = raw.Close() }()
	if _, err := raw.Exec(`DROP TRIGGER head_tell ON head`); err != nil {
		t.Fatal(err)
	}
	b := newReplica(t, store.Options{Postgres: dsn, Poll: 20 * time.Millisecond})
	rev, err := a.db.Update(t.Context(), putSetting)
	if err != nil {
		t.Fatal(err)
	}
	b.await(t, rev)
}

// TestLostHistory holds that a database put back to an older state is noticed, also once it has grown past what was seen.
func TestLostHistory(t *testing.T) {
	for name, more := range map[string]int{"shorter": 0, "as long": 1, "longer": 5} {
		t.Run(name, func(t *testing.T) {
			dsn := postgrestest.Database(t, "lost_"+strings.ReplaceAll(name, " ", "_"))
			open := func() *store.DB {
				db, err := store.Open(t.Context(), store.Options{Postgres: dsn, Now: time.Now, Poll: 20 * time.Millisecond})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = db.Close() })
				return db
			}
			a := open()
			for range 3 {
				if _, err := a.Update(t.Context(), putSetting); err != nil {
					t.Fatal(err)
				}
			}
			raw, err := sql.Open("pgx", dsn)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = raw.Close() }()
			if _, err := raw.Exec(`UPDATE head SET revision = 2; DELETE FROM changes WHERE revision > 2`); err != nil {
				t.Fatal(err)
			}
			b := open()
			for range more {
				if _, err := b.Update(t.Context(), putSetting); err != nil {
					t.Fatal(err)
				}
			}
			if err := a.Watch(t.Context()); !errors.Is(err, store.ErrDiverged) {
				t.Errorf("got %v", err)
			}
			if _, err := a.Update(t.Context(), putSetting); !errors.Is(err, store.ErrDiverged) || !fault.Is(err, fault.Unavailable) {
				t.Errorf("got %v", err)
			}
			if rev, err := b.Update(t.Context(), putSetting); err != nil || rev != feed.Revision(2+more+1) {
				t.Errorf("got %d, %v", rev, err)
			}
		})
	}
}

// TestFailover kills a primary under load and promotes its standby: no acknowledged write is lost, followers see no gap,
// writes are refused meanwhile as what may be tried again, and go on by themselves.
func TestFailover(t *testing.T) {
	primary := postgrestest.Start(t)
	standby := primary.Standby(t)
	if err := primary.CreateDatabase(t.Context(), "keyreeve"); err != nil {
		t.Fatal(err)
	}
	dsn := fmt.Sprintf("host=127.0.0.1,127.0.0.1 port=%d,%d user=postgres dbname=keyreeve sslmode=disable target_session_attrs=read-write",
		primary.Port, standby.Port)
	a, b := newReplica(t, store.Options{Postgres: dsn}), newReplica(t, store.Options{Postgres: dsn})
	if _, err := a.db.Update(t.Context(), func(tx *store.Tx) error { return tx.PutTenant(directory.Tenant{ID: crashTenant()}) }); err != nil {
		t.Fatal(err)
	}
	load := newLoad(a, b)
	load.start(t)
	load.await(t, func() bool { return len(load.acked) >= 200 })
	if err := primary.Kill(); err != nil {
		t.Fatal(err)
	}
	load.await(t, func() bool { return load.refused > 0 })
	before := load.count()
	if err := a.db.View(t.Context(), func(*store.Tx) error { return nil }); !store.IsAway(err) || !fault.Is(err, fault.Unavailable) {
		t.Errorf("a read without a database: %v", err)
	}
	if checked := a.db.Checked(); time.Since(checked) > time.Minute {
		t.Errorf("checked %v", checked)
	}
	start := time.Now()
	if err := standby.Promote(t.Context()); err != nil {
		t.Fatal(err)
	}
	load.await(t, func() bool { return len(load.acked) >= before+200 })
	t.Logf("%d writes acknowledged before, %d refused meanwhile, 200 more %v after the promotion", before, load.refused, time.Since(start))
	load.stop()
	for _, r := range []*replica{a, b} {
		r.await(t, load.newest())
		r.whole(t)
	}
	load.check(t, b.db)
}

// load writes users from several sides through several replicas, again and again.
type load struct {
	replicas []*replica
	done     chan struct{}
	wg       sync.WaitGroup

	mu      sync.Mutex
	changed chan struct{}
	acked   map[feed.Revision]feed.Revision // by the number of the write
	refused int
}

func newLoad(replicas ...*replica) *load {
	return &load{replicas: replicas, done: make(chan struct{}), changed: make(chan struct{}), acked: map[feed.Revision]feed.Revision{}}
}

func (l *load) start(t *testing.T) {
	for side := range 8 {
		r := l.replicas[side%len(l.replicas)]
		l.wg.Go(func() {
			pause := time.NewTicker(2 * time.Millisecond)
			defer pause.Stop()
			for n := feed.Revision(side); ; n += 8 {
				select {
				case <-l.done:
					return
				case <-pause.C:
				}
				rev, err := r.db.Update(t.Context(), func(tx *store.Tx) error { return putThree(tx, n) })
				if err != nil && !fault.Is(err, fault.Unavailable) {
					t.Errorf("write %d: %v (%v)", n, err, errors.Unwrap(err))
				}
				l.note(n, rev, err)
			}
		})
	}
}

func (l *load) note(n, rev feed.Revision, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.refused++
	} else {
		l.acked[n] = rev
	}
	close(l.changed)
	l.changed = make(chan struct{})
}

// await waits until what is asked holds; it is asked under the lock.
func (l *load) await(t *testing.T, holds func() bool) {
	t.Helper()
	limit := time.After(2 * time.Minute)
	for {
		l.mu.Lock()
		ok, changed := holds(), l.changed
		l.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-limit:
			t.Fatalf("after two minutes: %d acknowledged, %d refused", l.count(), l.refused)
		}
	}
}

func (l *load) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acked)
}

func (l *load) stop() {
	close(l.done)
	l.wg.Wait()
}

func (l *load) newest() (newest feed.Revision) {
	for _, rev := range l.acked {
		newest = max(newest, rev)
	}
	return newest
}

// check fails unless every acknowledged write is in the database, whole and at its revision.
func (l *load) check(t *testing.T, db *store.DB) {
	t.Helper()
	at := map[feed.Revision]string{}
	for after := feed.Revision(0); ; {
		cs, err := db.Changes(t.Context(), after, 1000)
		if err != nil {
			t.Fatal(err)
		}
		if len(cs) == 0 {
			break
		}
		for _, c := range cs {
			after = c.Revision
			at[c.Revision] = c.Events[0].Key
		}
	}
	for n, rev := range l.acked {
		if want := crashID("user", n).String(); at[rev] != want {
			t.Errorf("write %d was acknowledged at %d, where there is %q", n, rev, at[rev])
		}
		err := db.View(t.Context(), func(tx *store.Tx) error {
			_, err := tx.User(crashID("user", n))
			return err
		})
		if err != nil {
			t.Errorf("write %d was acknowledged: %v", n, err)
		}
	}
}
