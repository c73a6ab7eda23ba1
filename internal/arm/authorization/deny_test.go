package authorization_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/keyreeve/keyreeve/internal/arm/armtest"
	"github.com/keyreeve/keyreeve/internal/arm/authorization"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/rbac"
	"github.com/keyreeve/keyreeve/internal/store"
)

const (
	denials  = "/providers/Microsoft.Authorization/denyAssignments"
	everyone = "00000000-0000-0000-0000-000000000000"
)

// deny is the body of a deny assignment.
func deny(name, permissions string, principals, excluded []string) string {
	list := func(ids []string) string {
		var out []string
		for _, id := range ids {
			out = append(out, `{"id":"`+id+`"}`)
		}
		return "[" + strings.Join(out, ",") + "]"
	}
	return fmt.Sprintf(`{"properties":{"denyAssignmentName":%q,"permissions":[%s],"principals":%s,"excludePrincipals":%s}}`, name, permissions, list(principals), list(excluded))
}

type denyList struct {
	Value []struct {
		Name       string
		Properties struct {
			Scope, DenyAssignmentName string
			IsSystemProtected         bool
			Principals                []struct{ ID, Type string }
			ExcludePrincipals         []struct{ ID, Type string }
		}
	}
}

func (l *denyList) names() (out []string) {
	for _, d := range l.Value {
		out = append(out, d.Properties.DenyAssignmentName)
	}
	return out
}

// A deny assignment counts with the next request, says so, and goes when it is deleted.
func TestDenyAssignmentCounts(t *testing.T) {
	r := newRig(t)
	r.Grant(armtest.Nobody, rbac.PrincipalUser, armtest.OwnerRole, rg)
	path := rg + denials + "/" + guid(1)
	r.Do("GET", rg+assignments, armtest.Nobody, "").Want(200, "")
	// By the group that Nobody is in.
	r.Do("PUT", path, armtest.Owner, deny("no reading", `{"actions":["Microsoft.Authorization/roleAssignments/*"],"notActions":["*/write"]}`, []string{armtest.Group}, nil)).Want(201, "")
	res := r.Do("GET", rg+assignments, armtest.Nobody, "")
	res.Want(403, "DenyAssignmentAuthorizationFailed")
	if !strings.Contains(res.Body, "no reading") || !strings.Contains(res.Body, rg) {
		t.Errorf("%s", res.Body)
	}
	// Who had no role learns nothing of deny assignments.
	r.Grant(armtest.App, rbac.PrincipalServicePrincipal, armtest.ReaderRole, rg)
	r.Do("PUT", rg+denials+"/"+guid(2), armtest.Owner, deny("all", `{"actions":["*"]}`, []string{everyone}, []string{armtest.Owner})).Want(201, "")
	r.Do("DELETE", rg+assignments+"/"+guid(9), armtest.App, "").Want(403, "AuthorizationFailed")
	r.Do("GET", rg+assignments, armtest.App, "").Want(403, "DenyAssignmentAuthorizationFailed")
	r.Do("GET", rg+assignments, armtest.Owner, "").Want(200, "")
	// Deny assignments themselves are never out of reach.
	r.Do("GET", rg+denials, armtest.Nobody, "").Want(200, "")
	r.Do("DELETE", rg+denials+"/"+guid(2), armtest.Nobody, "").Want(200, "")
	r.Do("DELETE", path, armtest.Owner, "").Want(200, "")
	r.Do("GET", rg+assignments, armtest.Nobody, "").Want(200, "")
	r.Do("DELETE", path, armtest.Owner, "").Want(204, "")
}

func TestDenyAssignmentReadBack(t *testing.T) {
	r := newRig(t)
	path := rg + denials + "/" + guid(1)
	r.Do("PUT", path, armtest.Owner, deny("one", `{"dataActions":["*/secrets/read"]}`, []string{everyone}, []string{armtest.Group})).Want(201, "")
	r.Do("PUT", sub+denials+"/"+guid(2), armtest.Owner, deny("two", `{"actions":["*/write"]}`, []string{armtest.Nobody}, nil)).Want(201, "")
	r.Do("PUT", path, armtest.Owner, deny("one", `{"dataActions":["*/secrets/*"]}`, []string{everyone}, []string{armtest.Group})).Want(200, "")
	var one struct{ ID, Type, Name string }
	r.Do("GET", path, armtest.Owner, "").Want(200, "").JSON(&one)
	if one.ID != path || one.Type != "Microsoft.Authorization/denyAssignments" || one.Name != guid(1) {
		t.Errorf("%+v", one)
	}
	r.Do("GET", sub+denials+"/"+guid(1), armtest.Owner, "").Want(404, "DenyAssignmentNotFound") // it hangs elsewhere
	for filter, want := range map[string][]string{
		"":          {"two", "one"},
		"atScope()": {"two"},
		"principalId eq '" + armtest.Nobody + "'":            {"two"},
		"assignedTo('" + armtest.Nobody + "')":               {"two", "one"},
		"atScope() and assignedTo('" + armtest.Nobody + "')": {"two"},
		"denyAssignmentName eq 'ONE'":                        {"one"},
		"denyAssignmentName eq 'one' and atScope()":          nil,
	} {
		var list denyList
		r.Do("GET", sub+denials+"?api-version=2022-04-01&$filter="+url.QueryEscape(filter), armtest.Owner, "").Want(200, "").JSON(&list)
		if fmt.Sprint(list.names()) != fmt.Sprint(want) {
			t.Errorf("%q: %v, want %v", filter, list.names(), want)
		}
	}
	var list denyList
	r.Do("GET", rg+denials, armtest.Reader, "").Want(200, "").JSON(&list)
	if p := list.Value[1].Properties; p.Principals[0].Type != "SystemDefined" || p.ExcludePrincipals[0].Type != "Group" {
		t.Errorf("%+v", p)
	}
	for _, filter := range []string{"x", "principalId eq 'x'", "denyAssignmentName eq ''", "denyAssignmentName eq 'a' and denyAssignmentName eq 'b'", "denyAssignmentName eq 'a' and principalId eq '" + armtest.Nobody + "'"} {
		r.Do("GET", sub+denials+"?api-version=2022-04-01&$filter="+url.QueryEscape(filter), armtest.Owner, "").Want(400, "UnsupportedFilter")
	}
}

func TestDenyAssignmentRefusals(t *testing.T) {
	r := newRig(t)
	r.Grant(armtest.App, rbac.PrincipalServicePrincipal, armtest.ContributorRole, sub)
	r.Do("PUT", sub+denials+"/"+guid(1), armtest.Owner, deny("one", `{"actions":["a/b/write"]}`, []string{armtest.Nobody}, nil)).Want(201, "")
	protected := rbac.DenyAssignment{
		ID: ident.MustParse[ident.DenyAssignmentID](guid(7)), Tenant: ident.MustParse[ident.TenantID](armtest.Tenant), Name: "platform", Scope: sub, Protected: true,
		Permissions: []rbac.Permission{{Actions: []string{"a/b/write"}}}, Principals: []rbac.DenyPrincipal{{}},
	}
	r.Update(func(tx *store.Tx) error { return tx.PutDenyAssignment(protected) })
	good := deny("x", `{"actions":["*"]}`, []string{armtest.Nobody}, nil)
	fresh := sub + denials + "/" + guid(2)
	many := strings.Repeat(`{"id":"`+armtest.Nobody+`"},`, 1001)
	for name, c := range map[string]struct {
		method, path, as, body string
		status                 int
		code                   string
	}{
		"reader may not":             {"PUT", fresh, armtest.Reader, good, 403, "AuthorizationFailed"},
		"contributor may not":        {"PUT", fresh, armtest.App, good, 403, "AuthorizationFailed"},
		"contributor may not delete": {"DELETE", sub + denials + "/" + guid(1), armtest.App, "", 403, "AuthorizationFailed"},
		"not a GUID":                 {"PUT", sub + denials + "/x", armtest.Owner, good, 400, "InvalidDenyAssignmentId"},
		"no properties":              {"PUT", fresh, armtest.Owner, "{}", 400, "InvalidRequestContent"},
		"no name":                    {"PUT", fresh, armtest.Owner, deny(" ", `{"actions":["*"]}`, []string{armtest.Nobody}, nil), 400, "InvalidDenyAssignment"},
		"nothing denied":             {"PUT", fresh, armtest.Owner, deny("x", `{"notActions":["*"]}`, []string{armtest.Nobody}, nil), 400, "InvalidDenyAssignment"},
		"bad action":                 {"PUT", fresh, armtest.Owner, deny("x", `{"actions":["a b"]}`, []string{armtest.Nobody}, nil), 400, "InvalidActionOrNotAction"},
		"nobody denied":              {"PUT", fresh, armtest.Owner, deny("x", `{"actions":["*"]}`, nil, nil), 400, "InvalidDenyAssignment"},
		"everyone without exception": {"PUT", fresh, armtest.Owner, deny("x", `{"actions":["*"]}`, []string{everyone}, nil), 400, "InvalidDenyAssignment"},
		"everyone excluded":          {"PUT", fresh, armtest.Owner, deny("x", `{"actions":["*"]}`, []string{everyone}, []string{everyone}), 400, "InvalidDenyAssignment"},
		"unknown principal":          {"PUT", fresh, armtest.Owner, deny("x", `{"actions":["*"]}`, []string{guid(5)}, nil), 400, "PrincipalNotFound"},
		"another tenant's principal": {"PUT", fresh, armtest.Owner, deny("x", `{"actions":["*"]}`, []string{armtest.Stranger}, nil), 400, "PrincipalNotFound"},
		"wrong type":                 {"PUT", fresh, armtest.Owner, strings.Replace(good, `"}]`, `","type":"Group"}]`, 1), 400, "UnmatchedPrincipalType"},
		"too many":                   {"PUT", fresh, armtest.Owner, strings.Replace(good, `"principals":[`, `"principals":[`+many, 1), 400, "InvalidDenyAssignment"},
		"protected by hand":          {"PUT", fresh, armtest.Owner, strings.Replace(good, `{"properties":{`, `{"properties":{"isSystemProtected":true,`, 1), 400, "InvalidDenyAssignment"},
		"audit only":                 {"PUT", fresh, armtest.Owner, strings.Replace(good, `{"properties":{`, `{"properties":{"denyAssignmentEffect":"Audit",`, 1), 400, "InvalidDenyAssignment"},
		"condition of a permission":  {"PUT", fresh, armtest.Owner, deny("x", `{"actions":["*"],"condition":"x"}`, []string{armtest.Nobody}, nil), 400, "InvalidDenyAssignment"},
		"condition cannot be read":   {"PUT", fresh, armtest.Owner, strings.Replace(good, `{"properties":{`, `{"properties":{"condition":"x","conditionVersion":"2.0",`, 1), 400, "InvalidCondition"},
		"same name":                  {"PUT", fresh, armtest.Owner, deny("ONE", `{"actions":["*"]}`, []string{armtest.Nobody}, nil), 409, "DenyAssignmentNameExists"},
		"same id elsewhere":          {"PUT", rg + denials + "/" + guid(1), armtest.Owner, good, 409, "DenyAssignmentExists"},
		"a cluster that is missing":  {"PUT", rg + "/providers/Microsoft.ContainerService/managedClusters/none" + denials + "/" + guid(2), armtest.Owner, good, 404, "ResourceNotFound"},
		"protected, PUT":             {"PUT", sub + denials + "/" + guid(7), armtest.Owner, good, 403, "DenyAssignmentIsSystemProtected"},
		"protected, DELETE":          {"DELETE", sub + denials + "/" + guid(7), armtest.Owner, "", 403, "DenyAssignmentIsSystemProtected"},
		"at the root":                {"PUT", denials + "/" + guid(2), armtest.Owner, good, 403, "AuthorizationFailed"},
	} {
		t.Run(name, func(t *testing.T) {
			before := r.DB.Head()
			r.Do(c.method, c.path, c.as, c.body).Want(c.status, c.code)
			if r.DB.Head() != before {
				t.Error("something was changed")
			}
		})
	}
}

// Another tenant's deny assignment counts for nobody here, also at a management group of the same name.
func TestDenyAssignmentsOfTenantsAreApart(t *testing.T) {
	r := newRig(t)
	d := rbac.DenyAssignment{
		ID: ident.MustParse[ident.DenyAssignmentID](guid(1)), Tenant: ident.MustParse[ident.TenantID](armtest.OtherTenant), Name: "x", Scope: "/",
		Permissions: []rbac.Permission{{Actions: []string{"*"}}}, Principals: []rbac.DenyPrincipal{{}},
	}
	r.Update(func(tx *store.Tx) error { return tx.PutDenyAssignment(d) })
	r.Do("GET", sub+assignments, armtest.Owner, "").Want(200, "")
	d.Tenant = ident.MustParse[ident.TenantID](armtest.Tenant)
	r.Update(func(tx *store.Tx) error { return tx.PutDenyAssignment(d) })
	r.Do("GET", sub+assignments, armtest.Owner, "").Want(403, "DenyAssignmentAuthorizationFailed")
	r.Open() // built anew from a snapshot
	(&authorization.Handler{DB: r.DB, World: r.World}).Mount(r.Face)
	r.Do("GET", sub+assignments, armtest.Owner, "").Want(403, "DenyAssignmentAuthorizationFailed")
}

// Who may assign roles under a condition may assign, change and take back what it lets through, and nothing else.
func TestDelegatedAssignments(t *testing.T) {
	r := newRig(t)
	const admin = "f58310d9-a9f6-439a-9e8d-f62e7b41a168" // Role Based Access Control Administrator
	condition := `((!(ActionMatches{'Microsoft.Authorization/roleAssignments/write'})) OR ` +
		`(@Request[Microsoft.Authorization/roleAssignments:RoleDefinitionId] ForAnyOfAnyValues:GuidEquals {` + armtest.ReaderRole + `} AND ` +
		`@Request[Microsoft.Authorization/roleAssignments:PrincipalType] ForAnyOfAnyValues:StringEqualsIgnoreCase {'Group'})) AND ` +
		`((!(ActionMatches{'Microsoft.Authorization/roleAssignments/delete'})) OR ` +
		`(@Resource[Microsoft.Authorization/roleAssignments:RoleDefinitionId] ForAnyOfAnyValues:GuidEquals {` + armtest.ReaderRole + `}))`
	with := give(admin, armtest.Nobody, fmt.Sprintf(`,"condition":%q,"conditionVersion":"2.0"`, condition))
	r.Do("PUT", sub+assignments+"/"+guid(1), armtest.Owner, with).Want(201, "")
	path := func(n int) string { return rg + assignments + "/" + guid(n) }
	r.Do("PUT", path(2), armtest.Nobody, give(armtest.ReaderRole, armtest.Group, "")).Want(201, "")
	for name, body := range map[string]string{
		"another role":      give(armtest.OwnerRole, armtest.Group, ""),
		"another kind":      give(armtest.ReaderRole, armtest.App, ""),
		"a kind made up":    give(armtest.ReaderRole, armtest.App, `,"principalType":"Group"`),
		"nobody there":      give(armtest.ReaderRole, guid(8), ""),
		"nobody, as Group":  give(armtest.ReaderRole, guid(8), `,"principalType":"Group"`),
		"the right to more": give(admin, armtest.Group, ""),
	} {
		res := r.Do("PUT", path(3), armtest.Nobody, body)
		res.Want(403, "AuthorizationFailed")
		if !strings.Contains(res.Body, "or an ABAC condition not fulfilled") {
			t.Errorf("%s: %s", name, res.Body)
		}
	}
	r.Do("DELETE", sub+assignments+"/"+guid(1), armtest.Nobody, "").Want(403, "AuthorizationFailed")
	r.Do("PUT", path(4), armtest.Owner, give(armtest.ContributorRole, armtest.Group, "")).Want(201, "")
	r.Do("DELETE", path(4), armtest.Nobody, "").Want(403, "AuthorizationFailed")
	// Under the name of an assignment that is let through, nothing else can be put.
	r.Do("PUT", path(2), armtest.Nobody, give(armtest.OwnerRole, armtest.Group, "")).Want(403, "AuthorizationFailed")
	r.Do("DELETE", path(2), armtest.Nobody, "").Want(200, "")
	r.Do("DELETE", path(2), armtest.Nobody, "").Want(204, "")
	// Without a role at all the text is the plain one.
	if res := r.Do("PUT", path(5), armtest.App, give(armtest.ReaderRole, armtest.Group, "")); res.Status != 403 || strings.Contains(res.Body, "ABAC") {
		t.Errorf("%s", res.Body)
	}
}
