package containerservice

import (
	"github.com/keyreeve/keyreeve/internal/arm"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/managedcluster"
	"github.com/keyreeve/keyreeve/internal/resource"
	"github.com/keyreeve/keyreeve/internal/store"
)

// The node resource group lives and dies with its cluster.

// putNodeGroup makes a new cluster's node resource group, which must not be there yet.
func putNodeGroup(tx *store.Tx, c managedcluster.Cluster) error {
	switch _, err := tx.ResourceGroup(c.Subscription, c.NodeResourceGroup); {
	case err == nil:
		return fault.New(fault.Invalid, "NodeResourceGroupAlreadyExists",
			"The node resource group '%s' exists already. It is made and deleted with the managed cluster: choose another name.", c.NodeResourceGroup).
			At("nodeResourceGroup")
	case !store.IsNotFound(err):
		return err
	}
	return tx.PutResourceGroup(resource.Group{
		Subscription: c.Subscription, Name: c.NodeResourceGroup, Location: c.Location, ManagedBy: c.ResourceID(), State: arm.StateSucceeded,
		Tags:      map[string]string{"aks-managed-cluster-name": c.Name, "aks-managed-cluster-rg": c.Group},
		CreatedAt: c.CreatedAt,
	})
}

// deleteNodeGroup removes a cluster's node resource group with the role assignments and locks at it and below.
func deleteNodeGroup(tx *store.Tx, c managedcluster.Cluster) error {
	g, err := tx.ResourceGroup(c.Subscription, c.NodeResourceGroup)
	if store.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	scope := "/subscriptions/" + c.Subscription.String() + "/resourceGroups/" + g.Name
	if err := tx.DeleteAssignmentsBelow(scope); err != nil {
		return err
	}
	if err := tx.DeleteLocksBelow(scope); err != nil {
		return err
	}
	return tx.DeleteResourceGroup(c.Subscription, g.Name)
}
