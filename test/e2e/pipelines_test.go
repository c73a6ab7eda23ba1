package e2e

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/keyreeve/keyreeve/test/harness"
)

// TestPipelines: jobs sign in with tokens of their forge, by az and by Azure's kubelogin; a job of another branch does not.
func TestPipelines(t *testing.T) {
	k := harness.Up(t)
	p := signIn(t, k)
	f := harness.NewForge(t)
	p.az("group", "create", "-n", "rg", "-l", "eastus", "-o", "none")
	app := p.az("ad", "sp", "create-for-rbac", "-n", "shop", "--role", "Reader", "--scopes", p.az("group", "show", "-n", "rg", "--query", "id", "-o", "tsv"),
		"--only-show-errors", "--query", "appId", "-o", "tsv")
	credential := func(name, issuer, subject string) {
		body, err := json.Marshal(map[string]any{"name": name, "issuer": f.Issuer(issuer), "subject": subject, "audiences": []string{exchange}})
		if err != nil {
			t.Fatal(err)
		}
		p.az("ad", "app", "federated-credential", "create", "--id", app, "--parameters", string(body), "-o", "none")
	}
	credential("main", harness.GitHub, "repo:contoso/shop:ref:refs/heads/main")
	tenant, login := k.Admin.TenantID, strings.TrimSuffix(lookup(p.env, "KEYREEVE_LOGIN_URL"), "/")+"/"

	job := apart(t, k)
	harness.Must(t, job, "clients/az", "login", "--service-principal", "-u", app, "--tenant", tenant, "--federated-token", f.Token(harness.GitHub, exchange), "-o", "none")
	harness.Must(t, job, "clients/az", "group", "show", "-n", "rg", "-o", "none")

	kubelogin := func(mode string, env ...string) (string, string, int) {
		return harness.Run(t, append(k.Env(t.TempDir()), env...), "clients/kubelogin", "get-token", "-l", mode, "--server-id", "6dae42f8-4368-4678-94ff-3960e28e3630",
			"--client-id", app, "--tenant-id", tenant, "--authority-host", login, "--disable-instance-discovery")
	}
	github := append(f.Env(), "AZURE_CLIENT_ID="+app, "AZURE_TENANT_ID="+tenant)
	if out, stderr, _ := kubelogin("workloadidentity", github...); !strings.Contains(out, `"token":"ey`) {
		t.Errorf("GitHub Actions: %s", stderr)
	}
	f.Be(harness.GitHub, "repo:contoso/shop:ref:refs/heads/feature")
	if out, stderr, status := kubelogin("workloadidentity", github...); status == 0 || !strings.Contains(stderr, "AADSTS700213") {
		t.Errorf("another branch: %s%s", out, stderr)
	}
	if _, stderr, status := harness.Run(t, apart(t, k), "clients/az", "login", "--service-principal", "-u", app, "--tenant", tenant,
		"--federated-token", f.Token(harness.GitHub, exchange)); status == 0 || !strings.Contains(stderr, "AADSTS700213") {
		t.Errorf("another branch: %s", stderr)
	}

	credential("azure-pipelines", harness.Pipelines, "sc://contoso/shop/keyreeve")
	pipelines := append(f.Env(), "AZURESUBSCRIPTION_SERVICE_CONNECTION_ID=connection", "AZURESUBSCRIPTION_CLIENT_ID="+app, "AZURESUBSCRIPTION_TENANT_ID="+tenant)
	if out, stderr, _ := kubelogin("azurepipelines", pipelines...); !strings.Contains(out, `"token":"ey`) {
		t.Errorf("Azure Pipelines: %s", stderr)
	}
	if n := f.Asked(); n < 3 {
		t.Errorf("the forge was asked for tokens %d times", n)
	}
}
