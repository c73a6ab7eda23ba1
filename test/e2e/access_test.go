package e2e

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/test/harness"
)

const forbidden = "Error from server (Forbidden): nodes is forbidden: User "

// TestRevocation walks the ways in which access ends, each on a real API server with the credential still at hand, and
// measures how long after the acknowledged write the next request is refused.
func TestRevocation(t *testing.T) {
	k := harness.Up(t)
	p := signIn(t, k)
	me := p.az("ad", "signed-in-user", "show", "--query", "id", "-o", "tsv")
	outer := p.az("ad", "group", "create", "--display-name", "outer", "--mail-nickname", "outer", "--query", "id", "-o", "tsv")
	inner := p.az("ad", "group", "create", "--display-name", "inner", "--mail-nickname", "inner", "--query", "id", "-o", "tsv")
	p.az("ad", "group", "member", "add", "-g", "outer", "--member-id", inner)
	p.az("ad", "group", "member", "add", "-g", "inner", "--member-id", me)
	p.cluster("c1", "--enable-aad", "--aad-admin-group-object-ids", outer)
	p.az("aks", "get-credentials", "-g", "rg", "-n", "c1", "--overwrite-existing")

	// The user's own token, used as it is: nothing is fetched anew.
	token := p.az("account", "get-access-token", "--resource", "6dae42f8-4368-4678-94ff-3960e28e3630", "--query", "accessToken", "-o", "tsv")
	get := func(args ...string) (string, bool) {
		return p.tryKubectl(append([]string{"--context", "c1-token", "get", "nodes", "-o", "name"}, args...)...)
	}
	p.kubectl("config", "set-credentials", "by-token", "--token", token)
	p.kubectl("config", "set-context", "c1-token", "--cluster", "c1", "--user", "by-token")
	mustGet := func(when string) {
		t.Helper()
		if out, ok := get(); !ok {
			t.Fatalf("%s: %s", when, out)
		}
	}
	refused := func(what string, want ...string) {
		t.Helper()
		start := time.Now()
		out, ok := get()
		for ok && time.Since(start) < time.Second {
			out, ok = get()
		}
		if ok || !slices.ContainsFunc(want, func(w string) bool { return strings.Contains(out, w) }) {
			t.Errorf("%s: a second later: %s", what, out)
		}
		t.Logf("%s: refused %s after the command ended", what, time.Since(start).Round(time.Millisecond))
	}
	mustGet("a member of a nested admin group")
	if out, ok := p.tryKubectl("--context", "c1-token", "auth", "whoami", "-o", "jsonpath={.status.userInfo.username} {.status.userInfo.uid} {.status.userInfo.groups}"); !ok ||
		!strings.HasPrefix(out, k.Admin.UserPrincipalName+" "+me) || !strings.Contains(out, outer) || !strings.Contains(out, inner) {
		t.Errorf("whoami: %s", out)
	}

	// An open watch, which Kubernetes authorized once at its start, ends too.
	ended := make(chan time.Time, 1)
	watching, stop := context.WithCancel(t.Context())
	defer stop()
	go func() {
		cmd := exec.CommandContext(watching, harness.Program(t, "clients/kubectl"), "--context", "c1-token", "get", "--raw", "/api/v1/namespaces?watch=1&timeoutSeconds=600")
		cmd.Env = p.env
		_ = cmd.Run() // how it ends does not matter, when does
		ended <- time.Now()
	}()
	eventually(t, 10*time.Second, "a watch is open", func() bool {
		return strings.Contains(k.All(), "verb=watch resource=namespaces")
	})
	select {
	case <-ended:
		t.Fatal("the watch ended by itself")
	case <-time.After(2 * time.Second): // some rounds of asking again
	}
	p.az("ad", "group", "member", "remove", "-g", "inner", "--member-id", me)
	removed := time.Now()
	refused("membership removed", forbidden)
	select {
	case at := <-ended:
		t.Logf("an open watch: ended %s after the command", at.Sub(removed).Round(time.Millisecond))
	case <-time.After(time.Second):
		t.Error("an open watch goes on a second after its right has ended")
	}
	p.az("ad", "group", "member", "add", "-g", "inner", "--member-id", me)
	mustGet("membership back")

	p.az("ad", "group", "delete", "-g", "inner")
	refused("group deleted", forbidden)
	p.az("ad", "group", "member", "add", "-g", "outer", "--member-id", me)
	mustGet("direct member")

	graph := lookup(p.env, "KEYREEVE_GRAPH_URL")
	p.az("rest", "--method", "post", "--url", graph+"/v1.0/me/revokeSignInSessions")
	// Until the API server has forgotten that it knew the token (half a second), the authorizer refuses.
	refused("sessions revoked", "Unauthorized", "the sign-in has ended")
	if _, _, status := harness.Run(t, p.env, "clients/az", "group", "list"); status == 0 {
		t.Error("ARM takes a token from before the sessions were revoked")
	}
}

// TestDisabledUser: a person whose account is disabled is refused with the token at hand, by the API server and by ARM.
func TestDisabledUser(t *testing.T) {
	k := harness.Up(t)
	p := signIn(t, k)
	const password = "Silver-Lantern-7-Orchard"
	bob := p.az("ad", "user", "create", "--display-name", "Bob", "--user-principal-name", "bob@keyreeve.test", "--password", password, "--query", "id", "-o", "tsv")
	group := p.az("ad", "group", "create", "--display-name", "admins", "--mail-nickname", "admins", "--query", "id", "-o", "tsv")
	p.az("ad", "group", "member", "add", "-g", "admins", "--member-id", bob)
	p.cluster("c1", "--enable-aad", "--aad-admin-group-object-ids", group)
	id := p.az("aks", "show", "-g", "rg", "-n", "c1", "--query", "id", "-o", "tsv")
	p.az("role", "assignment", "create", "--assignee", bob, "--role", "Reader", "--scope", id, "-o", "none")

	home := t.TempDir()
	b := person{t, k, append(k.Env(home), "AZURE_CONFIG_DIR="+filepath.Join(home, "azure"))}
	if err := os.CopyFS(filepath.Join(home, "azure"), os.DirFS(filepath.Join(k.Data.Environment(), "azure"))); err != nil {
		t.Fatal(err)
	}
	b.az("logout")
	b.az("login", "-u", "bob@keyreeve.test", "-p", password, "-o", "none")
	b.az("aks", "show", "-g", "rg", "-n", "c1", "-o", "none")
	token := b.az("account", "get-access-token", "--resource", "6dae42f8-4368-4678-94ff-3960e28e3630", "--query", "accessToken", "-o", "tsv")
	p.kubectl("config", "set-credentials", "bob", "--token", token)
	get := func() (string, bool) { return p.tryKubectl("get", "nodes", "-o", "name", "--user", "bob") }
	if out, ok := get(); !ok {
		t.Fatal(out)
	}
	p.az("ad", "user", "update", "--id", bob, "--account-enabled", "false")
	start := time.Now()
	out, ok := get()
	for ok && time.Since(start) < time.Second {
		out, ok = get()
	}
	if ok || !strings.Contains(out, "Unauthorized") && !strings.Contains(out, "the account is disabled") {
		t.Errorf("the API server, a second later: %s", out)
	}
	if stdout, stderr, status := harness.Run(t, b.env, "clients/az", "aks", "show", "-g", "rg", "-n", "c1"); status == 0 {
		t.Errorf("ARM: %s%s", stdout, stderr)
	}
	p.az("ad", "user", "update", "--id", bob, "--account-enabled", "true")
	eventually(t, 2*time.Second, "the account is enabled and its token good again", func() bool { _, ok := get(); return ok })
}

// TestAdminCertificates: each is a person's own and can be taken back alone; rotation ends all of them, and the service
// accounts' tokens too.
func TestAdminCertificates(t *testing.T) {
	k := harness.Up(t)
	p := signIn(t, k)
	p.cluster("c1")
	dir := t.TempDir()
	first, second := filepath.Join(dir, "first"), filepath.Join(dir, "second")
	for _, file := range []string{first, second} {
		p.az("aks", "get-credentials", "-g", "rg", "-n", "c1", "--admin", "--file", file)
	}
	works := func(file string) (string, bool) {
		return p.tryKubectl("--kubeconfig", file, "get", "nodes", "-o", "name")
	}
	id := p.az("aks", "show", "-g", "rg", "-n", "c1", "--query", "id", "-o", "tsv")
	var list struct {
		Value []struct {
			Name       string `json:"name"`
			Properties struct {
				Status string `json:"status"`
			} `json:"properties"`
		} `json:"value"`
	}
	certificates := func() {
		t.Helper()
		list.Value = nil
		out := p.az("rest", "--method", "get", "--url", id+"/keyreeveCertificates?api-version=2024-05-01")
		if err := json.Unmarshal([]byte(out), &list); err != nil {
			t.Fatal(err)
		}
	}
	certificates()
	if len(list.Value) != 3 { // p.cluster took one as well
		t.Fatalf("%d certificates on record, want 3", len(list.Value))
	}
	// Which one is the second file's?
	revoke := ""
	for _, c := range list.Value {
		if c.Name == fingerprint(t, second) {
			revoke = c.Name
		}
	}
	if revoke == "" {
		t.Fatal("the certificate of a kubeconfig is not on record")
	}
	p.az("rest", "--method", "post", "--url", id+"/keyreeveCertificates/"+revoke+"/revoke?api-version=2024-05-01")
	if out, ok := works(second); ok || !strings.Contains(out, forbidden) {
		t.Errorf("a revoked certificate: %s", out)
	}
	if out, ok := works(first); !ok {
		t.Errorf("the other certificate: %s", out)
	}

	// A certificate cannot be used to become another person of the directory, and is nobody's name.
	if out, ok := p.tryKubectl("--kubeconfig", first, "auth", "whoami", "-o", "jsonpath={.status.userInfo.groups}"); !ok || strings.Contains(out, "system:masters") {
		t.Errorf("groups of an admin certificate: %s", out)
	}

	// A fingerprint is no secret. Who may impersonate cannot use it to be an admin, not even together with name and group:
	// the API server takes no credential id from a client.
	p.kubectl("--kubeconfig", first, "create", "serviceaccount", "imp")
	p.kubectl("--kubeconfig", first, "create", "clusterrole", "imp", "--verb", "impersonate", "--resource", "users,groups,userextras.authentication.k8s.io")
	p.kubectl("--kubeconfig", first, "create", "clusterrolebinding", "imp", "--clusterrole", "imp", "--serviceaccount", "default:imp")
	p.kubectl("--kubeconfig", first, "config", "set-credentials", "imp", "--token", p.kubectl("--kubeconfig", first, "create", "token", "imp"))
	name := p.kubectl("--kubeconfig", first, "auth", "whoami", "-o", "jsonpath={.status.userInfo.username}")
	if out, ok := p.tryKubectl("--kubeconfig", first, "--user", "imp", "get", "secrets", "-A", "--as", name, "--as-group", "keyreeve:cluster-admins",
		"--as-user-extra", "authentication.kubernetes.io/credential-id=X509SHA256="+fingerprint(t, first)); ok || !strings.Contains(out, "cannot be impersonated") {
		t.Errorf("a fingerprint was good for admin's rights: %s", out)
	}

	p.kubectl("--kubeconfig", first, "create", "serviceaccount", "robot")
	old := p.kubectl("--kubeconfig", first, "create", "token", "robot", "--duration", "2h")
	server := p.kubectl("--kubeconfig", first, "config", "view", "--raw", "-o", "jsonpath={.clusters[0].cluster.server}")
	p.az("aks", "rotate-certs", "-g", "rg", "-n", "c1", "--yes")
	if out, ok := works(first); ok || !strings.Contains(out, "certificate signed by unknown authority") {
		t.Errorf("a kubeconfig from before the rotation: %s", out)
	}
	p.az("aks", "get-credentials", "-g", "rg", "-n", "c1", "--admin", "--overwrite-existing", "--file", second)
	if out, ok := works(second); !ok {
		t.Fatalf("a kubeconfig from after the rotation: %s", out)
	}
	ca := filepath.Join(dir, "ca.crt")
	data := p.kubectl("--kubeconfig", second, "config", "view", "--raw", "-o", "go-template={{range .clusters}}{{index .cluster \"certificate-authority-data\" | base64decode}}{{end}}")
	if err := os.WriteFile(ca, []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
	robot := p.with("KUBECONFIG", "/dev/null")
	if out, ok := robot.tryKubectl("auth", "whoami", "--server", server, "--certificate-authority", ca, "--token", old); ok || !strings.Contains(out, "Unauthorized") {
		t.Errorf("a service account's token from before the rotation: %s", out)
	}
	fresh := p.kubectl("--kubeconfig", second, "create", "token", "robot")
	if out, ok := robot.tryKubectl("auth", "whoami", "--server", server, "--certificate-authority", ca, "--token", fresh); !ok {
		t.Errorf("a service account's new token: %s", out)
	}
}
