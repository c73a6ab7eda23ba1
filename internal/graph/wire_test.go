package graph

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/store"
)

// TestWireForm pins whole answers: order of keys, explicit nulls, contexts, as the real service writes them.
func TestWireForm(t *testing.T) {
	b := newBench(t)
	b.group("devs", "alice")
	b.group("outer", "devs")
	const userTail = `"businessPhones":[],"displayName":"Alice","givenName":null,"jobTitle":null,"mail":null,"mobilePhone":null,` +
		`"officeLocation":null,"preferredLanguage":null,"surname":null,"userPrincipalName":"alice@contoso.test"`
	const context = `"@odata.context":"` + base + `/v1.0/$metadata#`
	devs := `"id":"{devs}","deletedDateTime":null,"classification":null,"createdDateTime":"2026-03-01T12:00:00Z","creationOptions":[],` +
		`"description":null,"displayName":"devs","expirationDateTime":null,"groupTypes":[],"isAssignableToRole":null,"mail":null,` +
		`"mailEnabled":false,"mailNickname":"devs","membershipRule":null,"membershipRuleProcessingState":null,"onPremisesDomainName":null,` +
		`"onPremisesLastSyncDateTime":null,"onPremisesNetBiosName":null,"onPremisesSamAccountName":null,"onPremisesSecurityIdentifier":null,` +
		`"onPremisesSyncEnabled":null,"preferredDataLocation":null,"preferredLanguage":null,"proxyAddresses":[],` +
		`"renewedDateTime":"2026-03-01T12:00:00Z","resourceBehaviorOptions":[],"resourceProvisioningOptions":[],"securityEnabled":true,` +
		`"securityIdentifier":"` + securityIdentifier(oid("devs")) + `","theme":null,"uniqueName":null,"visibility":null,` +
		`"onPremisesProvisioningErrors":[],"serviceProvisioningErrors":[]`
	for _, tc := range []struct {
		name, method, path, body, want string
	}{
		{"user", "GET", "/v1.0/users/alice@contoso.test", "", `{` + context + `users/$entity",` + userTail + `,"id":"{alice}"}`},
		{"user by id, beta", "GET", "/beta/users/{alice}", "", `{"@odata.context":"` + base + `/beta/$metadata#users/$entity",` + userTail + `,"id":"{alice}"}`},
		{"user by key predicate", "GET", "/v1.0/users('alice@contoso.test')", "", `{` + context + `users/$entity",` + userTail + `,"id":"{alice}"}`},
		{"me", "GET", "/V1.0/Me", "", `{` + context + `users/$entity",` + userTail + `,"id":"{alice}"}`},
		{"user, select", "GET", "/v1.0/users/{alice}?$select=id,accountEnabled", "", `{` + context + `users(id,accountEnabled)/$entity","accountEnabled":true,"id":"{alice}"}`},
		{"users by upn", "GET", "/v1.0/users?$filter=userPrincipalName%20eq%20%27ALICE%40contoso.test%27", "", `{` + context + `users","value":[{` + userTail + `,"id":"{alice}"}]}`},
		{"users, none", "GET", "/v1.0/users?$filter=userPrincipalName%20eq%20%27nobody%27", "", `{` + context + `users","value":[]}`},
		{"group", "GET", "/v1.0/Groups/{devs}", "", `{` + context + `groups/$entity",` + devs + `}`},
		{"groups by name", "GET", "/v1.0/groups?$filter=displayName%20eq%20'Devs'", "", `{` + context + `groups","value":[{` + devs + `}]}`},
		{"members", "GET", "/v1.0/groups/{devs}/members", "", `{` + context + `directoryObjects","value":[{"@odata.type":"#microsoft.graph.user","id":"{alice}",` + userTail + `}]}`},
		{"members, cast", "GET", "/v1.0/groups/{devs}/members/microsoft.graph.user", "", `{` + context + `users","value":[{"id":"{alice}",` + userTail + `}]}`},
		{"owners", "GET", "/v1.0/groups/{devs}/owners", "", `{` + context + `directoryObjects","value":[]}`},
		{"memberOf", "GET", "/v1.0/users/{alice}/memberOf", "", `{` + context + `directoryObjects","value":[{"@odata.type":"#microsoft.graph.group",` + devs + `}]}`},
		{"checkMemberGroups", "POST", "/v1.0/directoryObjects/{alice}/checkMemberGroups", `{"groupIds":["{outer}","{foreign}"]}`, `{` + context + `Collection(Edm.String)","value":["{outer}"]}`},
		{
			"getByIds", "POST", "/v1.0/directoryObjects/getByIds", `{"ids":["{alice}","{nobody}","{stranger}"],"types":["user","directoryObjectPartnerReference"]}`,
			`{` + context + `directoryObjects","value":[{"@odata.type":"#microsoft.graph.user","id":"{alice}",` + userTail + `}]}`,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := b.do("alice", tc.method, tc.path, tc.body)
			if diff := cmp.Diff(b.fill(tc.want), a.body); diff != "" {
				t.Error(diff)
			}
			if got := a.header.Get("Content-Type"); got != "application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8" {
				t.Errorf("content type %q", got)
			}
			if a.status != http.StatusOK || a.header.Get("Odata-Version") != "4.0" || len(a.header.Get("Request-Id")) != 36 {
				t.Errorf("%d %v", a.status, a.header)
			}
			if isAction := tc.method == "POST"; isAction != (a.header.Get("Location") == base) {
				t.Errorf("location %q", a.header.Get("Location"))
			}
		})
	}
}

func TestServicePrincipalWireForm(t *testing.T) {
	b := newBench(t)
	app := b.callers["app"].Client.String()
	const want = `{"@odata.context":"https://graph.test:8445/v1.0/$metadata#servicePrincipals","value":[{"id":"{app}","deletedDateTime":null,` +
		`"accountEnabled":true,"alternativeNames":[],"appDisplayName":"Robot","appDescription":null,"appId":"APP","applicationTemplateId":null,` +
		`"appOwnerOrganizationId":"{tenant}","appRoleAssignmentRequired":false,"createdDateTime":"2026-03-01T12:00:00Z","description":null,` +
		`"disabledByMicrosoftStatus":null,"displayName":"Robot","homepage":null,"loginUrl":null,"logoutUrl":null,"notes":null,` +
		`"notificationEmailAddresses":[],"preferredSingleSignOnMode":null,"preferredTokenSigningKeyThumbprint":null,"replyUrls":[],` +
		`"servicePrincipalNames":["APP","api://app"],"servicePrincipalType":"Application","signInAudience":"AzureADMyOrg","tags":[],` +
		`"tokenEncryptionKeyId":null,"samlSingleSignOnSettings":null,"addIns":[],"appRoles":[],"info":{"logoUrl":null,"marketingUrl":null,` +
		`"privacyStatementUrl":null,"supportUrl":null,"termsOfServiceUrl":null},"keyCredentials":[],"oauth2PermissionScopes":[],` +
		`"passwordCredentials":[],"resourceSpecificApplicationPermissions":[],"verifiedPublisher":{"displayName":null,"verifiedPublisherId":null,` +
		`"addedDateTime":null}}]}`
	for _, filter := range []string{
		"servicePrincipalNames%2Fany%28c%3Ac%20eq%20%27APP%27%29", // az 2.37 and later
		"servicePrincipalNames/any(c:c%20eq%20'APP')",             // before
		"servicePrincipalNames/any(s:s+eq+'API://app')",
		"appId eq 'APP'", "displayName eq 'robot'", "startswith(displayName,'rob')", "id eq '{app}'",
	} {
		path := "/v1.0/servicePrincipals?$filter=" + strings.ReplaceAll(strings.ReplaceAll(filter, "APP", app), " ", "%20")
		a := b.want(b.do("alice", "GET", path, ""), http.StatusOK, "")
		if diff := cmp.Diff(strings.ReplaceAll(b.fill(want), "APP", app), a.body); diff != "" {
			t.Errorf("%s: %s", filter, diff)
		}
	}
	b.want(b.do("alice", "GET", "/v1.0/servicePrincipals/{app}", ""), http.StatusOK, `#servicePrincipals/$entity","id":"{app}"`)
	b.want(b.do("alice", "GET", "/v1.0/servicePrincipals(appId='"+app+"')", ""), http.StatusOK, `#servicePrincipals/$entity","id":"{app}"`)
	b.want(b.do("alice", "GET", "/v1.0/servicePrincipals/{alice}", ""), http.StatusNotFound, `Resource '{alice}' does not exist`)
	b.want(b.do("alice", "GET", "/v1.0/servicePrincipals?$filter=servicePrincipalNames/any(c:c%20eq%20'alice')", ""), http.StatusOK, `"value":[]`)
}

// TestWellKnownPrincipal finds the service principal of an application that nobody registered, by all its names.
func TestWellKnownPrincipal(t *testing.T) {
	b := newBench(t)
	b.write(func(tx *store.Tx) error {
		return tx.PutServicePrincipal(directory.ServicePrincipal{
			ID: oid("graph"), Tenant: b.tenant, AppID: directory.MicrosoftGraph(), DisplayName: "Microsoft Graph", Type: directory.TypeApplication, AccountEnabled: true,
		})
	})
	for _, name := range []string{"00000003-0000-0000-c000-000000000000", "https://graph.microsoft.com", "https://GRAPH.test:8445"} {
		a := b.do("alice", "GET", "/v1.0/servicePrincipals?$select=id,appDisplayName&$filter=servicePrincipalNames/any(c:c%20eq%20'"+name+"')", "")
		b.want(a, http.StatusOK, `"value":[{"id":"{graph}","appDisplayName":"Microsoft Graph"}]`)
	}
}

func TestErrorForm(t *testing.T) {
	b := newBench(t)
	a := b.do("alice", "GET", "/v1.0/groups/{nobody}", "")
	id := a.header.Get("Request-Id")
	want := b.fill(`{"error":{"code":"Request_ResourceNotFound","message":"Resource '{nobody}' does not exist or one of its queried reference-property objects are not present.",` +
		`"innerError":{"date":"2026-03-01T12:00:00","request-id":"` + id + `","client-request-id":"` + id + `"}}}`)
	if a.status != http.StatusNotFound || a.body != want || a.header.Get("Content-Type") != "application/json" || a.header.Get("Odata-Version") != "" {
		t.Errorf("%d %v %s\nwant %s", a.status, a.header, a.body, want)
	}
}

func TestRefusals(t *testing.T) {
	b := newBench(t)
	b.group("devs", "alice")
	for _, tc := range []struct {
		name, as, method, path, body string
		status                       int
		text                         string
	}{
		{"no token", "", "GET", "/v1.0/users", "", 401, `"code":"InvalidAuthenticationToken"`},
		{"unknown version", "alice", "GET", "/v2.0/users", "", 400, "Invalid version: v2.0"},
		{"unknown segment", "alice", "GET", "/v1.0/nope", "", 400, "Resource not found for the segment 'nope'."},
		{"unknown segment below", "alice", "GET", "/v1.0/users/{alice}/nope", "", 400, "Resource not found for the segment 'nope'."},
		{"method", "alice", "PUT", "/v1.0/users/{alice}", "{}", 405, "Specified HTTP method is not allowed"},
		{"deleting a member without $ref", "admin", "DELETE", "/v1.0/groups/{devs}/members/{alice}", "", 400, ""},
		{"app at me", "app", "GET", "/v1.0/me", "", 400, "/me request is only valid with delegated authentication flow."},
		{"bad group id", "alice", "GET", "/v1.0/groups/xyz", "", 400, "Invalid object identifier 'xyz'."},
		{"absent user", "alice", "GET", "/v1.0/users/nobody@contoso.test", "", 404, "Resource 'nobody@contoso.test' does not exist"},
		{"user of another tenant", "alice", "GET", "/v1.0/users/{stranger}", "", 404, "Resource '{stranger}' does not exist"},
		{"group of another tenant", "alice", "GET", "/v1.0/groups/{foreign}", "", 404, "Resource '{foreign}' does not exist"},
		{"select unknown", "alice", "GET", "/v1.0/users?$select=id,color", "", 400, "Could not find a property named 'color' on type 'microsoft.graph.user'."},
		{"top 0", "alice", "GET", "/v1.0/users?$top=0", "", 400, "Invalid page size specified: '0'. Must be between 1 and 999 inclusive."},
		{"top 1000", "alice", "GET", "/v1.0/users?$top=1000", "", 400, "Invalid page size specified: '1000'."},
		{"order", "alice", "GET", "/v1.0/users?$orderby=mail", "", 400, "Request_UnsupportedQuery"},
		{"search", "alice", "GET", "/v1.0/users?$search=x", "", 400, "Syntax error"},
		{"search, header", "alice", "GET", "/v1.0/users?$search=%22displayName:x%22", "", 400, "ConsistencyLevel: eventual"},
		{"expand", "alice", "GET", "/v1.0/users?$expand=manager", "", 400, "Could not find a property named 'manager'"},
		{"expand two", "alice", "GET", "/v1.0/groups?$expand=members,owners", "", 400, "Request_UnsupportedQuery"},
		{"filter of one", "alice", "GET", "/v1.0/users/{alice}?$filter=id%20eq%20'a'", "", 400, "Request_UnsupportedQuery"},
		{"order of members", "alice", "GET", "/v1.0/groups/{devs}/members?$orderby=displayName", "", 400, "Request_UnsupportedQuery"},
		{"filter twice", "alice", "GET", "/v1.0/users?$filter=id%20eq%20'a'&$filter=id%20eq%20'b'", "", 400, "more than once"},
		{"filter, property", "alice", "GET", "/v1.0/users?$filter=color%20eq%20'a'", "", 400, "Unsupported or invalid query filter clause specified for property 'color' of resource 'User'."},
		{"filter, operator", "alice", "GET", "/v1.0/users?$filter=displayName%20ne%20'a'", "", 400, "Unsupported property filter clause operator 'ne'."},
		{"filter, type", "alice", "GET", "/v1.0/users?$filter=accountEnabled%20eq%20'true'", "", 400, "Invalid filter clause"},
		{"filter, function", "alice", "GET", "/v1.0/users?$filter=endswith(mail,'a')", "", 400, "Request_UnsupportedQuery"},
		{"filter, quote in a name as az sends it", "alice", "GET", "/v1.0/groups?$filter=displayName%20eq%20%27O%27Brien%27", "", 400, "Syntax error at position 18 in 'displayName eq 'O'Brien''."},
		{"filter, empty", "alice", "GET", "/v1.0/users?$filter=", "", 400, "Syntax error at position 0"},
		{"filter of members", "alice", "GET", "/v1.0/groups/{devs}/members?$filter=id%20eq%20'a'", "", 400, "Request_UnsupportedQuery"},
		{"page token", "alice", "GET", "/v1.0/users?$skiptoken=!!", "", 400, "page token"},
		{"page token of another list", "alice", "GET", "/v1.0/users?$skiptoken=" + cursor("x"), "", 400, "page token"},
		{"empty body", "admin", "POST", "/v1.0/users", "", 400, "An unexpected 'EndOfInput' node was found"},
		{"no JSON", "admin", "POST", "/v1.0/users", "x", 400, "Unable to read JSON request payload."},
		{"JSON list", "admin", "POST", "/v1.0/users", "[]", 400, "Unable to read JSON request payload."},
		{"two values", "admin", "POST", "/v1.0/users", "{}{}", 400, "Unable to read JSON request payload."},
		{"large body", "admin", "POST", "/v1.0/users", `{"displayName":"` + strings.Repeat("x", 2<<20) + `"}`, 413, ""},
		{"getByIds, bad id", "alice", "POST", "/v1.0/directoryObjects/getByIds", `{"ids":["x"]}`, 400, "Invalid GUID:x"},
		{"getByIds, no ids", "alice", "POST", "/v1.0/directoryObjects/getByIds", `{}`, 400, "at most 1000"},
		{"check, too many", "alice", "POST", "/v1.0/users/{alice}/checkMemberGroups", `{"groupIds":["` + strings.Repeat(`{devs}","`, 20) + `{devs}"]}`, 400, "at most 20"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := b.at(t)
			head := b.db.Head()
			b.want(b.do(tc.as, tc.method, tc.path, tc.body), tc.status, tc.text)
			if b.db.Head() != head {
				t.Error("something was written")
			}
		})
	}
}
