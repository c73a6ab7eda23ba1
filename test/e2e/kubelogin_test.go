package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/keyreeve/keyreeve/test/harness"
)

// TestServedKubeconfig: what get-credentials gives works as it is with both kubelogins: with ours in an environment that says
// nothing of Keyreeve, with Azure's where the authority is trusted.
func TestServedKubeconfig(t *testing.T) {
	k := harness.Up(t)
	p := signIn(t, k)
	group := p.az("ad", "group", "create", "--display-name", "admins", "--mail-nickname", "admins", "--query", "id", "-o", "tsv")
	me := p.az("ad", "signed-in-user", "show", "--query", "id", "-o", "tsv")
	p.az("ad", "group", "member", "add", "--group", group, "--member-id", me)
	p.az("group", "create", "-n", "rg", "-l", "eastus", "-o", "none")
	p.az("aks", "create", "-g", "rg", "-n", "c1", "--node-count", "1", "--generate-ssh-keys", "--enable-aad",
		"--aad-admin-group-object-ids", group, "-o", "none")
	file := filepath.Join(t.TempDir(), "config")
	p.az("aks", "get-credentials", "-g", "rg", "-n", "c1", "--file", file)
	served, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}

	// The mode is the one thing changed: a device code asks for a person.
	mode := []string{"AAD_LOGIN_METHOD=ropc", "AAD_USER_PRINCIPAL_NAME=" + k.Admin.UserPrincipalName, "AAD_USER_PRINCIPAL_PASSWORD=" + k.Admin.Password}
	get := func(program, kubeconfig string, more ...string) {
		t.Helper()
		bin := t.TempDir()
		if err := os.Symlink(harness.Program(t, program), filepath.Join(bin, "kubelogin")); err != nil {
			t.Fatal(err)
		}
		home := t.TempDir()
		// az is in the path, and this kubelogin before any other.
		path := "PATH=" + bin + ":" + filepath.Dir(harness.Program(t, "clients/az")) + ":" + os.Getenv("PATH")
		env := slices.Concat(harness.BareEnv(home), more, []string{path, "KUBECONFIG=" + kubeconfig})
		if out := harness.Must(t, env, "clients/kubectl", "get", "nodes", "-o", "name"); !strings.HasPrefix(out, "node/aks-") {
			t.Errorf("%s: %s", program, out)
		}
	}
	get("kubelogin", file, mode...)
	get("clients/kubelogin", file, append(mode, "SSL_CERT_FILE="+k.Data.CA())...)

	// Ours converts it to something that works as well; Azure's drops what leads to the authority.
	converted := filepath.Join(t.TempDir(), "converted")
	if err := os.WriteFile(converted, served, 0o600); err != nil {
		t.Fatal(err)
	}
	harness.Must(t, harness.BareEnv(t.TempDir()), "kubelogin", "convert-kubeconfig", "--kubeconfig", converted, "-l", "ropc",
		"--username", k.Admin.UserPrincipalName, "--password", k.Admin.Password)
	get("kubelogin", converted)
	// The exec extension of a cluster is another way to the same end, for kubeconfigs that only ours reads.
	text, err := os.ReadFile(converted)
	if err != nil {
		t.Fatal(err)
	}
	_, ca, ok := strings.Cut(string(text), "name: KEYREEVE_AUTHORITY_CA\n        value: ")
	if !ok {
		t.Fatalf("no certificates in\n%s", text)
	}
	ca, _, _ = strings.Cut(ca, "\n")
	extended := strings.Replace(string(text), "name: KEYREEVE_AUTHORITY_CA", "name: SOMETHING_ELSE", 1)
	extended = strings.Replace(extended, "provideClusterInfo: false", "provideClusterInfo: true", 1)
	extended = strings.Replace(extended, "- cluster:\n", "- cluster:\n    extensions:\n    - name: client.authentication.k8s.io/exec\n      extension: {authorityCertificateAuthorityData: "+ca+"}\n", 1)
	path := filepath.Join(t.TempDir(), "extended")
	if err := os.WriteFile(path, []byte(extended), 0o600); err != nil {
		t.Fatal(err)
	}
	get("kubelogin", path)
	// az lends its account.
	lent := filepath.Join(t.TempDir(), "lent")
	if err := os.WriteFile(lent, served, 0o600); err != nil {
		t.Fatal(err)
	}
	harness.Must(t, harness.BareEnv(t.TempDir()), "kubelogin", "convert-kubeconfig", "--kubeconfig", lent, "-l", "azurecli")
	get("kubelogin", lent, p.env...)
}

// TestKubeloginDevice: a device code of the real service, with the link that holds it already.
func TestKubeloginDevice(t *testing.T) {
	k := harness.Up(t)
	env := harness.BareEnv(t.TempDir())
	ca, err := os.ReadFile(k.Data.CA())
	if err != nil {
		t.Fatal(err)
	}
	_, stderr, status := harness.Run(t, append(env, "KEYREEVE_AUTHORITY_CA="+string(ca)), "kubelogin", "get-token", "-l", "devicecode", "--server-id", "6dae42f8-4368-4678-94ff-3960e28e3630",
		"--client-id", "80faf920-1908-4b52-b5ef-a8e7bedfc67a", "--tenant-id", k.Admin.TenantID, "--authority-host", "https://"+k.Listen+"/",
		"--disable-instance-discovery", "--timeout", "3s")
	if status != 1 || !strings.Contains(stderr, "To sign in") || !strings.Contains(stderr, "not done within 3s") {
		t.Errorf("status %d\n%s", status, stderr)
	}
}
