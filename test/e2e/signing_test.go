package e2e

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"github.com/keyreeve/keyreeve/test/harness"
)

// TestES256 is a day's work of az, of our own commands and of Azure's kubelogin at a Keyreeve that signs with ES256 what is for
// Resource Manager and Graph.
func TestES256(t *testing.T) {
	k := harness.Up(t, "--token-signing", "es256")
	for _, az := range []string{"clients/az", "clients/az-2.45"} {
		d := signedIn(t, k, az, strings.ReplaceAll(az, "/", "-"))
		group := strings.ReplaceAll(az, "clients/", "es256-")
		for resource, want := range map[string]string{
			"https://management.azure.com/": "ES256", "https://graph.microsoft.com/": "ES256", "6dae42f8-4368-4678-94ff-3960e28e3630": "RS256",
		} {
			if got := algorithm(t, d.ask(t, "accessToken", "account", "get-access-token", "--resource", resource)); got != want {
				t.Errorf("%s, %s: signed with %s, want %s", az, resource, got, want)
			}
		}
		d.wants(t, group, "name", "group", "create", "-n", group, "-l", "centralus")
		me := d.ask(t, "id", "ad", "signed-in-user", "show")
		app := d.ask(t, "appId", "ad", "sp", "create-for-rbac", "-n", group)
		d.wants(t, app, "[0].appId", "ad", "sp", "list", "--display-name", group)
		if d.old { // whose role assignments do not go with Debian's libraries
			d.wants(t, me, "id", "ad", "user", "show", "--id", me)
			continue
		}
		d.do(t, "role", "assignment", "create", "--assignee", me, "--role", "Reader", "--scope", d.ask(t, "id", "group", "show", "-n", group), "-o", "none")
	}
	d := signedIn(t, k, "clients/az", "es256-kubelogin")
	var credential struct{ Status struct{ Token string } }
	text := harness.Must(t, append(d.env, "SSL_CERT_FILE="+k.Data.CA()), "clients/kubelogin", "get-token", "-l", "azurecli",
		"--server-id", "6dae42f8-4368-4678-94ff-3960e28e3630", "--token-cache-dir", t.TempDir())
	if err := json.Unmarshal([]byte(text), &credential); err != nil || algorithm(t, credential.Status.Token) != "RS256" {
		t.Errorf("kubelogin: %v: %s", err, text)
	}
}

// algorithm is what a token's header says it is signed with.
func algorithm(t *testing.T, token string) string {
	t.Helper()
	head, _, _ := strings.Cut(token, ".")
	text, err := base64.RawURLEncoding.DecodeString(head)
	var header struct{ Alg string }
	if err != nil || json.Unmarshal(text, &header) != nil {
		t.Fatalf("no token: %v", err)
	}
	return header.Alg
}
