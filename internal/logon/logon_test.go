package logon_test

import (
	"strings"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/logintest"
	"github.com/keyreeve/keyreeve/internal/logon"
	"github.com/keyreeve/keyreeve/internal/oauth"
	"github.com/keyreeve/keyreeve/internal/proof"
	"github.com/keyreeve/keyreeve/internal/store"
)

func wantNumber(t *testing.T, err error, want *oauth.Error) {
	t.Helper()
	if e, ok := oauth.As(err); !ok || e.Number != want.Number {
		t.Errorf("got %v, want %s", err, want.Code())
	}
}

func TestTenantSegments(t *testing.T) {
	s := logintest.Start(t)
	for segment, want := range map[string]ident.TenantID{
		s.Tenant.ID.String(): s.Tenant.ID, strings.ToUpper(s.Tenant.ID.String()): s.Tenant.ID, "Contoso.Test": s.Tenant.ID,
		"organizations": {}, "COMMON": {},
	} {
		if got, err := logon.Tenant(s.World, segment); err != nil || got.ID != want {
			t.Errorf("%s: %s, %v", segment, got.ID, err)
		}
	}
	for segment, want := range map[string]*oauth.Error{
		"nowhere.test": oauth.UnknownTenant(""), ident.New[ident.TenantID]().String(): oauth.UnknownTenant(""), "": oauth.BadTenantName(""),
		"a b": oauth.BadTenantName(""), "a..b": oauth.BadTenantName(""), ".": oauth.BadTenantName(""), "é.test": oauth.BadTenantName(""),
		strings.Repeat("a.", 130): oauth.BadTenantName(""), "{" + s.Tenant.ID.String() + "}": oauth.BadTenantName(""),
	} {
		_, err := logon.Tenant(s.World, segment)
		wantNumber(t, err, want)
		if err != nil && len(err.Error()) > 400 {
			t.Errorf("the refusal repeats all of it: %v", err)
		}
	}
}

// TestUnknownNamesCostAsMuch: how long a refusal takes must not tell whether the name exists. Without the dummy work an
// unknown name would be answered some hundred times faster.
func TestUnknownNamesCostAsMuch(t *testing.T) {
	s := logintest.Start(t)
	slow, err := proof.NewHasher(proof.Params{MemoryKiB: 8 << 10, Passes: 16, Lanes: 1}, 1)
	if err != nil {
		t.Fatal(err)
	}
	s.Logon.Hasher = slow
	hash, err := slow.Hash(t.Context(), logintest.Password)
	if err != nil {
		t.Fatal(err)
	}
	s.Update(func(tx *store.Tx) error { return tx.PutPassword(s.Alice.ID, hash) })
	names := []string{s.Alice.UserPrincipalName, "nobody@contoso.test", "nobody@nowhere.test", "nonsense", ""}
	fastest := make([]time.Duration, len(names))
	// In turns, so that a busy machine slows all of them alike.
	for range 5 {
		for i, name := range names {
			started := time.Now()
			_, err := s.Logon.Password(t.Context(), ident.TenantID{}, name, "wrong", logon.Origin{})
			wantNumber(t, err, oauth.BadCredentials())
			if took := time.Since(started); fastest[i] == 0 || took < fastest[i] {
				fastest[i] = took
			}
		}
	}
	for i, name := range names {
		if fastest[i] < fastest[0]/4 {
			t.Errorf("%q was answered after %s, a name that exists after %s", name, fastest[i], fastest[0])
		}
	}
}

func TestChangePassword(t *testing.T) {
	s := logintest.Start(t)
	alice := s.Alice
	alice.MustChangePassword = true
	s.Update(func(tx *store.Tx) error { return tx.PutUser(alice) })
	sign := func(password string) (logon.Verified, error) {
		return s.Logon.Password(t.Context(), ident.TenantID{}, alice.UserPrincipalName, password, logon.Origin{})
	}
	v, err := sign(logintest.Password)
	if err != nil || !v.MustChange {
		t.Fatal(v, err)
	}
	change := func(fresh string, at time.Time) error {
		return s.Logon.ChangePassword(t.Context(), alice.ID, at, fresh, logon.Origin{})
	}
	for _, bad := range []string{"short", logintest.Password, "ALICE@contoso.test", "aaaaaaaaaa"} {
		if err := change(bad, v.At); !fault.Is(err, fault.Invalid) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	const fresh = "a new one, longer"
	if err := change(fresh, v.At.Add(-time.Hour)); err == nil {
		t.Error("a proof from before the sessions were ended was taken")
	}
	if err := change(fresh, v.At); err != nil {
		t.Fatal(err)
	}
	if v, err := sign(fresh); err != nil || v.MustChange {
		t.Error(v, err)
	}
	_, err = sign(logintest.Password)
	wantNumber(t, err, oauth.BadCredentials())
	if s.Audit(audit.UserUpdated) != 1 {
		t.Error("the change is not in the audit log")
	}
}

// TestStaleHashesAreRenewed: a password whose hash was made with other costs is hashed anew at the next sign-in.
func TestStaleHashesAreRenewed(t *testing.T) {
	s := logintest.Start(t)
	costly, err := proof.NewHasher(proof.Params{MemoryKiB: 128, Passes: 2, Lanes: 1}, 1)
	if err != nil {
		t.Fatal(err)
	}
	s.Logon.Hasher = costly
	for range 2 {
		if _, err := s.Logon.Password(t.Context(), s.Tenant.ID, s.Alice.UserPrincipalName, logintest.Password, logon.Origin{}); err != nil {
			t.Fatal(err)
		}
		var hash string
		if err := s.DB.View(t.Context(), func(tx *store.Tx) (err error) { hash, err = tx.Password(s.Alice.ID); return err }); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(hash, "$m=128,t=2,p=1$") {
			t.Errorf("hash %s", hash)
		}
	}
}

func TestRevokeTwiceAndNobody(t *testing.T) {
	s := logintest.Start(t)
	now := s.Clock.Now()
	s.Update(func(tx *store.Tx) error {
		begun, _, err := logon.Begin(tx, s.Alice.ID, now, now, nil, logon.Origin{})
		if err != nil {
			return err
		}
		for _, reason := range []string{"first", "second"} {
			if err := logon.Revoke(tx, begun.ID, now, reason, logon.Actor{Name: "test"}); err != nil {
				return err
			}
		}
		kept, err := tx.Session(begun.ID)
		if kept.Reason != "first" {
			t.Errorf("reason %q", kept.Reason)
		}
		if err := logon.Revoke(tx, ident.New[ident.SessionID](), now, "", logon.Actor{}); !store.IsNotFound(err) {
			t.Errorf("no such session: %v", err)
		}
		if err := logon.RevokeUser(tx, ident.New[ident.ObjectID](), now, "", logon.Actor{}); !store.IsNotFound(err) {
			t.Errorf("no such user: %v", err)
		}
		return err
	})
	if s.Audit(audit.SessionRevoked) != 1 {
		t.Error("one session ended, once")
	}
}
