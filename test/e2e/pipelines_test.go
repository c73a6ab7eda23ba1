package e2e

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/keyreeve/keyreeve/internal/keyring/keytest"
	"github.com/keyreeve/keyreeve/test/harness"
)

// forge is a service of pipelines that gives its jobs tokens, in the forms of GitHub Actions and Azure Pipelines.
type forge struct {
	*httptest.Server
	t       testing.TB
	subject string
	asked   []string
}

func newForge(t testing.TB) *forge {
	t.Helper()
	f := &forge{t: t}
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter, v any) { _ = json.NewEncoder(w).Encode(v) }
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]string{"issuer": f.URL, "jwks_uri": f.URL + "/jwks"})
	})
	mux.HandleFunc("GET /jwks", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: keytest.Private(t, 1).Public(), KeyID: "one", Algorithm: "RS256", Use: "sig"}}})
	})
	job := func(w http.ResponseWriter, r *http.Request) bool {
		f.asked = append(f.asked, r.Method+" "+r.URL.Path)
		if !strings.EqualFold(r.Header.Get("Authorization"), "bearer job") {
			w.WriteHeader(http.StatusUnauthorized)
			return false
		}
		return true
	}
	mux.HandleFunc("GET /actions", func(w http.ResponseWriter, r *http.Request) {
		if job(w, r) {
			answer(w, map[string]string{"value": f.token(r.URL.Query().Get("audience"))})
		}
	})
	mux.HandleFunc("POST /pipelines", func(w http.ResponseWriter, r *http.Request) {
		if job(w, r) {
			answer(w, map[string]string{"oidcToken": f.token(exchange)})
		}
	})
	f.Server = httptest.NewServer(mux)
	t.Cleanup(f.Close)
	return f
}

// token makes the token of a job.
func (f *forge) token(audience string) string {
	f.t.Helper()
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: keytest.Private(f.t, 1)}, (&jose.SignerOptions{}).WithHeader("kid", "one"))
	if err != nil {
		f.t.Fatal(err)
	}
	now := time.Now()
	text, err := jwt.Signed(s).Claims(jwt.Claims{
		Issuer: f.URL, Subject: f.subject, Audience: jwt.Audience{audience}, IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(5 * time.Minute)),
	}).Serialize()
	if err != nil {
		f.t.Fatal(err)
	}
	return text
}

// TestPipelines: jobs sign in with tokens of their forge, by az and by Azure's kubelogin; a job of another branch does not.
func TestPipelines(t *testing.T) {
	k := harness.Up(t)
	p := signIn(t, k)
	f := newForge(t)
	f.subject = "repo:contoso/shop:ref:refs/heads/main"
	p.az("group", "create", "-n", "rg", "-l", "eastus", "-o", "none")
	app := p.az("ad", "sp", "create-for-rbac", "-n", "shop", "--role", "Reader", "--scopes", p.az("group", "show", "-n", "rg", "--query", "id", "-o", "tsv"),
		"--only-show-errors", "--query", "appId", "-o", "tsv")
	credential := func(name, subject string) {
		body, err := json.Marshal(map[string]any{"name": name, "issuer": f.URL, "subject": subject, "audiences": []string{exchange}})
		if err != nil {
			t.Fatal(err)
		}
		p.az("ad", "app", "federated-credential", "create", "--id", app, "--parameters", string(body), "-o", "none")
	}
	credential("main", f.subject)
	tenant, login := k.Admin.TenantID, strings.TrimSuffix(lookup(p.env, "KEYREEVE_LOGIN_URL"), "/")+"/"

	job := apart(t, k)
	harness.Must(t, job, "clients/az", "login", "--service-principal", "-u", app, "--tenant", tenant, "--federated-token", f.token(exchange), "-o", "none")
	harness.Must(t, job, "clients/az", "group", "show", "-n", "rg", "-o", "none")

	kubelogin := func(mode string, env ...string) (string, string, int) {
		return harness.Run(t, append(k.Env(t.TempDir()), env...), "clients/kubelogin", "get-token", "-l", mode, "--server-id", "6dae42f8-4368-4678-94ff-3960e28e3630",
			"--client-id", app, "--tenant-id", tenant, "--authority-host", login, "--disable-instance-discovery")
	}
	github := []string{"ACTIONS_ID_TOKEN_REQUEST_URL=" + f.URL + "/actions?v=1", "ACTIONS_ID_TOKEN_REQUEST_TOKEN=job", "AZURE_CLIENT_ID=" + app, "AZURE_TENANT_ID=" + tenant}
	if out, stderr, _ := kubelogin("workloadidentity", github...); !strings.Contains(out, `"token":"ey`) {
		t.Errorf("GitHub Actions: %s", stderr)
	}
	f.subject = "repo:contoso/shop:ref:refs/heads/feature"
	if out, stderr, status := kubelogin("workloadidentity", github...); status == 0 || !strings.Contains(stderr, "AADSTS700213") {
		t.Errorf("another branch: %s%s", out, stderr)
	}
	if _, stderr, status := harness.Run(t, apart(t, k), "clients/az", "login", "--service-principal", "-u", app, "--tenant", tenant,
		"--federated-token", f.token(exchange)); status == 0 || !strings.Contains(stderr, "AADSTS700213") {
		t.Errorf("another branch: %s", stderr)
	}

	f.subject = "sc://contoso/shop/keyreeve"
	credential("azure-pipelines", f.subject)
	pipelines := []string{
		"SYSTEM_OIDCREQUESTURI=" + f.URL + "/pipelines", "SYSTEM_ACCESSTOKEN=job", "AZURESUBSCRIPTION_SERVICE_CONNECTION_ID=connection",
		"AZURESUBSCRIPTION_CLIENT_ID=" + app, "AZURESUBSCRIPTION_TENANT_ID=" + tenant,
	}
	if out, stderr, _ := kubelogin("azurepipelines", pipelines...); !strings.Contains(out, `"token":"ey`) {
		t.Errorf("Azure Pipelines: %s", stderr)
	}
	if len(f.asked) < 3 {
		t.Errorf("the forge was asked for tokens %d times: %v", len(f.asked), f.asked)
	}
}
