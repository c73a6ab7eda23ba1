package storetest

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/feed"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/proof"
	"github.com/keyreeve/keyreeve/internal/session"
	"github.com/keyreeve/keyreeve/internal/store"
)

var errTest = errors.New("the test's own error")

func commitCases() []storeCase {
	return []storeCase{
		{"a refused write leaves nothing", refusedWrite},
		{"a panic leaves nothing", panickedWrite},
		{"a failed commit leaves nothing", failedCommit},
		{"a cancelled write leaves nothing", cancelledWrite},
		{"a view writes nothing", viewWrites},
		{"a view sees one state", viewIsOneState},
		{"writing nothing takes no revision", emptyWrite},
		{"an error inside leaves the transaction good", errorInside},
		{"a store opened again is as it was", openedAgain},
		{"secrets stay out of the feed", secretsInFeed},
	}
}

func refusedWrite(t *testing.T, s *suite) {
	b := s.bench(t, store.Options{})
	head := b.db.Head()
	_, err := b.db.Update(t.Context(), func(tx *store.Tx) error {
		if err := firstError(tx.PutUser(b.aUser("u")), tx.PutGroup(b.aGroup("g")), tx.AddMember(oid("g"), oid("u")), tx.Audit(audit.Record{})); err != nil {
			return err
		}
		return errTest
	})
	if !errors.Is(err, errTest) {
		t.Errorf("got %v, want the error of the function itself", err)
	}
	b.nothing(head)
}

// nothing fails unless the store is as it was, and the next write takes the next revision.
func (b *bench) nothing(head feed.Revision) {
	b.t.Helper()
	lacks(b, func(tx *store.Tx) (directory.User, error) { return tx.User(oid("u")) })
	has(b, func(tx *store.Tx) (int, error) { rs, err := tx.AuditRecords(1); return len(rs), err }, 0)
	if b.db.Head() != head {
		b.t.Errorf("head is %d, want %d", b.db.Head(), head)
	}
	if rev := b.update(func(tx *store.Tx) error { return tx.SetSetting("n", "v") }); rev != head+1 {
		b.t.Errorf("the next write has revision %d, want %d", rev, head+1)
	}
}

func panickedWrite(t *testing.T, s *suite) {
	b := s.bench(t, store.Options{})
	head := b.db.Head()
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		_, _ = b.db.Update(t.Context(), func(tx *store.Tx) error {
			if err := tx.PutUser(b.aUser("u")); err != nil {
				t.Error(err)
			}
			panic("in the middle")
		})
	}()
	b.nothing(head)
}

func failedCommit(t *testing.T, s *suite) {
	fail := false
	b := s.bench(t, store.Options{BeforeCommit: func() error {
		if fail {
			return errTest
		}
		return nil
	}})
	head := b.db.Head()
	seen := 0
	if err := b.db.Follow(t.Context(), func(feed.Change) { seen++ }); err != nil {
		t.Fatal(err)
	}
	fail = true
	_, err := b.db.Update(t.Context(), func(tx *store.Tx) error { return tx.PutUser(b.aUser("u")) })
	if !fault.Is(err, fault.Internal) || !errors.Is(err, errTest) || strings.Contains(err.Error(), errTest.Error()) {
		t.Errorf("got %v, want an internal fault that hides its cause", err)
	}
	if seen != 1 {
		t.Errorf("followers saw %d changes, want the snapshot alone", seen)
	}
	fail = false
	b.nothing(head)
	if seen != 2 {
		t.Errorf("followers saw %d changes, want the snapshot and one write", seen)
	}
}

func cancelledWrite(t *testing.T, s *suite) {
	b := s.bench(t, store.Options{})
	head := b.db.Head()
	ctx, cancel := context.WithCancel(t.Context())
	_, err := b.db.Update(ctx, func(tx *store.Tx) error {
		if err := tx.PutUser(b.aUser("u")); err != nil {
			t.Error(err)
		}
		cancel()
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want a cancelled write", err)
	}
	if _, err := b.db.Update(ctx, func(*store.Tx) error { t.Error("the function was called"); return nil }); err == nil {
		t.Error("a write began with a cancelled context")
	}
	if err := b.db.View(ctx, func(*store.Tx) error { return nil }); err == nil {
		t.Error("a view began with a cancelled context")
	}
	b.nothing(head)
}

func viewWrites(t *testing.T, s *suite) {
	b := s.bench(t, store.Options{})
	for _, write := range []func(tx *store.Tx) error{
		func(tx *store.Tx) error { return tx.PutUser(b.aUser("u")) },
		func(tx *store.Tx) error { return tx.DeleteAssignmentsBelow("/") },
		func(tx *store.Tx) error { _, err := tx.DeleteExpired(zoned()); return err },
		func(tx *store.Tx) error { return tx.Audit(audit.Record{}) },
	} {
		checkFault(t, b.db.View(t.Context(), write), fault.Internal)
	}
	lacks(b, func(tx *store.Tx) (directory.User, error) { return tx.User(oid("u")) })
}

func viewIsOneState(t *testing.T, s *suite) {
	b := s.bench(t, store.Options{})
	b.view(func(tx *store.Tx) error {
		if n, err := tx.CountUsers(b.tenant); n != 0 || err != nil {
			t.Fatal(n, err)
		}
		b.update(func(tx *store.Tx) error { return tx.PutUser(b.aUser("u")) }) // a writer does not wait for readers
		n, err := tx.CountUsers(b.tenant)
		if n != 0 {
			t.Error("a view saw a later write")
		}
		return err
	})
	has(b, func(tx *store.Tx) (int64, error) { return tx.CountUsers(b.tenant) }, 1) // the next one sees it
}

func emptyWrite(t *testing.T, s *suite) {
	b := s.bench(t, store.Options{})
	head := b.db.Head()
	for name, fn := range map[string]func(tx *store.Tx) error{
		"nothing": func(*store.Tx) error { return nil },
		"reading": func(tx *store.Tx) error { _, err := tx.Tenants(); return err },
		"no row":  func(tx *store.Tx) error { return tx.DeleteAssignmentsOf(oid("nobody")) },
		"no such row, passed over": func(tx *store.Tx) error {
			checkFault(t, tx.DeleteCluster(ident.New[ident.ClusterID]()), fault.NotFound)
			return nil
		},
	} {
		if rev := b.update(fn); rev != head || b.db.Head() != head {
			t.Errorf("%s: revision %d, head %d, want %d", name, rev, b.db.Head(), head)
		}
	}
}

func errorInside(t *testing.T, s *suite) {
	b := s.bench(t, store.Options{})
	b.update(func(tx *store.Tx) error { return tx.PutUser(b.aUser("u")) })
	rev := b.update(func(tx *store.Tx) error {
		twin := b.aUser("twin")
		twin.UserPrincipalName = b.aUser("u").UserPrincipalName
		if err := tx.PutUser(b.aUser("before")); err != nil {
			return err
		}
		checkFault(t, tx.PutUser(twin), fault.Conflict)
		checkFault(t, tx.RemoveMember(oid("g"), oid("u")), fault.NotFound)
		checkFault(t, tx.AddMember(oid("no group"), oid("u")), fault.Internal)
		return tx.PutUser(b.aUser("after"))
	})
	b.told(rev, "put user "+oid("before").String(), "put user "+oid("after").String())
	lacks(b, func(tx *store.Tx) (directory.User, error) { return tx.User(oid("twin")) })
}

func openedAgain(t *testing.T, s *suite) {
	dir := t.TempDir()
	c := &clock{now: zoned()}
	open := func() *bench {
		return &bench{t: t, clock: c, tenant: ident.Derive[ident.TenantID]("storetest", "tenant"), db: s.open(t, dir, store.Options{Now: c.Now})}
	}
	b := open()
	b.update(func(tx *store.Tx) error { return firstError(tx.PutTenant(b.aTenant()), tx.PutUser(b.aUser("u"))) })
	rev := b.update(func(tx *store.Tx) error { return tx.SetSetting("a", "b") })
	snap, err := b.db.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := b.db.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := b.db.Update(t.Context(), func(*store.Tx) error { return nil }); err == nil {
			t.Error("a closed store can be written")
		}
		b = open()
		again, err := b.db.Snapshot(t.Context())
		if diff := cmp.Diff(snap, again); err != nil || diff != "" || b.db.Head() != rev {
			t.Fatalf("head %d, %v: %s", b.db.Head(), err, diff)
		}
	}
	if next := b.update(func(tx *store.Tx) error { return tx.SetSetting("a", "c") }); next != rev+1 {
		t.Errorf("the next write has revision %d, want %d", next, rev+1)
	}
	if err := b.db.Close(); err != nil {
		t.Fatal(err)
	}
}

// secretsInFeed writes every secret there is and looks for it in changes and snapshot.
func secretsInFeed(t *testing.T, s *suite) {
	b := s.bench(t, store.Options{})
	const mark = "Geheimnis"
	b.update(func(tx *store.Tx) error {
		live := aSession("s", "u")
		return firstError(
			tx.PutUser(b.aUser("u")), tx.PutPassword(oid("u"), mark), tx.PutCluster(b.cluster("c")), tx.PutClusterSecrets(b.cluster("c").ID, []byte(mark)),
			tx.PutClientSecret(proof.ClientSecret{ID: ident.New[ident.CredentialID](), AppID: directory.AzureCLI(), Hash: mark}),
			tx.PutClientKey(proof.ClientKey{ID: credID("k"), Owner: oid("app"), AppID: clientID("a"), DisplayName: mark}),
			tx.PutFederatedCredential(proof.FederatedCredential{ID: oid("f"), Owner: oid("app"), AppID: clientID("a"), Subject: mark}), tx.PutSession(live),
			tx.PutRefreshToken(session.RefreshToken{Hash: mark, Session: live.ID}), tx.PutDeviceCode(session.DeviceCode{Hash: mark, UserCode: mark}),
			tx.PutSigningKey(signingKey(), []byte(mark)), tx.Audit(audit.Record{ActorName: mark}), tx.SetSetting("n", mark), tx.PutAttempts(mark, proof.Attempts{Last: zoned()}),
		)
	})
	snap, err := b.db.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	changes, err := b.db.Changes(t.Context(), 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range append(changes, snap) {
		raw, err := json.Marshal(c)
		if err != nil || strings.Contains(string(raw), mark) || strings.Contains(string(raw), "R2VoZWlt") {
			t.Errorf("%v in %s", err, raw)
		}
	}
}
