package storetest

import (
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/feed"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/keyring"
	"github.com/keyreeve/keyreeve/internal/pki"
	"github.com/keyreeve/keyreeve/internal/proof"
	"github.com/keyreeve/keyreeve/internal/resource"
	"github.com/keyreeve/keyreeve/internal/store"
)

func feedCases() []storeCase {
	return []storeCase{
		{"an empty store", emptyStore},
		{"changes say what was done", changesSay},
		{"changes page", changesPage},
		{"old changes are compacted", compaction},
		{"a snapshot holds what followers need", snapshot},
		{"followers see writes before writers are answered", followersFirst},
		{"two stores of one database", twoStores},
	}
}

func signingKey() keyring.Public {
	return keyring.Public{KID: "kid", Algorithm: "RS256", JWK: []byte(`{"kty":"RSA"}`)}
}

func emptyStore(t *testing.T, s *suite) {
	db := s.open(t, t.TempDir(), store.Options{Now: zoned})
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	snap, err := db.Snapshot(t.Context())
	if err != nil || snap.Revision != 0 || len(snap.Events) != 0 || db.Head() != 0 {
		t.Errorf("%+v, %v, head %d", snap, err, db.Head())
	}
	if cs, err := db.Changes(t.Context(), 0, 10); err != nil || len(cs) != 0 {
		t.Errorf("%v, %v", cs, err)
	}
}

func changesSay(t *testing.T, s *suite) {
	b := s.bench(t, store.Options{})
	b.clock.pass(time.Hour)
	u := b.aUser("u")
	rev := b.update(func(tx *store.Tx) error {
		return firstError(tx.PutUser(u), tx.PutGroup(b.aGroup("g")), tx.AddMember(oid("g"), oid("u")), tx.PutPassword(oid("u"), "h"), tx.RemoveMember(oid("g"), oid("u")))
	})
	cs, err := b.db.Changes(t.Context(), rev-1, 10)
	if err != nil || len(cs) != 1 || cs[0].Revision != rev || !cs[0].At.Equal(b.clock.Now()) {
		t.Fatalf("%+v, %v", cs, err)
	}
	var got []string
	for _, e := range cs[0].Events {
		got = append(got, string(e.Op)+" "+string(e.Kind)+" "+e.Key)
	}
	member := oid("g").String() + "/" + oid("u").String()
	// in the order in which it was done
	want := []string{"put user " + oid("u").String(), "put group " + oid("g").String(), "put member " + member, "delete member " + member}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	// What followers need not know still is a change.
	rev = b.update(func(tx *store.Tx) error { return tx.Audit(audit.Record{}) })
	b.told(rev, "put private ")
}

func changesPage(t *testing.T, s *suite) {
	b := s.bench(t, store.Options{})
	for range 10 {
		b.update(func(tx *store.Tx) error { return tx.SetSetting("a", "b") })
	}
	head := b.db.Head()
	for _, size := range []int{1, 3, 11, 100} {
		var after feed.Revision
		for after < head {
			cs, err := b.db.Changes(t.Context(), after, size)
			if err != nil || len(cs) == 0 || len(cs) > size {
				t.Fatalf("after %d: %d changes, %v", after, len(cs), err)
			}
			for _, c := range cs {
				if c.Revision != after+1 {
					t.Fatalf("change %d follows %d", c.Revision, after)
				}
				after = c.Revision
			}
		}
		if cs, err := b.db.Changes(t.Context(), head, size); len(cs) != 0 || err != nil {
			t.Errorf("after the head: %v, %v", cs, err)
		}
	}
	if _, err := b.db.Changes(t.Context(), head+1, 1); !errors.Is(err, store.ErrCompacted) {
		t.Errorf("after a revision that is not yet: %v", err) // such as of a database put back from a copy
	}
	if _, err := b.db.Changes(t.Context(), 0, 0); err == nil {
		t.Error("a page without a size was served")
	}
}

func compaction(t *testing.T, s *suite) {
	const keep = 50
	dir := t.TempDir()
	c := &clock{now: zoned()}
	db := s.open(t, dir, store.Options{Now: c.Now, KeepChanges: keep})
	b := &bench{t: t, db: db, clock: c}
	for range 200 {
		b.update(func(tx *store.Tx) error { return tx.SetSetting("a", "b") })
	}
	check := func() {
		t.Helper()
		head := b.db.Head()
		kept := 0
		for after := head - 1; ; after-- {
			cs, err := b.db.Changes(t.Context(), after, 1000)
			if errors.Is(err, store.ErrCompacted) {
				break
			}
			if err != nil || len(cs) != int(head-after) || cs[0].Revision != after+1 {
				t.Fatalf("after %d: %d changes, %v", after, len(cs), err)
			}
			kept = len(cs)
		}
		if kept < keep || kept > keep+keep/10 {
			t.Errorf("%d changes are kept, want about %d", kept, keep)
		}
		if _, err := b.db.Changes(t.Context(), 0, 10); !errors.Is(err, store.ErrCompacted) {
			t.Errorf("from the start: %v", err)
		}
	}
	check()
	if err := b.db.Close(); err != nil {
		t.Fatal(err)
	}
	b.db = s.open(t, dir, store.Options{Now: c.Now, KeepChanges: keep})
	check()
	if err := b.db.Close(); err != nil {
		t.Fatal(err)
	}
}

// snapshot holds that a snapshot has one event for each object that followers know, and nothing else.
func snapshot(t *testing.T, s *suite) {
	b := s.bench(t, store.Options{})
	app := applicationOf(b)
	role := roleOf(b)
	consent := directory.PermissionGrant{ID: grantID("c"), Tenant: b.tenant, Client: oid("p"), Resource: oid("r")}
	held := directory.AppRoleAssignment{ID: grantID("h"), Tenant: b.tenant, Principal: oid("u"), Resource: oid("r"), CreatedAt: zoned()}
	op := resource.Operation{ID: ident.Derive[ident.OperationID]("storetest", "o"), Status: resource.InProgress}
	ended := resource.Operation{ID: ident.New[ident.OperationID](), Status: resource.Failed}
	b.update(func(tx *store.Tx) error {
		return firstError(
			tx.PutUser(b.aUser("u")), tx.PutUser(b.aUser("gone")), tx.PutGroup(b.aGroup("g")), tx.PutServicePrincipal(b.aPrincipal("p")), tx.PutApplication(app),
			tx.AddMember(oid("g"), oid("u")), tx.GrantDirectoryRole(globalAdministrator(), oid("u")), tx.PutSubscription(b.subscription("s")),
			tx.PutResourceGroup(resource.Group{Subscription: subscriptionID("s"), Name: "RG"}), tx.PutRoleDefinition(role),
			tx.PutAssignment(b.assignment("a", "/", "u")), tx.PutCluster(b.cluster("c")), tx.PutCertificate(pki.Issued{Fingerprint: "f", Cluster: b.cluster("c").ID}),
			tx.PutSession(aSession("s", "u")), tx.PutOperation(op), tx.PutOperation(ended), tx.PutSigningKey(signingKey(), []byte("x")), tx.PutPassword(oid("u"), "h"),
			tx.DeleteUser(oid("gone")), tx.PutPermissionGrant(consent), tx.PutAppRoleAssignment(held),
			tx.PutClientKey(proof.ClientKey{ID: credID("k"), Owner: oid("p"), AppID: clientID("a")}), tx.AddOwner(oid("g"), oid("u")),
		)
	})
	snap, err := b.db.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"put tenant " + b.tenant.String(), "put user " + oid("u").String(), "put group " + oid("g").String(), "put servicePrincipal " + oid("p").String(),
		"put application " + app.ID.String(), "put permissionGrant " + consent.ID.String(), "put appRoleAssignment " + held.ID.String(), "put member " + oid("g").String() + "/" + oid("u").String(),
		"put directoryRole " + globalAdministrator().String() + "/" + oid("u").String(), "put subscription " + subscriptionID("s").String(),
		"put resourceGroup /subscriptions/" + subscriptionID("s").String() + "/resourcegroups/rg", "put roleDefinition " + role.ID.String(),
		"put roleAssignment " + b.assignment("a", "/", "u").ID.String(), "put cluster " + b.cluster("c").ID.String(), "put certificate f",
		"put session " + aSession("s", "u").ID.String(), "put operation " + op.ID.String(), "put signingKey kid",
	}
	sortTexts(want)
	if diff := cmp.Diff(want, keys(snap.Events)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if snap.Revision != b.db.Head() {
		t.Errorf("snapshot of %d at head %d", snap.Revision, b.db.Head())
	}
	// Each document reads the same in the snapshot and in the change that put it.
	cs, err := b.db.Changes(t.Context(), 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]string{}
	for _, c := range cs {
		for _, e := range c.Events {
			told[string(e.Kind)+" "+e.Key] = string(e.Value)
		}
	}
	for _, e := range snap.Events {
		if told[string(e.Kind)+" "+e.Key] != string(e.Value) {
			t.Errorf("%s %s: %s in the snapshot, %s in the feed", e.Kind, e.Key, e.Value, told[string(e.Kind)+" "+e.Key])
		}
	}
}

func followersFirst(t *testing.T, s *suite) {
	b := s.bench(t, store.Options{})
	type seen struct{ revs []feed.Revision }
	var followers []*seen
	for range 3 {
		f := &seen{}
		followers = append(followers, f)
		if err := b.db.Follow(t.Context(), func(c feed.Change) {
			f.revs = append(f.revs, c.Revision)
			if c.Revision > 1 && len(f.revs) > 1 && b.db.Head() >= c.Revision {
				t.Errorf("head was %d while %d was shown", b.db.Head(), c.Revision) // Head does not wait for the write, either
			}
		}); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			rev := b.update(func(tx *store.Tx) error { return tx.SetSetting("n", "v") })
			for i, f := range followers {
				if f.revs[len(f.revs)-1] != rev {
					t.Errorf("follower %d has seen %v when %d is answered", i, f.revs, rev)
				}
			}
		}
	}
	if _, err := b.db.Update(t.Context(), func(*store.Tx) error { return errTest }); err == nil {
		t.Error("no error")
	}
	for i, f := range followers {
		for j := 1; j < len(f.revs); j++ {
			if f.revs[j] != f.revs[j-1]+1 {
				t.Errorf("follower %d saw %v", i, f.revs)
			}
		}
	}
}

// twoStores holds that followers of one open store see what is written through another, in order and once.
func twoStores(t *testing.T, s *suite) {
	dir := t.TempDir()
	var dbs []*store.DB
	for range 2 {
		db := s.open(t, dir, store.Options{Now: zoned})
		dbs = append(dbs, db)
		defer func() {
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		}()
	}
	saw := make([][]feed.Revision, 4)
	follow := func(db, n int) {
		if err := dbs[db].Follow(t.Context(), func(c feed.Change) { saw[n] = append(saw[n], c.Revision) }); err != nil {
			t.Fatal(err)
		}
	}
	write := func(db int) feed.Revision {
		rev, err := dbs[db].Update(t.Context(), func(tx *store.Tx) error { return tx.SetSetting("n", strconv.Itoa(db)) })
		if err != nil {
			t.Fatal(err)
		}
		return rev
	}
	follow(0, 0)
	follow(1, 1)
	write(0)
	write(0)
	write(1) // follower 1 sees the first two before it
	follow(0, 2)
	write(1)
	follow(1, 3)
	write(0)
	for _, db := range dbs {
		if err := db.CatchUp(t.Context()); err != nil {
			t.Fatal(err)
		}
		if db.Head() != 5 {
			t.Errorf("head %d, want 5", db.Head())
		}
	}
	want := [][]feed.Revision{{0, 1, 2, 3, 4, 5}, {0, 1, 2, 3, 4, 5}, {3, 4, 5}, {4, 5}}
	if diff := cmp.Diff(want, saw); diff != "" {
		t.Error(diff)
	}
}
