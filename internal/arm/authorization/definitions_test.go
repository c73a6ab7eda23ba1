package authorization_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keyreeve/keyreeve/internal/arm/armtest"
	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/rbac"
	"github.com/keyreeve/keyreeve/internal/store"
)

// custom is the body of a role definition.
func custom(name, actions string, scopes ...string) string {
	return `{"properties":{"roleName":"` + name + `","description":"d","permissions":[{"actions":[` + actions + `]}],"assignableScopes":["` + strings.Join(scopes, `","`) + `"]}}`
}

func TestDefinitionIsAsRecorded(t *testing.T) {
	r := newRig(t)
	path := sub + definitions + "/" + guid(1)
	made := `{"properties":{"roleName":"cli-test-role","type":"CustomRole","description":"d","assignableScopes":["` + sub + `"],"permissions":[{"actions":["Microsoft.Compute/*/read"],` +
		`"notActions":[],"dataActions":["Microsoft.Storage/storageAccounts/blobServices/containers/blobs/*"],"notDataActions":[]}],"createdOn":"2025-05-16T06:50:42.1991607Z",` +
		`"updatedOn":"2025-05-16T06:50:42.1991607Z","createdBy":null,"updatedBy":"` + armtest.Owner + `"},"id":"` + path + `","type":"Microsoft.Authorization/roleDefinitions","name":"` + guid(1) + `"}`
	body := `{"properties":{"roleName":"cli-test-role","description":"d","permissions":[{"actions":["Microsoft.Compute/*/read"],"dataActions":` +
		`["Microsoft.Storage/storageAccounts/blobServices/containers/blobs/*"]}],"assignableScopes":["` + sub + `"]}}`
	if diff := cmp.Diff(made, r.Do("PUT", path, armtest.Owner, body).Want(201, "").Body); diff != "" {
		t.Error(diff)
	}
	kept := strings.Replace(made, `"createdBy":null`, `"createdBy":"`+armtest.Owner+`"`, 1)
	// Asked at a group, the id has the subscription's prefix still.
	if diff := cmp.Diff(kept, r.Do("GET", rg+definitions+"/"+guid(1), armtest.Owner, "").Want(200, "").Body); diff != "" {
		t.Error(diff)
	}
	r.Clock.Move(1e9)
	updated := r.Do("PUT", path, armtest.Owner, strings.Replace(body, `"description":"d"`, `"description":"e"`, 1)).Want(201, "")
	if want := strings.NewReplacer(`"description":"d"`, `"description":"e"`, `"updatedOn":"2025-05-16T06:50:42`, `"updatedOn":"2025-05-16T06:50:43`).Replace(kept); updated.Body != want {
		t.Error(cmp.Diff(want, updated.Body))
	}
	if got := r.Do("DELETE", path, armtest.Owner, "").Want(200, "").Body; got != updated.Body {
		t.Error(cmp.Diff(updated.Body, got))
	}
	r.Do("DELETE", path, armtest.Owner, "").Want(204, "")
	r.Do("GET", path, armtest.Owner, "").Want(404, "RoleDefinitionDoesNotExist")
	if diff := cmp.Diff([]audit.Event{audit.RoleDefinitionWritten, audit.RoleDefinitionWritten, audit.RoleDefinitionDeleted}, audited(t, r)); diff != "" {
		t.Error(diff)
	}
}

func TestBuiltInIsAsRecorded(t *testing.T) {
	r := newRig(t)
	reader, ok := r.World.RoleDefinition(ident.MustParse[ident.RoleDefinitionID](armtest.ReaderRole))
	if !ok {
		t.Fatal("no Reader")
	}
	want := `{"value":[{"properties":{"roleName":"Reader","type":"BuiltInRole","description":"` + reader.Definition.Description + `","assignableScopes":["/"],` +
		`"permissions":[{"actions":["*/read"],"notActions":[],"dataActions":[],"notDataActions":[]}],"createdOn":null,"updatedOn":null,"createdBy":null,"updatedBy":null},` +
		`"id":"` + role(armtest.ReaderRole) + `","type":"Microsoft.Authorization/roleDefinitions","name":"` + armtest.ReaderRole + `"}]}`
	for _, scope := range []string{sub, rg, cluster + "/namespaces/n"} {
		for _, name := range []string{"Reader", "reader"} {
			got := r.Do("GET", scope+definitions+"?$filter="+url.PathEscape("roleName eq '"+name+"'")+"&api-version=2018-01-01-preview", armtest.Owner, "").Want(200, "").Body
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		}
	}
	// The ids of assignments and of the list are the same text.
	r.Do("PUT", rg+assignments+"/"+guid(1), armtest.Owner, strings.Replace(give(armtest.ReaderRole, armtest.Nobody, ""), role(armtest.ReaderRole), definitions+"/"+strings.ToUpper(armtest.ReaderRole), 1)).Want(201, "")
	if got := r.Do("GET", rg+assignments+"/"+guid(1), armtest.Owner, "").Body; !strings.Contains(got, `"roleDefinitionId":"`+role(armtest.ReaderRole)+`"`) {
		t.Error(got)
	}
}

func TestListDefinitions(t *testing.T) {
	r := newRig(t)
	r.Do("PUT", sub+definitions+"/"+guid(1), armtest.Owner, custom("Zebra", `"*/read"`, sub)).Want(201, "")
	r.Do("PUT", rg+definitions+"/"+guid(2), armtest.Owner, custom("It's mine", `"*/read"`, rg)).Want(201, "")
	for name, test := range map[string]struct{ as, scope, filter, want string }{
		"custom, subscription":     {armtest.Owner, sub, "type eq 'CustomRole'", "Zebra"},
		"custom, group":            {armtest.Owner, rg, "type eq 'customrole'", "It's mine,Zebra"},
		"custom, other group":      {armtest.Owner, sub + "/resourceGroups/rg2", "type eq 'CustomRole'", "Zebra"},
		"custom, and below":        {armtest.Owner, sub, "atScopeAndBelow() and type eq 'CustomRole'", "It's mine,Zebra"},
		"by name, quote":           {armtest.Owner, rg, "roleName eq 'it''s MINE'", "It's mine"},
		"by name, none":            {armtest.Owner, rg, "roleName eq 'x'", ""},
		"root, custom, by owner":   {armtest.Owner, "", "atScopeAndBelow() and type eq 'CustomRole'", "It's mine,Zebra"},
		"root, custom, by nobody":  {armtest.Nobody, "", "atScopeAndBelow() and type eq 'CustomRole'", ""},
		"root, built in by nobody": {armtest.Nobody, "", "roleName eq 'Owner'", "Owner"},
	} {
		t.Run(name, func(t *testing.T) {
			var list struct {
				Value []struct{ Properties struct{ RoleName string } }
			}
			a := r.Do("GET", test.scope+definitions+"?api-version=2022-04-01&$filter="+url.QueryEscape(test.filter), test.as, "").Want(200, "")
			a.JSON(&list)
			var got []string
			for _, v := range list.Value {
				got = append(got, v.Properties.RoleName)
			}
			if diff := cmp.Diff(test.want, strings.Join(got, ",")); diff != "" {
				t.Error(diff)
			}
		})
	}
	var all struct {
		Value []struct{ Properties struct{ Type string } }
	}
	r.Do("GET", sub+definitions, armtest.Owner, "").Want(200, "").JSON(&all)
	if len(all.Value) < 20 || all.Value[0].Properties.Type != "CustomRole" {
		t.Errorf("%d roles, first of type %s", len(all.Value), all.Value[0].Properties.Type)
	}
	r.Do("GET", definitions+"/"+armtest.ReaderRole, armtest.Nobody, "").Want(200, "")
	r.Do("GET", definitions+"/"+guid(1), armtest.Nobody, "").Want(404, "RoleDefinitionDoesNotExist")
	r.Do("GET", definitions+"/"+guid(1), armtest.Owner, "").Want(200, "")
	r.Do("GET", sub+definitions, armtest.Nobody, "").Want(403, "AuthorizationFailed")
	r.Do("GET", sub+definitions+"?api-version=2022-04-01&$filter=x", armtest.Owner, "").Want(400, "UnsupportedFilter")
}

func TestDefinitionRefusals(t *testing.T) {
	r := newRig(t)
	mine := sub + definitions + "/" + guid(1)
	r.Do("PUT", mine, armtest.Owner, custom("mine", `"*/read"`, sub)).Want(201, "")
	r.Do("PUT", sub+assignments+"/"+guid(1), armtest.Owner, give(guid(1), armtest.Nobody, "")).Want(201, "")
	r.Grant(armtest.App, rbac.PrincipalServicePrincipal, armtest.OwnerRole, rg)
	fresh := "/" + guid(2)
	otherSub := "/subscriptions/" + armtest.OtherSub
	for name, test := range map[string]struct {
		method, path, as, body string
		status                 int
		code                   string
	}{
		"reader may not":                {"PUT", sub + definitions + fresh, armtest.Reader, custom("x", `"*"`, sub), 403, "AuthorizationFailed"},
		"not a GUID":                    {"PUT", sub + definitions + "/x", armtest.Owner, custom("x", `"*"`, sub), 400, "InvalidRoleDefinitionId"},
		"no properties":                 {"PUT", sub + definitions + fresh, armtest.Owner, "{}", 400, "InvalidRequestContent"},
		"no name":                       {"PUT", sub + definitions + fresh, armtest.Owner, custom(" ", `"*"`, sub), 400, "RoleDefinitionNameNullOrEmpty"},
		"long name":                     {"PUT", sub + definitions + fresh, armtest.Owner, custom(strings.Repeat("x", 513), `"*"`, sub), 400, "InvalidRoleDefinitionName"},
		"no permissions":                {"PUT", sub + definitions + fresh, armtest.Owner, `{"properties":{"roleName":"x","assignableScopes":["` + sub + `"]}}`, 400, "RoleDefinitionPermissionsEmpty"},
		"no scopes":                     {"PUT", sub + definitions + fresh, armtest.Owner, `{"properties":{"roleName":"x","permissions":[{}]}}`, 400, "InvalidAssignableScopes"},
		"built-in type":                 {"PUT", sub + definitions + fresh, armtest.Owner, `{"properties":{"roleName":"x","type":"BuiltInRole","permissions":[{}],"assignableScopes":["` + sub + `"]}}`, 400, "InvalidRoleDefinitionType"},
		"root":                          {"PUT", sub + definitions + fresh, armtest.Owner, custom("x", `"*"`, "/"), 400, "InvalidAssignableScope"},
		"management group":              {"PUT", sub + definitions + fresh, armtest.Owner, custom("x", `"*"`, "/providers/Microsoft.Management/managementGroups/m"), 400, "AssignableScopeNotUnderRequestScope"},
		"relative scope":                {"PUT", sub + definitions + fresh, armtest.Owner, custom("x", `"*"`, "x"), 400, "InvalidAssignableScope"},
		"empty scope":                   {"PUT", sub + definitions + fresh, armtest.Owner, custom("x", `"*"`, ""), 400, "InvalidAssignableScope"},
		"written elsewhere":             {"PUT", sub + definitions + fresh, armtest.Owner, custom("x", `"*"`, rg), 400, "AssignableScopeNotUnderRequestScope"},
		"bad action":                    {"PUT", sub + definitions + fresh, armtest.Owner, custom("x", `"a b"`, sub), 400, "InvalidActionOrNotAction"},
		"also in another tenant":        {"PUT", sub + definitions + fresh, armtest.Owner, custom("x", `"*"`, sub, otherSub), 403, "LinkedAuthorizationFailed"},
		"also where one may not":        {"PUT", rg + definitions + fresh, armtest.App, custom("x", `"*"`, rg, sub), 403, "LinkedAuthorizationFailed"},
		"also in a missing sub":         {"PUT", sub + definitions + fresh, armtest.Owner, custom("x", `"*"`, sub, "/subscriptions/"+guid(1)), 403, "LinkedAuthorizationFailed"},
		"taking over a wider role":      {"PUT", rg + definitions + "/" + guid(1), armtest.App, custom("mine", `"*"`, rg), 403, "LinkedAuthorizationFailed"},
		"deleting a wider role":         {"DELETE", rg + definitions + "/" + guid(1), armtest.App, "", 403, "LinkedAuthorizationFailed"},
		"same name":                     {"PUT", sub + definitions + fresh, armtest.Owner, custom("MINE", `"*"`, sub), 409, "RoleDefinitionWithSameNameExists"},
		"same name as a built-in":       {"PUT", sub + definitions + fresh, armtest.Owner, custom("owner", `"*"`, sub), 409, "RoleDefinitionWithSameNameExists"},
		"built-in, PUT":                 {"PUT", sub + definitions + "/" + armtest.ReaderRole, armtest.Owner, custom("x", `"*"`, sub), 400, "BuiltInRoleDefinitionCannotBeModified"},
		"built-in, DELETE":              {"DELETE", sub + definitions + "/" + armtest.ReaderRole, armtest.Owner, "", 400, "BuiltInRoleDefinitionCannotBeModified"},
		"in use":                        {"DELETE", mine, armtest.Owner, "", 400, "RoleDefinitionHasAssignments"},
		"missing, DELETE":               {"DELETE", sub + definitions + fresh, armtest.Owner, "", 204, ""},
		"missing, GET":                  {"GET", sub + definitions + fresh, armtest.Owner, "", 404, "RoleDefinitionDoesNotExist"},
		"missing, GET, not a GUID":      {"GET", sub + definitions + "/x", armtest.Owner, "", 400, "InvalidRoleDefinitionId"},
		"at the root":                   {"PUT", definitions + fresh, armtest.Owner, custom("x", `"*"`, sub), 403, "AuthorizationFailed"},
		"reader may not delete":         {"DELETE", mine, armtest.Reader, "", 403, "AuthorizationFailed"},
		"of another tenant, from there": {"GET", otherSub + definitions + "/" + guid(1), armtest.Stranger, "", 403, "AuthorizationFailed"},
	} {
		t.Run(name, func(t *testing.T) {
			before := r.DB.Head()
			r.Do(test.method, test.path, test.as, test.body).Want(test.status, test.code)
			if r.DB.Head() != before {
				t.Error("something was changed")
			}
		})
	}
}

// A changed role counts for those who hold it at once.
func TestChangedRoleCountsAtOnce(t *testing.T) {
	r := newRig(t)
	path := sub + definitions + "/" + guid(1)
	r.Do("PUT", path, armtest.Owner, custom("mine", `"Microsoft.Authorization/roleAssignments/read"`, sub)).Want(201, "")
	r.Do("PUT", rg+assignments+"/"+guid(1), armtest.Owner, give(guid(1), armtest.Nobody, "")).Want(201, "")
	r.Do("GET", rg+assignments, armtest.Nobody, "").Want(200, "")
	r.Do("PUT", path, armtest.Owner, custom("mine", `"Microsoft.Authorization/roleDefinitions/read"`, sub)).Want(201, "")
	r.Do("GET", rg+assignments, armtest.Nobody, "").Want(403, "AuthorizationFailed")
	r.Do("GET", rg+definitions, armtest.Nobody, "").Want(200, "")
}

// Tenants do not see each other's custom roles, and cannot take each other's ids.
func TestDefinitionsOfTenantsAreApart(t *testing.T) {
	r := newRig(t)
	there := "/subscriptions/" + armtest.OtherSub
	a := armtest.Assignment(armtest.Stranger, rbac.PrincipalUser, armtest.OwnerRole, there)
	a.Tenant = ident.MustParse[ident.TenantID](armtest.OtherTenant)
	r.Update(func(tx *store.Tx) error { return tx.PutAssignment(a) })
	r.Do("PUT", sub+definitions+"/"+guid(1), armtest.Owner, custom("mine", `"*/read"`, sub)).Want(201, "")
	r.Do("GET", there+definitions+"/"+guid(1), armtest.Stranger, "").Want(404, "RoleDefinitionDoesNotExist")
	r.Do("PUT", there+definitions+"/"+guid(1), armtest.Stranger, custom("theirs", `"*/read"`, there)).Want(409, "RoleDefinitionExists")
	r.Do("DELETE", there+definitions+"/"+guid(1), armtest.Stranger, "").Want(204, "")
	r.Do("PUT", there+definitions+"/"+guid(2), armtest.Stranger, custom("mine", `"*/read"`, there)).Want(201, "")
	r.Do("PUT", there+assignments+"/"+guid(3), armtest.Stranger, strings.Replace(give(guid(1), armtest.Stranger, ""), armtest.Sub, armtest.OtherSub, 1)).Want(404, "RoleDefinitionDoesNotExist")
	var list struct{ Value []struct{ Name string } }
	r.Do("GET", there+definitions+"?api-version=2022-04-01&$filter="+url.QueryEscape("type eq 'CustomRole'"), armtest.Stranger, "").Want(200, "").JSON(&list)
	if len(list.Value) != 1 || list.Value[0].Name != guid(2) {
		t.Errorf("%+v", list)
	}
}
