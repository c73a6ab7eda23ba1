package e2e

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/keyreeve/keyreeve/test/harness"
)

// commandPair runs the same commands with az and with keyreeve, on one server and as one person.
type commandPair struct {
	t   *testing.T
	env []string
}

func newPair(t *testing.T, k *harness.Keyreeve) commandPair {
	t.Helper()
	p := commandPair{t: t, env: k.Env(t.TempDir())}
	for _, program := range []string{"clients/az", "keyreeve"} {
		harness.Must(t, p.env, program, "login", "-u", k.Admin.UserPrincipalName, "-p", k.Admin.Password, "-o", "none")
	}
	return p
}

// same runs a command that only reads and wants equal results.
func (p commandPair) same(args ...string) {
	p.t.Helper()
	az := harness.Must(p.t, p.env, "clients/az", args...)
	own := harness.Must(p.t, p.env, "keyreeve", args...)
	p.compare(args, az, own)
}

// exact wants the same output to the byte.
func (p commandPair) exact(args ...string) {
	p.t.Helper()
	az := harness.Must(p.t, p.env, "clients/az", args...)
	own := harness.Must(p.t, p.env, "keyreeve", args...)
	if diff := cmp.Diff(az, own); diff != "" {
		p.t.Errorf("%s: az is -, keyreeve is +\n%s", strings.Join(args, " "), diff)
	}
}

// twin runs a command that writes, for two things: NAME in it is azx for az and ownx for keyreeve. What names them, and
// what no two things share, counts as equal.
func (p commandPair) twin(args ...string) {
	p.t.Helper()
	with := func(name string) []string {
		out := slices.Clone(args)
		for i := range out {
			out[i] = strings.ReplaceAll(out[i], "NAME", name)
		}
		return out
	}
	az := harness.Must(p.t, p.env, "clients/az", with("azx")...)
	own := harness.Must(p.t, p.env, "keyreeve", with("ownx")...)
	p.compare(args, unnamed(az, "azx"), unnamed(own, "ownx"))
}

var unique = []struct {
	form *regexp.Regexp
	as   string
}{
	{regexp.MustCompile(`[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}`), "GUID"},
	{regexp.MustCompile(`20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9:.]+(Z|\+00:00)`), "TIME"},
	{regexp.MustCompile(`-NAME-[0-9a-f]{6}-[0-9a-z]{8}\.`), "-NAME-HOST."},
	{regexp.MustCompile(`NAME(old)?-twins-[0-9a-f]{6}-[0-9a-z]{8}\.`), "HOST."},
	{regexp.MustCompile(`"(password|secretText)": "[^"]+"`), `"$1": "SECRET"`},
	{regexp.MustCompile(`S-1-12-1(-[0-9]+){4}`), "SID"},
	{regexp.MustCompile(`"hint": "[^"]+"`), `"hint": "HINT"`},
}

func unnamed(text, name string) string {
	text = strings.ReplaceAll(text, name, "NAME")
	for _, u := range unique {
		text = u.form.ReplaceAllString(text, u.as)
	}
	return text
}

// compare sets two results side by side, field by field. Lists have no order: the service gives none.
func (p commandPair) compare(args []string, az, own string) {
	p.t.Helper()
	if (az == "") != (own == "") {
		p.t.Errorf("%s: az printed %q, keyreeve %q", strings.Join(args, " "), az, own)
		return
	}
	if az == "" {
		return
	}
	var a, o any
	if err := json.Unmarshal([]byte(az), &a); err != nil {
		p.t.Fatalf("%s: az: %v\n%s", strings.Join(args, " "), err, az)
	}
	if err := json.Unmarshal([]byte(own), &o); err != nil {
		p.t.Fatalf("%s: keyreeve: %v\n%s", strings.Join(args, " "), err, own)
	}
	if diff := cmp.Diff(unordered(a), unordered(o)); diff != "" {
		p.t.Errorf("%s: az is -, keyreeve is +\n%s", strings.Join(args, " "), diff)
	}
}

func unordered(v any) any {
	switch v := v.(type) {
	case []any:
		out := make([]any, len(v))
		for i, x := range v {
			out[i] = unordered(x)
		}
		slices.SortFunc(out, func(a, b any) int {
			x, _ := json.Marshal(a)
			y, _ := json.Marshal(b)
			return strings.Compare(string(x), string(y))
		})
		return out
	case map[string]any:
		v = maps.Clone(v)
		for key, x := range v {
			v[key] = unordered(x)
		}
		return v
	}
	return v
}

// TestOwnCommandsAreThoseOfAz holds every command that keyreeve shares with az against az itself.
func TestOwnCommandsAreThoseOfAz(t *testing.T) {
	k := harness.Up(t)
	p := newPair(t, k)
	sub := "/subscriptions/" + k.Admin.SubscriptionID
	t.Run("account", func(t *testing.T) {
		p := commandPair{t, p.env}
		p.exact("account", "show")
		p.exact("account", "list")
		p.exact("account", "list", "-o", "table")
		p.exact("account", "show", "--query", "{b:name, a:state}", "-o", "tsv")
		p.same("account", "set", "--subscription", k.Admin.SubscriptionID)
		p.same("account", "get-access-token", "--query", "{tenant:tenant, subscription:subscription, tokenType:tokenType}")
		p.same("rest", "--method", "get", "--url", "/subscriptions?api-version=2022-12-01")
	})
	t.Run("group", func(t *testing.T) {
		p := commandPair{t, p.env}
		p.twin("group", "create", "-n", "NAME", "--location", "westeurope", "--tags", "team=a", "stage=dev")
		p.twin("group", "show", "--name", "NAME")
		p.twin("group", "exists", "-g", "NAME")
		p.same("group", "exists", "-n", "nothing")
		p.same("group", "list")
		p.exact("group", "list", "-o", "table")
		p.same("group", "list", "--tag", "team=a")
		p.twin("group", "wait", "--created", "-g", "NAME")
		p.twin("group", "delete", "-n", "NAME", "--yes")
		p.same("group", "create", "-g", "twins", "-l", "westeurope")
	})
	t.Run("users and groups", func(t *testing.T) {
		p := commandPair{t, p.env}
		pairDirectory(p)
	})
	t.Run("applications", func(t *testing.T) {
		p := commandPair{t, p.env}
		pairApplications(p)
	})
	t.Run("roles", func(t *testing.T) {
		p := commandPair{t, p.env}
		pairRoles(p, sub)
	})
	t.Run("identities", func(t *testing.T) {
		p := commandPair{t, p.env}
		pairIdentities(p)
	})
	t.Run("clusters", func(t *testing.T) {
		p := commandPair{t, p.env}
		pairClusters(p)
	})
	t.Run("changes of clusters", func(t *testing.T) {
		p := commandPair{t, p.env}
		pairChanges(p)
	})
}

// id asks for the id of something that NAME names.
func (p commandPair) id(name string, args ...string) string {
	p.t.Helper()
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "NAME", name)
	}
	return harness.Must(p.t, p.env, "keyreeve", append(args, "-o", "tsv")...)
}

func pairDirectory(p commandPair) {
	p.t.Helper()
	const upn = "NAME@keyreeve.test"
	p.twin("ad", "user", "create", "--display-name", "NAME it's", "--user-principal-name", upn, "--password", "Long-enough-1-secret")
	p.twin("ad", "user", "show", "--id", upn)
	p.twin("ad", "user", "update", "--id", upn, "--display-name", "NAME B")
	p.same("ad", "user", "list")
	p.same("ad", "user", "list", "--display-name", "azx")
	p.same("ad", "user", "list", "--upn", "azx@keyreeve.test")
	p.same("ad", "user", "list", "--filter", "startswith(userPrincipalName,'ownx')")
	p.exact("ad", "signed-in-user", "show")
	p.twin("ad", "group", "create", "--display-name", "NAME admins", "--mail-nickname", "NAME")
	p.twin("ad", "group", "create", "--display-name", "NAME admins", "--mail-nickname", "NAME") // it is there
	p.twin("ad", "group", "show", "-g", "NAME admins")
	p.same("ad", "group", "list", "--filter", "displayname eq 'azx admins'")
	p.exact("ad", "group", "list", "--display-name", "azx", "-o", "table")
	for _, name := range []string{"azx", "ownx"} {
		program := map[string]string{"azx": "clients/az", "ownx": "keyreeve"}[name]
		user := p.id(name, "ad", "user", "show", "--id", upn, "--query", "id")
		for _, args := range [][]string{
			{"ad", "group", "member", "add", "-g", name + " admins", "--member-id", user},
			{"ad", "group", "owner", "add", "-g", p.id(name, "ad", "group", "show", "-g", "NAME admins", "--query", "id"), "--owner-object-id", user},
		} {
			if out := harness.Must(p.t, p.env, program, args...); out != "" {
				p.t.Errorf("%s: %s", strings.Join(args, " "), out)
			}
		}
		p.same("ad", "group", "member", "check", "-g", name+" admins", "--member-id", user)
		p.same("ad", "group", "get-member-groups", "-g", name+" admins")
	}
	p.twin("ad", "group", "member", "list", "-g", "NAME admins")
	p.twin("ad", "group", "owner", "list", "-g", "NAME admins")
	p.twin("ad", "user", "get-member-groups", "--id", upn)
	user := p.id("azx", "ad", "user", "show", "--id", upn, "--query", "id")
	p.same("ad", "group", "member", "check", "-g", "ownx admins", "--member-id", user)
	for _, program := range []string{"clients/az", "keyreeve"} {
		name := map[string]string{"clients/az": "azx", "keyreeve": "ownx"}[program]
		user := p.id(name, "ad", "user", "show", "--id", upn, "--query", "id")
		harness.Must(p.t, p.env, program, "ad", "group", "member", "remove", "-g", name+" admins", "--member-id", user)
	}
	p.twin("ad", "group", "member", "list", "-g", "NAME admins")
	p.twin("ad", "group", "delete", "-g", "NAME admins")
	p.twin("ad", "user", "delete", "--id", upn)
}

func pairApplications(p commandPair) {
	p.t.Helper()
	p.twin("ad", "app", "create", "--display-name", "NAME app", "--web-redirect-uris", "https://NAME.example/a", "https://NAME.example/b")
	p.same("ad", "app", "list", "--display-name", "azx")
	p.exact("ad", "app", "list", "--all", "-o", "table")
	for _, name := range []string{"azx", "ownx"} {
		program := map[string]string{"azx": "clients/az", "ownx": "keyreeve"}[name]
		app := p.id(name, "ad", "app", "list", "--display-name", "NAME app", "--query", "[0].appId")
		run := func(args ...string) string { return harness.Must(p.t, p.env, program, args...) }
		run("ad", "app", "update", "--id", app, "--is-fallback-public-client", "true")
		run("ad", "sp", "create", "--id", app)
		run("ad", "app", "credential", "reset", "--id", app, "--display-name", "first", "--append")
		run("ad", "app", "federated-credential", "create", "--id", app, "--parameters",
			`{"name":"ci-main","issuer":"https://ci.example","subject":"repo:main","audiences":["api://AzureADTokenExchange"]}`)
		p.same("ad", "app", "show", "--id", app)
		p.same("ad", "sp", "show", "--id", app)
		p.same("ad", "app", "credential", "list", "--id", app)
		p.same("ad", "app", "federated-credential", "list", "--id", app)
		p.same("ad", "app", "federated-credential", "show", "--id", app, "--federated-credential-id", "ci-main")
		p.same("ad", "app", "owner", "list", "--id", app)
		p.same("ad", "sp", "credential", "list", "--id", app)
		pairPermissions(p, program, app)
		pairCertificates(p, program, app)
		run("ad", "app", "federated-credential", "delete", "--id", app, "--federated-credential-id", "ci-main")
		run("ad", "sp", "delete", "--id", app)
		run("ad", "app", "delete", "--id", app)
	}
	p.same("ad", "sp", "list", "--all")
	p.twin("ad", "sp", "create-for-rbac", "--name", "NAME rbac")
	p.twin("ad", "sp", "list", "--display-name", "NAME rbac")
}

func pairRoles(p commandPair, sub string) {
	p.t.Helper()
	p.same("role", "definition", "list")
	p.exact("role", "definition", "list", "-n", "Reader", "-o", "table")
	p.same("role", "definition", "list", "--custom-role-only", "true")
	p.same("role", "definition", "show", "--scope", sub, "-n", "acdd72a7-3385-48ef-bd42-f606fba81ae7")
	definition := `{"Name":"NAME viewer","Description":"d","Actions":[],"DataActions":["Microsoft.ContainerService/managedClusters/pods/read"],"AssignableScopes":["` + sub + `"]}`
	p.twin("role", "definition", "create", "--role-definition", definition)
	p.twin("role", "definition", "update", "--role-definition", strings.Replace(definition, `"d"`, `"e"`, 1))
	p.twin("role", "definition", "list", "-n", "NAME viewer")
	p.twin("ad", "user", "create", "--display-name", "NAME", "--user-principal-name", "NAME@keyreeve.test", "--password", "Long-enough-1-secret")
	p.twin("role", "assignment", "create", "--assignee", "NAME@keyreeve.test", "--role", "Reader", "--scope", sub)
	p.twin("role", "assignment", "create", "--assignee", "NAME@keyreeve.test", "--role", "Reader", "--scope", sub) // it is there
	p.same("role", "assignment", "list", "--all")
	p.exact("role", "assignment", "list", "--assignee", "azx@keyreeve.test", "-o", "table")
	p.same("role", "assignment", "list", "--scope", sub+"/resourceGroups/twins", "--include-inherited")
	p.same("role", "assignment", "list", "--resource-group", "twins")
	pairAssignmentUpdate(p, sub)
	p.twin("role", "assignment", "delete", "--assignee", "NAME@keyreeve.test", "--role", "Reader")
	p.twin("role", "definition", "delete", "--name", "NAME viewer")
	p.same("role", "definition", "list", "-n", "azx viewer")
}

func pairClusters(p commandPair) {
	p.t.Helper()
	p.same("group", "create", "-g", "twins", "-l", "westeurope")
	p.same("aks", "get-versions", "-l", "westeurope")
	p.twin("aks", "create", "-g", "twins", "-n", "NAME", "--enable-aad", "--enable-azure-rbac", "--no-ssh-key", "--node-count", "1", "--tags", "a=b")
	p.twin("aks", "show", "-g", "twins", "-n", "NAME")
	p.exact("aks", "show", "-g", "twins", "-n", "azx", "-o", "table")
	p.same("aks", "list")
	p.exact("aks", "list", "-g", "twins", "-o", "table")
	p.exact("aks", "list", "-g", "twins", "--query", "[].{name:name, group:resourceGroup}", "-o", "tsv")
	p.twin("aks", "update", "-g", "twins", "-n", "NAME", "--disable-local-accounts")
	p.twin("aks", "update", "-g", "twins", "-n", "NAME", "--enable-local") // cut short, as the documentation has it
	p.twin("aks", "nodepool", "list", "-g", "twins", "--cluster-name", "NAME")
	p.twin("aks", "nodepool", "add", "-g", "twins", "--cluster-name", "NAME", "-n", "more", "-c", "1")
	p.twin("aks", "nodepool", "scale", "-g", "twins", "--cluster-name", "NAME", "-n", "more", "-c", "2")
	p.twin("aks", "nodepool", "show", "-g", "twins", "--cluster-name", "NAME", "-n", "more")
	p.twin("aks", "nodepool", "delete", "-g", "twins", "--cluster-name", "NAME", "-n", "more")
	p.twin("aks", "wait", "-g", "twins", "-n", "NAME", "--created")
	pairCredentials(p)
	p.twin("aks", "stop", "-g", "twins", "-n", "NAME")
	p.twin("aks", "start", "-g", "twins", "-n", "NAME", "--no-wait")
	p.twin("aks", "wait", "-g", "twins", "-n", "NAME", "--updated")
	p.twin("aks", "delete", "-g", "twins", "-n", "NAME", "--yes")
}

// pairChanges makes clusters of an older name, and scales, upgrades and changes them and their pools.
func pairChanges(p commandPair) {
	p.t.Helper()
	p.same("group", "create", "-g", "twins", "-l", "westeurope")
	versions := strings.Fields(harness.Must(p.t, p.env, "keyreeve", "aks", "get-versions", "-l", "eastus", "--query", "sort(values[].keys(patchVersions)[])", "-o", "tsv"))
	if len(versions) < 2 {
		p.t.Fatalf("versions: %q", versions)
	}
	older, newer := versions[len(versions)-2], versions[len(versions)-1]
	p.twin("aks", "create", "-g", "twins", "-n", "NAMEold", "-k", older, "--no-ssh-key", "--node-count", "1")
	p.twin("aks", "get-upgrades", "-g", "twins", "-n", "NAMEold")
	p.exact("aks", "get-upgrades", "-g", "twins", "-n", "azxold", "-o", "table")
	p.twin("aks", "scale", "-g", "twins", "-n", "NAMEold", "-c", "2")
	p.twin("aks", "upgrade", "-g", "twins", "-n", "NAMEold", "-k", newer, "--control-plane-only", "--yes")
	pool := func(command string, more ...string) {
		p.t.Helper()
		p.twin(append([]string{"aks", "nodepool", command, "-g", "twins", "--cluster-name", "NAMEold", "-n", "nodepool1"}, more...)...)
	}
	pool("upgrade", "-k", newer, "--yes")
	pool("update", "--labels", "team=a", "--tags", "b=c")
	p.twin("aks", "nodepool", "add", "-g", "twins", "--cluster-name", "NAMEold", "-n", "more", "-c", "1")
	p.twin("aks", "nodepool", "update", "-g", "twins", "--cluster-name", "NAMEold", "-n", "more", "--node-taints", "k=v:NoSchedule", "--mode", "System")
	p.twin("aks", "nodepool", "stop", "-g", "twins", "--cluster-name", "NAMEold", "-n", "more")
	p.twin("aks", "nodepool", "start", "-g", "twins", "--cluster-name", "NAMEold", "-n", "more")
	for _, program := range []string{"clients/az", "keyreeve"} { // the service refuses to go back, and both say so
		_, stderr, status := harness.Run(p.t, p.env, program, "aks", "upgrade", "-g", "twins", "-n", "azxold", "-k", older, "--yes")
		if status == 0 || !strings.Contains(strings.ToLower(stderr), "downgrad") {
			p.t.Errorf("%s went back: %d %s", program, status, stderr)
		}
	}
	p.twin("aks", "delete", "-g", "twins", "-n", "NAMEold", "--yes", "--no-wait")
}

// pairPermissions says, gives and takes away what an application may do.
func pairPermissions(p commandPair, program, app string) {
	p.t.Helper()
	const graph, scope, role = "00000003-0000-0000-c000-000000000000", "e1fe6dd8-ba31-4d61-89e7-88639da4683d", "df021288-bdef-4463-88db-98f22de89214"
	run := func(args ...string) string { return harness.Must(p.t, p.env, program, args...) }
	run("ad", "app", "permission", "add", "--id", app, "--api", graph, "--api-permissions", scope+"=Scope")
	run("ad", "app", "permission", "add", "--id", app, "--api", graph, "--api-permissions", role+"=Role")
	p.same("ad", "app", "permission", "list", "--id", app)
	first := run("ad", "app", "permission", "grant", "--id", app, "--api", graph, "--scope", "User.Read", "openid")
	second := harness.Must(p.t, p.env, other(program), "ad", "app", "permission", "grant", "--id", app, "--api", graph, "--scope", "User.Read", "openid")
	grantID := regexp.MustCompile(`"id": "[^"]+"`)
	p.compare([]string{"grant"}, grantID.ReplaceAllString(first, `"id": ""`), grantID.ReplaceAllString(second, `"id": ""`))
	p.same("ad", "app", "permission", "list-grants", "--id", app, "--show-resource-name")
	run("ad", "app", "permission", "delete", "--id", app, "--api", graph, "--api-permissions", scope)
	p.same("ad", "app", "permission", "list", "--id", app)
	run("ad", "app", "permission", "delete", "--id", app, "--api", graph)
	if got := run("ad", "app", "permission", "list", "--id", app, "--query", "length(@)", "-o", "tsv"); got != "0" {
		p.t.Errorf("%s left %s", program, got)
	}
}

// other is the other program of a pair.
func other(program string) string {
	if program == "keyreeve" {
		return "clients/az"
	}
	return "keyreeve"
}

// pairCertificates gives an application a certificate of its own making, and signs in with it with both programs.
func pairCertificates(p commandPair, program, app string) {
	p.t.Helper()
	home := p.t.TempDir()
	env := append(slices.Clone(p.env), "HOME="+home)
	out := harness.Must(p.t, env, program, "ad", "app", "credential", "reset", "--id", app, "--create-cert", "--display-name", "made")
	var made struct {
		File     string `json:"fileWithCertAndPrivateKey"`
		Tenant   string `json:"tenant"`
		Password any    `json:"password"`
	}
	if err := json.Unmarshal([]byte(out), &made); err != nil || filepath.Dir(made.File) != home || made.Password != nil {
		p.t.Fatalf("%s: %v %s", program, err, out)
	}
	if info, err := os.Stat(made.File); err != nil || info.Mode().Perm() != 0o600 {
		p.t.Errorf("%s: %s: %v", program, made.File, err)
	}
	p.same("ad", "app", "credential", "list", "--id", app, "--cert")
	text, err := os.ReadFile(made.File)
	if err != nil {
		p.t.Fatal(err)
	}
	public := filepath.Join(home, "public.pem")
	writeFile(p.t, public, string(text[bytes.Index(text, []byte("-----BEGIN CERTIFICATE")):]))
	harness.Must(p.t, env, program, "ad", "app", "credential", "reset", "--id", app, "--cert", "@"+public, "--append")
	if got := harness.Must(p.t, env, program, "ad", "app", "credential", "list", "--id", app, "--cert", "--query", "length(@)", "-o", "tsv"); got != "2" {
		p.t.Errorf("%s: %s certificates", program, got)
	}
}

// pairAssignmentUpdate gives assignments another description, as what `role assignment list` prints with a change in it.
func pairAssignmentUpdate(p commandPair, sub string) {
	p.t.Helper()
	var out [2]string
	for i, program := range []string{"clients/az", "keyreeve"} {
		name := []string{"azx", "ownx"}[i]
		text := harness.Must(p.t, p.env, program, "role", "assignment", "list", "--assignee", name+"@keyreeve.test", "--scope", sub, "--query", "[0]")
		var assignment map[string]any
		if err := json.Unmarshal([]byte(text), &assignment); err != nil {
			p.t.Fatal(err)
		}
		assignment["description"] = "changed"
		changed, err := json.Marshal(assignment)
		if err != nil {
			p.t.Fatal(err)
		}
		file := filepath.Join(p.t.TempDir(), "assignment.json")
		writeFile(p.t, file, string(changed))
		out[i] = unnamed(harness.Must(p.t, p.env, program, "role", "assignment", "update", "--role-assignment", file), name)
		if !strings.Contains(out[i], `"changed"`) {
			p.t.Errorf("%s: %s", program, out[i])
		}
	}
	p.compare([]string{"role", "assignment", "update"}, out[0], out[1])
}

func pairIdentities(p commandPair) {
	p.t.Helper()
	p.same("group", "create", "-g", "idents", "-l", "westeurope")
	p.twin("identity", "create", "-g", "idents", "-n", "NAME", "--tags", "a=b")
	p.twin("identity", "show", "-g", "idents", "-n", "NAME")
	p.same("identity", "list", "-g", "idents")
	p.twin("identity", "federated-credential", "create", "-g", "idents", "--identity-name", "NAME", "-n", "ci-main", "--issuer", "https://ci.example", "--subject", "repo:main", "--audiences", "api://AzureADTokenExchange")
	p.twin("identity", "federated-credential", "list", "-g", "idents", "--identity-name", "NAME")
	p.twin("identity", "list-resources", "-g", "idents", "-n", "NAME")
	p.twin("identity", "delete", "-g", "idents", "-n", "NAME")
	harness.Must(p.t, p.env, "keyreeve", "group", "delete", "-n", "idents", "--yes") // it is both's
}

// pairCredentials wants the same kubeconfigs of both, merged into the same file.
func pairCredentials(p commandPair) {
	p.t.Helper()
	dir := p.t.TempDir()
	for _, args := range [][]string{nil, {"--overwrite-existing"}, {"--admin"}, {"--context", "mine"}, {"--format", "azure", "--overwrite-existing"}} {
		var text [2]string
		for i, program := range []string{"clients/az", "keyreeve"} {
			file := filepath.Join(dir, strings.ReplaceAll(program, "/", "-"))
			harness.Must(p.t, p.env, program, append([]string{"aks", "get-credentials", "-g", "twins", "-n", "azx", "-f", file}, args...)...)
			text[i] = kubeconfigOf(p, file)
		}
		if diff := cmp.Diff(text[0], text[1]); diff != "" {
			p.t.Errorf("get-credentials %v: az is -, keyreeve is +\n%s", args, diff)
		}
	}
}

var adminKey = regexp.MustCompile(`(client-(?:certificate|key)-data|token): \S+`)

func kubeconfigOf(p commandPair, file string) string {
	p.t.Helper()
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		p.t.Errorf("%s: %v, %v", file, info.Mode(), err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		p.t.Fatal(err)
	}
	return adminKey.ReplaceAllString(canonicalYAML(p.t, text), "$1: X")
}

func canonicalYAML(t *testing.T, text []byte) string {
	t.Helper()
	var v any
	if err := yaml.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	out, err := yaml.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// TestInstallCLI installs kubectl and kubelogin from the server, with az and with keyreeve.
func TestInstallCLI(t *testing.T) {
	k := harness.Up(t)
	env := k.Env(t.TempDir())
	e, err := k.Data.Endpoints()
	if err != nil {
		t.Fatal(err)
	}
	index := harness.Must(t, env, "clients/kubelogin", "--version")
	version := regexp.MustCompile(`v([0-9]+\.[0-9]+\.[0-9]+)`).FindStringSubmatch(index)
	if version == nil {
		t.Fatalf("kubelogin says %q", index)
	}
	dir := t.TempDir()
	own, theirs := filepath.Join(dir, "own"), filepath.Join(dir, "az")
	harness.Must(t, env, "clients/az", "aks", "install-cli", "--install-location", filepath.Join(theirs, "kubectl"),
		"--base-src-url", e.Login+"/clients/kubectl", "--kubelogin-install-location", filepath.Join(theirs, "kubelogin"),
		"--kubelogin-base-src-url", e.Login+"/clients/kubelogin", "--kubelogin-version", version[1])
	harness.Must(t, env, "keyreeve", "aks", "install-cli", "--install-location", filepath.Join(own, "kubectl"),
		"--kubelogin-install-location", filepath.Join(own, "kubelogin"))
	for _, name := range []string{"kubectl", "kubelogin"} {
		want, err := os.ReadFile(harness.Program(t, "clients/"+name))
		if err != nil {
			t.Fatal(err)
		}
		for _, place := range []string{own, theirs} {
			got, err := os.ReadFile(filepath.Join(place, name))
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s: not what the server has: %v", filepath.Join(place, name), err)
			}
			if info, err := os.Stat(filepath.Join(place, name)); err != nil || info.Mode().Perm()&0o111 != 0o111 {
				t.Errorf("%s may not be run by everyone: %v", filepath.Join(place, name), err)
			}
		}
	}
}

// BenchmarkCompareShow runs `aks show` with az and with keyreeve in turns, each a process, both warm.
func BenchmarkCompareShow(b *testing.B) {
	k := harness.Up(b)
	env := k.Env(b.TempDir())
	programs := []string{"clients/az", "keyreeve"}
	for _, program := range programs {
		harness.Must(b, env, program, "login", "-u", k.Admin.UserPrincipalName, "-p", k.Admin.Password, "-o", "none")
	}
	harness.Must(b, env, "keyreeve", "group", "create", "-n", "rg", "-l", "eastus", "-o", "none")
	harness.Must(b, env, "keyreeve", "aks", "create", "-g", "rg", "-n", "c1", "--node-count", "1", "--no-ssh-key", "-o", "none")
	took := map[string][]time.Duration{}
	show := func(program string) {
		start := time.Now()
		harness.Must(b, env, program, "aks", "show", "-g", "rg", "-n", "c1", "-o", "none")
		took[program] = append(took[program], time.Since(start))
	}
	show(programs[0])
	show(programs[1])
	clear(took)
	for b.Loop() {
		show(programs[0])
		for range 10 {
			show(programs[1])
		}
	}
	median := func(program string) time.Duration {
		slices.Sort(took[program])
		return took[program][len(took[program])/2]
	}
	b.ReportMetric(float64(median("keyreeve").Microseconds())/1000, "keyreeve-ms")
	b.ReportMetric(float64(median("clients/az").Microseconds())/1000, "az-ms")
	b.ReportMetric(float64(median("clients/az"))/float64(median("keyreeve")), "times")
}
