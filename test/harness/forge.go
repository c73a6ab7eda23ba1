package harness

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/keyreeve/keyreeve/internal/keyring/keytest"
)

// Forge is a service of pipelines on loopback that gives its jobs tokens, in the forms of GitHub Actions and of Azure Pipelines. Each
// is an issuer of its own, with its keys published.
type Forge struct {
	*httptest.Server
	t testing.TB

	mu       sync.Mutex
	subjects map[string]string
	asked    int
}

// The issuers of a Forge.
const (
	GitHub    = "github"
	Pipelines = "pipelines"
)

// job is what the runner gives a job to ask with.
const job = "job-1"

// NewForge starts a Forge, and stops it at the end of the test.
func NewForge(t testing.TB) *Forge {
	t.Helper()
	f := &Forge{t: t, subjects: map[string]string{GitHub: "repo:contoso/shop:ref:refs/heads/main", Pipelines: "sc://contoso/shop/keyreeve"}}
	mux := http.NewServeMux()
	for name, key := range map[string]int{GitHub: 1, Pipelines: 2} {
		mux.HandleFunc("GET /"+name+"/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
			answer(w, map[string]string{"issuer": f.Issuer(name), "jwks_uri": f.Issuer(name) + "/jwks"})
		})
		mux.HandleFunc("GET /"+name+"/jwks", func(w http.ResponseWriter, _ *http.Request) {
			answer(w, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: keytest.Private(t, key).Public(), KeyID: name, Algorithm: "RS256", Use: "sig"}}})
		})
	}
	mux.HandleFunc("GET /github/token", func(w http.ResponseWriter, r *http.Request) {
		if f.isJob(w, r) {
			answer(w, map[string]string{"value": f.Token(GitHub, r.URL.Query().Get("audience"))})
		}
	})
	mux.HandleFunc("POST /pipelines/token", func(w http.ResponseWriter, r *http.Request) {
		if f.isJob(w, r) {
			answer(w, map[string]string{"oidcToken": f.Token(Pipelines, "api://AzureADTokenExchange")})
		}
	})
	f.Server = httptest.NewServer(mux)
	t.Cleanup(f.Close)
	return f
}

func answer(w http.ResponseWriter, v any) { _ = json.NewEncoder(w).Encode(v) }

func (f *Forge) isJob(w http.ResponseWriter, r *http.Request) bool {
	f.mu.Lock()
	f.asked++
	f.mu.Unlock()
	if !strings.EqualFold(r.Header.Get("Authorization"), "bearer "+job) {
		w.WriteHeader(http.StatusUnauthorized)
		return false
	}
	return true
}

// Issuer is the issuer of one form.
func (f *Forge) Issuer(name string) string { return f.URL + "/" + name }

// Asked is how often jobs asked for tokens.
func (f *Forge) Asked() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked
}

// Be sets whom the tokens of an issuer are about: another branch, another service connection.
func (f *Forge) Be(name, subject string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.subjects[name] = subject
}

// Token makes the token of a job.
func (f *Forge) Token(name, audience string) string {
	f.mu.Lock()
	subject := f.subjects[name]
	f.mu.Unlock()
	key := keytest.Private(f.t, map[string]int{GitHub: 1, Pipelines: 2}[name])
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: key}, (&jose.SignerOptions{}).WithHeader("kid", name))
	if err != nil {
		f.t.Fatal(err)
	}
	now := time.Now()
	text, err := jwt.Signed(s).Claims(jwt.Claims{
		Issuer: f.Issuer(name), Subject: subject, Audience: jwt.Audience{audience}, IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(5 * time.Minute)),
	}).Serialize()
	if err != nil {
		f.t.Fatal(err)
	}
	return text
}

// Env is what the runners of both forms set for a job.
func (f *Forge) Env() []string {
	return []string{
		"ACTIONS_ID_TOKEN_REQUEST_URL=" + f.URL + "/github/token?api-version=2.0", "ACTIONS_ID_TOKEN_REQUEST_TOKEN=" + job,
		"SYSTEM_OIDCREQUESTURI=" + f.URL + "/pipelines/token", "SYSTEM_ACCESSTOKEN=" + job,
	}
}
