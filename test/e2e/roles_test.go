package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/test/harness"
)

// TestAzureRoleCommands takes the real az through its role commands: definitions, assignments at every kind of scope, their
// filters, conditions that are obeyed, and deny assignments.
func TestAzureRoleCommands(t *testing.T) {
	k := harness.Up(t)
	home := t.TempDir()
	env := k.Env(home)
	run := func(args ...string) string {
		t.Helper()
		return harness.Must(t, env, "clients/az", args...)
	}
	fails := func(want string, args ...string) {
		t.Helper()
		if _, stderr, status := harness.Run(t, env, "clients/az", args...); status == 0 || !strings.Contains(stderr, want) {
			t.Errorf("az %s: exit %d, want %q in\n%s", strings.Join(args, " "), status, want, stderr)
		}
	}
	want := func(want string, args ...string) {
		t.Helper()
		if got := strings.Join(strings.Fields(run(append(args, "-o", "tsv")...)), " "); got != want {
			t.Errorf("az %s: %q, want %q", strings.Join(args, " "), got, want)
		}
	}
	run("login", "-u", k.Admin.UserPrincipalName, "-p", k.Admin.Password, "-o", "none")
	sub := "/subscriptions/" + k.Admin.SubscriptionID
	run("group", "create", "-n", "rg", "-l", "eastus", "-o", "none")
	rg := sub + "/resourceGroups/rg"
	ann := run("ad", "user", "create", "--display-name", "ann", "--user-principal-name", "ann@keyreeve.test", "--password", "Correct-horse-9", "--query", "id", "-o", "tsv")
	devs := run("ad", "group", "create", "--display-name", "devs", "--mail-nickname", "devs", "--query", "id", "-o", "tsv")
	run("ad", "group", "member", "add", "-g", "devs", "--member-id", ann)
	run("rest", "--method", "put", "--url", rg+"/providers/Microsoft.ContainerService/managedClusters/c1?api-version=2025-05-01", "--body", attachedBody(t, k), "-o", "none")
	ns := rg + "/providers/Microsoft.ContainerService/managedClusters/c1/namespaces/dev"

	// Definitions.
	const reader = "acdd72a7-3385-48ef-bd42-f606fba81ae7"
	want("Reader", "role", "definition", "list", "-n", "Reader", "--query", "[].roleName")
	want("Reader", "role", "definition", "show", "--id", sub+"/providers/Microsoft.Authorization/roleDefinitions/"+reader, "--query", "roleName")
	want("Reader", "role", "definition", "show", "--name", reader, "--scope", sub, "--query", "roleName")
	file := filepath.Join(home, "role.json")
	write := func(description string) {
		t.Helper()
		text := fmt.Sprintf(`{"Name":"Pod Looker","IsCustom":true,"Description":%q,"Actions":["Microsoft.ContainerService/managedClusters/read"],"NotActions":[],`+
			`"DataActions":["Microsoft.ContainerService/managedClusters/pods/read"],"NotDataActions":[],"AssignableScopes":[%q]}`, description, sub)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("looks")
	want("Pod Looker", "role", "definition", "create", "--role-definition", "@"+file, "--query", "roleName")
	write("looks again")
	want("looks again", "role", "definition", "update", "--role-definition", "@"+file, "--query", "description")
	want("Pod Looker looks again", "role", "definition", "list", "--custom-role-only", "--query", "[].[roleName,description]")

	// Assignments: by name, id, object id and group; at a subscription, a group and a namespace.
	want("User", "role", "assignment", "create", "--assignee", "ann@keyreeve.test", "--role", "Reader", "--scope", rg, "--query", "principalType")
	want("User", "role", "assignment", "create", "--assignee", ann, "--role", reader, "--scope", sub, "--query", "principalType")
	want("User", "role", "assignment", "create", "--assignee", ann, "--role", reader, "--scope", sub, "--query", "principalType") // it is there: az shows it
	want("User", "role", "assignment", "create", "--assignee-object-id", ann, "--role", "Pod Looker", "--scope", ns, "--query", "principalType")
	want(ns, "role", "assignment", "create", "--assignee-object-id", devs, "--assignee-principal-type", "Group", "--role", "Azure Kubernetes Service RBAC Writer", "--scope", ns, "--query", "scope")
	fails("Cannot find user or service principal", "role", "assignment", "create", "--assignee", "http://nobody", "--role", "Reader", "--scope", sub)
	fails("doesn't exist", "role", "assignment", "create", "--assignee", ann, "--role", "Nonsense", "--scope", sub)
	fails("UnmatchedPrincipalType", "role", "assignment", "create", "--assignee-object-id", ann, "--assignee-principal-type", "Group", "--role", "Reader", "--scope", ns)

	list := func(args ...string) []string {
		return append(append([]string{"role", "assignment", "list"}, args...), "--query", "sort([].roleDefinitionName)")
	}
	want("Azure Kubernetes Service RBAC Writer Owner Pod Looker Reader Reader", list("--all")...)
	want("Owner Reader", list()...)
	want("Reader", list("-g", "rg")...)
	want("Owner Reader Reader", list("-g", "rg", "--include-inherited")...)
	want("Azure Kubernetes Service RBAC Writer Pod Looker", list("--scope", ns)...)
	want("Pod Looker Reader Reader", list("--assignee", "ann@keyreeve.test", "--all")...)
	want("Azure Kubernetes Service RBAC Writer Pod Looker Reader Reader", list("--assignee", "ann@keyreeve.test", "--all", "--include-groups")...)
	want("Azure Kubernetes Service RBAC Writer Pod Looker", list("--assignee", "ann@keyreeve.test", "--scope", ns, "--include-groups")...)
	want("Reader", list("--role", "Reader", "-g", "rg")...)
	want("Reader Reader", list("--role", reader, "--all")...)

	// A condition narrows who may assign what, and can be changed.
	condition := func(role string) string {
		return "((!(ActionMatches{'Microsoft.Authorization/roleAssignments/write'})) OR (@Request[Microsoft.Authorization/roleAssignments:RoleDefinitionId] ForAnyOfAnyValues:GuidEquals {" + role + "}))"
	}
	admin := run("role", "assignment", "create", "--assignee", ann, "--role", "Role Based Access Control Administrator", "--scope", rg,
		"--condition", condition(reader), "--condition-version", "2.0", "--description", "narrow", "-o", "json")
	annHome := t.TempDir()
	annEnv := append(k.Env(annHome), "AZURE_CONFIG_DIR="+filepath.Join(annHome, "azure"))
	copyCloud(t, env, annEnv)
	as := func(args ...string) (string, int) {
		_, stderr, status := harness.Run(t, annEnv, "clients/az", args...)
		return stderr, status
	}
	if stderr, status := as("login", "-u", "ann@keyreeve.test", "-p", "Correct-horse-9", "-o", "none"); status != 0 {
		t.Fatal(stderr)
	}
	if stderr, status := as("role", "assignment", "create", "--assignee-object-id", devs, "--assignee-principal-type", "Group", "--role", reader, "--scope", rg, "-o", "none"); status != 0 {
		t.Errorf("what the condition lets through: %s", stderr)
	}
	if stderr, status := as("role", "assignment", "create", "--assignee-object-id", devs, "--assignee-principal-type", "Group", "--role", "Owner", "--scope", rg, "-o", "none"); status == 0 ||
		!strings.Contains(stderr, "ABAC condition not fulfilled") {
		t.Errorf("what the condition does not let through: %d %s", status, stderr)
	}
	wider := filepath.Join(home, "assignment.json")
	if err := os.WriteFile(wider, []byte(strings.ReplaceAll(admin, "narrow", "changed")), 0o600); err != nil {
		t.Fatal(err)
	}
	want("changed", "role", "assignment", "update", "--role-assignment", "@"+wider, "--query", "description")

	// A deny assignment takes away what a role gives.
	deny := rg + "/providers/Microsoft.Authorization/denyAssignments/11111111-2222-4333-8444-555555555555?api-version=2022-04-01"
	run("rest", "--method", "put", "--url", deny, "-o", "none", "--body",
		`{"properties":{"denyAssignmentName":"frozen","permissions":[{"actions":["Microsoft.Authorization/*/write"]}],"principals":[{"id":"`+devs+`"}]}}`)
	if stderr, status := as("role", "assignment", "create", "--assignee-object-id", devs, "--assignee-principal-type", "Group", "--role", reader, "--scope", ns, "-o", "none"); status == 0 ||
		!strings.Contains(stderr, "DenyAssignmentAuthorizationFailed") || !strings.Contains(stderr, "frozen") {
		t.Errorf("denied: %d %s", status, stderr)
	}
	run("rest", "--method", "delete", "--url", deny, "-o", "none")

	// Taken back, by whom and by id.
	run("role", "assignment", "delete", "--assignee", ann, "--role", "Reader", "-g", "rg")
	fails("No matched assignments were found to delete", "role", "assignment", "delete", "--assignee", ann, "--role", "Reader", "-g", "rg")
	run("role", "assignment", "delete", "--ids", run("role", "assignment", "list", "--scope", ns, "--role", "Pod Looker", "--query", "[0].id", "-o", "tsv"))
	lines := []string{
		"Granted\tann@keyreeve.test\tReader\tResource group", "Granted\tdevs\tAzure Kubernetes Service RBAC Writer\tResource",
		"Revoked\tann@keyreeve.test\tReader\tResource group", "Revoked\tann@keyreeve.test\tPod Looker\tResource",
	}
	// az asks up to now in whole seconds, which leaves out what was done in this one.
	eventually(t, 15*time.Second, "the change log has every change", func() bool {
		changes := run("role", "assignment", "list-changelogs", "--query", "[].[action,principalName,roleName,scopeType]", "-o", "tsv")
		return !slices.ContainsFunc(lines, func(line string) bool { return !strings.Contains(changes, line) })
	})
	run("role", "definition", "delete", "--name", "Pod Looker")
	want("", "role", "definition", "list", "--custom-role-only")
}

// attachedBody is a cluster elsewhere, of which only the resource is needed.
func attachedBody(t *testing.T, k *harness.Keyreeve) string {
	t.Helper()
	ca, err := os.ReadFile(filepath.Join(string(k.Data), "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(map[string]any{"location": "eastus", "properties": map[string]any{
		"keyreeveAttachedProfile": map[string]any{"server": "https://api.theirs.test:6443", "certificateAuthority": string(ca)},
		"aadProfile":              map[string]any{"managed": true, "enableAzureRBAC": true},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// copyCloud gives a second person's az the cloud that the first one's has registered.
func copyCloud(t *testing.T, from, to []string) {
	t.Helper()
	src, dst := lookup(from, "AZURE_CONFIG_DIR"), lookup(to, "AZURE_CONFIG_DIR")
	if err := os.MkdirAll(dst, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"config", "clouds.config"} {
		text, err := os.ReadFile(filepath.Join(src, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dst, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestLegacyRoleCommands takes az 2.45 through those of its role commands that get as far as a request.
func TestLegacyRoleCommands(t *testing.T) {
	k := harness.Up(t)
	home := t.TempDir()
	env := k.Env(home)
	run := func(args ...string) string {
		t.Helper()
		return harness.Must(t, env, "clients/az-2.45", args...)
	}
	run("login", "-u", k.Admin.UserPrincipalName, "-p", k.Admin.Password, "-o", "none")
	sub := "/subscriptions/" + k.Admin.SubscriptionID
	file := filepath.Join(home, "role.json")
	text := fmt.Sprintf(`{"Name":"Looker","IsCustom":true,"Description":"looks","Actions":["*/read"],"AssignableScopes":[%q]}`, sub)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := run("role", "definition", "create", "--role-definition", "@"+file, "--query", "roleName", "-o", "tsv"); got != "Looker" {
		t.Errorf("made %q", got)
	}
	// Its list of assignments breaks on the first one, whatever the server says.
	if _, stderr, status := harness.Run(t, env, "clients/az-2.45", "role", "assignment", "list", "--all"); status == 0 || !strings.Contains(stderr, "object has no attribute 'config'") {
		t.Errorf("role assignment list: exit %d\n%s", status, stderr)
	}
	given := sub + "/providers/Microsoft.Authorization/roleAssignments/22222222-3333-4444-8555-666666666666"
	who := run("ad", "user", "create", "--display-name", "ann", "--user-principal-name", "ann@keyreeve.test", "--password", "Correct-horse-9", "--query", "id", "-o", "tsv")
	body := fmt.Sprintf(`{"properties":{"principalId":%q,"roleDefinitionId":"%s/providers/Microsoft.Authorization/roleDefinitions/acdd72a7-3385-48ef-bd42-f606fba81ae7"}}`, who, sub)
	run("rest", "--method", "put", "--url", given+"?api-version=2022-04-01", "--body", body, "-o", "none")
	roles := func() string {
		return run("rest", "--method", "get", "--url", sub+"/providers/Microsoft.Authorization/roleAssignments?api-version=2022-04-01", "--query", "length(value)", "-o", "tsv")
	}
	if got := roles(); got != "2" {
		t.Errorf("%s assignments", got)
	}
	run("role", "assignment", "delete", "--ids", given)
	if got := roles(); got != "1" {
		t.Errorf("%s assignments after one was deleted", got)
	}
	if got := run("rest", "--method", "get", "--url", sub+"/providers/Microsoft.Authorization/roleDefinitions?api-version=2022-04-01&$filter=type%20eq%20'CustomRole'",
		"--query", "value[].properties.roleName", "-o", "tsv"); got != "Looker" {
		t.Errorf("custom roles %q", got)
	}
}
