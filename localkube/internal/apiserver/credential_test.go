package apiserver

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestCredentialIDIsNotPlayed(t *testing.T) {
	for header, refused := range map[string]bool{
		"Impersonate-User": false,
		"Impersonate-Extra-Authentication.kubernetes.io%2fcredential-Id":       true,
		"impersonate-extra-authentication.kubernetes.io%2Fcredential-id":       true,
		"Impersonate-Extra-Authentication.kubernetes.io/credential-Id":         true,
		"Impersonate-Extra-authentication%2ekubernetes%2Eio%2fcredential%2Did": true,
		"Impersonate-Extra-Scopes":                                             false,
		"Impersonate-Extra-Authentication.kubernetes.io%2fpod-Name":            false,
	} {
		served := false
		h := keepCredentialID(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served = true }))
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/v1/pods", http.NoBody)
		r.Header[header] = []string{"X509SHA256=00"}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if served == refused || refused && w.Code != http.StatusForbidden {
			t.Errorf("%s: served %v, status %d", header, served, w.Code)
		}
	}
}
