package caller_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keyreeve/keyreeve/internal/caller"
	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/feed"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/logintest"
	"github.com/keyreeve/keyreeve/internal/store"
)

// userToken signs Alice in and returns an access token for a resource.
func userToken(t *testing.T, s *logintest.Service, resource string) string {
	t.Helper()
	return s.Post("/organizations/oauth2/v2.0/token", "grant_type", "password", "client_id", directory.AzureCLI().String(),
		"username", s.Alice.UserPrincipalName, "password", logintest.Password, "scope", resource+"/.default").Str(t, "access_token")
}

func request(t *testing.T, headers ...string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://arm.test/", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range headers {
		r.Header.Add("Authorization", h)
	}
	return r
}

func TestCheckSaysWho(t *testing.T) {
	s := logintest.Start(t)
	group := directory.Group{ID: ident.New[ident.ObjectID](), Tenant: s.Tenant.ID, DisplayName: "g", MailNickname: "g", SecurityEnabled: true, IsAssignableToRole: true}
	plain := directory.Group{ID: ident.New[ident.ObjectID](), Tenant: s.Tenant.ID, DisplayName: "h", MailNickname: "h", SecurityEnabled: true}
	s.Update(func(tx *store.Tx) error {
		return errors.Join(tx.PutGroup(group), tx.PutGroup(plain), tx.AddMember(group.ID, s.Alice.ID), tx.AddMember(plain.ID, s.Alice.ID),
			tx.GrantDirectoryRole(directory.UserAdministrator(), group.ID), tx.GrantDirectoryRole(directory.GlobalAdministrator(), plain.ID),
			tx.GrantDirectoryRole(directory.DirectoryReaders(), s.Alice.ID))
	})
	raw := userToken(t, s, "https://management.azure.com")
	got, err := s.Checker(directory.ResourceManager()).Authenticate(request(t, "bearer "+raw))
	if err != nil {
		t.Fatal(err)
	}
	want := caller.Caller{
		Kind: caller.User, Tenant: s.Tenant.ID, Object: s.Alice.ID, Name: s.Alice.UserPrincipalName, Client: directory.AzureCLI(),
		Session: got.Session, TokenID: got.TokenID, Roles: []ident.DirectoryRoleID{directory.DirectoryReaders(), directory.UserAdministrator()},
		IssuedAt: s.Clock.Now(), Expires: got.Expires, AMR: []string{"pwd"}, ACR: "1", Scopes: []string{"user_impersonation"},
		Audience: "https://management.azure.com",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got.Session.IsZero() || got.TokenID == "" || !got.Expires.After(s.Clock.Now()) {
		t.Errorf("%+v", got)
	}
}

func TestRefusals(t *testing.T) {
	s := logintest.Start(t)
	check := s.Checker(directory.ResourceManager())
	raw := userToken(t, s, "https://management.azure.com")
	graph := userToken(t, s, "https://graph.microsoft.com")
	at := s.Clock.Now()
	for _, row := range []struct {
		name        string
		headers     []string
		move        time.Duration
		code, says  string
		graph       string
		challengeIs string
	}{
		{name: "no header", code: caller.Failed, says: "Authentication failed. The 'Authorization' header is missing.", graph: "Access token is empty.", challengeIs: `Bearer authorization_uri="https://login.test/common"`},
		{name: "two headers", headers: []string{"Bearer " + raw, "Bearer " + raw}, code: caller.Failed, says: "invalid format"},
		{name: "another scheme", headers: []string{"Basic " + raw}, code: caller.Failed, says: "invalid format"},
		{name: "no token", headers: []string{"Bearer "}, code: caller.Failed, says: "invalid format"},
		{name: "no token at all", headers: []string{"Bearer"}, code: caller.Failed, says: "invalid format"},
		{name: "no JWT", headers: []string{"Bearer x"}, code: caller.InvalidToken, says: "The access token is invalid.", challengeIs: `Bearer authorization_uri="https://login.test/common", error="invalid_token", error_description="The access token is invalid."`},
		{name: "changed", headers: []string{"Bearer " + raw[:len(raw)-8] + "AAAAAAAA"}, code: caller.InvalidToken, says: "signature"},
		{
			name: "for Graph", headers: []string{"Bearer " + graph}, code: caller.WrongAudience,
			says: "The access token has been obtained for wrong audience or resource 'https://graph.microsoft.com'. " +
				"It should exactly match with one of the allowed audiences 'https://management.core.windows.net/','https://management.core.windows.net'," +
				"'https://management.azure.com/','https://management.azure.com',",
			graph: "Access token validation failure. Invalid audience.",
		},
		{
			name: "expired", headers: []string{"Bearer " + raw}, move: 3 * time.Hour, code: caller.ExpiredToken,
			says:  "is earlier than current UTC time '" + at.Add(3*time.Hour).Format("1/2/2006 3:04:05 PM") + "'.",
			graph: "Lifetime validation failed, the token is expired.",
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			s.Clock.Move(row.move)
			defer s.Clock.Move(-row.move)
			_, err := check.Authenticate(request(t, row.headers...))
			f := fault.As(err)
			if f == nil || f.Kind != fault.Unauthenticated || f.Code != row.code || !strings.Contains(f.Public, row.says) {
				t.Fatalf("got %v, want %s: %s", err, row.code, row.says)
			}
			g := fault.As(caller.ForGraph(err))
			if g.Code != "InvalidAuthenticationToken" || g.Kind != fault.Unauthenticated || (row.graph != "" && g.Public != row.graph) {
				t.Errorf("Graph: %v", g)
			}
			challenge := caller.Challenge(err, "https://login.test", ident.TenantID{}, at)
			if row.challengeIs != "" && challenge != row.challengeIs {
				t.Errorf("challenge %s", challenge)
			}
			if strings.Contains(err.Error()+challenge, raw[:50]) {
				t.Error("the token is quoted")
			}
		})
	}
}

// TestRevocationsReachTheChecker: each ends a good token with the commit that says so.
func TestRevocationsReachTheChecker(t *testing.T) {
	for name, revoke := range map[string]func(s *logintest.Service, tx *store.Tx) error{
		"disabled": func(s *logintest.Service, tx *store.Tx) error {
			u := s.Alice
			u.AccountEnabled = false
			return tx.PutUser(u)
		},
		"deleted": func(s *logintest.Service, tx *store.Tx) error { return tx.DeleteUser(s.Alice.ID) },
		"sessions ended": func(s *logintest.Service, tx *store.Tx) error {
			u := s.Alice
			u.SessionsValidFrom = s.Clock.Now()
			return tx.PutUser(u)
		},
		"key withdrawn": func(s *logintest.Service, tx *store.Tx) error {
			keys, err := tx.SigningKeys()
			return errors.Join(err, tx.DeleteSigningKey(keys[0].KID))
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := logintest.Start(t)
			check := s.Checker(directory.AKSServer())
			raw := userToken(t, s, directory.AKSServer().String())
			if _, err := check.Check(raw); err != nil {
				t.Fatal(err)
			}
			s.Clock.Move(time.Millisecond)
			s.Update(func(tx *store.Tx) error { return revoke(s, tx) })
			_, err := check.Check(raw)
			if !fault.Is(err, fault.Unauthenticated) {
				t.Fatal(err)
			}
			if name == "sessions ended" && !caller.Revoked(err) {
				t.Error("the refusal does not say that it was revoked")
			}
		})
	}
}

// TestUnknownIsNotNo: a world that cannot follow says neither yes nor no.
func TestUnknownIsNotNo(t *testing.T) {
	s := logintest.Start(t)
	raw := userToken(t, s, directory.AKSServer().String())
	revision, _, _ := s.World.Status()
	if err := s.World.Apply(feed.Change{Revision: revision + 5}); err == nil {
		t.Fatal("a gap was not noticed")
	}
	_, err := s.Checker(directory.AKSServer()).Check(raw)
	if !fault.Is(err, fault.Unavailable) {
		t.Errorf("got %v", err)
	}
	if g := caller.ForGraph(err); !fault.Is(g, fault.Unavailable) {
		t.Errorf("Graph: %v", g)
	}
}

// TestOnlyTheCapableAreChallenged: a client that did not say that it understands claims challenges gets a plain refusal,
// and no token for a day.
func TestOnlyTheCapableAreChallenged(t *testing.T) {
	s := logintest.Start(t)
	for _, row := range []struct {
		claims, says string
		least, most  time.Duration
	}{
		{"", `error="invalid_token"`, time.Hour, 75 * time.Minute},
		{`{"access_token":{"xms_cc":{"values":["CP1"]}}}`, `error="insufficient_claims", claims="`, 24 * time.Hour, 28 * time.Hour},
	} {
		raw := s.Post("/organizations/oauth2/v2.0/token", "grant_type", "password", "client_id", directory.AzureCLI().String(),
			"username", s.Alice.UserPrincipalName, "password", logintest.Password, "scope", "https://management.azure.com/.default",
			"claims", row.claims).Str(t, "access_token")
		check := s.Checker(directory.ResourceManager())
		who, err := check.Check(raw)
		if err != nil {
			t.Fatal(err)
		}
		if life := who.Expires.Sub(who.IssuedAt); life < row.least || life > row.most {
			t.Errorf("%q: lives %s", row.claims, life)
		}
		s.Clock.Move(time.Second)
		alice := s.Alice
		alice.SessionsValidFrom = s.Clock.Now()
		s.Update(func(tx *store.Tx) error { return tx.PutUser(alice) })
		_, err = check.Check(raw)
		if got := caller.Challenge(err, "https://login.test", s.Tenant.ID, s.Clock.Now()); !strings.Contains(got, row.says) {
			t.Errorf("%q: %s", row.claims, got)
		}
	}
}
