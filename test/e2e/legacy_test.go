package e2e

import (
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
