package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/keyreeve/keyreeve/internal/pki"
	"github.com/keyreeve/keyreeve/test/harness"
)

// attached is a foreign API server with a gate of its own.
type attached struct {
	t       testing.TB
	p       person
	cluster *harness.Foreign
	gate    *harness.Gate
	// folder is what `cluster attach` wrote; config is gate.yaml in it, changed for a test on one machine.
	folder string
	id     string // the cluster's ARM id
	hooks  string // base URL of the gate's webhooks
	own    string // the cluster's own id
}

// attach attaches a foreign cluster and starts its gate and then the cluster, as the printed guide says.
func attach(t testing.TB, p person, staleness string, args ...string) *attached {
	t.Helper()
	a := &attached{t: t, p: p, cluster: harness.NewForeign(t), folder: filepath.Join(t.TempDir(), "gate")}
	if p.az("group", "exists", "-n", "rg") == "false" {
		p.az("group", "create", "-n", "rg", "-l", "eastus", "-o", "none")
	}
	out := harness.Must(t, p.env, "keyreeve", append([]string{
		"cluster", "attach", "away", "-g", "rg", "--server", a.cluster.Server, "--ca", a.cluster.CA, "--out", a.folder, "--kubernetes-version", "1.37",
	}, args...)...)
	if !strings.Contains(out, "authorization-config") || strings.Contains(out, "krgate_") {
		t.Errorf("attach printed:\n%s", out)
	}
	a.id = p.az("aks", "show", "-g", "rg", "-n", "away", "--query", "id", "-o", "tsv")
	listen, health := harness.FreePort(t), harness.FreePort(t)
	a.configure(map[string]any{
		"listen": listen, "health": health, "maxStaleness": staleness, "logLevel": "debug", "name": "gate-1",
		"stateDir": filepath.Join(a.folder, "state"), "apiServerDir": filepath.Join(a.folder, "apiserver"),
	})
	a.hooks = "https://" + listen
	a.gate = harness.NewGate(t, filepath.Join(a.folder, "gate.yaml"), health)
	harness.Must(t, p.env, "keyreeve", "gate", "--check", "--config", a.gate.Config)
	a.gate.Start()
	a.cluster.Start(filepath.Join(a.folder, "apiserver"), a.hooks, a.own)
	a.masters("apply", "-f", filepath.Join(a.folder, "gate-rbac.yaml"))
	var token string
	eventually(t, 20*time.Second, "the gate's service account has a token", func() bool {
		token = a.masters("-n", "kube-system", "get", "secret", "keyreeve-gate", "-o", "go-template={{with .data.token}}{{. | base64decode}}{{end}}")
		return token != ""
	})
	if err := os.WriteFile(filepath.Join(a.folder, "token"), []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
	a.ready()
	return a
}

// configure changes the gate's configuration.
func (a *attached) configure(change map[string]any) {
	a.t.Helper()
	path := filepath.Join(a.folder, "gate.yaml")
	text, err := os.ReadFile(path)
	if err != nil {
		a.t.Fatal(err)
	}
	config := map[string]any{}
	if err := yaml.Unmarshal(text, &config); err != nil {
		a.t.Fatal(err)
	}
	maps.Copy(config, change)
	a.own = fmt.Sprint(config["cluster"])
	if text, err = yaml.Marshal(config); err != nil {
		a.t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		a.t.Fatal(err)
	}
}

func (a *attached) masters(args ...string) string {
	a.t.Helper()
	return a.p.kubectl(append([]string{"--kubeconfig", a.cluster.Masters}, args...)...)
}

// ready waits until the gate knows all it needs.
func (a *attached) ready() time.Duration {
	a.t.Helper()
	return eventually(a.t, 30*time.Second, "the gate is ready", func() bool {
		code, _ := a.gate.Get("/readyz")
		return code == http.StatusOK
	})
}

// metric reads one of the gate's metrics.
func (a *attached) metric(name string) string {
	a.t.Helper()
	_, text := a.gate.Get("/metrics")
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, "keyreeve_gate_"+name+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	a.t.Fatalf("no metric %s in:\n%s", name, text)
	return ""
}

// asker asks API servers with a bearer token.
type asker struct {
	t     testing.TB
	http  *http.Client
	token string
}

func newAsker(t testing.TB, caFile, token string) *asker {
	t.Helper()
	ca, err := os.ReadFile(caFile)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	return &asker{t, &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}, token}
}

// do sends a request and returns status and body.
func (k *asker) do(method, url string, body any) (int, string) {
	k.t.Helper()
	var in io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			k.t.Fatal(err)
		}
		in = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(context.WithoutCancel(k.t.Context()), method, url, in)
	if err != nil {
		k.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+k.token)
	req.Header.Set("Content-Type", "application/json")
	res, err := k.http.Do(req)
	if err != nil {
		k.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, _ := io.ReadAll(res.Body)
	return res.StatusCode, string(text)
}

// TestAttachedGate walks the life of a gate beside an API server that Keyreeve does not run.
func TestAttachedGate(t *testing.T) {
	k := harness.Up(t)
	p := signIn(t, k)
	me := p.az("ad", "signed-in-user", "show", "--query", "id", "-o", "tsv")
	group := p.az("ad", "group", "create", "--display-name", "ops", "--mail-nickname", "ops", "--query", "id", "-o", "tsv")
	p.az("ad", "group", "member", "add", "-g", "ops", "--member-id", me)
	a := attach(t, p, "12s", "--admin-group", group)

	const server = "6dae42f8-4368-4678-94ff-3960e28e3630"
	kube := newAsker(t, a.cluster.CA, p.az("account", "get-access-token", "--resource", server, "--query", "accessToken", "-o", "tsv"))
	graph := newAsker(t, k.Data.CA(), p.az("account", "get-access-token", "--resource-type", "ms-graph", "--query", "accessToken", "-o", "tsv"))
	base := lookup(p.env, "KEYREEVE_GRAPH_URL") + "/v1.0"
	nodes := func() (int, string) { return kube.do(http.MethodGet, a.cluster.Server+"/api/v1/nodes", nil) }
	want := func(when string, code int) {
		t.Helper()
		if got, text := nodes(); got != code {
			t.Fatalf("%s: %d, want %d: %.400s", when, got, code, text)
		}
	}
	until := func(what string, code int) time.Duration {
		t.Helper()
		start := time.Now()
		for got, text := nodes(); got != code; got, text = nodes() {
			if time.Since(start) > time.Second {
				t.Fatalf("%s: a second later %d %.300s", what, got, text)
			}
		}
		return time.Since(start)
	}
	leave := func() {
		t.Helper()
		if code, text := graph.do(http.MethodDelete, base+"/groups/"+group+"/members/"+me+"/$ref", nil); code != http.StatusNoContent {
			t.Fatalf("leave: %d %s", code, text)
		}
	}
	join := func() {
		t.Helper()
		ref := map[string]string{"@odata.id": base + "/directoryObjects/" + me}
		if code, text := graph.do(http.MethodPost, base+"/groups/"+group+"/members/$ref", ref); code != http.StatusNoContent {
			t.Fatalf("join: %d %s", code, text)
		}
	}

	want("a member of the admin group", http.StatusOK)
	var slowest [2]time.Duration
	const times = 50
	for range times {
		leave()
		slowest[0] = max(slowest[0], until("membership removed", http.StatusForbidden))
		join()
		slowest[1] = max(slowest[1], until("membership back", http.StatusOK))
	}
	t.Logf("slowest of %d: refused %s after the removal was acknowledged, let in %s after the addition", times, slowest[0], slowest[1])

	t.Run("the printed way in", func(t *testing.T) {
		p.az("aks", "get-credentials", "-g", "rg", "-n", "away", "--overwrite-existing")
		p.with("AAD_LOGIN_METHOD", "azurecli")
		harness.Must(t, p.env, "clients/kubelogin", "convert-kubeconfig", "-l", "azurecli")
		if out := p.kubectl("get", "nodes", "-o", "name"); out != "node/node-0" {
			t.Errorf("nodes: %s", out)
		}
		if _, stderr, status := harness.Run(t, p.env, "clients/az", "aks", "get-credentials", "-g", "rg", "-n", "away", "--admin", "--file", "-"); status == 0 ||
			!strings.Contains(stderr, "attached") {
			t.Errorf("an admin certificate of a foreign cluster: %d %s", status, stderr)
		}
	})
	t.Run("its own certificates", func(t *testing.T) { ownCertificates(t, a, group) })
	t.Run("revision reported", func(t *testing.T) {
		leave()
		join()
		var list struct {
			Value []struct {
				Name      string
				Connected bool
				Revision  int64
			}
			Revision int64
		}
		eventually(t, 5*time.Second, "the gate reports the newest revision", func() bool {
			list.Value = nil
			out := p.az("rest", "--method", "get", "--url", a.id+"/keyreeveGates?api-version=2024-05-01")
			if err := json.Unmarshal([]byte(out), &list); err != nil {
				t.Fatal(err)
			}
			return len(list.Value) == 1 && list.Value[0].Connected && list.Value[0].Name == "gate-1" && list.Value[0].Revision == list.Revision
		})
	})

	t.Run("its own RBAC is known to who asks the control plane", func(t *testing.T) {
		a.masters("create", "clusterrolebinding", "ann-looks", "--clusterrole", "view", "--user", "ann@keyreeve.test")
		p.az("ad", "user", "create", "--display-name", "ann", "--user-principal-name", "ann@keyreeve.test", "--password", "Correct-horse-9", "-o", "none")
		var out string
		eventually(t, 10*time.Second, "the binding is among the ways", func() bool {
			out = harness.Must(t, p.env, "keyreeve", "explain", "-c", a.id, "--user", "ann@keyreeve.test", "-n", "default", "list", "pods")
			return strings.HasPrefix(out, "allow: ann@keyreeve.test") && strings.Contains(out, "ClusterRoleBinding/ann-looks")
		})
		if out := harness.Must(t, p.env, "keyreeve", "who-can", "-c", a.id, "-n", "default", "list", "pods"); !strings.Contains(out, "ann@keyreeve.test") || strings.Contains(out, "not known") {
			t.Errorf("who can:\n%s", out)
		}
	})
	t.Run("az aks update", func(t *testing.T) { updateAttached(t, a, group) })

	want("before the control plane is killed", http.StatusOK)
	k.Kill()
	want("the control plane is gone", http.StatusOK)
	a.gate.Kill()
	a.gate.Start()
	took := eventually(t, 8*time.Second, "a gate that starts again without a control plane decides", func() bool { got, _ := nodes(); return got == http.StatusOK })
	t.Logf("a gate killed and started without a control plane decides again after %s", took)
	if a.metric("connected") != "0" {
		t.Error("connected to nothing")
	}
	eventually(t, 20*time.Second, "the staleness bound passes", func() bool { return a.metric("stale") == "1" })
	code, text := nodes()
	if code == http.StatusOK || strings.Contains(text, "Keyreeve: ") {
		t.Errorf("past the bound, a decision: %d %s", code, text)
	}
	if code, text := a.gate.Get("/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(text, "not heard from") {
		t.Errorf("readyz %d: %s", code, text)
	}
	// The cluster itself goes on, and so does who is of system:masters.
	a.masters("create", "deployment", "web", "--image", "nginx")
	a.masters("rollout", "status", "deployment/web", "--timeout", "60s")

	k.Start()
	took = eventually(t, 15*time.Second, "the gate decides again", func() bool { got, _ := nodes(); return got == http.StatusOK })
	t.Logf("decides again %s after the control plane is ready", took)
	leave()
	t.Logf("refused %s after the removal, with the control plane started again", until("membership removed", http.StatusForbidden))
	join()

	t.Run("a gate's certificate is revoked", func(t *testing.T) {
		out := p.az("rest", "--method", "get", "--url", a.id+"/keyreeveCertificates?api-version=2024-05-01")
		var list struct {
			Value []struct {
				Name       string
				Properties struct{ Kind string }
			}
		}
		if err := json.Unmarshal([]byte(out), &list); err != nil || len(list.Value) != 1 || list.Value[0].Properties.Kind != "gate" {
			t.Fatalf("%v %s", err, out)
		}
		p.az("rest", "--method", "post", "--url", a.id+"/keyreeveCertificates/"+list.Value[0].Name+"/revoke?api-version=2024-05-01")
		eventually(t, 5*time.Second, "its stream ends", func() bool { return a.metric("connected") == "0" })
	})
	t.Run("detached", func(t *testing.T) {
		p.az("aks", "delete", "-g", "rg", "-n", "away", "--yes")
		if out := p.az("aks", "list", "--query", "length(@)"); out != "0" {
			t.Errorf("%s clusters left", out)
		}
	})
}

// ownCertificates: the certificates of the cluster's own authority are let through to its RBAC, but none that claims to be
// of the directory; and none at all once local accounts are disabled.
func ownCertificates(t *testing.T, a *attached, group string) {
	p := a.p
	a.masters("create", "clusterrolebinding", "owners", "--clusterrole", "cluster-admin", "--group", "owners")
	a.masters("create", "clusterrolebinding", "ops", "--clusterrole", "cluster-admin", "--group", group)
	a.masters("create", "clusterrolebinding", "me", "--clusterrole", "cluster-admin", "--user", p.k.Admin.UserPrincipalName)
	can := func(name string, groups ...string) (string, bool) {
		file := a.cluster.Kubeconfig("own", func() (pki.KeyPair, error) { return a.cluster.Client(name, groups...) })
		return p.tryKubectl("--kubeconfig", file, "get", "nodes", "-o", "name")
	}
	if out, ok := can("owner", "owners"); !ok {
		t.Errorf("the cluster's own certificate: %s", out)
	}
	if out, ok := can("nobody"); ok || !strings.Contains(out, "Forbidden") {
		t.Errorf("a certificate without rights: %s", out)
	}
	if out, ok := can("mallory", group); ok {
		t.Errorf("a certificate with a group of the directory: %s", out)
	}
	if out, ok := can(p.k.Admin.UserPrincipalName); ok {
		t.Errorf("a certificate with a name of the directory: %s", out)
	}
	local := func(disabled string) {
		t.Helper()
		harness.Must(t, p.env, "keyreeve", "cluster", "attach", "away", "-g", "rg", "--server", a.cluster.Server, "--ca", a.cluster.CA,
			"--out", filepath.Join(t.TempDir(), "again"), "--disable-local-accounts="+disabled)
	}
	local("true")
	eventually(t, 5*time.Second, "local accounts are disabled", func() bool { _, ok := can("owner", "owners"); return !ok })
	local("false")
	eventually(t, 5*time.Second, "local accounts are enabled", func() bool { _, ok := can("owner", "owners"); return ok })
	a.masters("delete", "clusterrolebinding", "owners", "ops", "me")
}

// updateAttached takes az through the updates that make sense for a cluster elsewhere, and some that do not.
func updateAttached(t *testing.T, a *attached, group string) {
	update := func(args ...string) string {
		t.Helper()
		return a.p.az(append([]string{"aks", "update", "-g", "rg", "-n", "away", "-o", "tsv"}, args...)...)
	}
	if got := update("--enable-azure-rbac", "--query", "aadProfile.enableAzureRbac"); got != "true" {
		t.Errorf("Azure RBAC: %q", got)
	}
	if got := update("--disable-azure-rbac", "--query", "aadProfile.enableAzureRbac"); got != "false" {
		t.Errorf("Azure RBAC: %q", got)
	}
	if got := update("--disable-local-accounts", "--query", "disableLocalAccounts"); got != "true" {
		t.Errorf("local accounts: %q", got)
	}
	if got := update("--aad-admin-group-object-ids", group, "--query", "aadProfile.adminGroupObjectIDs[0]"); got != group {
		t.Errorf("admin group %q", got)
	}
	if got := update("--tags", "a=b", "--query", "tags.a"); got != "b" {
		t.Errorf("tags: %q", got)
	}
	for _, args := range [][]string{{"--enable-cluster-autoscaler", "--min-count", "1", "--max-count", "3"}, {"--nodepool-labels", "a=b"}} {
		_, stderr, status := harness.Run(t, a.p.env, "clients/az", append([]string{"aks", "update", "-g", "rg", "-n", "away", "-o", "none"}, args...)...)
		if status == 0 || !strings.Contains(stderr, "The nodes of an attached cluster are not managed here") {
			t.Errorf("az aks update %s: %d %s", strings.Join(args, " "), status, stderr)
		}
	}
}
