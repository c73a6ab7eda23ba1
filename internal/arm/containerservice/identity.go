package containerservice

import (
	"strings"

	"github.com/keyreeve/keyreeve/internal/arm"
	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/managedcluster"
	"github.com/keyreeve/keyreeve/internal/rbac"
	"github.com/keyreeve/keyreeve/internal/resource"
	"github.com/keyreeve/keyreeve/internal/store"
)

// A cluster has two identities: that of its control plane and that of its nodes. Each is the cluster's own, and comes
// and goes with it, or a user-assigned one, which was there before and stays.

func newIdentity() managedcluster.Identity {
	return managedcluster.Identity{Object: ident.New[ident.ObjectID](), Client: ident.New[ident.ClientID]()}
}

// identities returns the identities that a request wants, beginning from those that a cluster has; before is nil for a new
// one. Each that is newly assigned must be there, and the caller must be allowed to give it away.
func (h *Handler) identities(tx *store.Tx, r *arm.Request, req *managedcluster.Request, before *managedcluster.Cluster) (controlPlane, kubelet managedcluster.Identity, err error) {
	if before != nil {
		controlPlane, kubelet = before.ControlPlane, before.Kubelet
	} else {
		controlPlane, kubelet = newIdentity(), newIdentity()
	}
	switch id, given := req.ControlPlaneIdentity(); {
	case !given || strings.EqualFold(id, controlPlane.Resource):
	case id == "":
		controlPlane = newIdentity()
	default:
		if controlPlane, err = h.assignable(tx, r, id); err != nil {
			return controlPlane, kubelet, err
		}
	}
	id := req.KubeletIdentity()
	if id == "" || before != nil && strings.EqualFold(id, before.KubeletIdentityID()) {
		if kubelet.System() || before != nil && controlPlane == before.ControlPlane {
			return controlPlane, kubelet, nil
		}
		if !controlPlane.System() {
			return controlPlane, kubelet, h.mayAssign(controlPlane, kubelet.Resource)
		}
		id = kubelet.Resource // the control plane may not assign it any more
	}
	if controlPlane.System() {
		return controlPlane, kubelet, fault.New(fault.Invalid, "CustomKubeletIdentityOnlySupportedOnUserAssignedMSICluster",
			"Custom kubelet identity is only supported on UserAssigned MSI cluster.").At("identityProfile.kubeletidentity")
	}
	if kubelet, err = h.assignable(tx, r, id); err != nil {
		return controlPlane, kubelet, err
	}
	return controlPlane, kubelet, h.mayAssign(controlPlane, id)
}

// assignable returns a user-assigned identity that the caller may give to a cluster.
func (h *Handler) assignable(tx *store.Tx, r *arm.Request, id string) (managedcluster.Identity, error) {
	ok, err := r.Allowed(resource.AssignIdentity, id)
	if err != nil {
		return managedcluster.Identity{}, err
	}
	if !ok {
		return managedcluster.Identity{}, arm.GatewayError(fault.New(fault.Forbidden, "LinkedAuthorizationFailed",
			"The client '%s' with object id '%s' has permission to perform action '%s' on scope '%s'; however, it does not have permission to "+
				"perform action(s) '%s' on the linked scope(s) '%s' (respectively) or the linked scope(s) are invalid.",
			r.Caller.Name, r.Caller.Object, write, r.Scope, resource.AssignIdentity, id))
	}
	i, err := tx.Identity(id)
	if store.IsNotFound(err) || err == nil && i.Tenant != r.Subscription.Tenant {
		return managedcluster.Identity{}, fault.New(fault.Invalid, "FailedIdentityOperation",
			"Identity operation for resource '%s' failed with error 'Failed to perform resource identity operation. Status: 'BadRequest'. "+
				"Response: 'Resource '%s' was not found.''.", r.Scope, id).At("identity")
	}
	return managedcluster.Identity{Object: i.Principal, Client: i.Client, Resource: id}, err
}

// mayAssign refuses an identity for the nodes that the control plane's identity may not give them.
func (h *Handler) mayAssign(controlPlane managedcluster.Identity, kubelet string) error {
	if _, _, err := h.World.Status(); err != nil {
		return fault.New(fault.Unavailable, "AuthorizationUndecided", "Whether the cluster's identity may assign the kubelet's cannot be decided now. Please try again.").Because(err)
	}
	if h.World.Decide(rbac.Request{Principal: controlPlane.Object, Action: resource.AssignIdentity, Scope: kubelet}).Verdict == rbac.Allow {
		return nil
	}
	return fault.New(fault.Invalid, "CustomKubeletIdentityMissingPermissionError",
		"The cluster user assigned identity must be given permission to assign kubelet identity %s. Check access result not allowed for action %s.",
		kubelet, resource.AssignIdentity).At("identityProfile.kubeletidentity")
}

// putIdentities makes the identities that are a new cluster's own, and lets the control plane manage the nodes' group.
func putIdentities(tx *store.Tx, c managedcluster.Cluster) error {
	if c.ControlPlane.System() {
		if err := putSystem(tx, c); err != nil {
			return err
		}
	}
	if c.Kubelet.System() {
		err := tx.PutIdentity(resource.Identity{
			Subscription: c.Subscription, Tenant: c.Tenant, Group: c.NodeResourceGroup, Name: c.KubeletIdentityName(), Location: c.Location,
			Principal: c.Kubelet.Object, Client: c.Kubelet.Client, CreatedAt: c.CreatedAt,
		})
		if err != nil {
			return err
		}
	}
	return letManage(tx, c)
}

func putSystem(tx *store.Tx, c managedcluster.Cluster) error {
	return tx.PutServicePrincipal(directory.ServicePrincipal{
		ID: c.ControlPlane.Object, Tenant: c.Tenant, AppID: c.ControlPlane.Client, DisplayName: c.Name, Type: directory.TypeManagedIdentity,
		AccountEnabled: true, CreatedAt: c.CreatedAt, AlternativeNames: resource.AlternativeNames(false, c.ResourceID()),
	})
}

// nodeGroupRole makes the control plane's identity a Contributor of the node resource group.
func nodeGroupRole(c managedcluster.Cluster) rbac.Assignment {
	by := c.CreatedBy.String()
	return rbac.Assignment{
		ID: ident.Derive[ident.RoleAssignmentID]("managedcluster.nodegroup", c.ID.String()), Tenant: c.Tenant, Scope: nodeGroupScope(c),
		RoleDefinitionID: rbac.Contributor(), RoleDefinitionSubscription: c.Subscription,
		PrincipalID: c.ControlPlane.Object, PrincipalType: rbac.PrincipalServicePrincipal, CreatedOn: c.CreatedAt, UpdatedOn: c.CreatedAt, CreatedBy: by, UpdatedBy: by,
	}
}

// letManage gives the control plane's identity its role, in the place of the one that had it before. Somebody may have
// given it already.
func letManage(tx *store.Tx, c managedcluster.Cluster) error {
	a := nodeGroupRole(c)
	if err := tx.DeleteAssignment(a.ID); err != nil && !store.IsNotFound(err) {
		return err
	}
	if _, there, err := nodeGroup(tx, c); err != nil || !there {
		return err
	}
	if err := tx.PutAssignment(a); err != nil && !store.IsExists(err) {
		return err
	}
	return nil
}

// changeIdentities gives a cluster the identities that a request wants in the place of those it had. One that was the
// cluster's own ends.
func (h *Handler) changeIdentities(tx *store.Tx, r *arm.Request, req *managedcluster.Request, before managedcluster.Cluster, c *managedcluster.Cluster) error {
	if c.IsAttached() {
		return nil
	}
	var err error
	if c.ControlPlane, c.Kubelet, err = h.identities(tx, r, req, &before); err != nil {
		return err
	}
	if c.Kubelet != before.Kubelet && before.Kubelet.System() {
		if err := dropKubelet(tx, before); err != nil {
			return err
		}
	}
	if c.ControlPlane == before.ControlPlane {
		return nil
	}
	if before.ControlPlane.System() {
		if err := tx.DeleteManagedPrincipal(before.ControlPlane.Object); err != nil {
			return err
		}
	}
	if c.ControlPlane.System() {
		if err := putSystem(tx, *c); err != nil {
			return err
		}
	}
	return letManage(tx, *c)
}

// dropIdentities removes the identities that are a cluster's own.
func dropIdentities(tx *store.Tx, c managedcluster.Cluster) error {
	if c.ControlPlane.System() {
		if err := tx.DeleteManagedPrincipal(c.ControlPlane.Object); err != nil {
			return err
		}
	}
	if c.Kubelet.System() {
		return dropKubelet(tx, c)
	}
	return nil
}

func dropKubelet(tx *store.Tx, c managedcluster.Cluster) error {
	i, err := tx.Identity(c.KubeletIdentityID())
	if store.IsNotFound(err) || err == nil && i.Principal != c.Kubelet.Object {
		return tx.DeleteManagedPrincipal(c.Kubelet.Object)
	}
	if err != nil {
		return err
	}
	return tx.DeleteIdentity(i)
}
