package authorization_test

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keyreeve/keyreeve/internal/arm"
	"github.com/keyreeve/keyreeve/internal/arm/armtest"
	"github.com/keyreeve/keyreeve/internal/arm/authorization"
	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/rbac"
	"github.com/keyreeve/keyreeve/internal/resource"
	"github.com/keyreeve/keyreeve/internal/store"
)

const (
	sub         = "/subscriptions/" + armtest.Sub
	rg          = sub + "/resourceGroups/rg1"
	cluster     = rg + "/providers/Microsoft.ContainerService/managedClusters/c1"
	assignments = "/providers/Microsoft.Authorization/roleAssignments"
	definitions = "/providers/Microsoft.Authorization/roleDefinitions"
)

// oneCluster is a room that keeps the cluster c1 and no other.
type oneCluster struct{ arm.Contents }

func (oneCluster) Exists(_ *store.Tx, id ident.ResourceID) (exists, known bool, err error) {
	return strings.EqualFold(id.Name(), "c1"), strings.EqualFold(id.Type(), "Microsoft.ContainerService/managedClusters"), nil
}

func newRig(t testing.TB) *armtest.Rig {
	r := armtest.New(t)
	(&authorization.Handler{DB: r.DB, World: r.World, Contents: []arm.Contents{oneCluster{}}}).Mount(r.Face)
	r.Update(func(tx *store.Tx) error {
		for _, name := range []string{"rg1", "rg2", "providers"} {
			g := resource.Group{Subscription: ident.MustParse[ident.SubscriptionID](armtest.Sub), Name: name, Location: "eastus", State: arm.StateSucceeded}
			if err := tx.PutResourceGroup(g); err != nil {
				return err
			}
		}
		return nil
	})
	return r
}

// guid makes an id that is easy to read in a failure.
func guid(n int) string { return fmt.Sprintf("88888888-0000-4000-8000-%012d", n) }

func role(id string) string { return sub + definitions + "/" + id }

// give is the body of an assignment; more is put into its properties.
func give(roleID, principal, more string) string {
	return `{"properties":{"roleDefinitionId":"` + role(roleID) + `","principalId":"` + principal + `"` + more + `}}`
}

func audited(t *testing.T, r *armtest.Rig) []audit.Event {
	t.Helper()
	var out []audit.Event
	err := r.DB.View(t.Context(), func(tx *store.Tx) error {
		records, err := tx.AuditRecords(100)
		for _, x := range records {
			if x.ActorName == "" || x.Correlation == "" || x.Target == "" {
				t.Errorf("record %+v does not say who or what", x)
			}
			out = append(out, x.Event)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(out)
	return out
}

func TestAssignmentIsAsRecorded(t *testing.T) {
	r := newRig(t)
	path := rg + assignments + "/" + guid(1)
	made := `{"properties":{"roleDefinitionId":"` + role(armtest.ReaderRole) + `","principalId":"` + armtest.Nobody + `","principalType":"User","scope":"` + rg +
		`","condition":null,"conditionVersion":null,"createdOn":"2025-05-16T06:50:42.1991607Z","updatedOn":"2025-05-16T06:50:42.1991607Z","createdBy":null,"updatedBy":"` +
		armtest.Owner + `","delegatedManagedIdentityResourceId":null,"description":null},"id":"` + path + `","type":"Microsoft.Authorization/roleAssignments","name":"` + guid(1) + `"}`
	kept := strings.Replace(made, `"createdBy":null`, `"createdBy":"`+armtest.Owner+`"`, 1)

	body := give(armtest.ReaderRole, armtest.Nobody, `,"principalType":"User"`)
	a := r.Do("PUT", path, armtest.Owner, body).Want(201, "")
	if diff := cmp.Diff(made, a.Body); diff != "" {
		t.Error(diff)
	}
	if got := a.Header.Get("Content-Type"); got != "application/json; charset=utf-8" {
		t.Errorf("content type %q", got)
	}
	if diff := cmp.Diff(kept, r.Do("GET", strings.ToUpper(rg)+strings.ToLower(assignments)+"/"+guid(1), armtest.Owner, "").Want(200, "").Body); diff != "" {
		t.Error(diff)
	}
	// The right is there at once.
	r.Do("GET", path, armtest.Nobody, "").Want(200, "")

	dup := r.Do("PUT", rg+assignments+"/"+guid(2), armtest.Owner, body).Want(409, "RoleAssignmentExists")
	if diff := cmp.Diff(`{"error":{"code":"RoleAssignmentExists","message":"The role assignment already exists."}}`, dup.Body); diff != "" {
		t.Error(diff)
	}
	r.Clock.Move(1e9)
	changed := r.Do("PUT", path, armtest.Owner, give(armtest.ReaderRole, armtest.Nobody, `,"description":"why"`)).Want(201, "")
	if want := strings.NewReplacer(`"updatedOn":"2025-05-16T06:50:42`, `"updatedOn":"2025-05-16T06:50:43`, `"description":null`, `"description":"why"`).Replace(kept); changed.Body != want {
		t.Error(cmp.Diff(want, changed.Body))
	}

	gone := r.Do("DELETE", path, armtest.Owner, "").Want(200, "")
	if !strings.Contains(gone.Body, `"id":"`+path+`"`) {
		t.Error(gone.Body)
	}
	if a := r.Do("DELETE", path, armtest.Owner, "").Want(204, ""); a.Body != "" {
		t.Error(a.Body)
	}
	r.Do("GET", path, armtest.Owner, "").Want(404, "RoleAssignmentNotFound")
	r.Do("GET", path, armtest.Nobody, "").Want(403, "AuthorizationFailed")
	if diff := cmp.Diff([]audit.Event{audit.RoleAssigned, audit.RoleAssigned, audit.RoleUnassigned}, audited(t, r)); diff != "" {
		t.Error(diff)
	}
}

func TestAssignmentScopes(t *testing.T) {
	r := newRig(t)
	r.Grant(armtest.Owner, rbac.PrincipalUser, armtest.OwnerRole, "/")
	for i, scope := range []string{
		"", sub, rg, cluster, cluster + "/namespaces/kube-system", rg + "/providers/Microsoft.Network/virtualNetworks/v/subnets/s",
		sub + "/resourceGroups/providers", cluster + "/providers/Microsoft.Insights/diagnosticSettings/d",
	} {
		path := scope + assignments + "/" + guid(i)
		a := r.Do("PUT", path, armtest.Owner, give(armtest.ClusterUserRole, armtest.Group, "")).Want(201, "")
		var got struct {
			ID         string
			Properties struct{ Scope, PrincipalType, RoleDefinitionID string }
		}
		a.JSON(&got)
		want := scope
		if scope == "" {
			want = "/"
		}
		wantRole := role(armtest.ClusterUserRole)
		if scope == "" {
			wantRole = definitions + "/" + armtest.ClusterUserRole
		}
		if got.ID != path || got.Properties.Scope != want || got.Properties.PrincipalType != "Group" || got.Properties.RoleDefinitionID != wantRole {
			t.Errorf("%s", a.Body)
		}
		r.Do("GET", path, armtest.Owner, "").Want(200, "")
	}
	// Listed from a subscription, the one at the root names its role with the subscription's prefix.
	if a := r.Do("GET", sub+assignments+"?api-version=2022-04-01&$filter=atScope()", armtest.Owner, ""); strings.Contains(a.Body, `"roleDefinitionId":"`+definitions) {
		t.Error(a.Body)
	}
}

func TestAssignmentRefusals(t *testing.T) {
	r := newRig(t)
	mine := rg + assignments + "/" + guid(1)
	r.Do("PUT", mine, armtest.Owner, give(armtest.ReaderRole, armtest.Nobody, "")).Want(201, "")
	custom := guid(50)
	r.Do("PUT", rg+definitions+"/"+custom, armtest.Owner, `{"properties":{"roleName":"c","permissions":[{"actions":["*/read"]}],"assignableScopes":["`+rg+`"]}}`).Want(201, "")
	good := give(armtest.ReaderRole, armtest.Nobody, "")
	at := func(scope string) string { return scope + assignments + "/" + guid(9) }
	for name, test := range map[string]struct {
		method, path, as, body string
		status                 int
		code                   string
	}{
		"reader may not":               {"PUT", at(rg), armtest.Reader, good, 403, "AuthorizationFailed"},
		"reader may not, same":         {"PUT", mine, armtest.Reader, good, 403, "AuthorizationFailed"},
		"reader may not delete":        {"DELETE", mine, armtest.Reader, "", 403, "AuthorizationFailed"},
		"no rights at the root":        {"PUT", at(""), armtest.Owner, good, 403, "AuthorizationFailed"},
		"other tenant":                 {"PUT", at("/subscriptions/" + armtest.OtherSub), armtest.Owner, good, 401, "InvalidAuthenticationTokenTenant"},
		"missing group":                {"PUT", at(sub + "/resourceGroups/x"), armtest.Owner, good, 404, "ResourceGroupNotFound"},
		"missing cluster":              {"PUT", at(strings.Replace(cluster, "c1", "c2", 1)), armtest.Owner, good, 404, "ResourceNotFound"},
		"namespace, missing cluster":   {"PUT", at(strings.Replace(cluster, "c1", "c2", 1) + "/namespaces/n"), armtest.Owner, good, 404, "ResourceNotFound"},
		"odd scope":                    {"PUT", at(sub + "/resourceGroups"), armtest.Owner, good, 400, "InvalidScope"},
		"odd scope, type only":         {"PUT", at(rg + "/providers/N/t"), armtest.Owner, good, 400, "InvalidScope"},
		"namespace that cannot be one": {"PUT", at(cluster + "/namespaces/kube_system"), armtest.Owner, good, 400, "InvalidScope"},
		"namespace of another letter":  {"PUT", at(cluster + "/namespaces/%E2%84%AAube-system"), armtest.Owner, good, 400, "InvalidScope"}, // a Kelvin sign
		"long namespace":               {"PUT", at(cluster + "/namespaces/" + strings.Repeat("n", 64)), armtest.Owner, good, 400, "InvalidScope"},
		"not a GUID":                   {"PUT", rg + assignments + "/x", armtest.Owner, good, 400, "InvalidRoleAssignmentId"},
		"zero GUID":                    {"PUT", rg + assignments + "/00000000-0000-0000-0000-000000000000", armtest.Owner, good, 400, "InvalidRoleAssignmentId"},
		"no body":                      {"PUT", at(rg), armtest.Owner, "", 400, "InvalidRequestContent"},
		"no properties":                {"PUT", at(rg), armtest.Owner, "{}", 400, "InvalidRequestContent"},
		"wrong type":                   {"PUT", at(rg), armtest.Owner, `{"properties":{"principalId":5}}`, 400, "InvalidRequestContent"},
		"no role":                      {"PUT", at(rg), armtest.Owner, `{"properties":{"principalId":"` + armtest.Nobody + `"}}`, 400, "InvalidRoleDefinitionId"},
		"role by name":                 {"PUT", at(rg), armtest.Owner, strings.Replace(good, role(armtest.ReaderRole), "Reader", 1), 400, "InvalidRoleDefinitionId"},
		"role id with more":            {"PUT", at(rg), armtest.Owner, strings.Replace(good, armtest.ReaderRole, armtest.ReaderRole+"/x", 1), 400, "InvalidRoleDefinitionId"},
		"unknown role":                 {"PUT", at(rg), armtest.Owner, give(guid(7), armtest.Nobody, ""), 404, "RoleDefinitionDoesNotExist"},
		"role not for here":            {"PUT", at(sub), armtest.Owner, give(custom, armtest.Nobody, ""), 404, "RoleDefinitionDoesNotExist"},
		"bad principal":                {"PUT", at(rg), armtest.Owner, give(armtest.ReaderRole, "x", ""), 400, "InvalidPrincipalId"},
		"unknown principal":            {"PUT", at(rg), armtest.Owner, give(armtest.ReaderRole, guid(7), ""), 400, "PrincipalNotFound"},
		"principal of other tenant":    {"PUT", at(rg), armtest.Owner, give(armtest.ReaderRole, armtest.Stranger, ""), 400, "PrincipalNotFound"},
		"principal's type":             {"PUT", at(rg), armtest.Owner, give(armtest.ReaderRole, armtest.App, `,"principalType":"User"`), 400, "UnmatchedPrincipalType"},
		"condition":                    {"PUT", at(rg), armtest.Owner, give(armtest.ReaderRole, armtest.App, `,"condition":"x","conditionVersion":"2.0"`), 400, "InvalidCondition"},
		"condition of another version": {"PUT", at(rg), armtest.Owner, give(armtest.ReaderRole, armtest.App, `,"condition":"ActionMatches{'*'}","conditionVersion":"1.0"`), 400, "InvalidConditionVersion"},
		"condition of other services":  {"PUT", at(rg), armtest.Owner, give(armtest.ReaderRole, armtest.App, `,"condition":"@Resource[Microsoft.Storage/storageAccounts/blobServices/containers:name] StringEquals 'x'","conditionVersion":"2.0"`), 400, "InvalidCondition"},
		"version without condition":    {"PUT", at(rg), armtest.Owner, give(armtest.ReaderRole, armtest.App, `,"conditionVersion":"2.0"`), 400, "InvalidCondition"},
		"long description":             {"PUT", at(rg), armtest.Owner, give(armtest.ReaderRole, armtest.App, `,"description":"`+strings.Repeat("x", 2049)+`"`), 400, "InvalidRoleAssignmentDescription"},
		"same id, other principal":     {"PUT", mine, armtest.Owner, give(armtest.ReaderRole, armtest.App, ""), 400, "RoleAssignmentUpdateNotPermitted"},
		"same id, other role":          {"PUT", mine, armtest.Owner, give(armtest.OwnerRole, armtest.Nobody, ""), 400, "RoleAssignmentUpdateNotPermitted"},
		"same id, other scope":         {"PUT", sub + assignments + "/" + guid(1), armtest.Owner, good, 400, "RoleAssignmentUpdateNotPermitted"},
		"same triple, other case":      {"PUT", strings.ToLower(rg) + assignments + "/" + guid(9), armtest.Owner, good, 409, "RoleAssignmentExists"},
		"delete through other scope":   {"DELETE", sub + "/resourceGroups/rg2" + assignments + "/" + guid(1), armtest.Owner, "", 204, ""},
		"delete through the parent":    {"DELETE", sub + assignments + "/" + guid(1), armtest.Owner, "", 204, ""},
		"get through other scope":      {"GET", sub + "/resourceGroups/rg2" + assignments + "/" + guid(1), armtest.Owner, "", 404, "RoleAssignmentNotFound"},
		"get, not a GUID":              {"GET", rg + assignments + "/x", armtest.Owner, "", 404, "RoleAssignmentNotFound"},
		"list, no right":               {"GET", rg + assignments, armtest.App, "", 403, "AuthorizationFailed"},
		"list, bad filter":             {"GET", rg + assignments + "?api-version=2022-04-01&$filter=principalId%20eq%20x", armtest.Owner, "", 400, "UnsupportedFilter"},
		"POST":                         {"POST", rg + assignments, armtest.Owner, "", 405, "MethodNotAllowed"},
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

func TestRefusalTextsAreAsRecorded(t *testing.T) {
	r := newRig(t)
	path := rg + assignments + "/" + guid(1)
	for want, test := range map[string]struct{ as, body string }{
		"Principal " + strings.ReplaceAll(guid(7), "-", "") + " does not exist in the directory " + armtest.Tenant + ". Check that you have the correct principal ID. If you are creating " +
			"this principal and then immediately assigning a role, this error might be related to a replication delay. In this case, set the role assignment principalType property " +
			"to a value, such as ServicePrincipal, User, or Group.  See https://aka.ms/docs-principaltype": {armtest.Owner, give(armtest.ReaderRole, guid(7), "")},
		"The PrincipalId '" + strings.ReplaceAll(armtest.App, "-", "") + "' has type 'ServicePrincipal' , which is different from specified PrinciaplType 'User'.": {armtest.Owner, give(armtest.ReaderRole, armtest.App, `,"principalType":"User"`)},
		"The specified role definition with ID '" + strings.ReplaceAll(guid(7), "-", "") + "' does not exist.":                                                     {armtest.Owner, give(guid(7), armtest.App, "")},
		"The client 'reader@contoso.test' with object id '" + armtest.Reader + "' does not have authorization to perform action 'Microsoft.Authorization/roleAssignments/write' over scope '" + path +
			"' or the scope is invalid. If access was recently granted, please refresh your credentials.": {armtest.Reader, give(armtest.ReaderRole, armtest.App, "")},
	} {
		if diff := cmp.Diff(want, r.Do("PUT", path, test.as, test.body).Message()); diff != "" {
			t.Error(diff)
		}
	}
}

// A caller who owns one scope must not reach assignments at another by writing its id below their own.
func TestOwnerOfOneGroupStaysThere(t *testing.T) {
	r := newRig(t)
	r.Grant(armtest.Nobody, rbac.PrincipalUser, armtest.OwnerRole, sub+"/resourceGroups/providers")
	r.Grant(armtest.App, rbac.PrincipalServicePrincipal, armtest.ReaderRole, sub)
	own := sub + "/resourceGroups/providers"
	id := armtest.Assignment(armtest.App, rbac.PrincipalServicePrincipal, armtest.ReaderRole, sub).ID.String()
	r.Do("DELETE", sub+assignments+"/"+id, armtest.Nobody, "").Want(403, "AuthorizationFailed")
	r.Do("DELETE", own+assignments+"/"+id, armtest.Nobody, "").Want(204, "")
	r.Do("GET", own+assignments+"/"+id, armtest.Nobody, "").Want(404, "RoleAssignmentNotFound")
	// The group's name is a word of the path's form: this path is below the group as a text, and no scope as a path.
	r.Do("PUT", sub+"/resourceGroups"+assignments+"/"+guid(1), armtest.Nobody, give(armtest.OwnerRole, armtest.Nobody, "")).Want(400, "InvalidScope")
	r.Do("PUT", own+assignments+"/"+guid(1), armtest.Nobody, give(armtest.ReaderRole, armtest.App, "")).Want(201, "")
	if len(r.World.GrantsOf(ident.MustParse[ident.ObjectID](armtest.App))) != 2 {
		t.Error("the assignment at the subscription is gone")
	}
}

func TestListAssignments(t *testing.T) {
	r := newRig(t)
	outer := ident.New[ident.ObjectID]()
	r.Update(func(tx *store.Tx) error { // Nobody is in Group, which is in outer
		tenant := ident.MustParse[ident.TenantID](armtest.Tenant)
		if err := tx.PutGroup(directory.Group{ID: outer, Tenant: tenant, DisplayName: "outer", MailNickname: "outer", SecurityEnabled: true}); err != nil {
			return err
		}
		return tx.AddMember(outer, ident.MustParse[ident.ObjectID](armtest.Group))
	})
	names := map[string]string{
		armtest.Assignment(armtest.Owner, rbac.PrincipalUser, armtest.OwnerRole, sub).ID.String():   "owner@sub",
		armtest.Assignment(armtest.Reader, rbac.PrincipalUser, armtest.ReaderRole, sub).ID.String(): "reader@sub",
	}
	for _, a := range []struct {
		name, principal string
		kind            rbac.PrincipalType
		scope           string
	}{
		{"app@root", armtest.App, rbac.PrincipalServicePrincipal, "/"},
		{"group@sub", armtest.Group, rbac.PrincipalGroup, sub},
		{"nobody@rg", armtest.Nobody, rbac.PrincipalUser, rg},
		{"outer@cluster", outer.String(), rbac.PrincipalGroup, cluster},
		{"app@ns", armtest.App, rbac.PrincipalServicePrincipal, cluster + "/namespaces/n"},
		{"app@rg10", armtest.App, rbac.PrincipalServicePrincipal, sub + "/resourceGroups/rg10"},
	} {
		r.Grant(a.principal, a.kind, armtest.ReaderRole, a.scope)
		names[armtest.Assignment(a.principal, a.kind, armtest.ReaderRole, a.scope).ID.String()] = a.name
	}
	for name, test := range map[string]struct{ scope, filter, want string }{
		"subscription":               {sub, "", "app@ns app@rg10 app@root group@sub nobody@rg outer@cluster owner@sub reader@sub"},
		"group":                      {rg, "", "app@ns app@root group@sub nobody@rg outer@cluster owner@sub reader@sub"},
		"subscription, here, above":  {sub, "atScope()", "app@root group@sub owner@sub reader@sub"},
		"group, here and above":      {rg, "atScope()", "app@root group@sub nobody@rg owner@sub reader@sub"},
		"cluster, here and above":    {cluster, "atScope()", "app@root group@sub nobody@rg outer@cluster owner@sub reader@sub"},
		"namespace, here and above":  {cluster + "/namespaces/n", "atScope()", "app@ns app@root group@sub nobody@rg outer@cluster owner@sub reader@sub"},
		"of a principal":             {sub, "principalId eq '" + armtest.App + "'", "app@ns app@rg10 app@root"},
		"of a principal, exactly":    {sub, "principalId eq '" + armtest.Nobody + "'", "nobody@rg"},
		"of a principal, here":       {rg, "principalId eq '" + armtest.App + "' and atScope()", "app@root"},
		"through groups":             {sub, "assignedTo('" + armtest.Nobody + "')", "group@sub nobody@rg outer@cluster"},
		"through groups, here":       {rg, "atScope() and assignedTo('" + armtest.Nobody + "')", "group@sub nobody@rg"},
		"of a group, through groups": {sub, "assignedTo('" + armtest.Group + "')", "group@sub outer@cluster"},
		"of nobody known":            {sub, "principalId eq '" + guid(3) + "'", ""},
		"group's case":               {strings.ToUpper(rg), "principalId eq '" + armtest.Nobody + "'", "nobody@rg"},
	} {
		t.Run(name, func(t *testing.T) {
			var list struct{ Value []struct{ Name string } }
			// Both spellings of the escapes come in.
			for _, q := range []string{url.QueryEscape(test.filter), url.PathEscape(test.filter)} {
				a := r.Do("GET", test.scope+assignments+"?$filter="+q+"&api-version=2022-04-01", armtest.Owner, "").Want(200, "")
				a.JSON(&list)
				var got []string
				for _, v := range list.Value {
					got = append(got, names[v.Name])
				}
				slices.Sort(got)
				if diff := cmp.Diff(test.want, strings.Join(got, " ")); diff != "" || strings.Contains(a.Body, `"value":null`) {
					t.Error(diff)
				}
			}
		})
	}
}

func TestLastAdminStays(t *testing.T) {
	for name, test := range map[string]struct {
		other *rbac.Assignment
		off   bool // the other is disabled
		code  string
	}{
		"alone":                   {nil, false, "CannotDeleteLastRbacAdminAssignment"},
		"another owner":           {new(armtest.Assignment(armtest.Nobody, rbac.PrincipalUser, armtest.OwnerRole, sub)), false, ""},
		"an access administrator": {new(armtest.Assignment(armtest.App, rbac.PrincipalServicePrincipal, armtest.AccessAdminRole, sub)), false, ""},
		"a group":                 {new(armtest.Assignment(armtest.Group, rbac.PrincipalGroup, armtest.OwnerRole, sub)), false, ""},
		"an owner above":          {new(armtest.Assignment(armtest.Nobody, rbac.PrincipalUser, armtest.OwnerRole, "/")), false, ""},
		"an owner below":          {new(armtest.Assignment(armtest.Nobody, rbac.PrincipalUser, armtest.OwnerRole, rg)), false, "CannotDeleteLastRbacAdminAssignment"},
		"a contributor":           {new(armtest.Assignment(armtest.Nobody, rbac.PrincipalUser, armtest.ContributorRole, sub)), false, "CannotDeleteLastRbacAdminAssignment"},
		"a disabled owner":        {new(armtest.Assignment(armtest.Nobody, rbac.PrincipalUser, armtest.OwnerRole, sub)), true, "CannotDeleteLastRbacAdminAssignment"},
		"an owner who is gone":    {new(armtest.Assignment(guid(1), rbac.PrincipalUser, armtest.OwnerRole, sub)), false, "CannotDeleteLastRbacAdminAssignment"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.Update(func(tx *store.Tx) error {
				if test.other != nil {
					if err := tx.PutAssignment(*test.other); err != nil {
						return err
					}
				}
				u, err := tx.User(ident.MustParse[ident.ObjectID](armtest.Nobody))
				if err != nil {
					return err
				}
				u.AccountEnabled = !test.off
				return tx.PutUser(u)
			})
			id := armtest.Assignment(armtest.Owner, rbac.PrincipalUser, armtest.OwnerRole, sub).ID.String()
			status := 200
			if test.code != "" {
				status = 412
			}
			r.Do("DELETE", sub+assignments+"/"+id, armtest.Owner, "").Want(status, test.code)
		})
	}
}

func TestPermissionsAndDeny(t *testing.T) {
	r := newRig(t)
	path := rg + "/providers/Microsoft.Authorization/permissions"
	if diff := cmp.Diff(`{"value":[{"actions":["*/read"],"notActions":[],"dataActions":[],"notDataActions":[]}]}`, r.Do("GET", path, armtest.Reader, "").Want(200, "").Body); diff != "" {
		t.Error(diff)
	}
	none := r.Do("GET", path, armtest.Nobody, "").Want(200, "").Body
	if none != `{"value":[]}` {
		t.Error(none)
	}
	// To who holds nothing, a group that is not there looks the same.
	if got := r.Do("GET", strings.Replace(path, "rg1", "rg9", 1), armtest.Nobody, "").Want(200, "").Body; got != none {
		t.Error(got)
	}
	r.Grant(armtest.Group, rbac.PrincipalGroup, armtest.ReaderRole, cluster)
	if got := r.Do("GET", path, armtest.Nobody, "").Want(200, "").Body; got != none {
		t.Error("a role below counts above:", got)
	}
	if got := r.Do("GET", cluster+"/providers/Microsoft.Authorization/permissions", armtest.Nobody, "").Want(200, "").Body; got == none {
		t.Error("a role held through a group does not count")
	}
	deny := rg + "/providers/Microsoft.Authorization/denyAssignments"
	if got := r.Do("GET", deny, armtest.Reader, "").Want(200, "").Body; got != none {
		t.Error(got)
	}
	r.Do("GET", deny+"/"+guid(1), armtest.Reader, "").Want(404, "DenyAssignmentNotFound")
	r.Do("GET", deny, armtest.Nobody, "").Want(403, "AuthorizationFailed")
}
