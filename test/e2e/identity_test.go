package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/keyreeve/keyreeve/test/harness"
)

const exchange = "api://AzureADTokenExchange"

// TestWorkloadIdentity walks from a real service account's projected token to a call of ARM, with azidentity, and to kubectl on
// another cluster, with Azure's kubelogin; and over a rotation of the key that signs such tokens.
func TestWorkloadIdentity(t *testing.T) {
	k := harness.Up(t)
	p := signIn(t, k)
	p.cluster("c1", "--enable-oidc-issuer", "--enable-workload-identity", "--enable-aad")
	p.cluster("c2", "--enable-aad", "--enable-azure-rbac")
	issuer := p.az("aks", "show", "-g", "rg", "-n", "c1", "--query", "oidcIssuerProfile.issuerUrl", "-o", "tsv")
	client := trusting(t, k)
	var doc struct {
		Issuer  string `json:"issuer"`
		JWKSURI string `json:"jwks_uri"`
	}
	fetch(t, client, issuer+".well-known/openid-configuration", &doc)
	keys := func() int {
		var set struct{ Keys []json.RawMessage }
		fetch(t, client, doc.JWKSURI, &set)
		return len(set.Keys)
	}
	if doc.Issuer != issuer || keys() != 1 {
		t.Fatalf("%+v of %s", doc, issuer)
	}

	id := p.az("identity", "create", "-g", "rg", "-n", "web", "--query", "clientId", "-o", "tsv")
	principal := p.az("identity", "show", "-g", "rg", "-n", "web", "--query", "principalId", "-o", "tsv")
	p.az("identity", "federated-credential", "create", "-g", "rg", "--identity-name", "web", "--name", "web", "--issuer", issuer,
		"--subject", "system:serviceaccount:shop:web", "--audiences", exchange)
	group := p.az("group", "show", "-n", "rg", "--query", "id", "-o", "tsv")
	c2 := p.az("aks", "show", "-g", "rg", "-n", "c2", "--query", "id", "-o", "tsv")
	for role, scope := range map[string]string{"Reader": group, "Azure Kubernetes Service RBAC Cluster Admin": c2} {
		p.az("role", "assignment", "create", "--assignee-object-id", principal, "--assignee-principal-type", "ServicePrincipal", "--role", role, "--scope", scope)
	}

	p.az("aks", "get-credentials", "-g", "rg", "-n", "c1", "--admin", "--overwrite-existing")
	on := func(args ...string) string { return p.kubectl(append([]string{"--context", "c1-admin"}, args...)...) }
	on("create", "namespace", "shop")
	on("-n", "shop", "create", "serviceaccount", "web")
	on("-n", "shop", "create", "serviceaccount", "other")
	on("-n", "shop", "annotate", "serviceaccount", "web", "azure.workload.identity/client-id="+id)
	on("-n", "shop", "run", "web", "--image", "web", "--labels", "azure.workload.identity/use=true", "--overrides", `{"spec":{"serviceAccountName":"web"}}`)
	pod := on("-n", "shop", "get", "pod", "web", "-o", "jsonpath={.spec.containers[0].env} {.spec.volumes}")
	for _, want := range []string{id, `"AZURE_AUTHORITY_HOST"`, `"AZURE_TENANT_ID","value":"` + k.Admin.TenantID, "/var/run/secrets/azure/wi/token/azure-identity-token", exchange} {
		if !strings.Contains(pod, want) {
			t.Errorf("the pod has no %s: %s", want, pod)
		}
	}
	on("-n", "shop", "run", "plain", "--image", "web")
	if pod := on("-n", "shop", "get", "pod", "plain", "-o", "yaml"); strings.Contains(pod, "AZURE_") {
		t.Error("a pod that did not ask was changed")
	}
	if out, ok := p.tryKubectl("--context", "c1-admin", "-n", "shop", "run", "bad", "--image", "web", "--labels", "azure.workload.identity/use=true",
		"--annotations", "azure.workload.identity/service-account-token-expiration=1"); ok || !strings.Contains(out, "token expiration 1 not valid") {
		t.Error(out)
	}

	// The token that the kubelet puts where the pod's variable says, of the pod and none other.
	file := filepath.Join(t.TempDir(), "token")
	project := func(pod string) {
		t.Helper()
		path := on("-n", "shop", "exec", "web", "--", "printenv", "AZURE_FEDERATED_TOKEN_FILE")
		token := on("-n", "shop", "exec", pod, "--", "cat", path)
		if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out, ok := p.tryKubectl("--context", "c1-admin", "-n", "shop", "exec", "plain", "--", "cat", "/var/run/secrets/azure/wi/token/azure-identity-token"); ok {
		t.Errorf("a pod that did not ask has a token: %s", out)
	}
	if out, ok := p.tryKubectl("--context", "c1-admin", "-n", "shop", "exec", "web", "--", "curl", "-H", "Metadata: true",
		"http://169.254.169.254/metadata/identity/oauth2/token?resource=https://management.azure.com/"); ok || !strings.Contains(out, "is not run") {
		t.Errorf("a pod asked for the node's token: %s", out)
	}
	on("-n", "shop", "run", "other", "--image", "web", "--labels", "azure.workload.identity/use=true", "--overrides", `{"spec":{"serviceAccountName":"other"}}`)
	for _, pod := range []string{"web", "plain", "other"} {
		on("-n", "shop", "wait", "pod/"+pod, "--for=condition=Ready", "--timeout=60s")
	}
	project("web")
	login := strings.TrimSuffix(lookup(p.env, "KEYREEVE_LOGIN_URL"), "/") + "/"
	ask := func() error {
		return askARM(t, k, client, workload(t, client, login, k.Admin.TenantID, id, file), group)
	}
	if err := ask(); err != nil {
		t.Fatal(err)
	}

	// The same token, by Azure's kubelogin, on the other cluster.
	p.az("aks", "get-credentials", "-g", "rg", "-n", "c2", "--overwrite-existing")
	p.kubectl("config", "set-credentials", "workload", "--exec-api-version=client.authentication.k8s.io/v1beta1", "--exec-command=kubelogin",
		"--exec-arg=get-token", "--exec-arg=--server-id", "--exec-arg=6dae42f8-4368-4678-94ff-3960e28e3630", "--exec-arg=-l", "--exec-arg=workloadidentity",
		"--exec-arg=--authority-host", "--exec-arg="+login, "--exec-arg=--disable-instance-discovery",
		"--exec-env=AZURE_CLIENT_ID="+id, "--exec-env=AZURE_TENANT_ID="+k.Admin.TenantID, "--exec-env=AZURE_FEDERATED_TOKEN_FILE="+file,
		"--exec-env=AZURE_AUTHORITY_HOST="+login)
	p.kubectl("config", "set-context", "c2-workload", "--cluster", "c2", "--user", "workload")
	if out := p.kubectl("--context", "c2-workload", "get", "nodes", "-o", "name"); !strings.Contains(out, "node/") {
		t.Error(out)
	}

	// The key that signs is rotated: what the old one signed lives out its time.
	p.az("aks", "oidc-issuer", "rotate-signing-keys", "-g", "rg", "-n", "c1", "--yes")
	if keys() != 2 {
		t.Errorf("%d keys are published after a rotation, want the old one and the new one", keys())
	}
	if err := ask(); err != nil {
		t.Errorf("a token of before the rotation: %v", err)
	}
	project("web")
	if err := ask(); err != nil {
		t.Errorf("a token of after the rotation: %v", err)
	}

	project("other")
	if err := ask(); err == nil || !strings.Contains(err.Error(), "AADSTS700213") {
		t.Errorf("a token of another service account: %v", err)
	}
	project("web")
	p.az("identity", "federated-credential", "delete", "-g", "rg", "--identity-name", "web", "--name", "web", "-y")
	if err := ask(); err == nil || !strings.Contains(err.Error(), "AADSTS700") {
		t.Errorf("without the federated credential: %v", err)
	}
	if _, stderr, status := harness.Run(t, p.env, "clients/az", "rest", "--method", "put", "--url", lookup(p.env, "KEYREEVE_ARM_URL")+c1(p)+"?api-version=2025-02-01", "--body",
		`{"location":"eastus","properties":{"oidcIssuerProfile":{"enabled":false}}}`); status == 0 || !strings.Contains(stderr, "OIDCIssuerFeatureCannotBeDisabled") {
		t.Errorf("the issuer was disabled: %s", stderr)
	}
}

func c1(p person) string {
	return p.az("aks", "show", "-g", "rg", "-n", "c1", "--query", "id", "-o", "tsv")
}

// trusting is an HTTP client that trusts what a machine with `keyreeve env` trusts.
func trusting(t *testing.T, k *harness.Keyreeve) *http.Client {
	t.Helper()
	pem, err := os.ReadFile(lookup(k.Env(t.TempDir()), "SSL_CERT_FILE"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}}
}

func fetch(t *testing.T, c *http.Client, url string, v any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatal(url, res.Status, string(body), err)
	}
	if err := json.Unmarshal(body, v); err != nil {
		t.Fatal(err)
	}
}

func workload(t *testing.T, c *http.Client, login, tenant, id, file string) azcore.TokenCredential {
	t.Helper()
	cred, err := azidentity.NewWorkloadIdentityCredential(&azidentity.WorkloadIdentityCredentialOptions{
		ClientOptions: policy.ClientOptions{Cloud: cloud.Configuration{ActiveDirectoryAuthorityHost: login}, Transport: c},
		ClientID:      id, TenantID: tenant, TokenFilePath: file, DisableInstanceDiscovery: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	return cred
}

// askARM reads a resource group with a credential's token.
func askARM(t *testing.T, k *harness.Keyreeve, c *http.Client, cred azcore.TokenCredential, id string) error {
	t.Helper()
	token, err := cred.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{"https://management.azure.com/.default"}})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, lookup(k.Env(t.TempDir()), "KEYREEVE_ARM_URL")+id+"?api-version=2021-04-01", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token.Token)
	res, err := c.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	if body, err := io.ReadAll(res.Body); err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("ARM: %s %s %v", res.Status, body, err)
	}
	return nil
}
