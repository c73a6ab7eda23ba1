package server

import (
	"crypto/tls"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	conf "github.com/keyreeve/keyreeve/internal/config"
	"github.com/keyreeve/keyreeve/internal/pki"
)

func production(t *testing.T, more string) *conf.Serve {
	t.Helper()
	c, err := conf.Parse([]byte(`
dataDir: data
sealKeyFile: seal.key
login: {url: "https://login.test", listen: ":443"}
arm: {url: "https://arm.test", listen: ":443"}
graph: {url: "https://graph.test", listen: ":443"}
gate: {url: "https://gate.test:8443", listen: ":8443"}
`+more), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return &c
}

// parseWith is a configuration whose three faces have a certificate.
func parseWith(t *testing.T, tls, ca string) (*conf.Serve, error) {
	t.Helper()
	c, err := conf.Parse([]byte(`
dataDir: data
sealKeyFile: seal.key
caFile: "`+ca+`"
login: {url: "https://login.test", listen: ":443", tls: `+tls+`}
arm: {url: "https://arm.test", listen: ":443", tls: `+tls+`}
graph: {url: "https://graph.test", listen: ":443", tls: `+tls+`}
gate: {url: "https://gate.test:8443", listen: ":8443"}
`), t.TempDir())
	return &c, err
}

// TestProxies holds whose word is taken for where a request comes from.
func TestProxies(t *testing.T) {
	for name, test := range map[string]struct {
		more, peer string
		forwarded  []string
		want       string // the address the face sees; empty if it is not asked
	}{
		"nobody trusted":        {"", "192.0.2.1:5", []string{"198.51.100.1"}, "192.0.2.1:5"},
		"a stranger lies":       {"proxy: {trustedAddresses: [10.0.0.1]}", "192.0.2.1:5", []string{"198.51.100.1"}, "192.0.2.1:5"},
		"proxy":                 {"proxy: {trustedAddresses: [10.0.0.1]}", "10.0.0.1:5", []string{"198.51.100.1"}, "198.51.100.1:0"},
		"the client lies to it": {"proxy: {trustedAddresses: [10.0.0.1]}", "10.0.0.1:5", []string{"203.0.113.9, 198.51.100.1"}, "198.51.100.1:0"},
		"two headers":           {"proxy: {trustedAddresses: [10.0.0.1]}", "10.0.0.1:5", []string{"203.0.113.9", "198.51.100.1"}, "198.51.100.1:0"},
		"two proxies":           {"proxy: {trustedAddresses: [10.0.0.0/24]}", "10.0.0.1:5", []string{"198.51.100.1, 10.0.0.2"}, "198.51.100.1:0"},
		"with a port, v6":       {"proxy: {trustedAddresses: [10.0.0.1]}", "10.0.0.1:5", []string{"[2001:db8::1]:99"}, "[2001:db8::1]:0"},
		"nonsense":              {"proxy: {trustedAddresses: [10.0.0.1]}", "10.0.0.1:5", []string{"unknown"}, "10.0.0.1:5"},
		"nothing said":          {"proxy: {trustedAddresses: [10.0.0.1]}", "10.0.0.1:5", nil, "10.0.0.1:5"},
		"clear to a proxy":      {"proxy: {terminatesTLS: true, trustedAddresses: [10.0.0.1]}", "10.0.0.1:5", []string{"198.51.100.1"}, "198.51.100.1:0"},
		"clear to a stranger":   {"proxy: {terminatesTLS: true, trustedAddresses: [10.0.0.1]}", "192.0.2.1:5", nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, left := "", ""
			h := proxied(production(t, test.more), http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				got, left = r.RemoteAddr, r.Header.Get("X-Forwarded-For")
			}))
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.RemoteAddr = test.peer
			for _, v := range test.forwarded {
				r.Header.Add("X-Forwarded-For", v)
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if got != test.want || (test.want == "") != (w.Code == http.StatusForbidden) {
				t.Errorf("got %q, status %d", got, w.Code)
			}
			// What a trusted proxy said is used up, so that the faces see what somebody else passed on and nothing else.
			if from, ok := strings.CutSuffix(got, ":0"); ok && strings.Contains(left, strings.Trim(from, "[]")) {
				t.Errorf("X-Forwarded-For is %q after it was read", left)
			}
		})
	}
}

// FuzzForwarded holds that whatever a header says, the client is never one of the proxies, and is said in it.
func FuzzForwarded(f *testing.F) {
	f.Add("203.0.113.9, 10.0.0.2")
	f.Add("[::ffff:10.0.0.3]:1,1.2.3.4")
	f.Fuzz(func(t *testing.T, header string) {
		c := production(t, "proxy: {trustedAddresses: [10.0.0.0/24]}")
		a, hearsay, ok := clientOf(c, []string{header})
		if !ok {
			return
		}
		if c.Trusts(a) {
			t.Errorf("%s is a proxy", a)
		}
		if !strings.HasPrefix(header, hearsay) {
			t.Errorf("%q is not before anything in %q", hearsay, header)
		}
		for part := range strings.SplitSeq(header, ",") {
			part = strings.TrimSpace(part)
			if b, err := netip.ParseAddr(strings.Trim(part, "[]")); err == nil && b.Unmap() == a {
				return
			}
			if b, err := netip.ParseAddrPort(part); err == nil && b.Addr().Unmap() == a {
				return
			}
		}
		t.Errorf("%s is not in %q", a, header)
	})
}

// TestHostsShareAnAddress holds that faces on one address are told apart by the host name, with or without a port.
func TestHostsShareAnAddress(t *testing.T) {
	h := &hosts{}
	for _, name := range []string{"login.test", "arm.test"} {
		h.add(host{name: name, handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, name) })})
	}
	for asked, want := range map[string]string{"login.test": "login.test", "ARM.test:443": "arm.test", "graph.test": "No such host is served here.\n"} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Host = asked
		h.ServeHTTP(w, r)
		if w.Body.String() != want {
			t.Errorf("%s: %d %q", asked, w.Code, w.Body)
		}
	}
}

// TestCertificatesAreReadAgain holds that a certificate which is renewed in its files is served soon, and that half-written
// files leave the old one.
func TestCertificatesAreReadAgain(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	authority, err := pki.NewAuthority("test", now, authorityLife)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	files := &fileCertificate{
		cert: filepath.Join(dir, "crt"), key: filepath.Join(dir, "key"), now: func() time.Time { return now }, log: slog.New(slog.DiscardHandler),
	}
	write := func(cert, key string, at time.Time) {
		t.Helper()
		for path, text := range map[string]string{files.cert: cert, files.key: key} {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chtimes(path, at, at); err != nil {
				t.Fatal(err)
			}
		}
	}
	issue := func() pki.KeyPair {
		t.Helper()
		p, err := authority.Issue(pki.Template{CommonName: "x", Hosts: []string{"login.test"}, Use: pki.Server, Now: now, Life: pki.MaxServerLife})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	served := func() *tls.Certificate {
		t.Helper()
		c, err := files.get(nil)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	first, second := issue(), issue()
	write(first.Cert, first.Key, now)
	if err := files.load(); err != nil {
		t.Fatal(err)
	}
	a := served()
	write(second.Cert, first.Key, now.Add(time.Second)) // half of it
	now = now.Add(lookEvery)
	if served() != a {
		t.Error("a broken pair is served")
	}
	write(second.Cert, second.Key, now.Add(time.Second))
	if served() != a {
		t.Error("looked again at once")
	}
	now = now.Add(lookEvery)
	if b := served(); b == a || b.Leaf.Equal(a.Leaf) {
		t.Error("the renewed certificate is not served")
	}
}
