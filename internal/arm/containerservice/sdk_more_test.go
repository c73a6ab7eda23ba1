package containerservice

import (
	"errors"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	aks "github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/containerservice/armcontainerservice/v6"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources"

	"github.com/keyreeve/keyreeve/internal/arm/armtest"
)

// TestSDKPoolsAndPower goes through agent pools, power and versions with the SDK for Go.
func TestSDKPoolsAndPower(t *testing.T) {
	r := newRig(t)
	options := serveSDK(t, r)
	r.create(body(t, entra))
	factory, err := aks.NewClientFactory(armtest.Sub, token(armtest.Owner), options)
	if err != nil {
		t.Fatal(err)
	}
	pools, clusters := factory.NewAgentPoolsClient(), factory.NewManagedClustersClient()
	ctx := t.Context()
	add, err := pools.BeginCreateOrUpdate(ctx, "Group-1", "c1", "extra", aks.AgentPool{Properties: &aks.ManagedClusterAgentPoolProfileProperties{
		Count: new(int32(2)), Mode: new(aks.AgentPoolModeUser), VMSize: new("Standard_B2s"), NodeTaints: []*string{new("a=b:NoSchedule")},
	}}, nil)
	made := poll(t, add, err).AgentPool
	if *made.Properties.ProvisioningState != "Succeeded" || *made.Properties.Count != 2 || *made.Properties.CurrentOrchestratorVersion != "1.37.2" {
		t.Errorf("made %+v", made.Properties)
	}
	made.Properties.Count = new(int32(1))
	scale, err := pools.BeginCreateOrUpdate(ctx, "Group-1", "c1", "extra", made, nil)
	if now := poll(t, scale, err).AgentPool; *now.Properties.Count != 1 || *now.Properties.NodeTaints[0] != "a=b:NoSchedule" {
		t.Errorf("scaled %+v", now.Properties)
	}
	if up, err := pools.GetUpgradeProfile(ctx, "Group-1", "c1", "extra", nil); err != nil || *up.Properties.KubernetesVersion != "1.37.2" {
		t.Errorf("upgrades %v %v", up, err)
	}
	if v, err := pools.GetAvailableAgentPoolVersions(ctx, "Group-1", "c1", nil); err != nil || len(v.Properties.AgentPoolVersions) != 1 {
		t.Errorf("versions %v %v", v, err)
	}
	_, err = pools.BeginUpgradeNodeImageVersion(ctx, "Group-1", "c1", "extra", nil)
	var refused *azcore.ResponseError
	if !errors.As(err, &refused) || refused.ErrorCode != "OperationNotSupported" {
		t.Errorf("image: %v", err)
	}
	stop, err := clusters.BeginStop(ctx, "Group-1", "c1", nil)
	poll(t, stop, err)
	if got, err := clusters.Get(ctx, "Group-1", "c1", nil); err != nil || *got.Properties.PowerState.Code != aks.CodeStopped {
		t.Errorf("stopped %v %v", got.Properties, err)
	}
	if _, err := clusters.BeginStop(ctx, "Group-1", "c1", nil); !errors.As(err, &refused) || refused.ErrorCode != "OperationNotAllowed" || refused.StatusCode != 409 {
		t.Errorf("stopped twice: %v", err)
	}
	start, err := clusters.BeginStart(ctx, "Group-1", "c1", nil)
	poll(t, start, err)
	gone, err := pools.BeginDelete(ctx, "Group-1", "c1", "extra", nil)
	poll(t, gone, err)
	if _, err := pools.Get(ctx, "Group-1", "c1", "extra", nil); !errors.As(err, &refused) || refused.StatusCode != 404 {
		t.Errorf("after deletion: %v", err)
	}
	if m, err := factory.NewMaintenanceConfigurationsClient().NewListByManagedClusterPager("Group-1", "c1", nil).NextPage(ctx); err != nil || len(m.Value) != 0 {
		t.Errorf("maintenance %v %v", m, err)
	}
	command, err := clusters.BeginRunCommand(ctx, "Group-1", "c1", aks.RunCommandRequest{Command: new("kubectl get pods")}, nil)
	if !errors.As(err, &refused) || refused.ErrorCode != "OperationNotSupported" {
		t.Errorf("command: %v %v", command, err)
	}
}

// TestSDKResources reads and tags by id, and deletes a group with what is in it, with the SDK for Go.
func TestSDKResources(t *testing.T) {
	r := newRig(t)
	options := serveSDK(t, r)
	c := r.create(body(t, entra))
	factory, err := armresources.NewClientFactory(armtest.Sub, token(armtest.Owner), options)
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	res, err := factory.NewClient().GetByID(ctx, c.ResourceID(), "2024-05-01", nil)
	if err != nil || *res.Name != "c1" || *res.Location != "westus2" {
		t.Errorf("by id: %v %v", res, err)
	}
	tags := factory.NewTagsClient()
	set, err := tags.CreateOrUpdateAtScope(ctx, c.ResourceID(), armresources.TagsResource{Properties: &armresources.Tags{Tags: map[string]*string{"a": new("b")}}}, nil)
	if err != nil || *set.Properties.Tags["a"] != "b" {
		t.Errorf("tags: %v %v", set, err)
	}
	merged, err := tags.UpdateAtScope(ctx, c.ResourceID(), armresources.TagsPatchResource{
		Operation: new(armresources.TagsPatchOperationMerge), Properties: &armresources.Tags{Tags: map[string]*string{"c": new("d")}},
	}, nil)
	if err != nil || len(merged.Properties.Tags) != 2 {
		t.Errorf("merged: %v %v", merged, err)
	}
	list, err := factory.NewClient().NewListPager(&armresources.ClientListOptions{
		Filter: new("tagName eq 'c' and tagValue eq 'd'"), Expand: new("createdTime,provisioningState"),
	}).NextPage(ctx)
	if err != nil || len(list.Value) != 1 || *list.Value[0].ProvisioningState != "Succeeded" || list.Value[0].CreatedTime == nil {
		t.Errorf("list: %v %v", list, err)
	}
	plain, err := factory.NewClient().NewListByResourceGroupPager("group-1", nil).NextPage(ctx)
	if err != nil || len(plain.Value) != 1 || plain.Value[0].ProvisioningState != nil {
		t.Errorf("list of a group: %v %v", plain, err)
	}
	groups := factory.NewResourceGroupsClient()
	if _, err := groups.BeginDelete(ctx, "MC_Group-1_c1_westus2", nil); err == nil {
		t.Error("the nodes' group was deleted by itself")
	}
	gone, err := groups.BeginDelete(ctx, "Group-1", nil)
	poll(t, gone, err)
	if ok, err := groups.CheckExistence(ctx, "MC_Group-1_c1_westus2", nil); err != nil || ok.Success {
		t.Errorf("the nodes' group is left: %v %v", ok, err)
	}
}
