package e2e

import (
	"bufio"
	"encoding/base64"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/keyreeve/keyreeve/test/harness"
)

// TestManagedIdentity gives a host an identity and signs in from it with azidentity, with az and with Azure's kubelogin; and
// shows who gets nothing.
func TestManagedIdentity(t *testing.T) {
	k := harness.Up(t)
	p := signIn(t, k)
	client := trusting(t, k)
	p.az("group", "create", "-n", "rg", "-l", "eastus", "-o", "none")
	group := p.az("group", "show", "-n", "rg", "--query", "id", "-o", "tsv")
	identity := func(name string) (id, clientID string) {
		id = p.az("identity", "create", "-g", "rg", "-n", name, "--query", "id", "-o", "tsv")
		clientID = p.az("identity", "show", "--ids", id, "--query", "clientId", "-o", "tsv")
		return id, clientID
	}
	runner, runnerClient := identity("runner")
	_, otherClient := identity("other")
	p.az("role", "assignment", "create", "--assignee-object-id", p.az("identity", "show", "--ids", runner, "--query", "principalId", "-o", "tsv"),
		"--assignee-principal-type", "ServicePrincipal", "--role", "Reader", "--scope", group, "-o", "none")

	file := filepath.Join(t.TempDir(), "secret")
	host := func() (endpoint, secret string) {
		out := harness.Must(t, p.env, "keyreeve", "identity", "host", "ci-1", "-g", "rg", "--identity", runner, "--secret-file", file)
		_, rest, _ := strings.Cut(out, "IDENTITY_ENDPOINT=")
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Fields(rest)[0], strings.TrimSpace(string(text))
	}
	endpoint, secret := host()
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Error("the secret may be read by others", err)
	}

	managed := func(secret string, id azidentity.ManagedIDKind) error {
		t.Setenv("IDENTITY_ENDPOINT", endpoint)
		t.Setenv("IDENTITY_HEADER", secret)
		cred, err := azidentity.NewManagedIdentityCredential(&azidentity.ManagedIdentityCredentialOptions{
			ClientOptions: policy.ClientOptions{Transport: client, Retry: policy.RetryOptions{MaxRetries: -1}}, ID: id,
		})
		if err != nil {
			t.Fatal(err)
		}
		return askARM(t, k, client, cred, group)
	}
	for _, id := range []azidentity.ManagedIDKind{nil, azidentity.ClientID(runnerClient), azidentity.ResourceID(runner)} {
		if err := managed(secret, id); err != nil {
			t.Errorf("azidentity, %v: %v", id, err)
		}
	}
	// MSAL remembers tokens for the whole process: who gets none is asked without it.
	refused := func(secret, more string) string {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, endpoint+"?api-version=2019-08-01&resource=https://management.azure.com/"+more, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Identity-Header", secret)
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		body, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode == http.StatusOK {
			t.Errorf("it got a token: %s %v", res.Status, err)
			return ""
		}
		return string(body)
	}
	if err := managed(secret, azidentity.ClientID(otherClient)); err == nil || !strings.Contains(err.Error(), "Identity not found") {
		t.Errorf("an identity that the host does not have: %v", err)
	}
	for _, wrong := range []string{secret[:len(secret)-1] + "!", "", strings.ToUpper(secret)} {
		if text := refused(wrong, ""); !strings.Contains(text, "unauthorized_client") {
			t.Error(text)
		}
	}

	// az and others ask the metadata service, which the agent is.
	address := agent(t, p.env, endpoint, file)
	for _, row := range []struct{ az, env string }{
		{"clients/az", "AZURE_POD_IDENTITY_AUTHORITY_HOST=" + address}, {"clients/az-2.45", "MSI_ENDPOINT=" + address + "/oauth2/token"},
	} {
		login := append(apart(t, k), row.env)
		if out := harness.Must(t, login, row.az, "login", "--identity", "--query", "[0].user.name", "-o", "tsv"); out != "systemAssignedIdentity" {
			t.Error(out)
		}
		harness.Must(t, login, row.az, "group", "show", "-n", "rg", "-o", "none")
		if out, _, status := harness.Run(t, login, row.az, "group", "create", "-n", "rg2", "-l", "eastus"); status == 0 {
			t.Errorf("a reader made a group: %s", out)
		}
	}

	ownIdentity(t, k, p, group)

	// Azure's kubelogin, for a cluster's API server.
	kube := append(k.Env(t.TempDir()), "IDENTITY_ENDPOINT="+endpoint, "IDENTITY_HEADER="+secret)
	if out := harness.Must(t, kube, "clients/kubelogin", "get-token", "-l", "msi", "--server-id", "6dae42f8-4368-4678-94ff-3960e28e3630"); !strings.Contains(out, `"token":"ey`) {
		t.Error(out)
	}

	// A new secret ends the one before; so does the identity's end.
	old := secret
	_, secret = host()
	refused(old, "")
	if out := harness.Must(t, append(k.Env(t.TempDir()), "IDENTITY_ENDPOINT="+endpoint, "IDENTITY_HEADER="+secret), "clients/kubelogin", "get-token", "-l", "msi",
		"--server-id", "6dae42f8-4368-4678-94ff-3960e28e3630", "--client-id", runnerClient); !strings.Contains(out, `"token":"ey`) {
		t.Error(out)
	}
	p.az("identity", "delete", "--ids", runner)
	if text := refused(secret, ""); !strings.Contains(text, "Identity not found") {
		t.Errorf("an identity that is gone: %s", text)
	}
	identity("runner")
	if text := refused(secret, ""); !strings.Contains(text, "Identity not found") {
		t.Errorf("another identity of the same name: %s", text)
	}
}

// ownIdentity gives a host an identity of its own beside a user-assigned one: it is the one that is meant when none is named, and the
// host is a resource like others.
func ownIdentity(t *testing.T, k *harness.Keyreeve, p person, group string) {
	t.Helper()
	other := p.az("identity", "show", "-g", "rg", "-n", "other", "--query", "id", "-o", "tsv")
	file := filepath.Join(t.TempDir(), "own")
	out := harness.Must(t, p.env, "keyreeve", "identity", "host", "own", "-g", "rg", "--system-assigned", "--identity", other, "--secret-file", file)
	_, rest, _ := strings.Cut(out, "IDENTITY_ENDPOINT=")
	address := agent(t, p.env, strings.Fields(rest)[0], file)
	p.az("tag", "create", "--resource-id", group+"/providers/Keyreeve.Identity/hosts/own", "--tags", "team=ci", "-o", "none")
	shown := strings.Fields(p.az("resource", "show", "-g", "rg", "--resource-type", "Keyreeve.Identity/hosts", "-n", "own",
		"--query", "[identity.type, identity.principalId, tags.team]", "-o", "tsv"))
	if len(shown) != 4 || shown[0]+shown[1] != "SystemAssigned,UserAssigned" || shown[3] != "ci" {
		t.Fatal(shown)
	}
	principal := shown[2]
	host := append(apart(t, k), "AZURE_POD_IDENTITY_AUTHORITY_HOST="+address)
	login := func(args ...string) (string, bool) {
		_, stderr, status := harness.Run(t, host, "clients/az", append([]string{"login", "--identity", "-o", "none"}, args...)...)
		return stderr, status == 0
	}
	if stderr, ok := login("--allow-no-subscriptions"); !ok {
		t.Fatal(stderr)
	}
	if _, _, status := harness.Run(t, host, "clients/az", "group", "show", "-n", "rg"); status == 0 {
		t.Error("a host's own identity has rights that nobody gave it")
	}
	p.assignRole(principal, "Reader", group)
	if stderr, ok := login(); !ok {
		t.Fatal(stderr)
	}
	harness.Must(t, host, "clients/az", "group", "show", "-n", "rg", "-o", "none")
	token := harness.Must(t, host, "clients/az", "account", "get-access-token", "--query", "accessToken", "-o", "tsv")
	parts := strings.Split(token, ".")
	claims, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || !strings.Contains(string(claims), principal) || !strings.Contains(string(claims), "/providers/Keyreeve.Identity/hosts/own") {
		t.Errorf("the token is not the host's own: %s %v", claims, err)
	}
	if stderr, ok := login("--allow-no-subscriptions", "--resource-id", other); !ok {
		t.Error(stderr)
	}
	if out := p.az("resource", "list", "-g", "rg", "--resource-type", "Keyreeve.Identity/hosts", "--query", "[].name", "-o", "tsv"); out != "ci-1\nown" {
		t.Errorf("the group's hosts: %q", out)
	}
	p.az("resource", "delete", "-g", "rg", "--resource-type", "Keyreeve.Identity/hosts", "-n", "own")
	if _, _, status := harness.Run(t, p.env, "clients/az", "ad", "sp", "show", "--id", principal); status == 0 {
		t.Error("the identity outlived its host")
	}
	if out := p.az("role", "assignment", "list", "--scope", group, "--query", "[?principalId=='"+principal+"'].principalName", "-o", "tsv"); out != "" {
		t.Errorf("the principal that is gone has the name %q", out)
	}
	// Its token is over with it.
	if _, _, status := harness.Run(t, host, "clients/az", "group", "show", "-n", "rg"); status == 0 {
		t.Error("the token of an identity that is gone still counts")
	}
}

// agent starts the agent of a host and returns its address.
func agent(t *testing.T, env []string, endpoint, file string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), harness.Program(t, "keyreeve"), "identity", "agent", "--endpoint", endpoint, "--secret-file", file, "--listen", "127.0.0.1:0")
	cmd.Env = env
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	in, address := bufio.NewScanner(out), ""
	for in.Scan() && in.Text() != "ready" {
		if _, a, ok := strings.Cut(in.Text(), "AUTHORITY_HOST="); ok {
			address = a
		}
	}
	if address == "" {
		t.Fatal("the agent did not start")
	}
	return address
}

// apart is a terminal whose az knows the cloud, and nobody's sign-in.
func apart(t *testing.T, k *harness.Keyreeve) []string {
	t.Helper()
	env, dir := k.Env(t.TempDir()), filepath.Join(t.TempDir(), "azure")
	from := lookup(env, "AZURE_CONFIG_DIR")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"config", "clouds.config"} {
		text, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return append(env, "AZURE_CONFIG_DIR="+dir)
}
