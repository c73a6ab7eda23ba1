package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/test/harness"
)

// terminal is a person's terminal with kubectl, its plugin, our kubelogin and a kubeconfig, and nothing that says where Keyreeve is.
type terminal struct {
	t   *testing.T
	env []string
}

func newTerminal(t *testing.T, kubeconfig string, more ...string) terminal {
	t.Helper()
	bin := filepath.Dir(harness.Program(t, "kubectl-keyreeve"))
	env := append(harness.BareEnv(t.TempDir()), "KUBECONFIG="+kubeconfig)
	env = append(env, more...)
	return terminal{t, append(env, "PATH="+bin+":"+lookup(env, "PATH"))}
}

// plugin runs kubectl keyreeve.
func (x terminal) plugin(args ...string) (out, errs string, status int) {
	x.t.Helper()
	return harness.Run(x.t, x.env, "clients/kubectl", append([]string{"keyreeve"}, args...)...)
}

// says wants words in what it prints, and nobody asked to sign in.
func (x terminal) says(args []string, words ...string) {
	x.t.Helper()
	out, errs, status := x.plugin(args...)
	if status != 0 || strings.Contains(errs, "To sign in") {
		x.t.Errorf("%v: status %d\n%s%s", args, status, out, errs)
	}
	for _, w := range words {
		if !strings.Contains(out+errs, w) {
			x.t.Errorf("%v: no %q in\n%s%s", args, w, out, errs)
		}
	}
}

// refuses wants a failure that says something.
func (x terminal) refuses(args []string, words ...string) {
	x.t.Helper()
	out, errs, status := x.plugin(args...)
	if status == 0 || out != "" {
		x.t.Errorf("%v: status %d, %s", args, status, out)
	}
	for _, w := range words {
		if !strings.Contains(errs, w) {
			x.t.Errorf("%v: no %q in\n%s", args, w, errs)
		}
	}
}

// kubectl runs a command for which somebody signs in with a device code.
func (x terminal) signsIn(user, password string, args ...string) string {
	x.t.Helper()
	ctx, cancel := context.WithTimeout(x.t.Context(), time.Minute)
	defer cancel()
	said := &saying{}
	cmd := exec.CommandContext(ctx, harness.Program(x.t, "clients/kubectl"), args...)
	var out bytes.Buffer
	cmd.Env, cmd.Stdout, cmd.Stderr, cmd.WaitDelay = x.env, &out, said, 5*time.Second
	if err := cmd.Start(); err != nil {
		x.t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	byDevice(x.t, said, user, password)
	if err := <-done; err != nil {
		x.t.Fatalf("%v\n%s", err, said)
	}
	return out.String()
}

// TestKubectlPlugin asks who one is, what one may do and why, and changes the account, with the kubeconfig of get-credentials alone.
func TestKubectlPlugin(t *testing.T) {
	k := harness.Up(t)
	p := signIn(t, k)
	const dana, secret = "dana@keyreeve.test", "Correct-horse-9-battery"
	p.cluster("c1", "--enable-aad", "--enable-azure-rbac")
	me := p.az("ad", "signed-in-user", "show", "--query", "id", "-o", "tsv")
	p.admit(me, "User")
	danaID := p.az("ad", "user", "create", "--display-name", "Dana", "--user-principal-name", dana, "--password", secret, "--query", "id", "-o", "tsv")
	team := p.az("ad", "group", "create", "--display-name", "team", "--mail-nickname", "team", "--query", "id", "-o", "tsv")
	p.az("ad", "group", "member", "add", "-g", "team", "--member-id", danaID)
	for role, scope := range map[string]string{"Azure Kubernetes Service RBAC Reader": c1(p) + "/namespaces/dev", "Azure Kubernetes Service Cluster User Role": c1(p)} {
		p.az("role", "assignment", "create", "--assignee-object-id", team, "--assignee-principal-type", "Group", "--role", role, "--scope", scope, "-o", "none")
	}
	p.kubectl("--context", "c1-admin", "create", "namespace", "dev")
	file := filepath.Join(t.TempDir(), "config")
	writeFile(t, file, string(p.credentials("c1")))
	x := newTerminal(t, file)

	x.says([]string{"switch", "account"}, "Nobody is signed in")
	x.refuses([]string{"switch", "account", "--sign-out"}, "nobody is signed in")
	x.refuses([]string{"switch", "account", "dana"}, "no account is signed in")
	x.signsIn(k.Admin.UserPrincipalName, k.Admin.Password, "get", "nodes")
	x.says([]string{"whoami"}, "User", k.Admin.UserPrincipalName, me, "by devicecode at https://"+k.Listen, "c1", "in ")
	x.says([]string{"explain", "delete", "pods", "-n", "dev"}, "allow: "+k.Admin.UserPrincipalName, `role "Azure Kubernetes Service RBAC Cluster Admin"`)
	x.says([]string{"access"}, "Azure Kubernetes Service RBAC Cluster Admin")

	x.says([]string{"switch", "account", "--new"}, "The next kubectl signs in")
	x.signsIn(dana, secret, "get", "pods", "-n", "dev")
	var who struct {
		Context, Server string
		Identity        struct {
			Username, UID string
			Groups        []string
		}
		SignIn struct {
			Name, Mode, ObjectID, TenantID string
			Expires                        time.Time
		}
	}
	out, _, _ := x.plugin("whoami", "-o", "json")
	if err := json.Unmarshal([]byte(out), &who); err != nil || who.Identity.Username != dana || who.Identity.UID != danaID || who.SignIn.Name != dana ||
		who.SignIn.TenantID != k.Admin.TenantID || who.Context != "c1" || !strings.Contains(strings.Join(who.Identity.Groups, " "), team) || !who.SignIn.Expires.After(time.Now()) {
		t.Errorf("%v\n%s", err, out)
	}
	x.says([]string{"explain", "get", "pods/log", "web", "-n", "dev"}, "allow: "+dana, "as member of team")
	x.says([]string{"explain", "delete", "pods", "-n", "dev"}, "deny: "+dana, "It would be allowed by one of these roles", "RBAC Writer")
	x.says([]string{"explain", "get", "/metrics"}, "deny: ")
	out, _, _ = x.plugin("explain", "delete", "pods", "-n", "dev", "-o", "json")
	var e struct {
		Decision    string
		Explanation struct{ WouldGrant []string }
	}
	if err := json.Unmarshal([]byte(out), &e); err != nil || e.Decision != "deny" || len(e.Explanation.WouldGrant) == 0 {
		t.Errorf("%v\n%s", err, out)
	}
	x.says([]string{"access"}, "dev", "Azure Kubernetes Service RBAC Reader", "as member of team")

	// Both are signed in: changing to and fro asks nobody.
	x.says([]string{"switch", "account"}, "*", dana, k.Admin.UserPrincipalName)
	x.refuses([]string{"switch", "account", "erin"}, `no account "erin"`, dana)
	x.says([]string{"switch", "account", k.Admin.UserPrincipalName}, "kubectl uses "+k.Admin.UserPrincipalName)
	x.says([]string{"whoami"}, k.Admin.UserPrincipalName)
	x.says([]string{"explain", "delete", "pods", "-n", "dev"}, "allow: "+k.Admin.UserPrincipalName)
	x.says([]string{"switch", "account", "dana"}, "kubectl uses "+dana)
	if out, errs, _ := harness.Run(t, x.env, "clients/kubectl", "create", "configmap", "x", "-n", "dev"); !strings.Contains(errs, dana) {
		t.Errorf("kubectl: %s%s", out, errs)
	}
	x.says([]string{"switch", "account", "--sign-out"}, dana+" is signed out")
	impatient := terminal{t, append(x.env, "AZURE_CLI_TIMEOUT=1s")}
	impatient.refuses([]string{"whoami"}, "To sign in", "not done within 1s")
	x.says([]string{"switch", "account", "--sign-out", k.Admin.UserPrincipalName}, "is signed out")
	x.says([]string{"switch", "account"}, "Nobody is signed in")
	if left, _ := filepath.Glob(filepath.Join(lookup(x.env, "HOME"), ".kube", "cache", "kubelogin", "*.[ts]*")); len(left) > 0 {
		t.Errorf("tokens or sessions are left: %v", left)
	}

	// kubectl completes the plugin.
	for args, want := range map[string]string{"who": "whoami", "switch ": "account", "explain li": "list", "whoami --context ": "c1", "whoami -o ": "json"} {
		words := strings.Split(args, " ")
		if out := harness.Must(t, x.env, "clients/kubectl", append([]string{"__complete", "keyreeve"}, words...)...); !strings.Contains(out, want) {
			t.Errorf("%q is not completed by %q: %s", args, want, out)
		}
	}

	// The other ways to be somebody.
	master := filepath.Join(t.TempDir(), "admin")
	p.az("aks", "get-credentials", "-g", "rg", "-n", "c1", "--admin", "-f", master)
	c := newTerminal(t, master)
	c.says([]string{"whoami"}, "User", "Certificate")
	c.says([]string{"explain", "delete", "nodes"}, "allow", "does not sign in at a directory")
	c.refuses([]string{"access"}, "does not sign in at a directory")
	c.refuses([]string{"switch", "account"}, "has a certificate or a token")
	lent := filepath.Join(t.TempDir(), "lent")
	writeFile(t, lent, string(p.credentials("c1")))
	harness.Must(t, harness.BareEnv(t.TempDir()), "kubelogin", "convert-kubeconfig", "--kubeconfig", lent, "-l", "azurecli")
	l := newTerminal(t, lent, p.env...)
	l.env = append(l.env, "KUBECONFIG="+lent)
	l.says([]string{"whoami"}, k.Admin.UserPrincipalName, "by azurecli")
	l.says([]string{"explain", "list", "pods"}, "allow: "+k.Admin.UserPrincipalName, `role "Azure Kubernetes`)
	l.refuses([]string{"switch", "account"}, "the account is az's")
	x.refuses([]string{"whoami", "--context", "none"}, "no context exists")
	x.refuses([]string{"whoami", "--kubeconfig", "/nonexistent"}, "cannot be read")
	x.refuses([]string{"whoami", "-o", "yaml"}, "not one of table, json")
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	x.refuses([]string{"whoami"}, "there is no kubeconfig", "get-credentials")
}
