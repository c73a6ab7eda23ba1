package outpost

import (
	"crypto/tls"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/internal/gatefeed"
	"github.com/keyreeve/keyreeve/internal/mirror"
	"github.com/keyreeve/keyreeve/internal/world"
)

// TestRevokedGate: a gate that is told that it is one no more stops answering at once, by whatever word it is told, forgets what
// it knew, also on disk, and answers again when it is told a world again. A control plane that is only out of order is no such word.
func TestRevokedGate(t *testing.T) {
	for name, tt := range map[string]struct {
		then    http.HandlerFunc // the second connection
		frame   *gatefeed.Frame  // or a last frame on the first
		tls     bool             // or a TLS alert: the certificate is not taken
		revoked bool
	}{
		"a frame":             {frame: &gatefeed.Frame{Revoked: "no longer good"}, revoked: true},
		"403":                 {then: status(http.StatusForbidden), revoked: true},
		"401":                 {then: status(http.StatusUnauthorized), revoked: true},
		"404":                 {then: status(http.StatusNotFound), revoked: true},
		"a certificate's end": {tls: true, revoked: true},
		"500":                 {then: status(http.StatusInternalServerError)},
		"503":                 {then: status(http.StatusServiceUnavailable)},
		"a stream that ends":  {then: status(http.StatusOK)},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			f, _ := newFollower(t, dir, noon)
			h := &hooks{mirror: &mirror.Set{Log: quiet(), Now: noon}, heard: f.Heard, staleness: time.Minute, now: noon, log: quiet()}
			f.replaced = func(w *world.World, issuer string) error { return h.replace(w, issuer) }
			f.withdrawn = func() { h.current.Store(nil) }
			decides := func() bool {
				w := httptest.NewRecorder()
				h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/nothing", nil))
				return w.Code != http.StatusServiceUnavailable
			}
			connections := 0
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				connections++
				if connections == 2 && tt.then != nil {
					tt.then(w, r)
					return
				}
				frames := snapshot(7, user(1))
				if tt.frame != nil && connections == 1 {
					frames = append(frames, *tt.frame)
				}
				for _, frame := range frames {
					if err := json.NewEncoder(w).Encode(frame); err != nil {
						t.Error(err)
					}
				}
			}))
			refuse := false
			server.TLS = &tls.Config{MinVersion: tls.VersionTLS13, ClientAuth: tls.RequestClientCert}
			server.TLS.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
				c := server.TLS.Clone()
				c.GetConfigForClient = nil
				if refuse {
					c.ClientAuth = tls.RequireAndVerifyClientCert
				}
				return c, nil
			}
			server.StartTLS()
			defer server.Close()
			f.link.base, f.link.http = server.URL, server.Client()
			once := func() {
				t.Helper()
				server.CloseClientConnections()
				if err := f.once(t.Context()); err == nil {
					t.Error("a stream without an end")
				}
			}
			once()
			if tt.frame == nil {
				if !decides() {
					t.Fatal("does not decide after a snapshot")
				}
				refuse = tt.tls
				once()
				refuse = false
			}
			_, err := os.Stat(filepath.Join(dir, journalFile))
			if decides() == tt.revoked || f.revoked.Load() != tt.revoked || os.IsNotExist(err) != tt.revoked {
				t.Errorf("decides %v, revoked %v, journal %v", decides(), f.revoked.Load(), err)
			}
			if tt.revoked && (f.at != 0 || !f.Heard().IsZero()) {
				t.Errorf("still at %d, heard %s", f.at, f.Heard())
			}
			once()
			if !decides() || f.revoked.Load() {
				t.Error("told a world again, it does not decide")
			}
		})
	}
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(code)
		_, _ = w.Write([]byte(strings.TrimSpace(`{"error":"as it is"}`)))
	}
}
