package arm_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	azarm "github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/authorization/armauthorization/v2"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armsubscriptions"

	"github.com/keyreeve/keyreeve/internal/arm"
	"github.com/keyreeve/keyreeve/internal/arm/armtest"
	"github.com/keyreeve/keyreeve/internal/arm/authorization"
	"github.com/keyreeve/keyreeve/internal/arm/resources"
)

// as is a credential whose token is the name that the rig's face understands.
type as string

func (a as) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: string(a), ExpiresOn: time.Now().Add(time.Hour)}, nil
}

// peer serves a rig over TLS and returns what Azure's own clients need to speak to it as a principal.
func peer(t *testing.T, r *armtest.Rig) *azarm.ClientOptions {
	h := &resources.Handler{DB: r.DB, World: r.World}
	h.Mount(r.Face)
	(&authorization.Handler{DB: r.DB, World: r.World}).Mount(r.Face)
	runner := newRunner(r)
	h.RegisterWorkers(runner)
	server := httptest.NewTLSServer(r.Face)
	t.Cleanup(server.Close)
	r.Face.BaseURL = server.URL
	r.Run(runner)
	return &azarm.ClientOptions{
		ClientOptions: policy.ClientOptions{
			Cloud: cloud.Configuration{
				ActiveDirectoryAuthorityHost: armtest.LoginURL,
				Services: map[cloud.ServiceName]cloud.ServiceConfiguration{
					cloud.ResourceManager: {Endpoint: server.URL, Audience: "https://management.core.windows.net/"},
				},
			},
			Transport: server.Client(),
			Retry:     policy.RetryOptions{MaxRetries: -1},
		},
	}
}

func all[T any](t *testing.T, pager *runtime.Pager[T]) []T {
	t.Helper()
	var out []T
	for pager.More() {
		p, err := pager.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, p)
	}
	return out
}

func code(err error) (string, int) {
	if e, ok := errors.AsType[*azcore.ResponseError](err); ok {
		return e.ErrorCode, e.StatusCode
	}
	return "", 0
}

func TestAzureSubscriptionsClient(t *testing.T) {
	r := armtest.New(t)
	o := peer(t, r)
	subs, err := armsubscriptions.NewClient(as(armtest.Owner), o)
	if err != nil {
		t.Fatal(err)
	}
	page := all(t, subs.NewListPager(nil))[0]
	if len(page.Value) != 1 || *page.Value[0].SubscriptionID != armtest.Sub || *page.Value[0].State != armsubscriptions.SubscriptionStateEnabled {
		t.Errorf("%+v", page.Value)
	}
	one, err := subs.Get(t.Context(), armtest.Sub, nil)
	if err != nil || *one.TenantID != armtest.Tenant {
		t.Errorf("%+v, %v", one, err)
	}
	var names []string
	for _, l := range all(t, subs.NewListLocationsPager(armtest.Sub, nil))[0].Value {
		names = append(names, *l.Name)
	}
	if !slices.Contains(names, "westus2") || !slices.Contains(names, "westeurope") {
		t.Errorf("locations %v", names)
	}
	tenants, err := armsubscriptions.NewTenantsClient(as(armtest.Owner), o)
	if err != nil {
		t.Fatal(err)
	}
	if tenant := all(t, tenants.NewListPager(nil))[0].Value[0]; *tenant.TenantID != armtest.Tenant || *tenant.DefaultDomain != "contoso.test" {
		t.Errorf("%+v", tenant)
	}
}

func TestAzureResourcesClient(t *testing.T) {
	r := armtest.New(t)
	o := peer(t, r)
	ctx := t.Context()
	groups, err := armresources.NewResourceGroupsClient(armtest.Sub, as(armtest.Owner), o)
	if err != nil {
		t.Fatal(err)
	}
	made, err := groups.CreateOrUpdate(ctx, "rg1", armresources.ResourceGroup{Location: new("East US"), Tags: map[string]*string{"a": new("b")}}, nil)
	if err != nil || *made.Location != "eastus" || *made.Properties.ProvisioningState != "Succeeded" {
		t.Fatalf("%+v, %v", made, err)
	}
	if patched, err := groups.Update(ctx, "RG1", armresources.ResourceGroupPatchable{Tags: map[string]*string{"c": new("d")}}, nil); err != nil || *patched.Tags["c"] != "d" || *patched.Name != "rg1" {
		t.Errorf("%+v, %v", patched, err)
	}
	if page := all(t, groups.NewListPager(&armresources.ResourceGroupsClientListOptions{Filter: new("tagName eq 'c' and tagValue eq 'd'"), Top: new(int32(5))})); len(page[0].Value) != 1 {
		t.Errorf("%+v", page)
	}
	for name, want := range map[string]bool{"rg1": true, "rg2": false} {
		if got, err := groups.CheckExistence(ctx, name, nil); err != nil || got.Success != want {
			t.Errorf("exists %s: %v, %v", name, got, err)
		}
	}
	if _, err := groups.Get(ctx, "rg2", nil); err == nil {
		t.Error("a missing group was found")
	} else if c, s := code(err); c != "ResourceGroupNotFound" || s != http.StatusNotFound {
		t.Error(err)
	}
	generic, err := armresources.NewClient(armtest.Sub, as(armtest.Owner), o)
	if err != nil {
		t.Fatal(err)
	}
	if page := all(t, generic.NewListByResourceGroupPager("rg1", nil)); len(page[0].Value) != 0 {
		t.Errorf("%+v", page)
	}
	providers, err := armresources.NewProvidersClient(armtest.Sub, as(armtest.Owner), o)
	if err != nil {
		t.Fatal(err)
	}
	if p, err := providers.Register(ctx, "Microsoft.ContainerService", nil); err != nil || *p.RegistrationState != "Registered" {
		t.Errorf("%+v, %v", p, err)
	}

	poller, err := groups.BeginDelete(ctx, "rg1", nil)
	if err != nil {
		t.Fatal(err)
	}
	// The face asks for a second between polls; a client may ask sooner.
	if _, err := poller.PollUntilDone(ctx, &runtime.PollUntilDoneOptions{Frequency: time.Second}); err != nil {
		t.Fatal(err)
	}
	if got, err := groups.CheckExistence(ctx, "rg1", nil); err != nil || got.Success {
		t.Errorf("exists after deletion: %v, %v", got, err)
	}
}

func TestAzureAuthorizationClient(t *testing.T) {
	r := armtest.New(t)
	o := peer(t, r)
	ctx := t.Context()
	const scope = "/subscriptions/" + armtest.Sub
	const role = "88888888-0000-4000-8000-000000000001"
	const name = "88888888-0000-4000-8000-000000000002"
	roles, err := armauthorization.NewRoleDefinitionsClient(as(armtest.Owner), o)
	if err != nil {
		t.Fatal(err)
	}
	made, err := roles.CreateOrUpdate(ctx, scope, role, armauthorization.RoleDefinition{Properties: &armauthorization.RoleDefinitionProperties{
		RoleName: new("mine"), RoleType: new("CustomRole"), AssignableScopes: []*string{new(scope)},
		Permissions: []*armauthorization.Permission{{Actions: []*string{new("*/read")}}},
	}}, nil)
	if err != nil || *made.Properties.RoleType != "CustomRole" {
		t.Fatalf("%+v, %v", made, err)
	}
	if list := all(t, roles.NewListPager(scope, &armauthorization.RoleDefinitionsClientListOptions{Filter: new("roleName eq 'Mine'")})); len(list[0].Value) != 1 || *list[0].Value[0].ID != *made.ID {
		t.Errorf("%+v", list)
	}
	if byID, err := roles.GetByID(ctx, *made.ID, nil); err != nil || *byID.Name != role {
		t.Errorf("%+v, %v", byID, err)
	}

	assigned, err := armauthorization.NewRoleAssignmentsClient(armtest.Sub, as(armtest.Owner), o)
	if err != nil {
		t.Fatal(err)
	}
	give := armauthorization.RoleAssignmentCreateParameters{Properties: &armauthorization.RoleAssignmentProperties{
		RoleDefinitionID: made.ID, PrincipalID: new(armtest.Group), PrincipalType: new(armauthorization.PrincipalTypeGroup),
	}}
	a, err := assigned.Create(ctx, scope, name, give, nil)
	if err != nil || *a.Properties.RoleDefinitionID != *made.ID || a.Properties.CreatedOn == nil {
		t.Fatalf("%+v, %v", a, err)
	}
	if _, err := assigned.Create(ctx, scope, "88888888-0000-4000-8000-000000000003", give, nil); err == nil {
		t.Error("the same again was made")
	} else if c, s := code(err); c != "RoleAssignmentExists" || s != http.StatusConflict {
		t.Error(err)
	}
	// This client writes the filter into the address as it is given.
	filter := &armauthorization.RoleAssignmentsClientListForScopeOptions{Filter: new(url.PathEscape("atScope() and assignedTo('" + armtest.Nobody + "')"))}
	if list := all(t, assigned.NewListForScopePager(scope, filter)); len(list[0].Value) != 1 || *list[0].Value[0].ID != *a.ID {
		t.Errorf("%+v", list)
	}
	if list := all(t, assigned.NewListForSubscriptionPager(nil)); len(list[0].Value) != 3 {
		t.Errorf("%+v", list)
	}
	permissions, err := armauthorization.NewPermissionsClient(armtest.Sub, as(armtest.Nobody), o)
	if err != nil {
		t.Fatal(err)
	}
	if err := createGroup(ctx, o); err != nil {
		t.Fatal(err)
	}
	if list := all(t, permissions.NewListForResourceGroupPager("rg1", nil)); len(list[0].Value) != 1 || *list[0].Value[0].Actions[0] != "*/read" {
		t.Errorf("%+v", list)
	}
	deny, err := armauthorization.NewDenyAssignmentsClient(armtest.Sub, as(armtest.Owner), o)
	if err != nil {
		t.Fatal(err)
	}
	if list := all(t, deny.NewListPager(nil)); len(list[0].Value) != 0 {
		t.Errorf("%+v", list)
	}
	if gone, err := assigned.DeleteByID(ctx, *a.ID, nil); err != nil || *gone.Name != name {
		t.Errorf("%+v, %v", gone, err)
	}
	if again, err := assigned.DeleteByID(ctx, *a.ID, nil); err != nil || again.Name != nil {
		t.Errorf("%+v, %v", again, err)
	}
	if _, err := roles.Delete(ctx, scope, role, nil); err != nil {
		t.Error(err)
	}
	reader, err := armauthorization.NewRoleAssignmentsClient(armtest.Sub, as(armtest.Reader), o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := reader.Create(ctx, scope, name, give, nil); err == nil {
		t.Error("a reader assigned a role")
	} else if c, s := code(err); c != "AuthorizationFailed" || s != http.StatusForbidden {
		t.Error(err)
	}
}

func createGroup(ctx context.Context, o *azarm.ClientOptions) error {
	groups, err := armresources.NewResourceGroupsClient(armtest.Sub, as(armtest.Owner), o)
	if err != nil {
		return err
	}
	_, err = groups.CreateOrUpdate(ctx, "rg1", armresources.ResourceGroup{Location: new("eastus")}, nil)
	return err
}

var _ http.Handler = (*arm.Face)(nil)
