package logintest

import (
	"encoding/base64"
	"encoding/json"
	"html"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// Person is somebody at a browser of their own, which keeps cookies, follows redirects within the service, and runs no scripts.
type Person struct {
	*Service
	jar http.CookieJar
	// Header is sent with every post.
	Header map[string]string
	// State is that of the last page with a form.
	State string
}

// Person returns somebody with a fresh browser.
func (s *Service) Person() *Person {
	s.Helper()
	jar, err := cookiejar.New(nil)
	s.must(err)
	return &Person{Service: s, jar: jar, Header: map[string]string{"Sec-Fetch-Site": "same-origin"}}
}

var (
	statePattern   = regexp.MustCompile(`name="state" value="([^"]*)"`)
	headingPattern = regexp.MustCompile(`<h1>(?:<span[^>]*>✓</span> )?([^<]*)</h1>`)
)

// Send sends a request as the browser does. Redirects within the service are followed; one that leads away is returned.
func (p *Person) Send(method, path string, pairs ...string) Answer {
	p.Helper()
	for range 8 {
		a := p.Once(method, path, pairs...)
		next := strings.TrimPrefix(a.Header.Get("Location"), p.BaseURL)
		if a.Status != http.StatusSeeOther || !strings.HasPrefix(next, "/") {
			return a
		}
		method, path, pairs = http.MethodGet, next, nil
	}
	p.Fatal("the redirects do not end")
	return Answer{}
}

// Once sends a request as the browser does, and follows no redirect.
func (p *Person) Once(method, path string, pairs ...string) Answer {
	p.Helper()
	form := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Add(pairs[i], pairs[i+1])
	}
	req, err := http.NewRequestWithContext(p.Context(), method, p.BaseURL+path, strings.NewReader(form.Encode()))
	p.must(err)
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		for k, v := range p.Header {
			req.Header.Set(k, v)
		}
	}
	for _, c := range p.jar.Cookies(req.URL) {
		req.AddCookie(c)
	}
	a := p.Do(req)
	p.jar.SetCookies(req.URL, (&http.Response{Header: a.Header}).Cookies())
	if m := statePattern.FindStringSubmatch(a.Text); m != nil {
		p.State = html.UnescapeString(m[1])
	}
	return a
}

// At fails the test unless an answer is a page with a heading.
func (p *Person) At(a Answer, status int, heading string) Answer {
	p.Helper()
	m := headingPattern.FindStringSubmatch(a.Text)
	if a.Status != status || m == nil || html.UnescapeString(m[1]) != heading {
		p.Fatalf("got %d %q (Location %q), want %d %q:\n%s", a.Status, m, a.Header.Get("Location"), status, heading, a.Text)
	}
	return a
}

// SignIn types name and password into the page that asks for them.
func (p *Person) SignIn(user string) Answer {
	p.Helper()
	return p.Send("POST", "/signin/password", "state", p.State, "username", user, "password", Password)
}

// Location returns the parameters with which an answer sends the browser away, to a place.
func (p *Person) Location(a Answer, place string) url.Values {
	p.Helper()
	at := a.Header.Get("Location")
	u, err := url.Parse(at)
	p.must(err)
	q := u.Query()
	if f := u.EscapedFragment(); f != "" {
		q, err = url.ParseQuery(f)
		p.must(err)
	}
	u.RawQuery, u.Fragment, u.RawFragment = "", "", ""
	if a.Status != http.StatusSeeOther || u.String() != place {
		p.Fatalf("got %d to %q, want a redirect to %s:\n%s", a.Status, at, place, a.Text)
	}
	return q
}

// Claims returns the claims of a token without checking it.
func Claims(t testing.TB, raw string) map[string]any {
	t.Helper()
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		t.Fatalf("no token: %q", raw)
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var c map[string]any
	if err := json.Unmarshal(payload, &c); err != nil {
		t.Fatal(err)
	}
	return c
}
