package signin_test

import (
	"html"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/logintest"
	"github.com/keyreeve/keyreeve/internal/store"
)

// person is somebody at a browser.
type person struct {
	*logintest.Service
	jar http.CookieJar
	// header is sent with every post.
	header map[string]string
	state  string
}

func newPerson(t *testing.T, s *logintest.Service) *person {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &person{Service: s, jar: jar, header: map[string]string{"Sec-Fetch-Site": "same-origin"}}
}

var (
	statePattern   = regexp.MustCompile(`name="state" value="([^"]*)"`)
	headingPattern = regexp.MustCompile(`<h1>(?:<span[^>]*>✓</span> )?([^<]*)</h1>`)
)

func (p *person) send(method, path string, pairs ...string) logintest.Answer {
	p.Helper()
	form := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Add(pairs[i], pairs[i+1])
	}
	req, err := http.NewRequestWithContext(p.Context(), method, p.BaseURL+path, strings.NewReader(form.Encode()))
	if err != nil {
		p.Fatal(err)
	}
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for k, v := range p.header {
		req.Header.Set(k, v)
	}
	for _, c := range p.jar.Cookies(req.URL) {
		req.AddCookie(c)
	}
	a := p.Do(req)
	p.jar.SetCookies(req.URL, (&http.Response{Header: a.Header}).Cookies())
	if m := statePattern.FindStringSubmatch(a.Text); m != nil {
		p.state = html.UnescapeString(m[1])
	}
	return a
}

// at fails the test unless the page has a heading.
func (p *person) at(a logintest.Answer, status int, heading string) {
	p.Helper()
	m := headingPattern.FindStringSubmatch(a.Text)
	if a.Status != status || m == nil || html.UnescapeString(m[1]) != heading {
		p.Fatalf("got %d %q, want %d %q:\n%s", a.Status, m, status, heading, a.Text)
	}
}

func (p *person) toSignIn(code string) {
	p.Helper()
	p.at(p.send("POST", "/device", "user_code", code), 200, "Sign in")
}

func (p *person) toConfirm(code string) {
	p.Helper()
	p.toSignIn(code)
	p.at(p.send("POST", "/signin/password", "state", p.state, "username", p.Alice.UserPrincipalName, "password", logintest.Password), 200, "Is this you?")
}

func deviceStart(t *testing.T, s *logintest.Service) (userCode string, poll func() logintest.Answer) {
	t.Helper()
	a := s.Post("/organizations/oauth2/v2.0/devicecode", "client_id", directory.AzureCLI().String(), "scope", "openid offline_access")
	return a.Str(t, "user_code"), func() logintest.Answer {
		return s.Post("/organizations/oauth2/v2.0/token", "grant_type", "device_code", "client_id", directory.AzureCLI().String(),
			"device_code", a.Str(t, "device_code"))
	}
}

func TestEveryPageIsGuarded(t *testing.T) {
	s := logintest.Start(t)
	p := newPerson(t, s)
	code, _ := deviceStart(t, s)
	pages := []logintest.Answer{
		p.send("GET", "/device"), p.send("POST", "/device", "user_code", "x"), p.send("POST", "/device", "user_code", code),
		p.send("POST", "/signin/password"), p.send("GET", "/error?code=1"), p.send("GET", "/common/oauth2/v2.0/authorize"), p.send("GET", "/signin/signout"), p.send("GET", "/signin"),
	}
	for _, a := range pages {
		for name, want := range map[string]string{
			"X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Referrer-Policy": "same-origin",
			"Content-Type": "text/html; charset=utf-8",
		} {
			if a.Header.Get(name) != want {
				t.Errorf("%s is %q, want %q", name, a.Header.Get(name), want)
			}
		}
		policy := a.Header.Get("Content-Security-Policy")
		if !strings.Contains(policy, "default-src 'none'") || !strings.Contains(policy, "frame-ancestors 'none'") || strings.Contains(policy, "unsafe") {
			t.Errorf("Content-Security-Policy %q", policy)
		}
		if strings.Contains(a.Text, "<script") || strings.Contains(a.Text, " style=") {
			t.Error("the page holds what its policy forbids")
		}
	}
	cookie := pages[2].Header.Get("Set-Cookie")
	for _, want := range []string{"__Host-", "Path=/", "Secure", "HttpOnly", "SameSite=Strict"} {
		if !strings.Contains(cookie, want) {
			t.Errorf("the cookie has no %s: %s", want, cookie)
		}
	}
}

func TestTypedCodes(t *testing.T) {
	s := logintest.Start(t)
	p := newPerson(t, s)
	code, _ := deviceStart(t, s)
	for _, typed := range []string{code, strings.ToLower(code), strings.ReplaceAll(code, "-", ""), " " + strings.ReplaceAll(code, "-", " ") + " "} {
		p.toSignIn(typed)
	}
	if a := p.send("GET", "/device?user_code="+strings.ToLower(code)); !strings.Contains(a.Text, `value="`+code+`"`) {
		t.Error("the link does not fill in the code")
	}
	if a := p.send("GET", `/device?user_code="><script>`); strings.Contains(a.Text, "script") {
		t.Error("the page repeats what is no code")
	}
	s.Clock.Move(16 * time.Minute)
	p.at(p.send("POST", "/device", "user_code", code), 400, "Enter your code")
}

func TestGuessingCodesIsBounded(t *testing.T) {
	s := logintest.Start(t)
	p := newPerson(t, s)
	code, _ := deviceStart(t, s)
	for range 10 {
		p.at(p.send("POST", "/device", "user_code", "BBBB-BBBB"), 400, "Enter your code")
	}
	a := p.send("POST", "/device", "user_code", code)
	p.at(a, 429, "That did not work")
	if a.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	s.Clock.Move(30 * time.Second)
	p.toSignIn(code)
}

// TestStateIsBound: what a page carries is good for one browser, one step and a quarter of an hour.
func TestStateIsBound(t *testing.T) {
	s := logintest.Start(t)
	code, poll := deviceStart(t, s)
	p := newPerson(t, s)
	p.toConfirm(code)
	confirm := p.state
	refuse := func(name string, a logintest.Answer) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			p.at(a, 400, "That did not work")
			if a := poll(); a.Body["error"] != "authorization_pending" {
				t.Fatal(a.Text)
			}
		})
	}
	stranger := newPerson(t, s)
	refuse("in another browser", stranger.send("POST", "/signin/confirm", "state", confirm, "action", "approve"))
	stranger.toSignIn(code)
	refuse("in another browser that has a cookie", stranger.send("POST", "/signin/confirm", "state", confirm, "action", "approve"))
	refuse("for another step", p.send("POST", "/signin/password", "state", confirm, "username", "x", "password", "y"))
	refuse("changed", p.send("POST", "/signin/confirm", "state", "A"+confirm[1:], "action", "approve"))
	refuse("none", p.send("POST", "/signin/confirm", "action", "approve"))
	refuse("twice", p.send("POST", "/signin/confirm", "state", confirm, "state", confirm, "action", "approve"))
	refuse("neither yes nor no", p.send("POST", "/signin/confirm", "state", confirm))
	p.at(p.send("POST", "/signin/confirm", "state", confirm, "action", "approve"), 200, "You are signed in")
	p.at(p.send("POST", "/signin/confirm", "state", confirm, "action", "approve"), 400, "That did not work")
	if a := poll(); a.Status != 200 {
		t.Fatal(a.Text)
	}
	if s.Audit(audit.DeviceApproved) != 1 || s.Audit(audit.SignIn) != 1 {
		t.Error("the approval is not in the audit log, once")
	}
}

func TestStateExpires(t *testing.T) {
	s := logintest.Start(t)
	code, _ := deviceStart(t, s)
	p := newPerson(t, s)
	p.toConfirm(code)
	s.Clock.Move(15 * time.Minute)
	p.at(p.send("POST", "/signin/confirm", "state", p.state, "action", "approve"), 400, "That did not work")
}

// TestCookieChangesAtSignIn: a cookie that somebody planted before the password is worth nothing after it.
func TestCookieChangesAtSignIn(t *testing.T) {
	s := logintest.Start(t)
	code, _ := deviceStart(t, s)
	p := newPerson(t, s)
	p.toSignIn(code)
	u, _ := url.Parse(s.BaseURL)
	before := cookie(p, u)
	p.at(p.send("POST", "/signin/password", "state", p.state, "username", s.Alice.UserPrincipalName, "password", logintest.Password), 200, "Is this you?")
	if after := cookie(p, u); after == before || after == "" {
		t.Error("the cookie stayed the same")
	}
}

// cookie is that of the sign-in under way.
func cookie(p *person, u *url.URL) string {
	for _, c := range p.jar.Cookies(u) {
		if strings.HasPrefix(c.Name, "__Host-keyreeve-signin-") {
			return c.Value
		}
	}
	return ""
}

// TestOtherSitesAreRefused: a page elsewhere can neither begin nor finish a sign-in here (login CSRF).
func TestOtherSitesAreRefused(t *testing.T) {
	s := logintest.Start(t)
	code, poll := deviceStart(t, s)
	p := newPerson(t, s)
	p.toConfirm(code)
	for _, header := range []map[string]string{
		{"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "https://evil.test"},
	} {
		p.header = header
		for path, form := range map[string][]string{
			"/device": {"user_code", code}, "/signin/password": {"state", p.state}, "/signin/confirm": {"state", p.state, "action", "approve"},
		} {
			p.at(p.send("POST", path, form...), 403, "That did not work")
		}
	}
	if a := poll(); a.Body["error"] != "authorization_pending" {
		t.Fatal(a.Text)
	}
}

func TestRefusedSignIns(t *testing.T) {
	s := logintest.Start(t)
	disabled := s.Bob
	disabled.AccountEnabled = false
	s.Update(func(tx *store.Tx) error { return tx.PutUser(disabled) })
	a := s.Post("/contoso.test/oauth2/v2.0/devicecode", "client_id", directory.AzureCLI().String(), "scope", "openid")
	for _, row := range []struct{ name, user, password, heading, says string }{
		{"wrong password", s.Alice.UserPrincipalName, "wrong", "Sign in", "The user name or the password is not right."},
		{"nobody", "nobody@contoso.test", "wrong", "Sign in", "The user name or the password is not right."},
		{"nothing typed", "", "", "Sign in", "Type your user name and your password."},
		{"other organization", s.Carol.UserPrincipalName, logintest.Password, "Sign in", "another organization"},
		{"disabled, wrong password", disabled.UserPrincipalName, "wrong", "Sign in", "The user name or the password is not right."},
		{"disabled", disabled.UserPrincipalName, logintest.Password, "That did not work", "AADSTS50057"},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := newPerson(t, s)
			p.toSignIn(a.Str(t, "user_code"))
			got := p.send("POST", "/signin/password", "state", p.state, "username", row.user, "password", row.password)
			p.at(got, 400, row.heading)
			if !strings.Contains(got.Text, row.says) {
				t.Errorf("the page does not say %q:\n%s", row.says, got.Text)
			}
			if row.password != "" && strings.Contains(got.Text, row.password+`"`) {
				t.Error("the page repeats the password")
			}
		})
	}
}

func TestRevokedBetweenPasswordAndYes(t *testing.T) {
	s := logintest.Start(t)
	code, poll := deviceStart(t, s)
	p := newPerson(t, s)
	p.toConfirm(code)
	s.Clock.Move(time.Second)
	alice := s.Alice
	alice.SessionsValidFrom = s.Clock.Now()
	s.Update(func(tx *store.Tx) error { return tx.PutUser(alice) })
	got := p.send("POST", "/signin/confirm", "state", p.state, "action", "approve")
	p.at(got, 400, "That did not work")
	if a := poll(); a.Body["error"] != "authorization_pending" {
		t.Fatal(a.Text)
	}
}

func TestNoInnerErrorIsShown(t *testing.T) {
	s := logintest.Start(t)
	code, _ := deviceStart(t, s)
	p := newPerson(t, s)
	p.toSignIn(code)
	if err := s.DB.Close(); err != nil {
		t.Fatal(err)
	}
	for _, got := range []logintest.Answer{
		p.send("POST", "/device", "user_code", code),
		p.send("POST", "/signin/password", "state", p.state, "username", "x@y", "password", "z"),
	} {
		p.at(got, 500, "That did not work")
		for _, inner := range []string{"sql", "store", "database", ".go"} {
			if strings.Contains(strings.ToLower(got.Text), inner) {
				t.Errorf("the page says %q", inner)
			}
		}
	}
	if !strings.Contains(s.Log.String(), "database is closed") || strings.Contains(s.Log.String(), code) {
		t.Error("the log must hold the cause and no code")
	}
}

func TestStepsCannotBeOpenedByAddress(t *testing.T) {
	s := logintest.Start(t)
	for _, path := range []string{"/signin/account", "/signin/password", "/signin/newpassword", "/signin/consent", "/signin/confirm", "/signin", "/oauth2/finish"} {
		if a := s.Get(path); a.Status != http.StatusBadRequest || !strings.Contains(a.Text, "This page is out of date") {
			t.Errorf("%s: %d %s", path, a.Status, a.Text)
		}
	}
}
