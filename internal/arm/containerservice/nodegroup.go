package containerservice

import (
	"context"
	"strings"

	"github.com/keyreeve/keyreeve/internal/arm"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
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

// nodeGroup returns a cluster's node resource group. One of that name that is not the cluster's is somebody else's, who made it
// after the cluster's was deleted: the cluster has no say there.
func nodeGroup(tx *store.Tx, c managedcluster.Cluster) (g resource.Group, there bool, err error) {
	g, err = tx.ResourceGroup(c.Subscription, c.NodeResourceGroup)
	if store.IsNotFound(err) {
		return g, false, nil
	}
	return g, err == nil && strings.EqualFold(g.ManagedBy, c.ResourceID()), err
}

// deletable refuses to delete a cluster while a lock keeps its node resource group, or something in it.
func deletable(tx *store.Tx, c managedcluster.Cluster) error {
	if c.IsAttached() {
		return nil
	}
	_, there, err := nodeGroup(tx, c)
	if err != nil || !there {
		return err
	}
	return arm.Locked(tx, c.Subscription, nodeGroupScope(c), true)
}

// emptyNodeGroup deletes what others put into a cluster's node resource group, which takes no more from then on.
func (h *Handler) emptyNodeGroup(ctx context.Context, id ident.ClusterID) error {
	var group resource.Group
	there := false
	_, err := h.DB.Update(ctx, func(tx *store.Tx) error {
		c, err := tx.Cluster(id)
		if err != nil || c.IsAttached() {
			return ignoreMissing(err)
		}
		if group, there, err = nodeGroup(tx, c); err != nil || !there || group.State == arm.StateDeleting {
			return err
		}
		group.State = arm.StateDeleting
		return tx.PutResourceGroup(group)
	})
	if err != nil || !there {
		return err
	}
	for _, c := range h.Contents {
		if err := c.DeleteAll(ctx, group.Subscription, group.Name); err != nil {
			return err
		}
	}
	return nil
}

// keepNodeGroup lets a node resource group be used again, when its cluster could not be deleted.
func keepNodeGroup(tx *store.Tx, c managedcluster.Cluster) error {
	g, there, err := nodeGroup(tx, c)
	if err != nil || !there || g.State != arm.StateDeleting {
		return err
	}
	g.State = arm.StateSucceeded
	return tx.PutResourceGroup(g)
}

func ignoreMissing(err error) error {
	if store.IsNotFound(err) {
		return nil
	}
	return err
}

// deleteNodeGroup removes a cluster's node resource group with the role assignments and locks at it and below.
func deleteNodeGroup(tx *store.Tx, c managedcluster.Cluster) error {
	g, there, err := nodeGroup(tx, c)
	if err != nil || !there {
		return err
	}
	scope := nodeGroupScope(c)
	if err := deleteGroupIdentities(tx, c.Subscription, g.Name); err != nil {
		return err
	}
	if err := tx.DeleteAssignmentsBelow(scope); err != nil {
		return err
	}
	if err := tx.DeleteLocksBelow(scope); err != nil {
		return err
	}
	return tx.DeleteResourceGroup(c.Subscription, g.Name)
}

// nodeGroupScope is the node resource group as a scope.
func nodeGroupScope(c managedcluster.Cluster) string {
	return "/subscriptions/" + c.Subscription.String() + "/resourceGroups/" + c.NodeResourceGroup
}

// deleteGroupIdentities removes the identities that lie in a group which goes away.
func deleteGroupIdentities(tx *store.Tx, sub ident.SubscriptionID, group string) error {
	list, err := tx.Identities(sub)
	if err != nil {
		return err
	}
	for _, i := range list {
		if strings.EqualFold(i.Group, group) {
			if err := tx.DeleteIdentity(i); err != nil {
				return err
			}
		}
	}
	return nil
}
