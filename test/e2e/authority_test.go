package e2e

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/internal/pki"
	"github.com/keyreeve/keyreeve/test/harness"
)

// corporate is an operator's private authority and a certificate of it, in files.
func corporate(t *testing.T, host string) (ca, cert, key string) {
	t.Helper()
	now := time.Now()
	authority, err := pki.NewAuthority("Corporate Root", now, 24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := authority.Issue(pki.Template{CommonName: "server", Hosts: []string{host}, Use: pki.Server, Now: now, Life: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	ca, cert, key = filepath.Join(dir, "ca.pem"), filepath.Join(dir, "server.crt"), filepath.Join(dir, "server.key")
	writeFile(t, ca, "# what the corporation trusts\n"+authority.CertPEM())
	writeFile(t, cert, pair.Cert)
	writeFile(t, key, pair.Key)
	return ca, cert, key
}

// connected returns the environment of a machine that `keyreeve connect` set up.
func connected(t *testing.T, more []string, login string, args ...string) []string {
	t.Helper()
	clients := filepath.Dir(harness.Program(t, "clients/az"))
	env := append(harness.BareEnv(t.TempDir()), more...)
	out := harness.Must(t, env, "keyreeve", append([]string{"connect", login, "--output", "json"}, args...)...)
	vars := map[string]string{}
	if err := json.Unmarshal([]byte(out), &vars); err != nil {
		t.Fatal(err)
	}
	for name, value := range vars {
		env = append(env, name+"="+value)
	}
	return append(env, "PATH="+clients+":"+filepath.Dir(clients)+":"+os.Getenv("PATH"))
}

// TestOwnCertificate serves with a certificate of an operator's private authority: what machines and kubeconfigs are told to
// trust is that authority and not Keyreeve's own, and az, kubectl and both kubelogins work with it.
func TestOwnCertificate(t *testing.T) {
	ca, cert, key := corporate(t, "127.0.0.1")
	clients := filepath.Dir(harness.Program(t, "clients/kubectl"))
	f := harness.Alone(t, cert, key, "caFile: "+ca+"\nclientsDir: "+clients)
	r := f.Replicas[0]
	if out := harness.Must(t, harness.BareEnv(t.TempDir()), "keyreeve", "config", "check", r.Config()); !strings.Contains(out, "is good") {
		t.Error(out)
	}
	r.Start()
	env := connected(t, nil, f.Login, "--ca-fingerprint", "sha256:"+fingerprintOf(t, ca))
	harness.Must(t, env, "clients/az", "login", "-u", harness.FleetAdmin, "-p", harness.FleetPassword, "-o", "none")
	harness.Must(t, env, "keyreeve", "login", "-u", harness.FleetAdmin, "-p", harness.FleetPassword, "-o", "none")
	me := harness.Must(t, env, "clients/az", "ad", "signed-in-user", "show", "--query", "id", "-o", "tsv")
	group := harness.Must(t, env, "keyreeve", "ad", "group", "create", "--display-name", "admins", "--mail-nickname", "admins", "--query", "id", "-o", "tsv")
	harness.Must(t, env, "keyreeve", "ad", "group", "member", "add", "-g", group, "--member-id", me)
	harness.Must(t, env, "clients/az", "group", "create", "-n", "rg", "-l", "eastus", "-o", "none")
	harness.Must(t, env, "clients/az", "aks", "create", "-g", "rg", "-n", "c1", "--node-count", "1", "--no-ssh-key", "--enable-aad",
		"--aad-admin-group-object-ids", group, "-o", "none")
	config := filepath.Join(t.TempDir(), "config")
	harness.Must(t, env, "clients/az", "aks", "get-credentials", "-g", "rg", "-n", "c1", "-f", config)
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	want, _ := os.ReadFile(ca)
	_, wanted, _ := strings.Cut(string(want), "\n")
	carried := regexp.MustCompile(`name: KEYREEVE_AUTHORITY_CA\n\s+value: (\S+)`).FindSubmatch(text)
	if carried == nil {
		t.Fatalf("the kubeconfig carries no authority:\n%s", text)
	}
	if got, err := base64.StdEncoding.DecodeString(string(carried[1])); err != nil || string(got) != wanted {
		t.Errorf("the kubeconfig carries another authority than the operator's: %v\n%s", err, got)
	}
	t.Run("kubelogin", func(t *testing.T) {
		mine := filepath.Join(t.TempDir(), "config")
		writeFile(t, mine, string(text))
		env := append(env, "KUBECONFIG="+mine)
		harness.Must(t, env, "clients/kubelogin", "convert-kubeconfig", "-l", "azurecli")
		harness.Must(t, env, "clients/kubectl", "get", "nodes")
	})
	t.Run("our kubelogin, which trusts the kubeconfig alone", func(t *testing.T) {
		mine := filepath.Join(t.TempDir(), "config")
		writeFile(t, mine, string(text))
		bin := filepath.Dir(harness.Program(t, "kubelogin"))
		env := append(harness.BareEnv(t.TempDir()), "KUBECONFIG="+mine, "PATH="+bin+":"+os.Getenv("PATH"),
			"AAD_USER_PRINCIPAL_NAME="+harness.FleetAdmin, "AAD_USER_PRINCIPAL_PASSWORD="+harness.FleetPassword)
		harness.Must(t, env, "kubelogin", "convert-kubeconfig", "-l", "ropc")
		harness.Must(t, env, "clients/kubectl", "get", "nodes")
	})
	t.Run("install-cli", func(t *testing.T) {
		dir := t.TempDir()
		harness.Must(t, env, "keyreeve", "aks", "install-cli", "--install-location", filepath.Join(dir, "kubectl"),
			"--kubelogin-install-location", filepath.Join(dir, "kubelogin"))
		if _, err := os.Stat(filepath.Join(dir, "kubelogin")); err != nil {
			t.Error(err)
		}
	})
}

// TestPublicCertificate serves with a certificate that every machine trusts; the machine's store is a file here. Nobody is
// told of an authority then.
func TestPublicCertificate(t *testing.T) {
	ca, cert, key := corporate(t, "127.0.0.1")
	f := harness.Alone(t, cert, key, "")
	r := f.Replicas[0]
	store := "SSL_CERT_FILE=" + ca
	_, stderr, status := harness.Run(t, harness.BareEnv(t.TempDir()), "keyreeve", "config", "check", r.Config())
	if status == 0 || !strings.Contains(stderr, "name its authority with caFile") {
		t.Errorf("on a machine that does not trust it: %d %s", status, stderr)
	}
	harness.Must(t, append(harness.BareEnv(t.TempDir()), store), "keyreeve", "config", "check", r.Config())
	r.Start()
	env := connected(t, []string{store}, f.Login)
	harness.Must(t, append(env, store), "keyreeve", "login", "-u", harness.FleetAdmin, "-p", harness.FleetPassword, "-o", "none")
	in := harness.Must(t, append(env, store), "keyreeve", "rest", "--url", "/subscriptions?api-version=2022-12-01", "--query", "value[0].state", "-o", "tsv")
	if in != "Enabled" {
		t.Error(in)
	}
	if text, err := os.ReadFile(filepath.Join(value(env, "KEYREEVE_WORKSTATION"), "server.json")); err != nil || strings.Contains(string(text), "BEGIN CERTIFICATE") {
		t.Errorf("%v: an authority is kept that nobody needs: %s", err, text)
	}
}

// value is what a variable is set to at last.
func value(env []string, name string) (v string) {
	for _, e := range env {
		if text, ok := strings.CutPrefix(e, name+"="); ok {
			v = text
		}
	}
	return v
}
