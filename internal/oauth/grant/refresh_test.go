package grant_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/caller"
	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/logintest"
	"github.com/keyreeve/keyreeve/internal/logon"
	"github.com/keyreeve/keyreeve/internal/proof"
	"github.com/keyreeve/keyreeve/internal/session"
	"github.com/keyreeve/keyreeve/internal/store"
)

func refreshForm(token string) []string {
	return []string{"grant_type", "refresh_token", "client_id", directory.AzureCLI().String(), "refresh_token", token, "scope", userScope}
}

func signIn(t *testing.T, s *logintest.Service) logintest.Answer {
	t.Helper()
	a := s.Post(tokenPath, passwordForm(s)...)
	if a.Status != http.StatusOK {
		t.Fatal(a.Text)
	}
	return a
}

func refresh(t *testing.T, s *logintest.Service, token string, change ...string) logintest.Answer {
	t.Helper()
	a := s.Post(tokenPath, with(refreshForm(token), change...)...)
	if a.Status != http.StatusOK {
		t.Fatal(a.Text)
	}
	return a
}

func TestRefreshRotates(t *testing.T) {
	s := logintest.Start(t)
	first := signIn(t, s)
	seen := map[string]bool{first.Str(t, "refresh_token"): true}
	now := first.Str(t, "refresh_token")
	for range 5 {
		s.Clock.Move(80 * 24 * time.Hour) // within the 90 days that each use begins anew
		a := refresh(t, s, now)
		now = a.Str(t, "refresh_token")
		if seen[now] {
			t.Fatal("a refresh token came twice")
		}
		seen[now] = true
		if claimsOf(t, a.Str(t, "access_token"))["sid"] != claimsOf(t, first.Str(t, "access_token"))["sid"] {
			t.Fatal("the session changed")
		}
		if _, err := s.Checker(directory.ResourceManager()).Check(a.Str(t, "access_token")); err != nil {
			t.Fatal(err)
		}
	}
	s.Clock.Move(91 * 24 * time.Hour)
	wantError(t, s, s.Post(tokenPath, refreshForm(now)...), 400, "invalid_grant", 700082)
}

func TestRefreshTokenIsNeitherOfATenantNorOfAResource(t *testing.T) {
	s := logintest.Start(t)
	token := signIn(t, s).Str(t, "refresh_token")
	for _, segment := range []string{s.Tenant.ID.String(), strings.ToUpper(s.Tenant.ID.String()), "contoso.test", "WWW.Contoso.Test", "common"} {
		a := s.Post("/"+segment+"/OAuth2/v2.0/Token", with(refreshForm(token), "scope", "https://graph.microsoft.com/.default offline_access")...)
		if a.Status != http.StatusOK {
			t.Fatal(segment, a.Text)
		}
		token = a.Str(t, "refresh_token")
	}
	wantError(t, s, s.Post("/fabrikam.test/oauth2/v2.0/token", refreshForm(token)...), 400, "invalid_grant", 50020)
}

// TestRefreshReuse: processes that share a cache race and answers get lost, so a used token works for a minute more;
// later it ends the whole session, access tokens included (RFC 9700 4.14.2).
func TestRefreshReuse(t *testing.T) {
	s := logintest.Start(t)
	old := signIn(t, s).Str(t, "refresh_token")
	first := refresh(t, s, old)
	s.Clock.Move(session.ReuseGrace)
	sibling := refresh(t, s, old)
	check := s.Checker(directory.ResourceManager())
	for _, a := range []logintest.Answer{first, sibling} {
		refresh(t, s, a.Str(t, "refresh_token"))
	}
	s.Clock.Move(time.Second)
	for range 2 { // it stays so
		wantError(t, s, s.Post(tokenPath, refreshForm(old)...), 400, "invalid_grant", 50173)
	}
	if s.Audit(audit.RefreshReused) != 2 || s.Audit(audit.SessionRevoked) != 1 {
		t.Error("the reuse is not in the audit log")
	}
	wantError(t, s, s.Post(tokenPath, refreshForm(sibling.Str(t, "refresh_token"))...), 400, "invalid_grant", 50173)
	if _, err := check.Check(first.Str(t, "access_token")); !caller.Revoked(err) {
		t.Errorf("an access token of the session still works: %v", err)
	}
}

func TestRefreshByOtherClients(t *testing.T) {
	s := logintest.Start(t)
	token := signIn(t, s).Str(t, "refresh_token")
	family := refresh(t, s, token, "client_id", directory.AzurePowerShell().String())
	if family.Body["foci"] != "1" {
		t.Error("foci is missing")
	}
	a := s.Post(tokenPath, with(refreshForm(token), "client_id", directory.AKSClient().String())...)
	wantError(t, s, a, 400, "invalid_grant", 70000)
	if a.Body["suberror"] != "client_mismatch" {
		t.Error(a.Text)
	}
	alone := s.Post(tokenPath, with(passwordForm(s), "client_id", directory.AKSClient().String())...)
	if _, there := alone.Body["foci"]; there {
		t.Error("foci for a client that is in no family")
	}
}

// TestWhatEndsARefreshToken goes through what may happen to a person after signing in.
func TestWhatEndsARefreshToken(t *testing.T) {
	for _, row := range []struct {
		name   string
		do     func(s *logintest.Service, tx *store.Tx, id ident.SessionID) error
		number int
	}{
		{"disabled", func(s *logintest.Service, tx *store.Tx, _ ident.SessionID) error {
			u := s.Alice
			u.AccountEnabled = false
			return tx.PutUser(u)
		}, 50057},
		{"deleted", func(s *logintest.Service, tx *store.Tx, _ ident.SessionID) error { return tx.DeleteUser(s.Alice.ID) }, 0},
		{"all sessions revoked", func(s *logintest.Service, tx *store.Tx, _ ident.SessionID) error {
			return logon.RevokeUser(tx, s.Alice.ID, s.Clock.Now(), "test", logon.Actor{})
		}, 50173},
		{"this session revoked", func(s *logintest.Service, tx *store.Tx, id ident.SessionID) error {
			return logon.Revoke(tx, id, s.Clock.Now(), "test", logon.Actor{})
		}, 50173},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := logintest.Start(t)
			a := signIn(t, s)
			s.Clock.Move(time.Millisecond)
			check := s.Checker(directory.ResourceManager())
			who, err := check.Check(a.Str(t, "access_token"))
			if err != nil {
				t.Fatal(err)
			}
			s.Update(func(tx *store.Tx) error { return row.do(s, tx, who.Session) })
			if _, err := check.Check(a.Str(t, "access_token")); err == nil {
				t.Error("the access token still works")
			}
			answer := s.Post(tokenPath, refreshForm(a.Str(t, "refresh_token"))...)
			if answer.Status != http.StatusBadRequest || answer.Body["error"] != "invalid_grant" {
				t.Fatal(answer.Text)
			}
			if row.number != 0 {
				wantError(t, s, answer, 400, "invalid_grant", row.number)
			}
			if row.number == 50173 { // a new sign-in, in the same second, works
				again := signIn(t, s)
				if _, err := check.Check(again.Str(t, "access_token")); err != nil {
					t.Errorf("new token in the second of the revocation: %v", err)
				}
			}
		})
	}
}

func TestSecretsEnd(t *testing.T) {
	s := logintest.Start(t)
	home := "/contoso.test/oauth2/v2.0/token"
	good := s.Post(home, secretForm(s)...)
	check := s.Checker(directory.ResourceManager())
	if _, err := check.Check(good.Str(t, "access_token")); err != nil {
		t.Fatal(err)
	}
	sp := directory.ServicePrincipal{
		ID: s.AppObject, Tenant: s.Tenant.ID, AppID: s.App.AppID, DisplayName: "Deployer", Type: directory.TypeApplication, AccountEnabled: true,
	}
	t.Run("revoked in the second of its issue", func(t *testing.T) {
		s.Clock.Move(300 * time.Millisecond)
		sp.SessionsValidFrom = s.Clock.Now()
		s.Update(func(tx *store.Tx) error { return tx.PutServicePrincipal(sp) })
		if _, err := check.Check(good.Str(t, "access_token")); !caller.Revoked(err) {
			t.Errorf("the old token: %v", err)
		}
		fresh := s.Post(home, secretForm(s)...)
		if _, err := check.Check(fresh.Str(t, "access_token")); err != nil {
			t.Errorf("a new token: %v", err)
		}
	})
	t.Run("not yet", func(t *testing.T) {
		secret, record := proof.NewClientSecret(s.App.AppID, "later", s.Clock.Now().Add(time.Hour), time.Hour)
		s.Update(func(tx *store.Tx) error { return tx.PutClientSecret(record) })
		wantError(t, s, s.Post(home, with(secretForm(s), "client_secret", secret)...), 401, "invalid_client", 7000215)
	})
	t.Run("over", func(t *testing.T) {
		s.Clock.Move(25 * time.Hour)
		wantError(t, s, s.Post(home, secretForm(s)...), 401, "invalid_client", 7000222)
	})
	t.Run("disabled", func(t *testing.T) {
		sp.AccountEnabled = false
		s.Update(func(tx *store.Tx) error { return tx.PutServicePrincipal(sp) })
		wantError(t, s, s.Post(home, secretForm(s)...), 400, "unauthorized_client", 7000112)
	})
	t.Run("no service principal", func(t *testing.T) {
		secret, record := proof.NewClientSecret(s.App.AppID, "new", s.Clock.Now(), time.Hour)
		s.Update(func(tx *store.Tx) error {
			return errors.Join(tx.PutClientSecret(record), tx.DeleteServicePrincipal(s.AppObject))
		})
		wantError(t, s, s.Post(home, with(secretForm(s), "client_secret", secret)...), 401, "invalid_client", 7000229)
	})
}
