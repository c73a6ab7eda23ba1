package manage_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/logintest"
	"github.com/keyreeve/keyreeve/internal/store"
)

func tokens(s *logintest.Service, scope string) logintest.Answer {
	return s.Post("/contoso.test/oauth2/v2.0/token", "grant_type", "password", "client_id", directory.AzureCLI().String(),
		"username", s.Alice.UserPrincipalName, "password", logintest.Password, "scope", scope+" openid profile email offline_access")
}

func bearer(s *logintest.Service, path, token string) logintest.Answer {
	req, err := http.NewRequestWithContext(s.Context(), http.MethodGet, s.BaseURL+path, nil)
	if err != nil {
		s.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	return s.Do(req)
}

func TestUserInfo(t *testing.T) {
	s := logintest.Start(t)
	const path = "/contoso.test/openid/userinfo"
	a := tokens(s, "https://graph.microsoft.com/.default")
	got := bearer(s, path, a.Str(t, "access_token"))
	id := logintest.Claims(t, a.Str(t, "id_token"))
	if got.Status != 200 || got.Body["sub"] != id["sub"] || got.Body["name"] != "Alice Liddell" || got.Body["email"] != s.Alice.Mail {
		t.Fatal(got.Text, id)
	}
	for name, row := range map[string]struct {
		token, says string
		status      int
	}{
		"none": {"", "Bearer", 401}, "broken": {"a.b.c", `error="invalid_token"`, 401},
		"for another resource": {tokens(s, "https://management.azure.com/.default").Str(t, "access_token"), `error="invalid_token"`, 401},
		"not for signing in":   {tokens(s, "https://graph.microsoft.com/User.Read.All").Str(t, "access_token"), `error="insufficient_scope"`, 403},
		"an id token":          {a.Str(t, "id_token"), `error="invalid_token"`, 401},
	} {
		if got := bearer(s, path, row.token); got.Status != row.status || !strings.Contains(got.Header.Get("WWW-Authenticate"), row.says) {
			t.Errorf("%s: %d %q %s", name, got.Status, got.Header.Get("WWW-Authenticate"), got.Text)
		}
	}
}

func TestIntrospection(t *testing.T) {
	s := logintest.Start(t)
	ask := func(token string, pairs ...string) logintest.Answer {
		return s.Post("/contoso.test/oauth2/v2.0/introspect", append([]string{"client_id", s.App.AppID.String(), "client_secret", s.AppSecret, "token", token}, pairs...)...)
	}
	own := s.Post("/contoso.test/oauth2/v2.0/token", "grant_type", "client_credentials", "client_id", s.App.AppID.String(), "client_secret", s.AppSecret,
		"scope", "https://management.azure.com/.default").Str(t, "access_token")
	if a := ask(own); a.Body["active"] != true || a.Body["client_id"] != s.App.AppID.String() || a.Body["aud"] != "https://management.azure.com" {
		t.Fatal(a.Text)
	}
	others := tokens(s, "https://management.azure.com/.default")
	for name, token := range map[string]string{
		"another client's": others.Str(t, "access_token"), "another client's refresh token": others.Str(t, "refresh_token"), "made up": "x",
	} {
		if a := ask(token); a.Text != `{"active":false}` {
			t.Errorf("%s: %s", name, a.Text)
		}
	}
	disabled, err := ident.Parse[ident.ObjectID](s.AppObject.String())
	if err != nil {
		t.Fatal(err)
	}
	if a := s.Post("/contoso.test/oauth2/v2.0/introspect", "client_id", directory.AzureCLI().String(), "token", own); a.Status != 401 {
		t.Errorf("a public client is told %s", a.Text)
	}
	if a := ask("", "token", ""); a.Status != 400 {
		t.Error(a.Text)
	}
	s.Update(func(tx *store.Tx) error {
		p, err := tx.ServicePrincipal(disabled)
		p.SessionsValidFrom = s.Clock.Now().Add(1)
		if err != nil {
			return err
		}
		return tx.PutServicePrincipal(p)
	})
	s.Clock.Move(1e9)
	if a := ask(own); a.Text != `{"active":false}` {
		t.Error("a revoked token is active")
	}
}

func TestRevocation(t *testing.T) {
	s := logintest.Start(t)
	check := s.Checker(directory.ResourceManager())
	for _, kind := range []string{"refresh_token", "access_token"} {
		a := tokens(s, "https://management.azure.com/.default")
		for _, other := range []ident.ClientID{directory.AKSClient()} {
			got := s.Post("/contoso.test/oauth2/v2.0/revoke", "client_id", other.String(), "token", a.Str(t, kind))
			if _, err := check.Check(a.Str(t, "access_token")); got.Status != 200 || err != nil {
				t.Fatalf("another client revoked it: %s, %v", got.Text, err)
			}
		}
		got := s.Post("/contoso.test/oauth2/v2.0/revoke", "client_id", directory.AzureCLI().String(), "token", a.Str(t, kind))
		if _, err := check.Check(a.Str(t, "access_token")); got.Status != 200 || err == nil {
			t.Fatalf("%s: still good after %d %s", kind, got.Status, got.Text)
		}
		again := s.Post("/contoso.test/oauth2/v2.0/token", "grant_type", "refresh_token", "client_id", directory.AzureCLI().String(),
			"refresh_token", a.Str(t, "refresh_token"), "scope", "https://management.azure.com/.default")
		if again.Body["error"] != "invalid_grant" {
			t.Fatal(again.Text)
		}
	}
	if got := s.Post("/contoso.test/oauth2/v2.0/revoke", "client_id", directory.AzureCLI().String(), "token", "unknown"); got.Status != 200 {
		t.Error(got.Text)
	}
	if got := s.Post("/contoso.test/oauth2/v2.0/revoke", "client_id", s.App.AppID.String(), "token", "unknown"); got.Status != 401 {
		t.Error("a confidential client revokes without its secret")
	}
}

// TestSignOut: an application sends people to sign out, and gets them back only where it registered.
func TestSignOut(t *testing.T) {
	s := logintest.Start(t)
	app := s.App
	app.WebRedirectURIs = []string{"https://app.test/bye"}
	s.Update(func(tx *store.Tx) error { return tx.PutApplication(app) })
	path := func(place string) string {
		return "/contoso.test/oauth2/v2.0/logout?state=a%26b&client_id=" + app.AppID.String() + "&post_logout_redirect_uri=" + url.QueryEscape(place)
	}
	p := s.Person()
	code := s.Post("/organizations/oauth2/v2.0/devicecode", "client_id", directory.AzureCLI().String(), "scope", "openid").Str(t, "user_code")
	p.At(p.Send("POST", "/device", "user_code", code), 200, "Sign in")
	p.At(p.SignIn(s.Alice.UserPrincipalName), 200, "Is this you?")
	for _, place := range []string{"https://evil.test", "https://app.test/bye/", "https://app.test/bye?x", "javascript:alert(1)"} {
		if a := p.At(p.Send("GET", path(place)), 400, "That did not work"); !strings.Contains(a.Text, "AADSTS50011") {
			t.Error(place, a.Text)
		}
	}
	a := p.At(p.Send("GET", path("https://app.test/bye")), 200, "Sign out")
	if !strings.Contains(a.Header.Get("Content-Security-Policy"), "form-action 'self' https://app.test") {
		t.Error("the form may not lead back")
	}
	q := p.Location(p.Send("POST", "/signin/signout", "state", p.State, "account", "all"), "https://app.test/bye")
	if q.Get("state") != "a&b" {
		t.Error(q)
	}
	p.Location(p.Send("GET", path("https://app.test/bye")), "https://app.test/bye") // nobody is signed in any more
	p.At(p.Send("GET", "/contoso.test/oauth2/logout"), 200, "You are signed out")
	if a := p.Send("GET", "/contoso.test/oauth2/v2.0/logout?post_logout_redirect_uri=https://app.test/bye"); a.Status != 400 {
		t.Error("a place without a client")
	}
}
