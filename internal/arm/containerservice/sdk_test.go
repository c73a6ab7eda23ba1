package containerservice

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	aks "github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/containerservice/armcontainerservice/v6"

	"github.com/keyreeve/keyreeve/internal/arm/armtest"
)

// token is a credential whose token names its principal.
type token string

func (t token) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: string(t), ExpiresOn: time.Now().Add(time.Hour)}, nil
}

// serveSDK puts the face behind a real listener and returns the options by which the SDK talks to it.
func serveSDK(t *testing.T, r *rig) *arm.ClientOptions {
	t.Helper()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { r.Face.ServeHTTP(w, req) }))
	t.Cleanup(server.Close)
	r.Face.BaseURL = server.URL
	return &arm.ClientOptions{
		ClientOptions: azcore.ClientOptions{
			Transport: server.Client(),
			Retry:     policy.RetryOptions{MaxRetries: -1},
			Cloud: cloud.Configuration{
				ActiveDirectoryAuthorityHost: armtest.LoginURL + "/",
				Services:                     map[cloud.ServiceName]cloud.ServiceConfiguration{cloud.ResourceManager: {Endpoint: server.URL, Audience: "https://management.core.windows.net/"}},
			},
		},
		DisableRPRegistration: true,
	}
}

func poll[T any](t *testing.T, p *runtime.Poller[T], err error) T {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	out, err := p.PollUntilDone(t.Context(), &runtime.PollUntilDoneOptions{Frequency: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestSDK goes through a cluster's life with the SDK for Go, whose types and pollers we did not write.
func TestSDK(t *testing.T) {
	r := newRig(t)
	options := serveSDK(t, r)
	clusters, err := aks.NewManagedClustersClient(armtest.Sub, token(armtest.Owner), options)
	if err != nil {
		t.Fatal(err)
	}
	pools, err := aks.NewAgentPoolsClient(armtest.Sub, token(armtest.Owner), options)
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	create, err := clusters.BeginCreateOrUpdate(ctx, "Group-1", "c1", aks.ManagedCluster{
		Location: new("westus2"), Identity: &aks.ManagedClusterIdentity{Type: new(aks.ResourceIdentityTypeSystemAssigned)},
		Properties: &aks.ManagedClusterProperties{
			DNSPrefix:         new("c1"),
			AgentPoolProfiles: []*aks.ManagedClusterAgentPoolProfile{{Name: new("nodepool1"), Count: new(int32(2)), Mode: new(aks.AgentPoolModeSystem)}},
			AADProfile:        &aks.ManagedClusterAADProfile{Managed: new(true), AdminGroupObjectIDs: []*string{new(admins)}},
		},
	}, nil)
	made := poll(t, create, err).ManagedCluster
	c := r.cluster()
	if *made.Properties.ProvisioningState != "Succeeded" || *made.Identity.PrincipalID != c.ControlPlane.Object.String() ||
		*made.Properties.IdentityProfile["kubeletidentity"].ObjectID != c.Kubelet.Object.String() || *made.Properties.AADProfile.TenantID != armtest.Tenant {
		t.Errorf("made %+v", made.Properties)
	}

	// An update sends the whole object back with a change.
	made.Properties.DisableLocalAccounts = new(true)
	update, err := clusters.BeginCreateOrUpdate(ctx, "Group-1", "c1", made, nil)
	if now := poll(t, update, err); !*now.Properties.DisableLocalAccounts || *now.Properties.IdentityProfile["kubeletidentity"].ClientID != c.Kubelet.Client.String() {
		t.Errorf("updated %+v", now.Properties)
	}
	_, err = clusters.ListClusterAdminCredentials(ctx, "Group-1", "c1", nil)
	var refused *azcore.ResponseError
	if !errors.As(err, &refused) || refused.ErrorCode != "BadRequest" || refused.StatusCode != 400 {
		t.Errorf("admin credential: %v", err)
	}
	user, err := clusters.ListClusterUserCredentials(ctx, "Group-1", "c1", &aks.ManagedClustersClientListClusterUserCredentialsOptions{Format: new(aks.FormatExec)})
	if err != nil || *user.Kubeconfigs[0].Name != "clusterUser" || !strings.Contains(string(user.Kubeconfigs[0].Value), "command: kubelogin") {
		t.Errorf("user credential: %v %v", user, err)
	}
	tags, err := clusters.BeginUpdateTags(ctx, "Group-1", "c1", aks.TagsObject{Tags: map[string]*string{"k": new("v")}}, nil)
	if now := poll(t, tags, err); *now.Tags["k"] != "v" {
		t.Errorf("tags %v", now.Tags)
	}
	rotate, err := clusters.BeginRotateClusterCertificates(ctx, "Group-1", "c1", nil)
	poll(t, rotate, err)
	if now := r.cluster(); now.Generation != c.Generation+1 {
		t.Error("not rotated")
	}
	list, err := pools.NewListPager("Group-1", "c1", nil).NextPage(ctx)
	if err != nil || len(list.Value) != 1 || *list.Value[0].Properties.Count != 2 {
		t.Errorf("agent pools: %v %v", list, err)
	}
	versions, err := clusters.ListKubernetesVersions(ctx, "westus2", nil)
	if err != nil || !slices.ContainsFunc(versions.Values, func(v *aks.KubernetesVersion) bool { return *v.Version == "1.37" && *v.IsDefault }) {
		t.Errorf("versions: %v %v", versions, err)
	}
	if up, err := clusters.GetUpgradeProfile(ctx, "Group-1", "c1", nil); err != nil || *up.Properties.ControlPlaneProfile.KubernetesVersion != "1.37.2" {
		t.Errorf("upgrades: %v %v", up, err)
	}
	page, err := clusters.NewListPager(nil).NextPage(ctx)
	if err != nil || len(page.Value) != 1 {
		t.Errorf("list: %v %v", page, err)
	}
	gone, err := clusters.BeginDelete(ctx, "Group-1", "c1", nil)
	poll(t, gone, err)
	if _, err := clusters.Get(ctx, "Group-1", "c1", nil); !errors.As(err, &refused) || refused.ErrorCode != "ResourceNotFound" {
		t.Errorf("after deletion: %v", err)
	}
}
