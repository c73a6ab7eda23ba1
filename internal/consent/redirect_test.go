package consent

import (
	"net/url"
	"regexp"
	"testing"
)

// FuzzRedirect: whatever is presented, it is let through only if it is registered, or a loopback address of a registered
// path; and then parsers agree where it leads.
func FuzzRedirect(f *testing.F) {
	for _, seed := range []string{
		"http://localhost", "http://localhost/", "http://localhost:8400", "http://127.0.0.1:1/", "https://app.test/cb", "http://localhost:80@evil.test",
		`http://localhost\@evil.test`, "http://localhost#x", "http://localhost?x", "http://localhost:99999", "HTTP://localhost", "http://LOCALHOST",
		"http://localhost:", "http://localhost.:1", "http://[::1]:5/", "http://localhost%2e:1", "http://localhost:8400/%2e%2e", "msal://x",
	} {
		f.Add(seed)
	}
	c := Client{Redirects: []Redirect{{"http://localhost", Native}, {"http://127.0.0.1", Native}, {"https://app.test/cb", Web}}}
	want := regexp.MustCompile(`^(https://app\.test/cb|http://(localhost|127\.0\.0\.1)(:[0-9]{1,5})?/?)$`)
	f.Fuzz(func(t *testing.T, uri string) {
		r, err := c.Redirect(uri)
		if (err == nil) != want.MatchString(uri) {
			t.Fatalf("%q: %v", uri, err)
		}
		if err != nil {
			return
		}
		u, perr := url.Parse(uri)
		if r.URI != uri || perr != nil && u == nil || perr == nil && u.Hostname() != "localhost" && u.Hostname() != "127.0.0.1" && u.Hostname() != "app.test" {
			t.Fatalf("%q became %+v", uri, r)
		}
	})
}

func TestRedirectsOfPaths(t *testing.T) {
	c := Client{Redirects: []Redirect{{"http://localhost:3000/cb", Native}, {"http://[::1]/x", Native}, {"msal1234://auth", Native}}}
	for uri, ok := range map[string]bool{
		"http://localhost:3000/cb": true, "http://localhost:4000/cb": true, "http://localhost/cb": true, "http://localhost:4000/cb/": false,
		"http://localhost:4000/": false, "http://127.0.0.1:3000/cb": false, "http://[::1]:7/x": true, "msal1234://auth": true, "msal1234://auth/": false, "": false,
	} {
		if _, err := c.Redirect(uri); (err == nil) != ok {
			t.Errorf("%q: %v", uri, err)
		}
	}
	one := Client{Redirects: []Redirect{{"https://app.test/cb", Web}}}
	if r, err := one.Redirect(""); err != nil || r.URI != "https://app.test/cb" {
		t.Error("a client of one place need not name it: ", err)
	}
}
