package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/feed"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/rbac"
	"github.com/keyreeve/keyreeve/internal/store"
)

func concurrencyCases() []storeCase {
	return []storeCase{
		{"many writers and readers", hammer},
		{"who joins late misses nothing", joinLate},
		{"one of many wins", race},
		{"writes share a commit", sharedCommit},
		{"a shared commit that fails fails them all", failedSharedCommit},
		{"a read that fails spoils no other write", spoiledRead},
		{"a glance reads", glance},
	}
}

func sortTexts(s []string) { slices.Sort(s) }

func globalAdministrator() ident.DirectoryRoleID { return directory.GlobalAdministrator() }

func applicationOf(b *bench) directory.Application {
	return directory.Application{ID: oid("app"), AppID: b.aPrincipal("app").AppID, Tenant: b.tenant, IdentifierURIs: []string{"api://app"}}
}

func roleOf(b *bench) rbac.RoleDefinition {
	return rbac.RoleDefinition{ID: b.assignment("", "", "").RoleDefinitionID, Name: "r", Type: rbac.CustomRole, Tenant: b.tenant}
}

// hammer writes from many sides while others read, with some writes refused: no write is lost, none fails for want of
// a lock, revisions have no gap, and a reader never sees half of one.
func hammer(t *testing.T, s *suite) {
	b := s.bench(t, store.Options{})
	const writers, readers, each = 16, 4, 20
	first := b.db.Head()
	var seen []feed.Revision
	if err := b.db.Follow(t.Context(), func(c feed.Change) { seen = append(seen, c.Revision) }); err != nil {
		t.Fatal(err)
	}
	var writing, reading sync.WaitGroup
	revs := make([][]feed.Revision, writers)
	for w := range writers {
		writing.Go(func() {
			for n := range each {
				u := b.aUser(fmt.Sprintf("w%dn%d", w, n))
				rev, err := b.db.Update(t.Context(), func(tx *store.Tx) error {
					// Two counters that are always equal, and one user more.
					count, err := tx.CountUsers(b.tenant)
					if err != nil {
						return err
					}
					if err := firstError(tx.SetSetting("left", strconv.FormatInt(count, 10)), tx.PutUser(u), tx.SetSetting("right", strconv.FormatInt(count, 10))); err != nil {
						return err
					}
					if n%10 == 9 {
						return errTest
					}
					return nil
				})
				switch {
				case n%10 == 9 && !errors.Is(err, errTest), n%10 != 9 && err != nil:
					t.Errorf("writer %d: %v", w, err)
				case err == nil:
					if b.db.Head() < rev {
						t.Errorf("head %d after revision %d was answered", b.db.Head(), rev)
					}
					revs[w] = append(revs[w], rev)
				}
			}
		})
	}
	done := make(chan struct{})
	for r := range readers {
		reading.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				err := b.db.View(t.Context(), func(tx *store.Tx) error {
					left, _, err1 := tx.Setting("left")
					count, err2 := tx.CountUsers(b.tenant)
					right, _, err3 := tx.Setting("right")
					if left != right || left != "" && left != strconv.FormatInt(count-1, 10) {
						t.Errorf("reader %d saw %q, %q and %d users", r, left, right, count)
					}
					return firstError(err1, err2, err3)
				})
				if err != nil {
					t.Errorf("reader %d: %v", r, err)
					return
				}
			}
		})
	}
	writing.Wait()
	close(done)
	reading.Wait()

	var all []feed.Revision
	for _, r := range revs {
		if !slices.IsSorted(r) {
			t.Error("a writer's revisions do not rise")
		}
		all = append(all, r...)
	}
	slices.Sort(all)
	var want []feed.Revision
	for i := range writers * each * 9 / 10 {
		want = append(want, first+feed.Revision(i)+1)
	}
	if diff := cmp.Diff(want, all); diff != "" {
		t.Errorf("revisions: %s", diff)
	}
	if diff := cmp.Diff(append([]feed.Revision{first}, want...), seen); diff != "" {
		t.Errorf("the follower: %s", diff)
	}
	has(b, func(tx *store.Tx) (int64, error) { return tx.CountUsers(b.tenant) }, int64(len(want)))
}

// joinLate has followers join while others write: snapshot and changes of each make the same list of users.
func joinLate(t *testing.T, s *suite) {
	b := s.bench(t, store.Options{})
	const writers, each, followers = 8, 20, 12
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for n := range each {
				name := fmt.Sprintf("w%dn%d", w, n)
				_, err := b.db.Update(t.Context(), func(tx *store.Tx) error {
					if n%5 == 4 { // deletes too
						return tx.DeleteUser(oid(fmt.Sprintf("w%dn%d", w, n-1)))
					}
					return tx.PutUser(b.aUser(name))
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	users := make([]map[string]bool, followers)
	for f := range followers {
		users[f] = map[string]bool{}
		wg.Go(func() {
			var at feed.Revision = -1
			err := b.db.Follow(t.Context(), func(c feed.Change) {
				if at >= 0 && c.Revision != at+1 {
					t.Errorf("follower %d: %d after %d", f, c.Revision, at)
				}
				at = c.Revision
				for _, e := range c.Events {
					if e.Kind == feed.User {
						users[f][e.Key] = e.Op == feed.Put
					}
				}
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	want := map[string]bool{}
	b.view(func(tx *store.Tx) error {
		us, err := tx.Users(store.NameQuery{Tenant: b.tenant, Limit: 10_000})
		for _, u := range us {
			want[u.ID.String()] = true
		}
		return err
	})
	if len(want) != writers*each*3/5 {
		t.Errorf("%d users, want %d", len(want), writers*each*3/5)
	}
	for f := range users {
		got := map[string]bool{}
		for k, there := range users[f] {
			if there {
				got[k] = true
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("follower %d: %s", f, diff)
		}
	}
}

// race has many ask for the same name at once: one gets it.
func race(t *testing.T, s *suite) {
	b := s.bench(t, store.Options{})
	const runners = 16
	var wg sync.WaitGroup
	errs := make([]error, runners)
	for r := range runners {
		wg.Go(func() {
			u := b.aUser("runner" + strconv.Itoa(r))
			u.UserPrincipalName = "Same@contoso.test"
			_, errs[r] = b.db.Update(t.Context(), func(tx *store.Tx) error { return tx.PutUser(u) })
		})
	}
	wg.Wait()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
			continue
		}
		checkFault(t, err, fault.Conflict)
	}
	if won != 1 {
		t.Errorf("%d have the name", won)
	}
}

// crowd writes once, and while that write is being committed has others queue up behind it, so that they share a commit. It
// returns what each of the others was answered.
func crowd(t *testing.T, s *suite, onCommit func(n int) error, others []func(tx *store.Tx) error) (*bench, []feed.Revision, []error) {
	commits := 0
	held, release := make(chan struct{}), make(chan struct{})
	b := s.bench(t, store.Options{BeforeCommit: func() error {
		if commits++; commits == 2 { // the first made the tenant
			close(held)
			<-release
		}
		return onCommit(commits)
	}})
	var wg sync.WaitGroup
	wg.Go(func() { b.update(func(tx *store.Tx) error { return tx.SetSetting("first", "v") }) })
	<-held
	revs, errs := make([]feed.Revision, len(others)), make([]error, len(others))
	for i, fn := range others {
		wg.Go(func() {
			defer func() {
				if p := recover(); p != nil {
					errs[i] = fmt.Errorf("panic: %v", p)
				}
			}()
			revs[i], errs[i] = b.db.Update(t.Context(), fn)
		})
	}
	// Nothing tells that they all wait; if some do not yet, they come with a later commit.
	time.AfterFunc(200*time.Millisecond, func() { close(release) })
	wg.Wait()
	if commits > 2+len(others)/2 {
		t.Errorf("%d commits for %d writes", commits-2, len(others))
	}
	return b, revs, errs
}

// sharedCommit holds that what goes wrong with one write of a commit is that write's alone, also when it comes after a
// conflict that its function passed over.
func sharedCommit(t *testing.T, s *suite) {
	var others []func(tx *store.Tx) error
	b0 := &bench{tenant: ident.Derive[ident.TenantID]("storetest", "tenant")}
	for i := range 24 {
		u := b0.aUser("u" + strconv.Itoa(i))
		others = append(others, func(tx *store.Tx) error {
			if err := firstError(tx.PutUser(u), tx.Audit(audit.Record{ActorName: u.ID.String()})); err != nil {
				return err
			}
			switch i % 4 {
			case 1:
				return errTest
			case 2:
				panic("in the middle")
			case 3:
				twin := b0.aUser("twin" + strconv.Itoa(i))
				twin.UserPrincipalName = u.UserPrincipalName
				if err := tx.PutUser(twin); !store.IsExists(err) {
					return fmt.Errorf("twin: %w", err)
				}
				return tx.SetSetting("after"+strconv.Itoa(i), "v")
			}
			return nil
		})
	}
	b, revs, errs := crowd(t, s, func(int) error { return nil }, others)
	made := map[feed.Revision]bool{}
	for i, err := range errs {
		lost := i%4 == 1 || i%4 == 2
		if (err != nil) != lost {
			t.Errorf("write %d: %v", i, err)
		}
		get := func(tx *store.Tx) (directory.User, error) { return tx.User(oid("u" + strconv.Itoa(i))) }
		if lost {
			lacks(b, get)
			continue
		}
		has(b, get, b0.aUser("u"+strconv.Itoa(i)))
		b.told(revs[i], "put user "+oid("u"+strconv.Itoa(i)).String())
		made[revs[i]] = true
	}
	if len(made) != 12 || b.db.Head() != 2+12 {
		t.Errorf("%d revisions, head %d", len(made), b.db.Head())
	}
	// The audit log has the records of what was written, in the order of the feed.
	var want []string
	changes, err := b.db.Changes(t.Context(), 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range changes {
		if e := c.Events[0]; e.Kind == feed.User {
			want = append([]string{e.Key}, want...)
		}
	}
	has(b, func(tx *store.Tx) (got []string, err error) {
		records, err := tx.AuditRecords(100)
		for _, r := range records {
			got = append(got, r.ActorName)
		}
		return got, err
	}, want)
}

// spoiledRead holds that a read which the database refuses is the fault of that write alone, also if its function passes
// over it.
func spoiledRead(t *testing.T, s *suite) {
	var others []func(tx *store.Tx) error
	b0 := &bench{tenant: ident.Derive[ident.TenantID]("storetest", "tenant")}
	for i := range 12 {
		others = append(others, func(tx *store.Tx) error {
			err := tx.PutUser(b0.aUser("u" + strconv.Itoa(i)))
			if i%2 == 1 {
				_, _ = tx.UserByUPN(b0.tenant, "a\x00b") // PostgreSQL's texts have no such character
			}
			return err
		})
	}
	b, _, errs := crowd(t, s, func(int) error { return nil }, others)
	for i, err := range errs {
		if i%2 == 0 && err != nil {
			t.Errorf("write %d: %v", i, err)
		}
		get := func(tx *store.Tx) (directory.User, error) { return tx.User(oid("u" + strconv.Itoa(i))) }
		if err != nil {
			lacks(b, get)
		} else {
			has(b, get, b0.aUser("u"+strconv.Itoa(i)))
		}
	}
}

// glance reads by single statements while others write, and cannot write.
func glance(t *testing.T, s *suite) {
	b := s.bench(t, store.Options{})
	b.update(func(tx *store.Tx) error { return tx.PutUser(b.aUser("u")) })
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 25 {
				err := b.db.Glance(t.Context(), func(tx *store.Tx) error {
					u, err := tx.User(oid("u"))
					if err == nil && u.ID != oid("u") {
						return errTest
					}
					return err
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	for n := range 10 {
		b.update(func(tx *store.Tx) error { return tx.SetSetting("n", strconv.Itoa(n)) })
	}
	wg.Wait()
	if err := b.db.Glance(t.Context(), func(tx *store.Tx) error { return tx.PutUser(b.aUser("v")) }); err == nil {
		t.Error("a glance wrote")
	}
	if err := b.db.Glance(t.Context(), func(tx *store.Tx) error { _, err := tx.User(oid("nobody")); return err }); !store.IsNotFound(err) {
		t.Error(err)
	}
	_, err := b.db.Update(t.Context(), func(tx *store.Tx) error { _, err := tx.AuditRecords(1); return err })
	if err == nil {
		t.Error("the audit log was read where its newest records are not yet")
	}
}

func failedSharedCommit(t *testing.T, s *suite) {
	var others []func(tx *store.Tx) error
	b0 := &bench{tenant: ident.Derive[ident.TenantID]("storetest", "tenant")}
	for i := range 12 {
		others = append(others, func(tx *store.Tx) error { return tx.PutUser(b0.aUser("u" + strconv.Itoa(i))) })
	}
	b, _, errs := crowd(t, s, func(n int) error {
		if n > 2 {
			return errTest
		}
		return nil
	}, others)
	for i, err := range errs {
		if !errors.Is(err, errTest) {
			t.Errorf("write %d: %v", i, err)
		}
	}
	has(b, func(tx *store.Tx) (int64, error) { return tx.CountUsers(b.tenant) }, 0)
	if b.db.Head() != 2 {
		t.Errorf("head %d", b.db.Head())
	}
}
