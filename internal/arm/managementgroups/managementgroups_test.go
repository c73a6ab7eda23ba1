package managementgroups_test

import (
	"context"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	azarm "github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/managementgroups/armmanagementgroups"

	"github.com/keyreeve/keyreeve/internal/arm/armtest"
	"github.com/keyreeve/keyreeve/internal/arm/authorization"
	"github.com/keyreeve/keyreeve/internal/arm/managementgroups"
	"github.com/keyreeve/keyreeve/internal/arm/resources"
	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/rbac"
	"github.com/keyreeve/keyreeve/internal/store"
)

const (
	groups      = "/providers/Microsoft.Management/managementGroups/"
	sub         = "/subscriptions/" + armtest.Sub
	assignments = "/providers/Microsoft.Authorization/roleAssignments"
	definitions = "/providers/Microsoft.Authorization/roleDefinitions"
	root        = groups + armtest.Tenant
	// admin is Global Administrator and, as Owner of the subscription, may move it.
	admin = armtest.Owner
)

func newRig(t testing.TB) *armtest.Rig {
	r := armtest.New(t)
	(&managementgroups.Handler{DB: r.DB, World: r.World}).Mount(r.Face)
	(&authorization.Handler{DB: r.DB, World: r.World}).Mount(r.Face)
	(&resources.Handler{DB: r.DB, World: r.World}).Mount(r.Face)
	r.Update(func(tx *store.Tx) error {
		return tx.GrantDirectoryRole(directory.GlobalAdministrator(), ident.MustParse[ident.ObjectID](admin))
	})
	return r
}

func below(parent string) string {
	return `{"properties":{"details":{"parent":{"id":"` + groups + parent + `"}}}}`
}

// make3 makes platform, with prod below it, and sandbox, as the administrator.
func make3(r *armtest.Rig) {
	r.Do("PUT", groups+"platform", admin, `{"properties":{"displayName":"Platform"}}`).Want(200, "")
	r.Do("PUT", groups+"Prod", admin, below("platform")).Want(200, "")
	r.Do("PUT", groups+"sandbox", admin, `{}`).Want(200, "")
}

func give(role, principal string) string {
	return `{"properties":{"roleDefinitionId":"` + definitions + "/" + role + `","principalId":"` + principal + `"}}`
}

func guid(n string) string { return "88888888-0000-4000-8000-00000000000" + n }

// TestInheritance: a role at a management group counts in the subscriptions below it, from the moment they are in it and no
// longer.
func TestInheritance(t *testing.T) {
	r := newRig(t)
	make3(r)
	sees := func(want bool) {
		t.Helper()
		if a := r.Do("GET", sub+"/resourcegroups", armtest.App, ""); (a.Status == 200) != want {
			t.Errorf("sees the subscription: %d, want %t", a.Status, want)
		}
	}
	r.Do("PUT", groups+"platform"+assignments+"/"+guid("1"), admin, give(armtest.ReaderRole, armtest.App)).Want(201, "")
	sees(false)
	r.Do("PUT", groups+"prod/subscriptions/"+armtest.Sub, admin, "").Want(200, "")
	sees(true)
	r.Do("GET", groups+"PROD", armtest.App, "").Want(200, "") // and at the groups below
	r.Do("GET", groups+"sandbox", armtest.App, "").Want(403, "AuthorizationFailed")

	listed := r.Do("GET", sub+assignments+"?api-version=2022-04-01&$filter=atScope()", admin, "").Want(200, "")
	if !strings.Contains(listed.Body, guid("1")) {
		t.Error("the subscription's list lacks what is inherited")
	}
	if up := r.Do("GET", groups+"sandbox"+assignments, admin, "").Want(200, ""); strings.Contains(up.Body, guid("1")) {
		t.Error("another group's list has it")
	}

	// The group moves away, and with it the subscription; then the subscription moves alone.
	r.Do("PATCH", groups+"prod", admin, `{"parentGroupId":"`+groups+`sandbox"}`).Want(200, "")
	sees(false)
	r.Do("PATCH", groups+"prod", admin, `{"parentGroupId":"`+groups+`platform"}`).Want(200, "")
	sees(true)
	r.Do("DELETE", groups+"prod/subscriptions/"+armtest.Sub, admin, "").Want(200, "")
	sees(false)
	r.Do("PUT", groups+"prod/subscriptions/"+armtest.Sub, admin, "").Want(200, "")
	r.Do("DELETE", groups+"platform"+assignments+"/"+guid("1"), admin, "").Want(200, "")
	sees(false)
}

// TestRoot: the way to a role over the whole tenant.
func TestRoot(t *testing.T) {
	r := newRig(t)
	r.Do("GET", root, admin, "").Want(403, "AuthorizationFailed")
	r.Do("PUT", root+assignments+"/"+guid("1"), admin, give(armtest.ReaderRole, armtest.App)).Want(403, "AuthorizationFailed")
	const elevate = "/providers/Microsoft.Authorization/elevateAccess"
	r.Do("POST", elevate, armtest.Reader, "").Want(403, "AuthorizationFailed")
	r.Do("POST", elevate, admin, "").Want(200, "")
	r.Do("POST", elevate, admin, "").Want(200, "")
	r.Do("GET", root, admin, "").Want(200, "")
	r.Do("PUT", root+assignments+"/"+guid("1"), admin, give(armtest.ReaderRole, armtest.App)).Want(201, "")
	r.Do("GET", sub+"/resourcegroups", armtest.App, "").Want(200, "")
	r.Do("GET", "/subscriptions/"+armtest.OtherSub+"/resourcegroups", armtest.App, "").Want(401, "InvalidAuthenticationTokenTenant")
	r.Do("PATCH", root, admin, `{"displayName":"All of Contoso"}`).Want(403, "AuthorizationFailed")
	r.Do("PUT", root+assignments+"/"+guid("2"), admin, give(armtest.OwnerRole, admin)).Want(201, "")
	if a := r.Do("PATCH", root, admin, `{"displayName":"All of Contoso"}`).Want(200, ""); !strings.Contains(a.Body, "All of Contoso") {
		t.Error(a.Body)
	}
	r.Do("DELETE", root, admin, "").Want(400, "BadRequest")
	r.Do("GET", groups+armtest.OtherTenant, admin, "").Want(404, "NotFound")
}

func TestRefused(t *testing.T) {
	r := newRig(t)
	make3(r)
	r.Grant(armtest.App, rbac.PrincipalServicePrincipal, armtest.ContributorRole, groups+"prod")
	deep := "prod"
	for n := range 4 {
		name := "level" + string(rune('a'+n))
		r.Do("PUT", groups+name, admin, below(deep)).Want(200, "")
		deep = name
	}
	for name, test := range map[string]struct {
		method, path, as, body string
		status                 int
		code                   string
	}{
		"bad name":                        {"PUT", groups + "a%20b", admin, `{}`, 400, "BadRequest"},
		"name with a dot at its end":      {"PUT", groups + "a.", admin, `{}`, 400, "BadRequest"},
		"parent of another form":          {"PUT", groups + "x", admin, `{"properties":{"details":{"parent":{"id":"/subscriptions/x"}}}}`, 400, "BadRequest"},
		"parent that is not there":        {"PUT", groups + "x", armtest.App, below("gone"), 403, "AuthorizationFailed"},
		"too deep":                        {"PUT", groups + "x", admin, below(deep), 400, "BadRequest"},
		"moved too deep":                  {"PATCH", groups + "platform", admin, `{"parentGroupId":"` + groups + `sandbox"}`, 400, "BadRequest"},
		"below itself":                    {"PATCH", groups + "platform", admin, `{"parentGroupId":"` + groups + `levela"}`, 400, "BadRequest"},
		"not there":                       {"GET", groups + "gone", admin, "", 403, "AuthorizationFailed"},
		"delete what has children":        {"DELETE", groups + "platform", admin, "", 400, "BadRequest"},
		"create without a right":          {"PUT", groups + "x", armtest.App, `{}`, 403, "AuthorizationFailed"},
		"change without a right":          {"PUT", groups + "sandbox", armtest.App, `{}`, 403, "AuthorizationFailed"},
		"move without assigning roles":    {"PATCH", groups + "levela", armtest.App, `{"parentGroupId":"` + groups + `levelb"}`, 400, "BadRequest"},
		"take in a subscription not ours": {"PUT", groups + "prod/subscriptions/" + armtest.OtherSub, admin, "", 404, "SubscriptionNotFound"},
		"take in somebody's subscription": {"PUT", groups + "prod/subscriptions/" + armtest.Sub, armtest.App, "", 403, "AuthorizationFailed"},
		"no subscription":                 {"PUT", groups + "prod/subscriptions/x", admin, "", 400, "InvalidSubscriptionId"},
		"role at a group not there":       {"PUT", groups + "gone" + assignments + "/" + guid("1"), admin, give(armtest.ReaderRole, armtest.App), 403, "AuthorizationFailed"},
		"read a group as a stranger":      {"GET", groups + "prod", armtest.Stranger, "", 403, "AuthorizationFailed"},
	} {
		t.Run(name, func(t *testing.T) {
			before := r.DB.Head()
			a := r.Do(test.method, test.path, test.as, test.body)
			a.T = t
			a.Want(test.status, test.code)
			if r.DB.Head() != before {
				t.Error("something was written")
			}
		})
	}
}

// TestDeleteTakesAssignments: a group made again under the name of a deleted one inherits nothing of it.
func TestDeleteTakesAssignments(t *testing.T) {
	r := newRig(t)
	make3(r)
	r.Do("PUT", groups+"prod"+assignments+"/"+guid("1"), admin, give(armtest.ReaderRole, armtest.App)).Want(201, "")
	const denials = "/providers/Microsoft.Authorization/denyAssignments"
	denied := `{"properties":{"denyAssignmentName":"no","permissions":[{"actions":["*/delete"]}],"principals":[{"id":"` + armtest.App + `","type":"ServicePrincipal"}]}}`
	r.Do("PUT", groups+"prod"+denials+"/"+guid("2"), admin, denied).Want(201, "")
	r.Do("DELETE", groups+"prod", admin, "").Want(204, "")
	r.Do("DELETE", groups+"gone", armtest.App, "").Want(403, "AuthorizationFailed")
	r.Do("PUT", groups+"prod", admin, `{}`).Want(200, "")
	r.Do("GET", groups+"prod", armtest.App, "").Want(403, "AuthorizationFailed")
	if got := r.Do("GET", groups+"prod"+denials, admin, "").Want(200, ""); strings.Contains(got.Body, guid("2")) {
		t.Errorf("a deny assignment of the deleted group: %s", got.Body)
	}
}

// TestCustomRole: a custom role may have one management group, and then no data actions.
func TestCustomRole(t *testing.T) {
	r := newRig(t)
	make3(r)
	role := func(more, scopes string) string {
		return `{"properties":{"roleName":"Watcher","permissions":[{"actions":["*/read"]` + more + `}],"assignableScopes":[` + scopes + `]}}`
	}
	at := groups + "platform" + definitions + "/" + guid("5")
	one, two := `"`+groups+`platform"`, `"`+groups+`platform","`+groups+`sandbox"`
	r.Do("PUT", at, admin, role(`,"dataActions":["a/b/read"]`, one)).Want(400, "InvalidAssignableScopes")
	r.Do("PUT", at, admin, role("", two)).Want(400, "InvalidAssignableScopes")
	r.Do("PUT", at, admin, role("", one)).Want(201, "")
	r.Do("PUT", groups+"prod"+assignments+"/"+guid("1"), admin, give(guid("5"), armtest.App)).Want(201, "")
	r.Do("PUT", groups+"sandbox"+assignments+"/"+guid("2"), admin, give(guid("5"), armtest.App)).Want(404, "RoleDefinitionDoesNotExist")
	r.Do("PUT", sub+assignments+"/"+guid("3"), admin, give(guid("5"), armtest.App)).Want(404, "RoleDefinitionDoesNotExist")
	r.Do("PUT", groups+"prod/subscriptions/"+armtest.Sub, admin, "").Want(200, "")
	r.Do("PUT", sub+assignments+"/"+guid("3"), admin, give(guid("5"), armtest.App)).Want(201, "")
}

type as string

func (a as) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: string(a), ExpiresOn: time.Now().Add(time.Hour)}, nil
}

// TestAzureClient goes the way of az account management-group with Azure's own client.
func TestAzureClient(t *testing.T) {
	r := newRig(t)
	server := httptest.NewTLSServer(r.Face)
	t.Cleanup(server.Close)
	o := &azarm.ClientOptions{ClientOptions: policy.ClientOptions{
		Cloud: cloud.Configuration{Services: map[cloud.ServiceName]cloud.ServiceConfiguration{
			cloud.ResourceManager: {Endpoint: server.URL, Audience: "https://management.core.windows.net/"},
		}},
		Transport: server.Client(), Retry: policy.RetryOptions{MaxRetries: -1},
	}}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	client, err := armmanagementgroups.NewClient(as(admin), o)
	must(err)
	subs, err := armmanagementgroups.NewManagementGroupSubscriptionsClient(as(admin), o)
	must(err)
	p := func(s string) *string { return &s }
	made, err := client.BeginCreateOrUpdate(t.Context(), "platform", armmanagementgroups.CreateManagementGroupRequest{
		Name: p("platform"), Properties: &armmanagementgroups.CreateManagementGroupProperties{DisplayName: p("Platform")},
	}, nil)
	must(err)
	_, err = made.PollUntilDone(t.Context(), nil)
	must(err)
	made, err = client.BeginCreateOrUpdate(t.Context(), "prod", armmanagementgroups.CreateManagementGroupRequest{
		Properties: &armmanagementgroups.CreateManagementGroupProperties{
			Details: &armmanagementgroups.CreateManagementGroupDetails{Parent: &armmanagementgroups.CreateParentGroupInfo{ID: p(groups + "platform")}},
		},
	}, nil)
	must(err)
	_, err = made.PollUntilDone(t.Context(), nil)
	must(err)
	under, err := subs.Create(t.Context(), "prod", armtest.Sub, nil)
	must(err)
	if *under.Name != armtest.Sub || *under.Properties.Parent.ID != groups+"prod" {
		t.Errorf("%+v", under)
	}
	expand, recurse := armmanagementgroups.ManagementGroupExpandTypeChildren, true
	shown, err := client.Get(t.Context(), "platform", &armmanagementgroups.ClientGetOptions{Expand: &expand, Recurse: &recurse})
	must(err)
	if *shown.Properties.Details.Parent.Name != armtest.Tenant || len(shown.Properties.Children) != 1 || *shown.Properties.Children[0].Children[0].Name != armtest.Sub {
		t.Errorf("%+v", shown.Properties)
	}
	var names []string
	for pager := client.NewListPager(nil); pager.More(); {
		page, err := pager.NextPage(t.Context())
		must(err)
		for _, g := range page.Value {
			names = append(names, *g.Name)
		}
	}
	if !slices.Equal(names, []string{"platform", "prod"}) {
		t.Errorf("listed %v", names)
	}
	updated, err := client.Update(t.Context(), "prod", armmanagementgroups.PatchManagementGroupRequest{DisplayName: p("Production")}, nil)
	must(err)
	if *updated.Properties.DisplayName != "Production" || *updated.Properties.Details.Version != 2 {
		t.Errorf("%+v", updated.Properties)
	}
	_, err = subs.Delete(t.Context(), "prod", armtest.Sub, nil)
	must(err)
	gone, err := client.BeginDelete(t.Context(), "prod", nil)
	must(err)
	_, err = gone.PollUntilDone(t.Context(), nil)
	must(err)
}
