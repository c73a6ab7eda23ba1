package authorize_test

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/logintest"
	"github.com/keyreeve/keyreeve/internal/session"
	"github.com/keyreeve/keyreeve/internal/store"
)

const (
	verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk" // RFC 7636, appendix B
	armScope = "https://management.core.windows.net//.default openid profile offline_access"
	here     = "http://localhost:8400"
)

func challenge() string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// request is an authorization request; pairs change its parameters, and an empty value leaves one out.
func request(tenant string, pairs ...string) string {
	q := url.Values{
		"client_id": {directory.AzureCLI().String()}, "response_type": {"code"}, "redirect_uri": {here}, "scope": {armScope},
		"state": {"st&te"}, "nonce": {"n0nce"}, "code_challenge": {challenge()}, "code_challenge_method": {"S256"},
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		q.Set(pairs[i], pairs[i+1])
		if pairs[i+1] == "" {
			q.Del(pairs[i])
		}
	}
	return "/" + tenant + "/oauth2/v2.0/authorize?" + q.Encode()
}

func redeem(s *logintest.Service, tenant, code string, pairs ...string) logintest.Answer {
	form := map[string]string{
		"grant_type": "authorization_code", "client_id": directory.AzureCLI().String(), "code": code, "redirect_uri": here,
		"code_verifier": verifier,
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		form[pairs[i]] = pairs[i+1]
	}
	var list []string
	for k, v := range form {
		list = append(list, k, v)
	}
	return s.Post("/"+tenant+"/oauth2/v2.0/token", list...)
}

// code signs Alice in at a fresh browser and returns the code.
func code(s *logintest.Service, tenant string, pairs ...string) string {
	s.Helper()
	p := s.Person()
	p.At(p.Send("GET", request(tenant, pairs...)), 200, "Sign in")
	return p.Location(p.SignIn(s.Alice.UserPrincipalName), here).Get("code")
}

func TestCodeFlow(t *testing.T) {
	for _, segment := range []string{"organizations", "contoso.test"} {
		t.Run(segment, func(t *testing.T) {
			s := logintest.Start(t)
			p := s.Person()
			page := p.At(p.Send("GET", request(segment)), 200, "Sign in")
			if !strings.Contains(page.Header.Get("Content-Security-Policy"), "form-action 'self' "+here) {
				t.Errorf("the policy does not let the form lead to the client: %s", page.Header.Get("Content-Security-Policy"))
			}
			q := p.Location(p.SignIn(s.Alice.UserPrincipalName), here)
			if q.Get("state") != "st&te" || q.Get("iss") != s.BaseURL+"/"+s.Tenant.ID.String()+"/v2.0" || !strings.HasPrefix(q.Get("code"), "krc_") {
				t.Fatal(q)
			}
			a := redeem(s, segment, q.Get("code"))
			if a.Status != 200 || a.Body["refresh_token"] == nil {
				t.Fatal(a.Text)
			}
			who, err := s.Checker(directory.ResourceManager()).Check(a.Str(t, "access_token"))
			if err != nil || who.Object != s.Alice.ID {
				t.Fatalf("%+v, %v", who, err)
			}
			if id := logintest.Claims(t, a.Str(t, "id_token")); id["nonce"] != "n0nce" || id["sid"] != who.Session.String() {
				t.Errorf("id token %v", id)
			}
			if s.Audit(audit.SignIn) != 1 || s.Audit(audit.TokenIssued) != 1 {
				t.Error("the sign-in is not in the log, once")
			}
		})
	}
}

// TestCodeIsUsedOnce: a code that comes again is refused and ends what it gave (RFC 6749 4.1.2, RFC 9700 4.5.3).
func TestCodeIsUsedOnce(t *testing.T) {
	s := logintest.Start(t)
	c := code(s, "organizations")
	first := redeem(s, "organizations", c)
	check := s.Checker(directory.ResourceManager())
	if _, err := check.Check(first.Str(t, "access_token")); err != nil {
		t.Fatal(err)
	}
	wantError(t, redeem(s, "organizations", c), "invalid_grant", 54005)
	if _, err := check.Check(first.Str(t, "access_token")); err == nil {
		t.Error("the access token still counts")
	}
	again := s.Post("/organizations/oauth2/v2.0/token", "grant_type", "refresh_token", "client_id", directory.AzureCLI().String(),
		"refresh_token", first.Str(t, "refresh_token"), "scope", armScope)
	wantError(t, again, "invalid_grant", 50173)
	if s.Audit(audit.CodeReused) != 1 {
		t.Error("the reuse is not in the log")
	}
}

func wantError(t *testing.T, a logintest.Answer, word string, number float64) {
	t.Helper()
	codes, _ := a.Body["error_codes"].([]any)
	if a.Body["error"] != word || len(codes) != 1 || codes[0] != number {
		t.Fatalf("got %d %s, want %s AADSTS%v", a.Status, a.Text, word, number)
	}
}

// TestCodeIsBound: to client, redirect, challenge, tenant, version, resource and time. What was refused does not use it up.
func TestCodeIsBound(t *testing.T) {
	s := logintest.Start(t)
	c := code(s, "organizations")
	for _, row := range []struct {
		name, tenant, word string
		number             float64
		change             []string
	}{
		{"another client", "organizations", "invalid_grant", 70000, []string{"client_id", directory.AKSClient().String()}},
		{"another redirect", "organizations", "invalid_grant", 70000, []string{"redirect_uri", "http://localhost:8401"}},
		{"no redirect", "organizations", "invalid_grant", 70000, []string{"redirect_uri", ""}},
		{"another tenant", "contoso.test", "invalid_grant", 70000, nil},
		{"another verifier", "organizations", "invalid_grant", 501481, []string{"code_verifier", strings.Repeat("a", 43)}},
		{"no verifier", "organizations", "invalid_grant", 501481, []string{"code_verifier", ""}},
		{"the challenge for a verifier", "organizations", "invalid_grant", 501481, []string{"code_verifier", challenge()}},
		{"another resource", "organizations", "invalid_scope", 70011, []string{"scope", "https://graph.microsoft.com/.default"}},
		{"a made-up code", "organizations", "invalid_grant", 70000, []string{"code", "krc_x"}},
		{"no code", "organizations", "invalid_request", 900144, []string{"code", ""}},
	} {
		t.Run(row.name, func(t *testing.T) { wantError(t, redeem(s, row.tenant, c, row.change...), row.word, row.number) })
	}
	v1 := s.Post("/organizations/oauth2/token", "grant_type", "authorization_code", "client_id", directory.AzureCLI().String(), "code", c,
		"redirect_uri", here, "code_verifier", verifier, "resource", "https://management.core.windows.net/")
	wantError(t, v1, "invalid_grant", 70000)
	if a := redeem(s, "organizations", c); a.Status != 200 {
		t.Fatal(a.Text)
	}
	late := code(s, "organizations")
	s.Clock.Move(session.CodeLife)
	wantError(t, redeem(s, "organizations", late), "invalid_grant", 70008)
}

func TestCodeOfSomebodyRevoked(t *testing.T) {
	s := logintest.Start(t)
	c := code(s, "organizations")
	s.Clock.Move(time.Second)
	alice := s.Alice
	alice.SessionsValidFrom = s.Clock.Now()
	s.Update(func(tx *store.Tx) error { return tx.PutUser(alice) })
	wantError(t, redeem(s, "organizations", c), "invalid_grant", 50173)
}

// TestShownToThePerson: while the place for the answer is not known to be the client's own, nothing is sent anywhere.
func TestShownToThePerson(t *testing.T) {
	s := logintest.Start(t)
	web := webApp(s, "https://app.test/cb")
	for _, row := range []struct{ name, path, number string }{
		{"unknown tenant", request("nowhere.test"), "AADSTS90002"},
		{"no tenant", request("a_b"), "AADSTS900023"},
		{"no client", request("organizations", "client_id", ""), "AADSTS900144"},
		{"client that is none", request("organizations", "client_id", "x"), "AADSTS700016"},
		{"unknown client", request("organizations", "client_id", ident.New[ident.ClientID]().String()), "AADSTS700016"},
		{"client of another tenant", request("fabrikam.test", "client_id", web.AppID.String(), "redirect_uri", "https://app.test/cb"), "AADSTS700016"},
		{"client without any redirect", request("organizations", "client_id", "c44b4083-3bb0-49c1-b47d-974e53cbdf3c"), "AADSTS500113"},
		{"no redirect of several", request("organizations", "redirect_uri", ""), "AADSTS900144"},
		{"another host", request("organizations", "redirect_uri", "http://evil.test"), "AADSTS50011"},
		{"https for http", request("organizations", "redirect_uri", "https://localhost:8400"), "AADSTS50011"},
		{"a path", request("organizations", "redirect_uri", here+"/evil"), "AADSTS50011"},
		{"a query", request("organizations", "redirect_uri", here+"/?x=y"), "AADSTS50011"},
		{"a fragment", request("organizations", "redirect_uri", here+"/#x"), "AADSTS50011"},
		{"user info", request("organizations", "redirect_uri", "http://localhost:8400@evil.test"), "AADSTS50011"},
		{"a longer host", request("organizations", "redirect_uri", "http://localhost.evil.test"), "AADSTS50011"},
		{"a backslash", request("organizations", "redirect_uri", `http://localhost\@evil.test`), "AADSTS50011"},
		{"another path", request("contoso.test", "client_id", web.AppID.String(), "redirect_uri", "https://app.test/cb/"), "AADSTS50011"},
		{"another case", request("contoso.test", "client_id", web.AppID.String(), "redirect_uri", "https://app.test/CB"), "AADSTS50011"},
		{"a port", request("contoso.test", "client_id", web.AppID.String(), "redirect_uri", "https://app.test:443/cb"), "AADSTS50011"},
		{"more", request("contoso.test", "client_id", web.AppID.String(), "redirect_uri", "https://app.test/cb?x=1"), "AADSTS50011"},
		{"response mode", request("organizations", "response_mode", "web_message"), "AADSTS90013"},
		{"twice", request("organizations") + "&client_id=x", "AADSTS9000411"},
		{"too long", request("organizations", "x", strings.Repeat("x", 17<<10)), "AADSTS90013"},
	} {
		t.Run(row.name, func(t *testing.T) {
			a := s.Get(row.path)
			if a.Status < 400 || a.Header.Get("Location") != "" || !strings.Contains(a.Text, row.number) {
				t.Fatalf("%d to %q:\n%s", a.Status, a.Header.Get("Location"), a.Text)
			}
			for _, want := range []string{"<code>", "Correlation ID", "Time"} {
				if !strings.Contains(a.Text, want) {
					t.Errorf("the page does not say %s", want)
				}
			}
			if a.Header.Get("X-Frame-Options") != "DENY" {
				t.Error("the page can be framed")
			}
		})
	}
}

// webApp registers a confidential application with redirect URIs.
func webApp(s *logintest.Service, uris ...string) directory.Application {
	app := s.App
	app.WebRedirectURIs = uris
	s.Update(func(tx *store.Tx) error { return tx.PutApplication(app) })
	return app
}

// TestToldToTheClient: what else is wrong, the client is told in its own form, before anybody is asked anything.
func TestToldToTheClient(t *testing.T) {
	s := logintest.Start(t)
	for _, row := range []struct {
		name, word, number string
		change             []string
	}{
		{"no response type", "invalid_request", "AADSTS900144", []string{"response_type", ""}},
		{"token", "unsupported_response_type", "AADSTS700054", []string{"response_type", "token"}},
		{"hybrid", "unsupported_response_type", "AADSTS700054", []string{"response_type", "code id_token"}},
		{"no scope", "invalid_request", "AADSTS900144", []string{"scope", ""}},
		{"unknown resource", "invalid_resource", "AADSTS500011", []string{"scope", "https://nothing.test/.default"}},
		{"unknown permission", "invalid_scope", "AADSTS70011", []string{"scope", "https://graph.microsoft.com/Fly.All"}},
		{"two resources", "invalid_scope", "AADSTS70011", []string{"scope", "https://a.test/x https://b.test/x"}},
		{"no challenge", "invalid_request", "AADSTS9002325", []string{"code_challenge", "", "code_challenge_method", ""}},
		{"plain", "invalid_request", "AADSTS501491", []string{"code_challenge_method", "plain"}},
		{"plain by default", "invalid_request", "AADSTS501491", []string{"code_challenge_method", ""}},
		{"no hash", "invalid_request", "AADSTS90013", []string{"code_challenge", "abc"}},
		{"padded", "invalid_request", "AADSTS90013", []string{"code_challenge", challenge() + "="}},
		{"unknown prompt", "invalid_request", "AADSTS90013", []string{"prompt", "dance"}},
		{"none and more", "invalid_request", "AADSTS90013", []string{"prompt", "none login"}},
		{"max_age", "invalid_request", "AADSTS90013", []string{"max_age", "-1"}},
		{"request object", "invalid_request", "AADSTS90013", []string{"request", "a.b.c"}},
		{"long nonce", "invalid_request", "AADSTS90013", []string{"nonce", strings.Repeat("x", 2000)}},
		{"nobody is signed in", "login_required", "AADSTS50058", []string{"prompt", "none"}},
	} {
		for mode, sep := range map[string]string{"": "?", "query": "?", "fragment": "#"} {
			t.Run(row.name+" "+mode, func(t *testing.T) {
				p := s.Person()
				a := p.Send("GET", request("contoso.test", append(row.change, "response_mode", mode)...))
				q := p.Location(a, here)
				if q.Get("error") != row.word || !strings.HasPrefix(q.Get("error_description"), row.number+":") || q.Get("state") != "st&te" ||
					q.Get("iss") != s.BaseURL+"/"+s.Tenant.ID.String()+"/v2.0" {
					t.Fatal(q)
				}
				if !strings.HasPrefix(a.Header.Get("Location"), here+sep) {
					t.Error(a.Header.Get("Location"))
				}
			})
		}
	}
}

func TestFormPost(t *testing.T) {
	s := logintest.Start(t)
	p := s.Person()
	p.At(p.Send("GET", request("contoso.test", "response_mode", "form_post", "state", `"><script>`)), 200, "Sign in")
	a := p.At(p.SignIn(s.Alice.UserPrincipalName), 200, "One moment")
	if strings.Contains(a.Text, `"><script>`) || !strings.Contains(a.Text, `action="`+here+`"`) {
		t.Fatal(a.Text)
	}
	nonce := regexp.MustCompile(`script-src 'nonce-([\w-]{40,})'`).FindStringSubmatch(a.Header.Get("Content-Security-Policy"))
	if nonce == nil || !strings.Contains(a.Text, `<script nonce="`+nonce[1]+`">`) {
		t.Error("the script is not the one that the policy allows", a.Header.Get("Content-Security-Policy"))
	}
	m := regexp.MustCompile(`name="code" value="([^"]*)"`).FindStringSubmatch(a.Text)
	if m == nil {
		t.Fatal(a.Text)
	}
	if got := redeem(s, "contoso.test", m[1]); got.Status != 200 {
		t.Fatal(got.Text)
	}
}

// TestSingleSignOn: who signed in once at a browser is not asked again, but for what must be asked.
func TestSingleSignOn(t *testing.T) {
	s := logintest.Start(t)
	app := webApp(s, "https://app.test/cb")
	allow(s, app, "openid profile offline_access")
	web := func(pairs ...string) string {
		return request("contoso.test", append([]string{"client_id", app.AppID.String(), "redirect_uri", "https://app.test/cb", "scope", "openid profile"}, pairs...)...)
	}
	p := s.Person()
	p.At(p.Send("GET", web()), 200, "Sign in")
	p.Location(p.SignIn(s.Alice.UserPrincipalName), "https://app.test/cb")

	silent := func(pairs ...string) url.Values {
		t.Helper()
		return p.Location(p.Send("GET", web(pairs...)), "https://app.test/cb")
	}
	if q := silent(); q.Get("code") == "" {
		t.Fatal(q)
	}
	if q := silent("prompt", "none", "login_hint", strings.ToUpper(s.Alice.UserPrincipalName)); q.Get("code") == "" {
		t.Fatal(q)
	}
	if q := silent("prompt", "none", "login_hint", s.Bob.UserPrincipalName); q.Get("error") != "login_required" {
		t.Fatal(q)
	}
	p.At(p.Send("GET", web("prompt", "login")), 200, "Sign in")
	p.At(p.Send("GET", web("login_hint", s.Bob.UserPrincipalName)), 200, "Sign in")
	p.At(p.Send("GET", web("prompt", "select_account")), 200, "Choose an account")
	if q := p.Location(p.Send("POST", "/signin/account", "state", p.State, "account", s.Alice.ID.String()), "https://app.test/cb"); q.Get("code") == "" {
		t.Fatal(q)
	}
	p.At(p.Send("GET", web("prompt", "select_account")), 200, "Choose an account")
	p.At(p.Send("POST", "/signin/account", "state", p.State, "account", "other"), 200, "Sign in")
	p.At(p.Send("GET", web("prompt", "select_account")), 200, "Choose an account")
	p.At(p.Send("POST", "/signin/account", "state", p.State, "account", s.Bob.ID.String()), 400, "That did not work") // who is not there

	t.Run("a program on this computer never without a click", func(t *testing.T) {
		p.At(p.Send("GET", request("contoso.test")), 200, "Choose an account")
		if q := p.Location(p.Send("GET", request("contoso.test", "prompt", "none")), here); q.Get("error") != "interaction_required" {
			t.Fatal(q)
		}
	})
	t.Run("too long ago", func(t *testing.T) {
		s.Clock.Move(time.Minute)
		if q := silent("prompt", "none", "max_age", "59"); q.Get("error") != "login_required" {
			t.Fatal(q)
		}
		if q := silent("max_age", "61"); q.Get("code") == "" {
			t.Fatal(q)
		}
	})
	t.Run("revoked", func(t *testing.T) {
		s.Clock.Move(time.Second)
		alice := s.Alice
		alice.SessionsValidFrom = s.Clock.Now()
		s.Update(func(tx *store.Tx) error { return tx.PutUser(alice) })
		if q := silent("prompt", "none"); q.Get("error") != "login_required" {
			t.Fatal(q)
		}
		p.At(p.Send("GET", web()), 200, "Choose an account")
		p.At(p.Send("POST", "/signin/account", "state", p.State, "account", s.Alice.ID.String()), 200, "Sign in")
		p.Location(p.SignIn(s.Alice.UserPrincipalName), "https://app.test/cb")
	})
	t.Run("signed out", func(t *testing.T) {
		p.At(p.Send("GET", "/signin/signout"), 200, "Sign out")
		p.At(p.Send("POST", "/signin/signout", "state", p.State, "account", s.Alice.ID.String()), 200, "You are signed out")
		if q := silent("prompt", "none"); q.Get("error") != "login_required" {
			t.Fatal(q)
		}
	})
}

// allow keeps an administrator's consent to scopes at Microsoft Graph.
func allow(s *logintest.Service, app directory.Application, scope string) {
	graph, _ := s.Catalog.App(directory.MicrosoftGraph())
	s.Update(func(tx *store.Tx) error {
		return tx.PutPermissionGrant(directory.PermissionGrant{
			ID: ident.New[ident.GrantID](), Tenant: s.Tenant.ID, Client: s.AppObject, Resource: directory.FirstPartyPrincipal(s.Tenant, graph).ID,
			Consent: directory.AllPrincipals, Scope: scope,
		})
	})
}

// TestConsent: a registered application gets nothing that nobody allowed it; what was allowed once is not asked again.
func TestConsent(t *testing.T) {
	s := logintest.Start(t)
	app := webApp(s, "https://app.test/cb")
	web := func(scope string, pairs ...string) string {
		return request("contoso.test", append([]string{"client_id", app.AppID.String(), "redirect_uri", "https://app.test/cb", "scope", scope}, pairs...)...)
	}
	p := s.Person()
	p.At(p.Send("GET", web("openid https://graph.microsoft.com/User.Read")), 200, "Sign in")
	a := p.At(p.SignIn(s.Alice.UserPrincipalName), 200, "Allow this?")
	if !strings.Contains(a.Text, "Sign in and read user profile") || strings.Contains(a.Text, "everybody") {
		t.Fatal(a.Text)
	}
	q := p.Location(p.Send("POST", "/signin/consent", "state", p.State, "action", "decline"), "https://app.test/cb")
	if q.Get("error") != "access_denied" || !strings.HasPrefix(q.Get("error_description"), "AADSTS65004") {
		t.Fatal(q)
	}
	if q := p.Location(p.Send("GET", web("openid https://graph.microsoft.com/User.Read", "prompt", "none")), "https://app.test/cb"); q.Get("error") != "consent_required" {
		t.Fatal(q)
	}
	p.At(p.Send("GET", web("openid https://graph.microsoft.com/User.Read")), 200, "Allow this?")
	q = p.Location(p.Send("POST", "/signin/consent", "state", p.State, "action", "accept"), "https://app.test/cb")
	got := s.Post("/contoso.test/oauth2/v2.0/token", "grant_type", "authorization_code", "client_id", app.AppID.String(), "client_secret", s.AppSecret,
		"code", q.Get("code"), "redirect_uri", "https://app.test/cb", "code_verifier", verifier)
	if c := logintest.Claims(t, got.Str(t, "access_token")); c["scp"] != "User.Read" || c["appidacr"] != "1" {
		t.Fatal(c)
	}
	if q := p.Location(p.Send("GET", web("openid https://graph.microsoft.com/User.Read", "prompt", "none")), "https://app.test/cb"); q.Get("code") == "" {
		t.Fatal(q)
	}
	p.At(p.Send("GET", web("openid https://graph.microsoft.com/User.Read", "prompt", "consent")), 200, "Allow this?")
	t.Run("only administrators", func(t *testing.T) {
		a := p.At(p.Send("GET", web("https://graph.microsoft.com/Directory.Read.All")), 400, "That did not work")
		if !strings.Contains(a.Text, "AADSTS90094") {
			t.Fatal(a.Text)
		}
	})
	t.Run("another person has not", func(t *testing.T) {
		bob := s.Person()
		bob.At(bob.Send("GET", web("openid https://graph.microsoft.com/User.Read")), 200, "Sign in")
		bob.At(bob.SignIn(s.Bob.UserPrincipalName), 200, "Allow this?")
	})
	t.Run("an administrator, for everybody", func(t *testing.T) {
		s.Update(func(tx *store.Tx) error { return tx.GrantDirectoryRole(directory.GlobalAdministrator(), s.Alice.ID) })
		a := p.At(p.Send("GET", web("https://graph.microsoft.com/Directory.Read.All")), 200, "Allow this?")
		if !strings.Contains(a.Text, "everybody") {
			t.Fatal(a.Text)
		}
		p.Location(p.Send("POST", "/signin/consent", "state", p.State, "action", "accept", "everybody", "yes"), "https://app.test/cb")
		bob := s.Person()
		bob.At(bob.Send("GET", web("https://graph.microsoft.com/Directory.Read.All")), 200, "Sign in")
		bob.Location(bob.SignIn(s.Bob.UserPrincipalName), "https://app.test/cb")
	})
	if s.Audit(audit.ConsentGiven) != 2 {
		t.Error("consent is not in the log")
	}
}

func TestAdminConsent(t *testing.T) {
	s := logintest.Start(t)
	app := webApp(s, "https://app.test/cb")
	scopes, roles := s.Catalog.Offers(directory.MicrosoftGraph())
	need := directory.RequiredAccess{Resource: directory.MicrosoftGraph()}
	for _, sc := range scopes {
		if sc.Value == "Group.Read.All" {
			need.Permissions = append(need.Permissions, directory.RequiredPermission{ID: sc.ID, Type: directory.AccessScope})
		}
	}
	for _, r := range roles {
		if r.Value == "User.Read.All" {
			need.Permissions = append(need.Permissions, directory.RequiredPermission{ID: r.ID, Type: directory.AccessRole})
		}
	}
	app.RequiredAccess = []directory.RequiredAccess{need}
	s.Update(func(tx *store.Tx) error { return tx.PutApplication(app) })
	path := "/contoso.test/adminconsent?client_id=" + app.AppID.String() + "&state=x&redirect_uri=" + url.QueryEscape("https://app.test/cb")
	p := s.Person()
	p.At(p.Send("GET", path), 200, "Sign in")
	if a := p.At(p.SignIn(s.Alice.UserPrincipalName), 400, "That did not work"); !strings.Contains(a.Text, "AADSTS90094") {
		t.Fatal(a.Text)
	}
	s.Update(func(tx *store.Tx) error { return tx.GrantDirectoryRole(directory.GlobalAdministrator(), s.Alice.ID) })
	p.At(p.Send("GET", path), 200, "Choose an account")
	a := p.At(p.Send("POST", "/signin/account", "state", p.State, "account", s.Alice.ID.String()), 200, "Allow this?")
	if !strings.Contains(a.Text, "Read all groups") || !strings.Contains(a.Text, "Read all users") {
		t.Fatal(a.Text)
	}
	q := p.Location(p.Send("POST", "/signin/consent", "state", p.State, "action", "accept"), "https://app.test/cb")
	if q.Get("admin_consent") != "True" || q.Get("tenant") != s.Tenant.ID.String() || q.Get("state") != "x" {
		t.Fatal(q)
	}
	own := s.Post("/contoso.test/oauth2/v2.0/token", "grant_type", "client_credentials", "client_id", app.AppID.String(), "client_secret", s.AppSecret,
		"scope", "https://graph.microsoft.com/.default")
	if c := logintest.Claims(t, own.Str(t, "access_token")); len(c["roles"].([]any)) != 1 || c["roles"].([]any)[0] != "User.Read.All" {
		t.Fatal(c)
	}
}

func TestAssignmentRequired(t *testing.T) {
	s := logintest.Start(t)
	app := webApp(s, "https://app.test/cb")
	allow(s, app, "openid")
	s.Update(func(tx *store.Tx) error {
		p, err := tx.ServicePrincipal(s.AppObject)
		p.AssignmentRequired = true
		if err != nil {
			return err
		}
		return tx.PutServicePrincipal(p)
	})
	path := request("contoso.test", "client_id", app.AppID.String(), "redirect_uri", "https://app.test/cb", "scope", "openid")
	p := s.Person()
	p.At(p.Send("GET", path), 200, "Sign in")
	if q := p.Location(p.SignIn(s.Alice.UserPrincipalName), "https://app.test/cb"); !strings.HasPrefix(q.Get("error_description"), "AADSTS50105") {
		t.Fatal(q)
	}
}

// TestResultIsBound: what goes back from the pages is good for one browser, and for two minutes.
func TestResultIsBound(t *testing.T) {
	s := logintest.Start(t)
	p := s.Person()
	p.At(p.Send("GET", request("contoso.test")), 200, "Sign in")
	finish := p.Once("POST", "/signin/password", "state", p.State, "username", s.Alice.UserPrincipalName, "password", logintest.Password).Header.Get("Location")
	path := strings.TrimPrefix(finish, s.BaseURL)
	if !strings.HasPrefix(path, "/oauth2/finish?result=") {
		t.Fatal(finish)
	}
	stranger := s.Person()
	stranger.At(stranger.Send("GET", path), 400, "That did not work")
	stranger.At(stranger.Send("GET", path[:len(path)-2]), 400, "That did not work")
	p.Location(p.Send("GET", path), here)
	p.At(p.Send("GET", path), 400, "That did not work") // the cookie went with the first
	if s.Audit(audit.SignIn) != 1 {
		t.Error("signed in more than once")
	}
}

func TestMethods(t *testing.T) {
	s := logintest.Start(t)
	u, _ := url.Parse(request("contoso.test"))
	var pairs []string
	for k, v := range u.Query() {
		pairs = append(pairs, k, v[0])
	}
	if a := s.Post(u.Path, pairs...); a.Status != http.StatusSeeOther || !strings.Contains(a.Header.Get("Location"), "/signin?request=") {
		t.Fatal(a.Status, a.Text)
	}
}
