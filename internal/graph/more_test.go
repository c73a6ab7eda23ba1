package graph

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/logon"
	"github.com/keyreeve/keyreeve/internal/proof"
	"github.com/keyreeve/keyreeve/internal/store"
)

// graphPrincipal makes the service principal of Microsoft Graph.
func (b *bench) graphPrincipal() ident.ObjectID {
	b.t.Helper()
	b.write(func(tx *store.Tx) error {
		return tx.PutServicePrincipal(directory.ServicePrincipal{
			ID: oid("graph"), Tenant: b.tenant, AppID: directory.MicrosoftGraph(), DisplayName: "Microsoft Graph", Type: directory.TypeApplication, AccountEnabled: true,
		})
	})
	return oid("graph")
}

// TestAppPermissions: an application may do what it was given at Microsoft Graph, from the moment it is given until it is
// taken, whatever its token says.
func TestAppPermissions(t *testing.T) {
	b := newBench(t)
	b.graphPrincipal()
	b.group("devs", "alice")
	const groupReadAll = "5b567255-7703-4780-807c-7be8301ae99b"
	b.want(b.do("app", "GET", "/v1.0/groups", ""), 403, "")
	body := `{"principalId":"{app}","resourceId":"{graph}","appRoleId":"` + groupReadAll + `"}`
	b.user("appadmin", "App Admin", directory.ApplicationAdministrator())
	for _, who := range []string{"alice", "appadmin", "users"} {
		b.want(b.do(who, "POST", "/v1.0/servicePrincipals/{app}/appRoleAssignments", body), 403, "")
	}
	given := b.want(b.do("admin", "POST", "/v1.0/servicePrincipals/{app}/appRoleAssignments", body), 201, `"principalDisplayName":"Robot","principalId":"{app}","principalType":"ServicePrincipal","resourceDisplayName":"Microsoft Graph"`).text(t, "id")
	b.want(b.do("admin", "POST", "/v1.0/servicePrincipals/{graph}/appRoleAssignedTo", body), 400, "already exists on the object")
	b.want(b.do("app", "GET", "/v1.0/groups", ""), 200, "{devs}")
	b.want(b.do("app", "POST", "/v1.0/directoryObjects/getByIds", `{"ids":["{devs}","{alice}"]}`), 200, `{devs}`)
	if got := b.do("app", "POST", "/v1.0/directoryObjects/getByIds", `{"ids":["{devs}","{alice}"]}`).values(t, "id"); !slices.Equal(got, []string{oid("devs").String()}) {
		t.Errorf("an application that reads groups sees %q", got)
	}
	b.want(b.do("app", "GET", "/v1.0/users", ""), 403, "")
	b.want(b.do("app", "PATCH", "/v1.0/groups/{devs}", `{"description":"x"}`), 403, "")
	b.want(b.do("alice", "GET", "/v1.0/servicePrincipals/{graph}/appRoleAssignedTo", ""), 200, given)
	b.want(b.do("alice", "GET", "/v1.0/servicePrincipals/{app}/appRoleAssignments?$filter=resourceId%20eq%20'{graph}'", ""), 200, given)
	for name, bad := range map[string]string{"unknown role": "{nobody}", "of people": oid("x").String()} {
		if a := b.do("admin", "POST", "/v1.0/servicePrincipals/{app}/appRoleAssignments", strings.Replace(body, groupReadAll, bad, 1)); a.status != 400 {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	b.want(b.do("admin", "POST", "/v1.0/users/{alice}/appRoleAssignments", strings.Replace(body, "{app}", "{alice}", 1)), 400, "Not a valid permission for the type of principal")
	b.want(b.do("admin", "DELETE", "/v1.0/servicePrincipals/{reader}/appRoleAssignments/"+given, ""), 404, "")
	b.want(b.do("admin", "DELETE", "/v1.0/servicePrincipals/{app}/appRoleAssignments/"+given, ""), 204, "")
	b.want(b.do("app", "GET", "/v1.0/groups", ""), 403, "")

	// Application.ReadWrite.OwnedBy: what it makes, and nothing else.
	b.want(b.do("admin", "POST", "/v1.0/servicePrincipals/{app}/appRoleAssignments", strings.Replace(body, groupReadAll, "18a4783c-866b-4cc7-a460-3d5e5662c884", 1)), 201, "")
	object, _ := b.newApp("app", "Made by a robot")
	b.want(b.do("app", "POST", "/v1.0/applications/"+object+"/addPassword", `{}`), 200, "")
	b.want(b.do("app", "POST", "/v1.0/applications/{application reader}/addPassword", `{}`), 403, "")
}

// TestScopedClient: a person is held to what their client was let do.
func TestScopedClient(t *testing.T) {
	b := newBench(t)
	c := b.callers["admin"]
	c.Scopes = []string{"User.Read", "openid"}
	b.callers["narrow"] = c
	b.want(b.do("narrow", "GET", "/v1.0/me", ""), 200, "{admin}")
	b.want(b.do("narrow", "GET", "/v1.0/users", ""), 403, "")
	b.want(b.do("narrow", "POST", "/v1.0/users", newUser), 403, "")
	b.want(b.do("narrow", "DELETE", "/v1.0/users/{alice}", ""), 403, "")
}

// TestPrivilegedApplication: who could add a secret to an application with a directory role would have the role.
func TestPrivilegedApplication(t *testing.T) {
	b := newBench(t)
	b.user("appadmin", "App Admin", directory.CloudApplicationAdministrator())
	b.want(b.do("appadmin", "POST", "/v1.0/servicePrincipals/{app}/addPassword", `{}`), 200, "")
	b.grant(oid("app"), directory.GlobalAdministrator())
	for _, path := range []string{"/v1.0/servicePrincipals/{app}", "/v1.0/applications/{application app}"} {
		b.want(b.do("appadmin", "POST", path+"/addPassword", `{}`), 403, "")
		b.want(b.do("appadmin", "POST", path+"/owners/$ref", `{"@odata.id":"x/{appadmin}"}`), 403, "")
		b.want(b.do("admin", "POST", path+"/addPassword", `{}`), 200, "")
	}
}

// TestWellKnownHasNoCredentials: nobody proves to be Microsoft Graph.
func TestWellKnownHasNoCredentials(t *testing.T) {
	b := newBench(t)
	b.graphPrincipal()
	der, _ := certificate(t, b.clock.Now().Add(-time.Hour), b.clock.Now().Add(time.Hour))
	b.want(b.do("admin", "POST", "/v1.0/servicePrincipals/{graph}/addPassword", `{}`), 403, "well-known application")
	b.want(b.do("admin", "PATCH", "/v1.0/servicePrincipals/{graph}", `{"keyCredentials":[{"key":"`+base64.StdEncoding.EncodeToString(der)+`"}]}`), 403, "well-known application")
	b.want(b.do("admin", "DELETE", "/v1.0/servicePrincipals/{graph}", ""), 400, "well-known application")
	b.want(b.do("admin", "PATCH", "/v1.0/servicePrincipals/{graph}", `{"accountEnabled":false}`), 400, "cannot be disabled")
}

func TestConsent(t *testing.T) {
	b := newBench(t)
	b.graphPrincipal()
	body := func(consent, principal, scope string) string {
		return `{"clientId":"{app}","consentType":"` + consent + `","principalId":` + principal + `,"resourceId":"{graph}","scope":"` + scope + `"}`
	}
	// People consent for themselves to what needs no administrator.
	own := b.want(b.do("alice", "POST", "/v1.0/oauth2PermissionGrants", body("Principal", `"{alice}"`, " User.Read  openid ")), 201, `"scope":"User.Read openid"`).text(t, "id")
	b.want(b.do("alice", "POST", "/v1.0/oauth2PermissionGrants", body("Principal", `"{alice}"`, "User.Read")), 409, "Permission entry already exists.")
	for _, bad := range []string{body("Principal", `"{admin}"`, "User.Read"), body("AllPrincipals", "null", "User.Read"), body("Principal", `"{alice}"`, "Group.Read.All"), body("Principal", `"{alice}"`, "Mail.Read")} {
		b.want(b.do("alice", "POST", "/v1.0/oauth2PermissionGrants", bad), 403, "")
	}
	all := b.want(b.do("admin", "POST", "/v1.0/oauth2PermissionGrants", body("AllPrincipals", "null", "Group.Read.All")), 201, `"principalId":null`).text(t, "id")
	b.want(b.do("admin", "POST", "/v1.0/oauth2PermissionGrants", body("AllPrincipals", `"{alice}"`, "x")), 400, "principalId")
	b.want(b.do("admin", "POST", "/v1.0/oauth2PermissionGrants", body("Principal", "null", "x")), 400, "principalId")
	b.want(b.do("admin", "POST", "/v1.0/oauth2PermissionGrants", body("Everybody", "null", "x")), 400, "consentType")
	sorted := []string{own, all}
	slices.Sort(sorted)
	for _, path := range []string{"/v1.0/oauth2PermissionGrants", "/v1.0/oAuth2PermissionGrants?$filter=clientId%20eq%20'{app}'", "/v1.0/servicePrincipals/{app}/oauth2PermissionGrants"} {
		if got := b.do("alice", "GET", path, "").values(t, "id"); !slices.Equal(got, sorted) {
			t.Errorf("%s: %q", path, got)
		}
	}
	b.want(b.do("alice", "GET", "/v1.0/me/oauth2PermissionGrants", ""), 200, own)
	page := b.do("alice", "GET", "/v1.0/oauth2PermissionGrants?$top=1", "")
	next, _ := page.json(t)["@odata.nextLink"].(string)
	if got := append(page.values(t, "id"), b.do("alice", "GET", strings.TrimPrefix(next, base), "").values(t, "id")...); !slices.Equal(got, sorted) {
		t.Errorf("in pages: %q", got)
	}
	if got := b.world.PermissionGrants(oid("app")); len(got) != 2 {
		t.Errorf("the world knows %v", got)
	}
	b.want(b.do("alice", "PATCH", "/v1.0/oauth2PermissionGrants/"+own, `{"scope":"User.Read.All"}`), 403, "")
	b.want(b.do("admin", "PATCH", "/v1.0/oauth2PermissionGrants/"+all, `{"scope":"User.Read.All"}`), 204, "")
	b.want(b.do("alice", "DELETE", "/v1.0/oauth2PermissionGrants/"+all, ""), 403, "")
	b.want(b.do("alice", "DELETE", "/v1.0/oauth2PermissionGrants/"+own, ""), 204, "")
	b.want(b.do("alice", "DELETE", "/v1.0/oauth2PermissionGrants/"+own, ""), 404, "")
}

func TestDirectoryRoles(t *testing.T) {
	b := newBench(t)
	b.user("giver", "Giver", directory.PrivilegedRoleAdministrator())
	role := directory.UserAdministrator()
	object := directory.RoleObject(b.tenant, role).String()
	b.want(b.do("alice", "GET", "/v1.0/directoryRoles?$filter=displayName%20eq%20'User%20Administrator'", ""), 200, `"id":"`+object+`"`)
	b.want(b.do("alice", "GET", "/v1.0/directoryRoleTemplates/"+role.String(), ""), 200, "User Administrator")
	b.want(b.do("alice", "GET", "/v1.0/directoryRoles(roleTemplateId='"+role.String()+"')/members", ""), 200, "{users}")
	b.want(b.do("alice", "GET", "/v1.0/roleManagement/directory/roleDefinitions/"+role.String(), ""), 200, `"isBuiltIn":true`)

	body := `{"principalId":"{alice}","roleDefinitionId":"` + role.String() + `","directoryScopeId":"/"}`
	for _, who := range []string{"alice", "users", "groups"} {
		b.want(b.do(who, "POST", "/v1.0/roleManagement/directory/roleAssignments", body), 403, "")
		b.want(b.do(who, "POST", "/v1.0/directoryRoles/"+object+"/members/$ref", `{"@odata.id":"x/{alice}"}`), 403, "")
	}
	id := b.want(b.do("giver", "POST", "/v1.0/roleManagement/directory/roleAssignments", body), 201, `"directoryScopeId":"/"`).text(t, "id")
	b.want(b.do("giver", "POST", "/v1.0/roleManagement/directory/roleAssignments", body), 400, "conflicting object")
	b.want(b.do("alice", "GET", "/v1.0/roleManagement/directory/roleAssignments?$filter=principalId%20eq%20'{alice}'", ""), 200, id)
	b.want(b.do("alice", "GET", "/v1.0/roleManagement/directory/roleAssignments/"+id, ""), 200, id)
	b.want(b.do("alice", "GET", "/v1.0/me/memberOf", ""), 200, `"@odata.type":"#microsoft.graph.directoryRole","id":"`+object+`"`)
	b.want(b.do("alice", "GET", "/v1.0/me/memberOf/microsoft.graph.directoryRole", ""), 200, object)
	b.want(b.do("alice", "POST", "/v1.0/me/getMemberObjects", `{"securityEnabledOnly":false}`), 200, object)
	b.want(b.do("alice", "POST", "/v1.0/users", newUser), 201, "") // it counts at once
	b.want(b.do("giver", "DELETE", "/v1.0/roleManagement/directory/roleAssignments/"+id, ""), 204, "")
	b.want(b.do("giver", "DELETE", "/v1.0/roleManagement/directory/roleAssignments/"+id, ""), 404, "")
	b.want(b.do("alice", "DELETE", "/v1.0/users/{groups}", ""), 403, "")

	// Groups hold roles only if they were made for it; nobody takes the last administrator away.
	b.group("plain")
	b.want(b.do("giver", "POST", "/v1.0/directoryRoles/"+object+"/members/$ref", `{"@odata.id":"x/{plain}"}`), 400, "not assignable to roles")
	b.want(b.do("giver", "POST", "/v1.0/directoryRoles/"+object+"/members/$ref", `{"@odata.id":"x/{stranger}"}`), 404, "")
	global := directory.RoleObject(b.tenant, directory.GlobalAdministrator()).String()
	b.want(b.do("giver", "DELETE", "/v1.0/directoryRoles/"+global+"/members/{admin}/$ref", ""), 400, "without an enabled Global Administrator")
	b.want(b.do("giver", "POST", "/v1.0/directoryRoles/"+global+"/members/$ref", `{"@odata.id":"x/{alice}"}`), 204, "")
	b.want(b.do("giver", "DELETE", "/v1.0/directoryRoles/"+global+"/members/{admin}/$ref", ""), 204, "")
}

func TestDeletedItems(t *testing.T) {
	b := newBench(t)
	b.user("ada", "Ada")
	b.group("devs", "ada")
	b.write(func(tx *store.Tx) error {
		return firstError(tx.PutPassword(oid("ada"), "the hash"), tx.AddOwner(oid("devs"), oid("ada")), tx.GrantDirectoryRole(directory.UserAdministrator(), oid("ada")))
	})
	b.want(b.do("admin", "DELETE", "/v1.0/users/{ada}", ""), 204, "")
	const items = "/v1.0/directory/deletedItems/"
	b.want(b.do("alice", "GET", items+"microsoft.graph.user?$filter=startswith(displayName,'ad')&$count=true", ""), 200, `"deletedDateTime":"2026-03-01T12:00:00Z"`)
	b.want(b.do("alice", "GET", items+"{ada}", ""), 200, `"@odata.type":"#microsoft.graph.user"`)
	b.want(b.do("stranger", "GET", items+"{ada}", ""), 404, "")
	b.want(b.do("alice", "POST", items+"{ada}/restore", ""), 403, "")
	b.want(b.do("alice", "DELETE", items+"{ada}", ""), 403, "")
	b.clock.pass(29 * 24 * time.Hour)
	b.want(b.do("users", "POST", items+"{ada}/restore", ""), 200, "ada@contoso.test")
	b.want(b.do("alice", "GET", "/v1.0/groups/{devs}/members", ""), 200, "{ada}")
	b.want(b.do("alice", "GET", "/v1.0/groups/{devs}/owners", ""), 200, "{ada}")
	if u := b.stored(oid("ada").String()); !u.SessionsValidFrom.Equal(b.clock.Now().UTC()) {
		t.Error("what was begun before the deletion goes on")
	}
	b.write(func(tx *store.Tx) error {
		hash, err := tx.Password(oid("ada"))
		roles, err2 := tx.DirectoryRoles(oid("ada"))
		if hash != "the hash" || len(roles) != 0 {
			t.Errorf("hash %q, roles %v", hash, roles)
		}
		return firstError(err, err2)
	})
	// A name that somebody has taken meanwhile, and an end to it.
	b.want(b.do("admin", "DELETE", "/v1.0/users/{ada}", ""), 204, "")
	b.want(b.do("admin", "POST", "/v1.0/users", strings.NewReplacer("bob@contoso.example", "ada@contoso.test").Replace(newUser)), 201, "")
	b.want(b.do("users", "POST", items+"{ada}/restore", ""), 409, "cannot be restored")
	b.clock.pass(directory.RestorableFor + time.Hour)
	b.want(b.do("users", "POST", items+"{ada}/restore", ""), 404, "")

	// An application takes its service principal along, and brings it back with its credentials.
	object, app := b.newApp("alice", "App")
	sp := b.want(b.do("alice", "POST", "/v1.0/servicePrincipals", `{"appId":"`+app+`"}`), 201, "").text(t, "id")
	b.want(b.do("alice", "POST", "/v1.0/applications/"+object+"/addPassword", `{"passwordCredential":{"displayName":"kept"}}`), 200, "")
	b.want(b.do("alice", "DELETE", "/v1.0/applications/"+object, ""), 204, "")
	b.want(b.do("alice", "GET", "/v1.0/servicePrincipals/"+sp, ""), 404, "")
	if _, ok := b.world.Application(ident.MustParse[ident.ClientID](app)); ok {
		t.Error("a deleted application can sign in")
	}
	b.want(b.do("alice", "GET", items+"microsoft.graph.application", ""), 200, object)
	b.want(b.do("alice", "POST", items+object+"/restore", ""), 200, object)
	b.want(b.do("alice", "GET", "/v1.0/servicePrincipals/"+sp, ""), 200, app)
	b.want(b.do("alice", "GET", "/v1.0/applications/"+object, ""), 200, `"displayName":"kept"`)
	b.want(b.do("alice", "DELETE", "/v1.0/applications/"+object, ""), 204, "")
	b.want(b.do("alice", "DELETE", items+object, ""), 204, "")
	b.want(b.do("alice", "POST", items+object+"/restore", ""), 404, "")
}

func TestPolicy(t *testing.T) {
	b := newBench(t)
	const path = "/v1.0/policies/authorizationPolicy"
	b.want(b.do("alice", "GET", path, ""), 200, `"allowedToCreateApps":true,"allowedToCreateSecurityGroups":true`)
	b.want(b.do("alice", "PATCH", path, `{"defaultUserRolePermissions":{"allowedToCreateApps":false}}`), 403, "")
	b.want(b.do("admin", "PATCH", path, `{"defaultUserRolePermissions":{"allowedToCreateApps":false,"allowedToCreateSecurityGroups":false}}`), 204, "")
	b.want(b.do("alice", "POST", "/v1.0/applications", `{"displayName":"x"}`), 403, "")
	b.want(b.do("alice", "POST", "/v1.0/groups", newGroup), 403, "")
	b.want(b.do("groups", "POST", "/v1.0/groups", newGroup), 201, "")
	b.want(b.do("admin", "PATCH", path, `{"defaultUserRolePermissions":{"allowedToReadOtherUsers":false}}`), 400, "")
}

func TestChangePassword(t *testing.T) {
	b := newBench(t)
	hasher, err := proof.NewHasher(proof.Params{MemoryKiB: 64, Passes: 1, Lanes: 1}, 1)
	if err != nil {
		t.Fatal(err)
	}
	hash, err := hasher.Hash(t.Context(), "Passw0rd!old")
	if err != nil {
		t.Fatal(err)
	}
	b.write(func(tx *store.Tx) error { return tx.PutPassword(oid("alice"), hash) })
	b.handler.Logon = &logon.Service{DB: b.db, World: b.world, Hasher: hasher, Now: b.clock.Now}
	body := func(old, fresh string) string {
		return `{"currentPassword":"` + old + `","newPassword":"` + fresh + `"}`
	}
	b.want(b.do("alice", "POST", "/v1.0/me/changePassword", body("wrong", "Passw0rd!new")), 400, "current password is not correct")
	b.want(b.do("alice", "POST", "/v1.0/me/changePassword", body("Passw0rd!old", "weak")), 400, "complexity")
	b.want(b.do("alice", "POST", "/v1.0/users/{groups}/changePassword", body("Passw0rd!old", "Passw0rd!new")), 403, "")
	b.want(b.do("app", "POST", "/v1.0/users/{alice}/changePassword", body("Passw0rd!old", "Passw0rd!new")), 403, "")
	b.want(b.do("alice", "POST", "/v1.0/me/changePassword", body("Passw0rd!old", "Passw0rd!new7")), 204, "")
	b.want(b.do("alice", "POST", "/v1.0/me/changePassword", body("Passw0rd!old", "Passw0rd!new8")), 400, "")
	if strings.Contains(b.log.String(), "Passw0rd!") {
		t.Error("a password is in the log")
	}
}

func TestBatch(t *testing.T) {
	b := newBench(t)
	a := b.want(b.do("admin", "POST", "/v1.0/$batch", `{"requests":[
		{"id":"list","method":"GET","url":"/groups?$select=displayName","dependsOn":["make"]},
		{"id":"make","method":"POST","url":"groups","headers":{"Content-Type":"application/json"},"body":`+newGroup+`},
		{"id":"bad","method":"GET","url":"/nope"},
		{"id":"after bad","method":"DELETE","url":"/users/{alice}","dependsOn":["bad"]},
		{"id":"count","method":"GET","url":"/users/$count","headers":{"ConsistencyLevel":"eventual"}},
		{"id":"me","method":"GET","url":"/me?$select=id"}
	]}`), 200, "")
	got := map[string]float64{}
	list, _ := a.json(t)["responses"].([]any)
	for _, r := range list {
		r, _ := r.(map[string]any)
		id, _ := r["id"].(string)
		got[id], _ = r["status"].(float64)
	}
	if diff := cmp.Diff(map[string]float64{"list": 200, "make": 201, "bad": 400, "after bad": 424, "count": 200, "me": 200}, got); diff != "" {
		t.Errorf("%s\n%s", diff, a.body)
	}
	for _, text := range []string{`"value":[{"displayName":"Developers"}]`, `"code":"BadRequest","message":"Resource not found for the segment 'nope'."`, `"body":"NA=="`, `"id":"{admin}"`} {
		b.want(a, 200, text)
	}
	b.want(b.do("admin", "GET", "/v1.0/users/{alice}", ""), 200, "") // what depended on the failure was not done
	// One caller: a step cannot bring a token of its own, and a right that an earlier step took is gone.
	b.want(b.do("alice", "POST", "/v1.0/$batch", `{"requests":[{"id":"1","method":"DELETE","url":"/users/{groups}","headers":{"Authorization":"Bearer x","As":"admin"}}]}`), 200, `"status":403`)
	b.user("second", "Second", directory.GlobalAdministrator())
	role := directory.RoleObject(b.tenant, directory.GlobalAdministrator()).String()
	b.want(b.do("admin", "POST", "/v1.0/$batch", `{"requests":[
		{"id":"1","method":"DELETE","url":"/directoryRoles/`+role+`/members/{admin}/$ref"},
		{"id":"2","method":"DELETE","url":"/users/{groups}","dependsOn":["1"]}]}`), 200, `"id":"2","status":403`)
	b.want(b.do("", "POST", "/v1.0/$batch", `{"requests":[{"id":"1","method":"GET","url":"/me"}]}`), 401, "")
	b.want(b.do("alice", "POST", "/v1.0/$batch", `{"requests":[{"id":"1","method":"POST","url":"/%24batch","body":{"requests":[]}}]}`), 200, `"status":4`)
	b.want(b.do("alice", "POST", "/v1.0/$batch", `{"requests":"`+strings.Repeat("x", 10<<20)+`"}`), 413, "")
}

func TestSearchExpandOrder(t *testing.T) {
	b := newBench(t)
	for i, name := range []string{"Ada Lovelace", "ADAM Smith", "Grace-Hopper Ada", "İada", "ıada", "Straße", "50% off_now", "Canada"} {
		b.user("s"+string(rune('a'+i)), name)
	}
	find := func(search string) []string {
		t.Helper()
		return b.want(b.eventually("alice", "/v1.0/users?$count=true&$select=displayName&$search="+url.QueryEscape(search)), 200, "").values(t, "displayName")
	}
	for search, want := range map[string][]string{
		`"displayName:ada"`:                           {"Ada Lovelace", "ADAM Smith", "Grace-Hopper Ada"},
		`"displayName:ada" AND "displayName:hop"`:     {"Grace-Hopper Ada"},
		`"displayName:love ADA"`:                      {"Ada Lovelace"},
		`"displayName:İ" OR "displayName:straß"`:      {"Straße", "İada"},
		`"displayName:i"`:                             {},
		`"displayName:strasse"`:                       {},
		`"userPrincipalName:sa" OR "mailNickname:sb"`: {"Ada Lovelace", "ADAM Smith"},
	} {
		got := find(search)
		slices.Sort(got)
		slices.Sort(want)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", search, diff)
		}
	}
	b.want(b.eventually("alice", `/v1.0/users?$search=%22color:x%22`), 400, "Request_UnsupportedQuery")
	b.want(b.eventually("alice", "/v1.0/users/$count?$filter=not(startswith(displayName,'a'))"), 200, "")
	b.want(b.do("alice", "GET", "/v1.0/users?$filter=displayName%20ne%20'a'&$count=true", ""), 400, "Try adding $count=true query parameter and ConsistencyLevel:eventual header.")

	b.group("devs", "alice", "app")
	b.write(func(tx *store.Tx) error { return tx.AddOwner(oid("devs"), oid("alice")) })
	b.want(b.do("alice", "GET", "/v1.0/groups/{devs}?$select=id&$expand=members($select=id,displayName)", ""), 200, `"displayName":"Robot"`)
	b.want(b.do("alice", "GET", "/v1.0/groups?$select=id&$expand=owners($select=id)", ""), 200, `"owners":[{"@odata.type":"#microsoft.graph.user","id":"{alice}"}]`)
	b.want(b.do("alice", "GET", "/v1.0/me?$select=id&$expand=memberOf($select=id)", ""), 200, `"memberOf":[{"@odata.type":"#microsoft.graph.group","id":"{devs}"}]`)
	b.want(b.eventually("alice", "/v1.0/groups/{devs}/members?$count=true&$filter=startswith(displayName,'ali')"), 200, `"@odata.count":1`)
	b.want(b.eventually("alice", "/v1.0/groups/{devs}/members?$count=true&$filter=color%20eq%20'x'"), 400, "Request_UnsupportedQuery")
	b.want(b.eventually("alice", "/v1.0/groups/{devs}/members/microsoft.graph.group?$count=true&$filter=userPrincipalName%20eq%20'x'"), 400, "Request_UnsupportedQuery")

	// A condition that nothing can be held against is not passed over.
	b.want(b.send("admin", "DELETE", "/v1.0/groups/{devs}", "", map[string]string{"If-Match": `W/"1"`}), 412, "PreconditionFailed")
	b.want(b.send("admin", "DELETE", "/v1.0/groups/{devs}", "", map[string]string{"If-Match": "*"}), 204, "")
}

// TestDeepGroups nests 10,000 groups a hundred deep, with a cycle, and asks what is in what.
func TestDeepGroups(t *testing.T) {
	b := newBench(t)
	const depth, wide = 100, 100
	name := func(d, w int) string { return fmt.Sprintf("level %d group %d", d, w) }
	b.write(func(tx *store.Tx) error {
		for d := range depth {
			for w := range wide {
				g := directory.Group{ID: oid(name(d, w)), Tenant: b.tenant, DisplayName: name(d, w), MailNickname: "g", SecurityEnabled: true}
				if err := tx.PutGroup(g); err != nil {
					return err
				}
			}
		}
		for d := 1; d < depth; d++ {
			for w := range wide {
				if err := tx.AddMember(oid(name(d-1, w)), oid(name(d, w))); err != nil {
					return err
				}
			}
		}
		for w := range wide {
			if err := firstError(tx.AddMember(oid(name(depth-1, w)), oid("alice")), tx.AddMember(oid(name(depth-1, w)), oid(name(0, w)))); err != nil {
				return err
			}
		}
		return nil
	})
	start := time.Now()
	groups := b.want(b.do("alice", "POST", "/v1.0/me/getMemberGroups", `{"securityEnabledOnly":true}`), 200, "")
	if ids, _ := groups.json(t)["value"].([]any); len(ids) != depth*wide {
		t.Errorf("%d groups, want %d", len(ids), depth*wide)
	}
	b.want(b.do("alice", "POST", "/v1.0/me/checkMemberGroups", `{"groupIds":["{level 0 group 7}","{devs}"]}`), 200, `"value":["{level 0 group 7}"]`)
	b.want(b.do("alice", "GET", "/v1.0/groups/{level 0 group 7}/transitiveMembers/$count", ""), 200, "100")
	b.want(b.do("alice", "GET", "/v1.0/groups/{level 0 group 7}/transitiveMembers/microsoft.graph.user", ""), 200, "{alice}")
	b.want(b.do("alice", "GET", "/v1.0/groups/{level 50 group 7}/transitiveMemberOf/$count", ""), 200, "99")
	b.want(b.do("alice", "GET", "/v1.0/me/transitiveMemberOf?$top=999", ""), 200, "@odata.nextLink")
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
}

// TestHostileInput asks what nobody should, and wants an answer that says so.
func TestHostileInput(t *testing.T) {
	b := newBench(t)
	for name, tc := range map[string]struct {
		path   string
		status int
	}{
		"a filter of quotes":        {"/v1.0/users?$filter=" + strings.Repeat("'", 999), 400},
		"a filter of parentheses":   {"/v1.0/users?$filter=" + strings.Repeat("(", 4000), 400},
		"a filter of not":           {"/v1.0/users?$filter=" + strings.Repeat("not%20", 2000) + "a%20eq%20'b'", 400},
		"a long filter":             {"/v1.0/users?$filter=displayName%20eq%20'" + strings.Repeat("x", 9000) + "'", 400},
		"a filter with a zero byte": {"/v1.0/users?$filter=displayName%20eq%20'%00'", 200},
		"no UTF-8":                  {"/v1.0/users?$filter=displayName%20eq%20'%ff'", 400},
		"an overlong NUL":           {"/v1.0/users/%c0%80", 404},
		"a surrogate":               {"/v1.0/users?$filter=displayName%20eq%20'%ed%a0%80'", 400},
		"SQL":                       {"/v1.0/users?$filter=displayName%20eq%20''';drop%20table%20users;--'", 200},
		"LIKE":                      {"/v1.0/groups?$filter=startswith(displayName,'%25')", 200},
		"many segments":             {"/v1.0" + strings.Repeat("/a", 40), 400},
		"dots":                      {"/v1.0/users/%2e%2e%2fgroups", 404},
		"a long name":               {"/v1.0/users/" + strings.Repeat("x", 5000) + "@contoso.test", 404},
		"a $top beyond":             {"/v1.0/users?$top=99999999999999999999", 400},
	} {
		if a := b.do("alice", "GET", tc.path, ""); a.status != tc.status {
			t.Errorf("%s: %d %.200s, want %d", name, a.status, a.body, tc.status)
		}
	}
	big := `{"displayName":"` + strings.Repeat("x", 10<<20) + `"}`
	for _, path := range []string{"/v1.0/users", "/v1.0/groups", "/v1.0/applications", "/v1.0/servicePrincipals", "/v1.0/directoryObjects/getByIds", "/v1.0/oauth2PermissionGrants"} {
		if a := b.do("admin", "POST", path, big); a.status != 413 {
			t.Errorf("%s: %d %.200s", path, a.status, a.body)
		}
	}
	deep := strings.Repeat(`{"a":`, 100000) + "1" + strings.Repeat("}", 100000)
	for _, path := range []string{"/v1.0/applications", "/v1.0/$batch"} {
		if a := b.do("admin", "POST", path, deep); a.status != 400 {
			t.Errorf("%s: %d %.200s", path, a.status, a.body)
		}
	}
	// Names that look alike are names of different objects; names that differ by case alone are one.
	for i, upn := range []string{"kate", "\u212aate", "ka\u0442e"} {
		want := 400
		if i == 0 {
			want = 201
		}
		b.want(b.do("admin", "POST", "/v1.0/users", strings.Replace(newUser, "bob@contoso.example", upn+"@contoso.test", 1)), want, "")
	}
	b.want(b.do("admin", "POST", "/v1.0/users", strings.Replace(newUser, "bob@contoso.example", "KATE@contoso.test", 1)), 400, "already exists")
}
