package e2e

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keyreeve/keyreeve/test/harness"
)

// TestLegacyAzureCLI takes az 2.45.0, which knows no setting for a private authority, through the whole path.
func TestLegacyAzureCLI(t *testing.T) {
	k := harness.Up(t)
	home := t.TempDir()
	env := k.Env(home)
	az := func(args ...string) string {
		t.Helper()
		return harness.Must(t, env, "clients/az-2.45", args...)
	}
	if got := az("version", "--query", `"azure-cli"`, "-o", "tsv"); got != "2.45.0" {
		t.Fatalf("az is %s", got)
	}
	az("login", "-u", k.Admin.UserPrincipalName, "-p", k.Admin.Password, "-o", "none")
	if got := az("account", "show", "--query", "tenantId", "-o", "tsv"); got != k.Admin.TenantID {
		t.Errorf("tenant %s, want %s", got, k.Admin.TenantID)
	}
	me := az("ad", "signed-in-user", "show", "--query", "id", "-o", "tsv")
	group := az("ad", "group", "create", "--display-name", "admins", "--mail-nickname", "admins", "--query", "id", "-o", "tsv")
	az("ad", "group", "member", "add", "-g", "admins", "--member-id", me)
	if got := az("ad", "group", "member", "list", "-g", "admins", "--query", "[].userPrincipalName", "-o", "tsv"); got != k.Admin.UserPrincipalName {
		t.Errorf("members %q", got)
	}
	az("group", "create", "-n", "rg", "-l", "eastus", "-o", "none")
	az("aks", "create", "-g", "rg", "-n", "old", "--node-count", "1", "--enable-aad", "--aad-admin-group-object-ids", group, "--generate-ssh-keys", "-o", "none")
	az("aks", "get-credentials", "-g", "rg", "-n", "old")
	harness.Must(t, env, "clients/kubelogin", "convert-kubeconfig", "-l", "azurecli")
	withOld := append([]string{}, env...)
	withOld = append(withOld, "PATH="+oldAzFirst(t)+":"+lookup(env, "PATH"))
	if got := harness.Must(t, withOld, "clients/kubectl", "get", "nodes", "-o", "name"); !strings.HasPrefix(got, "node/aks-nodepool1-") {
		t.Errorf("nodes %q", got)
	}

	// The legacy integration, which newer az has no flags for, and the way out of it.
	az("aks", "create", "-g", "rg", "-n", "v1", "--node-count", "1", "--aad-client-app-id", "8aaf8bd5-1bdd-4822-99ad-02bfaa63eea7",
		"--aad-server-app-id", "2d5b4a9e-1c29-4a4c-8a6a-7a9f0f5a0f11", "--aad-server-app-secret", "secret", "--aad-tenant-id", k.Admin.TenantID, "--generate-ssh-keys", "-o", "none")
	if got := az("aks", "show", "-g", "rg", "-n", "v1", "--query", "aadProfile.[serverAppId, managed]", "-o", "tsv"); got != "2d5b4a9e-1c29-4a4c-8a6a-7a9f0f5a0f11\nNone" {
		t.Errorf("legacy profile %q", got)
	}
	az("aks", "update", "-g", "rg", "-n", "v1", "--enable-aad", "--aad-admin-group-object-ids", group, "-o", "none")
	if got := az("aks", "show", "-g", "rg", "-n", "v1", "--query", "aadProfile.[serverAppId, managed]", "-o", "tsv"); got != "None\nTrue" && got != "None\ntrue" {
		t.Errorf("migrated profile %q", got)
	}
	for _, left := range []string{".azure", ".kube"} {
		if _, err := os.Stat(filepath.Join(home, left)); err == nil {
			t.Errorf("~/%s was touched", left)
		}
	}
}

// oldAzFirst is a folder in which az is az 2.45.
func oldAzFirst(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Symlink(harness.Program(t, "clients/az-2.45"), filepath.Join(dir, "az")); err != nil {
		t.Fatal(err)
	}
	return dir
}

func lookup(env []string, name string) string {
	value := ""
	for _, v := range env {
		if rest, ok := strings.CutPrefix(v, name+"="); ok {
			value = rest
		}
	}
	return value
}

// TestLegacyClusterMigrates: a legacy cluster takes tokens of the server application that it names, as Azure's kubelogin gets them, and
// no other; after its migration it takes those of AKS, and no more those of before.
func TestLegacyClusterMigrates(t *testing.T) {
	k := harness.Up(t)
	p := signIn(t, k)
	server := p.az("ad", "app", "create", "--display-name", "aks-server", "--query", "appId", "-o", "tsv")
	object := p.az("ad", "sp", "create", "--id", server, "--query", "id", "-o", "tsv")
	secret := p.az("ad", "app", "credential", "reset", "--id", server, "--query", "password", "--only-show-errors", "-o", "tsv")
	other := p.az("ad", "app", "create", "--display-name", "another", "--query", "appId", "-o", "tsv")
	p.az("ad", "sp", "create", "--id", other, "-o", "none")
	group := p.az("ad", "group", "create", "--display-name", "admins", "--mail-nickname", "admins", "--query", "id", "-o", "tsv")
	p.az("group", "create", "-n", "rg", "-l", "eastus", "-o", "none")
	harness.Must(t, p.env, "clients/az-2.45", "aks", "create", "-g", "rg", "-n", "v1", "--node-count", "1", "--aad-client-app-id", "8aaf8bd5-1bdd-4822-99ad-02bfaa63eea7",
		"--aad-server-app-id", server, "--aad-server-app-secret", secret, "--aad-tenant-id", k.Admin.TenantID, "--no-ssh-key", "-o", "none")
	p.az("aks", "get-credentials", "-g", "rg", "-n", "v1", "--admin")
	p.kubectl("create", "clusterrolebinding", "deployer", "--clusterrole", "view", "--user", object)
	view := func(path string) string {
		return p.kubectl("config", "view", "--minify", "--raw", "-o", "jsonpath="+path)
	}
	ca, err := base64.StdEncoding.DecodeString(view("{.clusters[0].cluster.certificate-authority-data}"))
	if err != nil {
		t.Fatal(err)
	}
	address, file := view("{.clusters[0].cluster.server}"), filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, ca, 0o600); err != nil {
		t.Fatal(err)
	}
	token := func(app string, more ...string) string {
		out := harness.Must(t, p.env, "clients/kubelogin", append([]string{
			"get-token", "-l", "spn", "--client-id", server, "--client-secret", secret, "--tenant-id", k.Admin.TenantID, "--server-id", app,
			"--authority-host", lookup(p.env, "KEYREEVE_LOGIN_URL") + "/", "--disable-instance-discovery",
		}, more...)...)
		var c struct{ Status struct{ Token string } }
		if err := json.Unmarshal([]byte(out), &c); err != nil || c.Status.Token == "" {
			t.Fatalf("%v: %s", err, out)
		}
		return c.Status.Token
	}
	const aks = "6dae42f8-4368-4678-94ff-3960e28e3630"
	tokens := map[string]string{
		"its application": token(server), "its application, version 1": token(server, "--legacy"),
		"another application": token(other), "another application, version 1": token(other, "--legacy"),
		"AKS": token(aks), "AKS, version 1": token(aks, "--legacy"),
	}
	taken := func(of string) bool {
		stdout, stderr, status := harness.Run(t, append(p.env, "KUBECONFIG=/dev/null"), "clients/kubectl",
			"--server", address, "--certificate-authority", file, "--token", tokens[of], "get", "pods", "-A")
		if status != 0 && !strings.Contains(stderr, "You must be logged in") && !strings.Contains(stderr, "Unauthorized") {
			t.Fatalf("%s: neither taken nor refused: %s%s", of, stdout, stderr)
		}
		return status == 0
	}
	wanted := func(when, app string) {
		t.Helper()
		for of := range tokens {
			if want := of == app || of == app+", version 1"; taken(of) != want {
				t.Errorf("%s, token of %s: taken %v, want %v", when, of, !want, want)
			}
		}
	}
	wanted("legacy", "its application")
	p.az("aks", "update", "-g", "rg", "-n", "v1", "--enable-aad", "--aad-admin-group-object-ids", group, "-o", "none")
	wanted("migrated", "AKS")
}
