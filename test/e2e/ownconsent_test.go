package e2e

import (
	"strings"
	"testing"

	"github.com/keyreeve/keyreeve/test/harness"
)

// TestOwnAdminConsent gives an application all that it says it needs, for people and for itself, with one command: twice, since
// it may be given again, and not by somebody who may not.
func TestOwnAdminConsent(t *testing.T) {
	k := harness.Up(t)
	const graph, userRead, allUsers = "00000003-0000-0000-c000-000000000000", "e1fe6dd8-ba31-4d61-89e7-88639da4683d", "df021288-bdef-4463-88db-98f22de89214"
	admin := connected(t, nil, "https://"+k.Listen, "--ca-file", k.Data.CA())
	keyreeve := func(args ...string) string {
		t.Helper()
		return harness.Must(t, admin, "keyreeve", args...)
	}
	keyreeve("login", "-u", k.Admin.UserPrincipalName, "-p", k.Admin.Password, "-o", "none")
	app := keyreeve("ad", "app", "create", "--display-name", "reader", "--query", "appId", "-o", "tsv")
	keyreeve("ad", "app", "permission", "add", "--id", app, "--api", graph, "--api-permissions", userRead+"=Scope", allUsers+"=Role")
	consent := []string{"ad", "app", "permission", "admin-consent", "--id", app}
	if _, stderr, status := harness.Run(t, admin, "keyreeve", consent...); status == 0 || !strings.Contains(stderr, "no service principal") {
		t.Errorf("an application without a service principal: %d %s", status, stderr)
	}
	principal := keyreeve("ad", "sp", "create", "--id", app, "--query", "id", "-o", "tsv")

	keyreeve("ad", "user", "create", "--display-name", "dana", "--user-principal-name", "dana@keyreeve.test", "--password", "Long-enough-1-secret", "-o", "none")
	dana := connected(t, nil, "https://"+k.Listen, "--ca-file", k.Data.CA())
	harness.Must(t, dana, "keyreeve", "login", "-u", "dana@keyreeve.test", "-p", "Long-enough-1-secret", "--allow-no-subscriptions", "-o", "none")
	if _, stderr, status := harness.Run(t, dana, "keyreeve", consent...); status == 0 || !strings.Contains(stderr, "Authorization_RequestDenied") {
		t.Errorf("a member gave consent for everybody: %d %s", status, stderr)
	}

	for range 2 {
		keyreeve(consent...)
		if got := keyreeve("ad", "app", "permission", "list-grants", "--id", app, "--query", "[].[consentType, scope]", "-o", "tsv"); got != "AllPrincipals\tUser.Read" {
			t.Errorf("for people: %q", got)
		}
		got := keyreeve("rest", "--url", lookup(admin, "KEYREEVE_GRAPH_URL")+"/v1.0/servicePrincipals/"+principal+"/appRoleAssignments", "--query", "value[].appRoleId", "-o", "tsv")
		if got != allUsers {
			t.Errorf("for itself: %q", got)
		}
	}
}
