package discovery_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/keyreeve/keyreeve/internal/oauth/discovery"
)

// A path that is not clean is the token service's own, spelled carelessly, or nobody's: nothing is sent elsewhere with what was posted.
func TestNoPathIsRedirected(t *testing.T) {
	mux, outer := http.NewServeMux(), http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	outer.Handle("/", mux)
	for path, want := range map[string]int{
		"/common/oauth2/v2.0/token": 418, "//common//OAuth2/v2.0/token": 418, "/signin/password": 418, "/signin/": 418, "/": 418,
		"/signin//password": 404, "//signin/password": 404, "/a/../signin/password": 404, "/./signin/password": 404, "//evil.test/": 404,
		"/common/../common/oauth2/v2.0/token": 404, "/%2e%2e/oauth2/token": 404,
	} {
		rec := httptest.NewRecorder()
		discovery.FoldPaths(outer).ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "https://login.test"+path, nil))
		if rec.Code != want {
			t.Errorf("%s: %d to %q, want %d", path, rec.Code, rec.Header().Get("Location"), want)
		}
	}
}
