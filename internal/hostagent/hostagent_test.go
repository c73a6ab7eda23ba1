package hostagent_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/keyreeve/keyreeve/internal/hostagent"
)

func TestListen(t *testing.T) {
	for _, bad := range []string{"0.0.0.0:0", "[::]:0", "192.0.2.1:80", "localhost:0", "127.0.0.1", ""} {
		if l, err := hostagent.Listen(t.Context(), bad); err == nil {
			_ = l.Close()
			t.Errorf("%q is served", bad)
		}
	}
	l, err := hostagent.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
}

// TestForms: what each client sends comes to the control plane with the secret; what a browser or a proxy could send does not.
func TestForms(t *testing.T) {
	var got *http.Request
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"error":"invalid_request"}`)
	}))
	t.Cleanup(up.Close)
	a := &hostagent.Agent{Endpoint: up.URL + "/msi/token", Secret: func() (string, error) { return "s3cret", nil }, HTTP: up.Client(), Log: slog.New(slog.DiscardHandler)}
	ask := func(method, path, body string, header ...string) *httptest.ResponseRecorder {
		got = nil
		r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
		r.RemoteAddr, r.Host = "127.0.0.1:1", "127.0.0.1:40342"
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		w := httptest.NewRecorder()
		a.Handler().ServeHTTP(w, r)
		return w
	}
	const imds = "/metadata/identity/oauth2/token"
	for _, w := range []*httptest.ResponseRecorder{
		ask("GET", imds+"?api-version=2018-02-01&resource=r&client_id=c&evil=1", "", "Metadata", "true"),
		ask("POST", "/oauth2/token", "resource=r&client_id=c&evil=1", "Metadata", "true"),
	} {
		if w.Code != 400 || !strings.Contains(w.Body.String(), "invalid_request") || got == nil || got.Header.Get("X-Identity-Header") != "s3cret" {
			t.Fatal(w.Code, w.Body, got)
		}
		if want := (url.Values{"api-version": {"2019-08-01"}, "resource": {"r"}, "client_id": {"c"}}).Encode(); got.URL.RawQuery != want {
			t.Error(got.URL.RawQuery)
		}
	}
	for name, w := range map[string]*httptest.ResponseRecorder{
		"no Metadata":     ask("GET", imds+"?resource=r", ""),
		"Metadata: false": ask("GET", imds+"?resource=r", "", "Metadata", "false"),
		"forwarded":       ask("GET", imds+"?resource=r", "", "Metadata", "true", "X-Forwarded-For", "192.0.2.1"),
		"a form":          ask("POST", "/oauth2/token", "resource=r"),
		"another path":    ask("GET", "/", "", "Metadata", "true"),
	} {
		if w.Code < 400 || got != nil || strings.Contains(w.Body.String(), "s3cret") {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	up.Close()
	if w := ask("GET", imds+"?resource=r", "", "Metadata", "true"); w.Code != 503 {
		t.Errorf("without a control plane: %d", w.Code)
	}
}

// TestWhoIsAnswered: the host itself, by any of its addresses, and networks that are allowed. A pod reaches a link-local address
// of its node with its own address, and gets nothing.
func TestWhoIsAnswered(t *testing.T) {
	asked := 0
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked++
		_, _ = io.WriteString(w, `{"access_token":"t"}`)
	}))
	t.Cleanup(up.Close)
	secret, secretErr := "one", error(nil)
	a := &hostagent.Agent{
		Endpoint: up.URL, HTTP: up.Client(), Log: slog.New(slog.DiscardHandler), Secret: func() (string, error) { return secret, secretErr },
		Own: func() ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("169.254.169.254"), netip.MustParseAddr("fe80::1")}, nil
		},
	}
	ask := func(from string) int {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metadata/identity/oauth2/token?resource=r", nil)
		r.RemoteAddr, r.Host = from, "169.254.169.254"
		r.Header.Set("Metadata", "true")
		w := httptest.NewRecorder()
		a.Handler().ServeHTTP(w, r)
		return w.Code
	}
	for from, want := range map[string]int{
		"127.0.0.1:5": 200, "[::1]:5": 200, "169.254.169.254:5": 200, "192.0.2.7:5": 200, "[::ffff:192.0.2.7]:5": 200, "[fe80::1%eth0]:5": 200,
		"10.244.0.9:5": 403, "192.0.2.8:5": 403, "[fe80::2]:5": 403, "@": 403, "": 403,
	} {
		asked = 0
		if got := ask(from); got != want || asked != map[int]int{200: 1, 403: 0}[want] {
			t.Errorf("from %q: %d, and the control plane was asked %d times; want %d", from, got, asked, want)
		}
	}
	a.Allowed = []netip.Prefix{netip.MustParsePrefix("10.244.0.0/16")}
	if got := ask("10.244.0.9:5"); got != 200 {
		t.Errorf("a network that is allowed: %d", got)
	}
	if got := ask("10.245.0.9:5"); got != 403 {
		t.Errorf("another one: %d", got)
	}
	a.Own = func() ([]netip.Addr, error) { return nil, io.ErrUnexpectedEOF }
	if got := ask("192.0.2.7:5"); got != 503 {
		t.Errorf("when the addresses cannot be read: %d", got)
	}
	secretErr = io.ErrUnexpectedEOF
	if got := ask("127.0.0.1:5"); got != 503 {
		t.Errorf("without a secret: %d", got)
	}
}

// TestOverTheNetwork: by the interfaces that there are, the host is answered.
func TestOverTheNetwork(t *testing.T) {
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Retry-After", "2"); w.WriteHeader(429) }))
	t.Cleanup(up.Close)
	a := &hostagent.Agent{Endpoint: up.URL, HTTP: up.Client(), Log: slog.New(slog.DiscardHandler), Secret: func() (string, error) { return "s", nil }}
	l, err := hostagent.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Serve(ctx, l) }()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+l.Addr().String()+"/metadata/identity/oauth2/token?resource=r", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Metadata", "true")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != 429 || res.Header.Get("Retry-After") != "2" {
		t.Errorf("%s, again after %q", res.Status, res.Header.Get("Retry-After"))
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestNames: a page in a browser whose name is made to mean this machine (DNS rebinding) may set any header. It is known by its name,
// as clients of the endpoint use an address.
func TestNames(t *testing.T) {
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"access_token":"t"}`) }))
	t.Cleanup(up.Close)
	a := &hostagent.Agent{Endpoint: up.URL, HTTP: up.Client(), Log: slog.New(slog.DiscardHandler), Secret: func() (string, error) { return "s", nil }}
	for host, want := range map[string]int{
		"127.0.0.1:40342": 200, "169.254.169.254": 200, "[::1]:40342": 200, "[fe80::1]": 200, "localhost:40342": 200, "LOCALHOST": 200,
		"evil.test:40342": 403, "127.0.0.1.evil.test": 403, "localhost.evil.test": 403, "": 403, "127.0.0.1:x:y": 403,
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metadata/identity/oauth2/token?resource=r", nil)
		r.RemoteAddr, r.Host = "127.0.0.1:1", host
		r.Header.Set("Metadata", "true")
		w := httptest.NewRecorder()
		if a.Handler().ServeHTTP(w, r); w.Code != want {
			t.Errorf("%q: %d %s", host, w.Code, w.Body)
		}
	}
}

// TestSecretStays: an answer that leads elsewhere does not take the host's secret there.
func TestSecretStays(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { t.Errorf("asked with %v", r.Header) }))
	t.Cleanup(elsewhere.Close)
	up := httptest.NewServer(http.RedirectHandler(strings.Replace(elsewhere.URL, "127.0.0.1", "localhost", 1), http.StatusTemporaryRedirect))
	t.Cleanup(up.Close)
	a := &hostagent.Agent{Endpoint: up.URL, HTTP: up.Client(), Log: slog.New(slog.DiscardHandler), Secret: func() (string, error) { return "s", nil }}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metadata/identity/oauth2/token?resource=r", nil)
	r.RemoteAddr, r.Host = "127.0.0.1:1", "127.0.0.1"
	r.Header.Set("Metadata", "true")
	w := httptest.NewRecorder()
	if a.Handler().ServeHTTP(w, r); w.Code != http.StatusServiceUnavailable {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
