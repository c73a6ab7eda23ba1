package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keyreeve/keyreeve/test/harness"
)

// TestDirectoryCommands runs every az ad command that there is, against one directory: people and groups, applications,
// service principals, what they prove themselves with, consent. az 2.45 does what it does by calls of its own.
func TestDirectoryCommands(t *testing.T) {
	k := harness.Up(t)
	const az, old = "clients/az", "clients/az-2.45"
	for _, story := range []struct {
		name, az string
		tell     func(*desk, *testing.T)
	}{
		{"users", az, (*desk).users},
		{"groups", az, (*desk).groups},
		{"applications", az, (*desk).applications},
		{"principals", az, (*desk).servicePrincipals},
		{"old applications", old, (*desk).oldApplications},
		{"old principals", old, (*desk).servicePrincipals},
	} {
		t.Run(story.name, func(t *testing.T) {
			t.Parallel()
			story.tell(signedIn(t, k, story.az, strings.ReplaceAll(story.name, " ", "-")), t)
		})
	}
}

// desk is a terminal with one az.
type desk struct {
	k    *harness.Keyreeve
	az   string
	env  []string
	home string
	// name keeps the objects of one desk apart from those of others.
	name string
	// old is az 2.45.
	old bool
}

func signedIn(t *testing.T, k *harness.Keyreeve, az, name string) *desk {
	home := t.TempDir()
	d := &desk{k: k, az: az, env: k.Env(home), home: home, name: name, old: strings.HasSuffix(az, "-2.45")}
	d.do(t, "login", "-u", k.Admin.UserPrincipalName, "-p", k.Admin.Password, "-o", "none")
	return d
}

func (d *desk) do(t *testing.T, args ...string) string {
	t.Helper()
	return harness.Must(t, d.env, d.az, args...)
}

// ask is do for one value of the answer.
func (d *desk) ask(t *testing.T, query string, args ...string) string {
	t.Helper()
	return d.do(t, append(args, "--query", query, "-o", "tsv")...)
}

// wants fails unless the value of the answer is this one.
func (d *desk) wants(t *testing.T, want, query string, args ...string) {
	t.Helper()
	if got := d.ask(t, query, args...); got != want {
		t.Errorf("az %s: %s is %q, want %q", strings.Join(args, " "), query, got, want)
	}
}

// refuses fails unless the command ends with this status and says this.
func (d *desk) refuses(t *testing.T, status int, text string, args ...string) {
	t.Helper()
	stdout, stderr, got := harness.Run(t, d.env, d.az, args...)
	if got != status || !strings.Contains(stderr, text) {
		t.Errorf("az %s: exit status %d, want %d with %q\n%s%s", strings.Join(args, " "), got, status, text, stdout, stderr)
	}
}

func (d *desk) users(t *testing.T) {
	const upn = "ada@keyreeve.test"
	id := d.ask(t, "id", "ad", "user", "create", "--display-name", "Ada Lovelace", "--password", "Passw0rd!ada", "--user-principal-name", upn, "--force-change-password-next-sign-in", "false")
	d.wants(t, upn, "[0].userPrincipalName", "ad", "user", "list", "--display-name", "ada l")
	d.wants(t, id, "[0].id", "ad", "user", "list", "--upn", upn)
	d.wants(t, id, "[0].id", "ad", "user", "list", "--filter", "startswith(userPrincipalName,'ada@')")
	d.do(t, "ad", "user", "update", "--id", upn, "--display-name", "Countess Lovelace", "--account-enabled", "false", "--mail-nickname", "countess", "--password", "Passw0rd!2nd")
	d.wants(t, "Countess Lovelace", "displayName", "ad", "user", "show", "--id", upn)
	d.do(t, "ad", "group", "create", "--display-name", "readers", "--mail-nickname", "readers", "-o", "none")
	d.do(t, "ad", "group", "member", "add", "-g", "readers", "--member-id", id)
	d.wants(t, "readers", "[].displayName", "ad", "user", "get-member-groups", "--id", upn, "--security-enabled-only", "true")
	d.refuses(t, 1, "Another object with the same value for property userPrincipalName already exists.",
		"ad", "user", "create", "--display-name", "Ada", "--password", "Passw0rd!ada", "--user-principal-name", upn)
	d.do(t, "ad", "user", "delete", "--id", upn)
	d.refuses(t, 3, "does not exist", "ad", "user", "show", "--id", upn)
	// It lies among what was deleted, and comes back with its groups.
	graph := d.graph(t)
	d.wants(t, id, "value[].id", "rest", "--url", graph+"/v1.0/directory/deletedItems/microsoft.graph.user", "--resource", graph)
	d.do(t, "rest", "--method", "post", "--url", graph+"/v1.0/directory/deletedItems/"+id+"/restore", "--resource", graph, "-o", "none")
	d.wants(t, "readers", "[].displayName", "ad", "user", "get-member-groups", "--id", id)
	d.wants(t, d.k.Admin.UserPrincipalName, "userPrincipalName", "ad", "signed-in-user", "show")
}

// graph is the address of Graph.
func (d *desk) graph(t *testing.T) string {
	t.Helper()
	for _, v := range d.env {
		if url, ok := strings.CutPrefix(v, "KEYREEVE_GRAPH_URL="); ok {
			return url
		}
	}
	t.Fatal("KEYREEVE_GRAPH_URL is not set")
	return ""
}

func (d *desk) groups(t *testing.T) {
	outer := d.ask(t, "id", "ad", "group", "create", "--display-name", "Outer", "--mail-nickname", "outer", "--description", "all of them")
	inner := d.ask(t, "id", "ad", "group", "create", "--display-name", "Inner", "--mail-nickname", "inner", "--force")
	me := d.ask(t, "id", "ad", "signed-in-user", "show")
	d.wants(t, inner, "id", "ad", "group", "show", "-g", "Inner")
	d.wants(t, "Inner", "[].displayName", "ad", "group", "list", "--display-name", "inn")
	d.wants(t, "2", "length([])", "ad", "group", "list", "--filter", "displayName eq 'Inner' or mailNickname in ('outer','none')")
	d.do(t, "ad", "group", "member", "add", "-g", outer, "--member-id", inner)
	d.do(t, "ad", "group", "member", "add", "-g", "Inner", "--member-id", me)
	d.refuses(t, 1, "One or more added object references already exist", "ad", "group", "member", "add", "-g", "Inner", "--member-id", me)
	d.wants(t, "true", "value", "ad", "group", "member", "check", "-g", "Outer", "--member-id", me)
	d.wants(t, inner, "[].id", "ad", "group", "member", "list", "-g", outer)
	d.wants(t, outer, "[]", "ad", "group", "get-member-groups", "-g", inner)
	d.do(t, "ad", "group", "owner", "add", "-g", "Outer", "--owner-object-id", me)
	d.do(t, "ad", "group", "owner", "add", "-g", "Outer", "--owner-object-id", me) // az looks first
	d.wants(t, me, "[].id", "ad", "group", "owner", "list", "-g", "Outer")
	d.wants(t, "Outer", "[].displayName", "ad", "signed-in-user", "list-owned-objects", "--type", "group")
	d.refuses(t, 1, "must have at least one owner", "ad", "group", "owner", "remove", "-g", "Outer", "--owner-object-id", me)
	other := d.ask(t, "id", "ad", "user", "create", "--display-name", "Grace", "--password", "Passw0rd!grace", "--user-principal-name", "grace@keyreeve.test")
	d.do(t, "ad", "group", "owner", "add", "-g", "Outer", "--owner-object-id", other)
	d.do(t, "ad", "group", "owner", "remove", "-g", "Outer", "--owner-object-id", me)
	d.wants(t, other, "[].id", "ad", "group", "owner", "list", "-g", "Outer")
	d.do(t, "ad", "group", "member", "remove", "-g", "Inner", "--member-id", me)
	d.wants(t, "false", "value", "ad", "group", "member", "check", "-g", outer, "--member-id", me)
	d.do(t, "ad", "group", "delete", "-g", "Inner")
	d.refuses(t, 1, "No group matches the name", "ad", "group", "show", "-g", "Inner")
}

func (d *desk) applications(t *testing.T) {
	name := "Portal " + d.name
	app := d.ask(t, "appId", "ad", "app", "create", "--display-name", name, "--web-redirect-uris", "https://app.keyreeve.test/cb", "http://localhost:8080/cb",
		"--public-client-redirect-uris", "http://localhost", "--sign-in-audience", "AzureADMyOrg", "--enable-id-token-issuance", "true",
		"--app-roles", `[{"allowedMemberTypes":["User","Application"],"description":"Reads","displayName":"Reader","isEnabled":true,"value":"reader"}]`)
	object := d.ask(t, "id", "ad", "app", "show", "--id", app)
	d.wants(t, app, "[].appId", "ad", "app", "list", "--display-name", name)
	d.do(t, "ad", "app", "update", "--id", app, "--identifier-uris", "api://"+app, "--web-home-page-url", "https://app.keyreeve.test", "--is-fallback-public-client", "true")
	d.wants(t, "2", "length(web.redirectUris)", "ad", "app", "show", "--id", "api://"+app)
	d.wants(t, object, "[].id", "ad", "app", "list", "--identifier-uri", "api://"+app)
	d.wants(t, app, "[].appId", "ad", "app", "list", "--app-id", app)
	d.refuses(t, 1, "Values of identifierUris property must use a verified domain", "ad", "app", "update", "--id", app, "--identifier-uris", "https://elsewhere.example")
	d.do(t, "ad", "app", "update", "--id", object, "--set", `notes="set by path"`)
	d.wants(t, "set by path", "notes", "ad", "app", "show", "--id", object)

	// secrets
	secret := d.ask(t, "password", "ad", "app", "credential", "reset", "--id", app, "--display-name", "first", "--years", "2")
	if len(secret) != 40 {
		t.Errorf("the secret has %d characters", len(secret))
	}
	d.do(t, "ad", "app", "credential", "reset", "--id", app, "--display-name", "second", "--append", "-o", "none")
	d.wants(t, "2", "length([])", "ad", "app", "credential", "list", "--id", app)
	first := d.ask(t, "[?displayName=='first'].keyId", "ad", "app", "credential", "list", "--id", app)
	d.do(t, "ad", "app", "credential", "delete", "--id", app, "--key-id", first)
	d.wants(t, "second", "[].displayName", "ad", "app", "credential", "list", "--id", app)
	// certificates
	d.do(t, "ad", "app", "credential", "reset", "--id", app, "--create-cert", "--append", "-o", "none")
	d.do(t, "ad", "app", "credential", "reset", "--id", app, "--create-cert", "--append", "-o", "none")
	d.wants(t, "2", "length([])", "ad", "app", "credential", "list", "--id", app, "--cert")
	cert := d.ask(t, "[0].keyId", "ad", "app", "credential", "list", "--id", app, "--cert")
	d.do(t, "ad", "app", "credential", "delete", "--id", app, "--key-id", cert, "--cert")
	d.wants(t, "1", "length([])", "ad", "app", "credential", "list", "--id", app, "--cert")

	d.federated(t, app)

	me := d.ask(t, "id", "ad", "signed-in-user", "show")
	d.wants(t, me, "[].id", "ad", "app", "owner", "list", "--id", app)
	d.do(t, "ad", "app", "owner", "add", "--id", app, "--owner-object-id", me)
	d.wants(t, name, "[?displayName=='"+name+"'].displayName", "ad", "app", "list", "--show-mine")
	d.do(t, "ad", "app", "owner", "remove", "--id", app, "--owner-object-id", me)
	d.wants(t, "", "[].id", "ad", "app", "owner", "list", "--id", app)

	d.permissions(t, app)
	d.do(t, "ad", "app", "delete", "--id", app)
	d.refuses(t, 3, "does not exist", "ad", "app", "show", "--id", object)
}

// oldApplications is the part of applications in which az 2.45 has a way of its own.
func (d *desk) oldApplications(t *testing.T) {
	app := d.ask(t, "appId", "ad", "app", "create", "--display-name", "Old", "--web-redirect-uris", "https://app.keyreeve.test/cb")
	d.do(t, "ad", "app", "update", "--id", app, "--identifier-uris", "api://"+app)
	d.wants(t, "1", "length(web.redirectUris)", "ad", "app", "show", "--id", "api://"+app)
	d.do(t, "ad", "app", "credential", "reset", "--id", app, "--create-cert", "-o", "none")
	d.do(t, "ad", "app", "credential", "reset", "--id", app, "--append", "-o", "none")
	d.wants(t, "1", "length([])", "ad", "app", "credential", "list", "--id", app, "--cert")
	d.federated(t, app)
	d.permissions(t, app)
	d.do(t, "ad", "app", "delete", "--id", app)
}

func (d *desk) federated(t *testing.T, app string) {
	const path = "federated-credential"
	body := `{"name":"pod","issuer":"https://issuer.keyreeve.test/x","subject":"system:serviceaccount:ns:sa","description":"d","audiences":["api://AzureADTokenExchange"]}`
	d.do(t, "ad", "app", path, "create", "--id", app, "--parameters", body, "-o", "none")
	d.refuses(t, 1, "already exists", "ad", "app", path, "create", "--id", app, "--parameters", strings.Replace(body, "pod", "pod2", 1))
	d.wants(t, "pod", "[].name", "ad", "app", path, "list", "--id", app)
	id := d.ask(t, "id", "ad", "app", path, "show", "--id", app, "--federated-credential-id", "pod")
	d.do(t, "ad", "app", path, "update", "--id", app, "--federated-credential-id", id, "--parameters", strings.Replace(body, ":sa", ":other", 1))
	d.wants(t, "system:serviceaccount:ns:other", "subject", "ad", "app", path, "show", "--id", app, "--federated-credential-id", id)
	d.do(t, "ad", "app", path, "delete", "--id", app, "--federated-credential-id", "pod")
	d.wants(t, "", "[].name", "ad", "app", path, "list", "--id", app)
}

func (d *desk) permissions(t *testing.T, app string) {
	const graph, userRead, directoryRead = "00000003-0000-0000-c000-000000000000", "e1fe6dd8-ba31-4d61-89e7-88639da4683d", "7ab1d382-f21e-4acd-a863-ba3e13f7da61"
	d.do(t, "ad", "app", "permission", "add", "--id", app, "--api", graph, "--api-permissions", userRead+"=Scope", directoryRead+"=Role")
	d.wants(t, "2", "length([0].resourceAccess)", "ad", "app", "permission", "list", "--id", app)
	d.do(t, "ad", "app", "permission", "delete", "--id", app, "--api", graph, "--api-permissions", directoryRead)
	d.wants(t, userRead, "[0].resourceAccess[].id", "ad", "app", "permission", "list", "--id", app)
	d.do(t, "ad", "sp", "create", "--id", app, "-o", "none")
	d.do(t, "ad", "app", "permission", "grant", "--id", app, "--api", graph, "--scope", "User.Read", "openid", "-o", "none")
	d.do(t, "ad", "app", "permission", "grant", "--id", app, "--api", graph, "--scope", "User.Read.All", "-o", "none") // az takes the first one back
	d.wants(t, "User.Read.All", "[].scope", "ad", "app", "permission", "list-grants", "--id", app)
	d.wants(t, "Microsoft Graph", "[].resourceDisplayName", "ad", "app", "permission", "list-grants", "--id", app, "--show-resource-name", "true")
	// az refuses this one by itself on every cloud but the public one.
	d.refuses(t, 1, "not yet supported on sovereign clouds", "ad", "app", "permission", "admin-consent", "--id", app)
}

func (d *desk) servicePrincipals(t *testing.T) {
	group := "rg-" + d.name
	scope := d.ask(t, "id", "group", "create", "-n", group, "-l", "eastus")
	var made struct{ AppID, Password, Tenant string }
	args := []string{"ad", "sp", "create-for-rbac", "-n", "deployer-" + d.name}
	if !d.old { // az 2.45 of Debian cannot assign roles at a scope, whatever the server does
		args = append(args, "--role", "Contributor", "--scopes", scope)
	}
	if err := json.Unmarshal([]byte(d.do(t, args...)), &made); err != nil || len(made.Password) != 40 || made.Tenant != d.k.Admin.TenantID {
		t.Fatalf("%v, tenant %s", err, made.Tenant)
	}
	object := d.ask(t, "id", "ad", "sp", "show", "--id", made.AppID)
	d.wants(t, object, "[].id", "ad", "sp", "list", "--display-name", "deployer-"+d.name)
	d.wants(t, object, "[].id", "ad", "sp", "list", "--spn", made.AppID)
	if !d.old {
		d.wants(t, object, "[].principalId", "role", "assignment", "list", "--assignee", made.AppID, "--scope", scope)
		d.asPrincipal(t, made.AppID, made.Password, group)
	}
	// Again: the application is found and gets another secret.
	again := d.ask(t, "appId", "ad", "sp", "create-for-rbac", "-n", "deployer-"+d.name)
	if again != made.AppID {
		t.Errorf("made again it is %s, was %s", again, made.AppID)
	}
	d.wants(t, "1", "length([])", "ad", "app", "credential", "list", "--id", made.AppID)
	// A certificate: az makes the key and keeps it.
	file := d.ask(t, "fileWithCertAndPrivateKey", "ad", "sp", "create-for-rbac", "-n", "signer-"+d.name, "--create-cert")
	if text, err := os.ReadFile(file); err != nil || filepath.Dir(file) != d.home || !strings.Contains(string(text), "BEGIN CERTIFICATE") {
		t.Errorf("%s: %v", file, err)
	}
	// Credentials of the service principal itself.
	d.do(t, "ad", "sp", "credential", "reset", "--id", object, "--display-name", "own", "-o", "none")
	d.do(t, "ad", "sp", "credential", "reset", "--id", object, "--create-cert", "--append", "-o", "none")
	d.wants(t, "own", "[].displayName", "ad", "sp", "credential", "list", "--id", made.AppID)
	key := d.ask(t, "[0].keyId", "ad", "sp", "credential", "list", "--id", made.AppID, "--cert")
	d.do(t, "ad", "sp", "credential", "delete", "--id", object, "--key-id", key, "--cert")
	d.wants(t, "0", "length([])", "ad", "sp", "credential", "list", "--id", object, "--cert")
	d.do(t, "ad", "sp", "credential", "delete", "--id", object, "--key-id", d.ask(t, "[0].keyId", "ad", "sp", "credential", "list", "--id", object))
	d.wants(t, "0", "length([])", "ad", "sp", "credential", "list", "--id", object)

	d.wants(t, d.k.Admin.UserPrincipalName, "[].userPrincipalName", "ad", "sp", "owner", "list", "--id", object)
	d.wants(t, object, "[?appId=='"+made.AppID+"'].id", "ad", "sp", "list", "--show-mine")
	d.do(t, "ad", "sp", "update", "--id", object, "--set", "appRoleAssignmentRequired=true")
	d.wants(t, "true", "appRoleAssignmentRequired", "ad", "sp", "show", "--id", object)
	d.refuses(t, 1, "already in use", "ad", "sp", "create", "--id", made.AppID)
	d.do(t, "ad", "sp", "delete", "--id", object)
	d.refuses(t, 3, "doesn't exist", "ad", "sp", "show", "--id", "api://"+made.AppID)
	d.do(t, "ad", "sp", "create", "--id", made.AppID, "-o", "none")
}

// asPrincipal signs in as an application with its secret, and does what its role lets it do.
func (d *desk) asPrincipal(t *testing.T, app, secret, group string) {
	home := t.TempDir()
	env := []string{}
	for _, v := range d.k.Env(home) {
		env = append(env, strings.Replace(v, "AZURE_CONFIG_DIR=", "AZURE_CONFIG_DIR_OF_ADMIN=", 1))
	}
	for _, v := range d.env {
		if dir, ok := strings.CutPrefix(v, "AZURE_CONFIG_DIR="); ok {
			own := filepath.Join(home, "azure")
			if err := os.CopyFS(own, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			env = append(env, "AZURE_CONFIG_DIR="+own)
		}
	}
	p := &desk{k: d.k, az: d.az, env: env, home: home, name: d.name}
	p.do(t, "login", "--service-principal", "-u", app, "-p", secret, "--tenant", d.k.Admin.TenantID, "-o", "none")
	p.wants(t, group, "name", "group", "show", "-n", group)
	p.refuses(t, 1, "Insufficient privileges to complete the operation.", "ad", "user", "list")
	p.refuses(t, 1, "/me request is only valid with delegated authentication flow.", "ad", "signed-in-user", "show")
}
