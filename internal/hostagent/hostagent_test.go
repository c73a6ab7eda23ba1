package hostagent_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
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
	a := &hostagent.Agent{Endpoint: up.URL + "/msi/token", Secret: "s3cret", HTTP: up.Client(), Log: slog.New(slog.DiscardHandler)}
	ask := func(method, path, body string, header ...string) *httptest.ResponseRecorder {
		got = nil
		r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
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
