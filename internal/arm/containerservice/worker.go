package containerservice

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/keyreeve/keyreeve/internal/arm"
	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/cluster"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/managedcluster"
	"github.com/keyreeve/keyreeve/internal/resource"
	"github.com/keyreeve/keyreeve/internal/store"
)

func inputOf(op resource.Operation) (ident.ClusterID, error) {
	var in input
	if err := json.Unmarshal(op.Input, &in); err != nil {
		return in.Cluster, fault.Wrap(err, "input of operation %s", op.ID)
	}
	return in.Cluster, nil
}

// ensure tells the driver how a cluster should run, by what the store says now.
func (h *Handler) ensure(ctx context.Context, id ident.ClusterID) error {
	var d cluster.Desired
	err := h.DB.View(ctx, func(tx *store.Tx) error {
		c, err := tx.Cluster(id)
		if err != nil {
			return err
		}
		secrets, err := h.secrets(tx, id)
		if err != nil {
			return err
		}
		d = cluster.Describe(c, secrets)
		return nil
	})
	if err != nil {
		return err
	}
	if err := h.Driver.Ensure(ctx, d); err != nil {
		return fault.Wrap(err, "cluster %s", id)
	}
	return nil
}

// bringUp makes a cluster run as the store says, and waits for it.
func (h *Handler) bringUp(ctx context.Context, op resource.Operation) error {
	id, err := inputOf(op)
	if err != nil {
		return err
	}
	release, err := h.locks.take(ctx, id)
	if err != nil {
		return err
	}
	defer release()
	if err := h.ensure(ctx, id); err != nil {
		return err
	}
	ready, cancel := context.WithTimeout(ctx, h.readyWithin())
	defer cancel()
	err = h.Driver.WaitReady(ready, id)
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return err // interrupted, not failed
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fault.New(fault.Unavailable, "ControlPlaneNotReady", "The API server or the nodes did not become ready within %s.", h.readyWithin()).Because(err)
	}
	return fault.New(fault.Internal, "ControlPlaneFailed", "The cluster could not be started.").Because(err)
}

// cameUp ends an operation that brought a cluster up.
func (h *Handler) cameUp(tx *store.Tx, op resource.Operation) error {
	return h.setState(tx, op, managedcluster.Succeeded)
}

// failed ends an operation that did not reach its end.
func (h *Handler) failed(tx *store.Tx, op resource.Operation, _ error) error {
	return h.setState(tx, op, managedcluster.Failed)
}

func (h *Handler) setState(tx *store.Tx, op resource.Operation, state string) error {
	id, err := inputOf(op)
	if err != nil {
		return err
	}
	c, err := tx.Cluster(id)
	if store.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	c.ProvisioningState = state
	return tx.PutCluster(c)
}

// takeDown ends a cluster and removes its data.
func (h *Handler) takeDown(ctx context.Context, op resource.Operation) error {
	id, err := inputOf(op)
	if err != nil {
		return err
	}
	release, err := h.locks.take(ctx, id)
	if err != nil {
		return err
	}
	defer release()
	if c, ok := h.World.Cluster(id); ok && c.IsAttached() {
		return nil // nothing runs here; its gates are refused from now on
	}
	if err := h.Driver.Delete(ctx, id); err != nil {
		return fault.Wrap(err, "cluster %s", id)
	}
	return nil
}

// wentAway forgets a cluster: role assignments at it and below, what its identities hold, the identities, and itself.
func (h *Handler) wentAway(tx *store.Tx, op resource.Operation) error {
	id, err := inputOf(op)
	if err != nil {
		return err
	}
	c, err := tx.Cluster(id)
	if store.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := tx.DeleteAssignmentsBelow(c.ResourceID()); err != nil {
		return err
	}
	for _, p := range []ident.ObjectID{c.ControlPlane.Object, c.Kubelet.Object} {
		if p.IsZero() {
			continue // an attached cluster has no identities
		}
		if err := tx.DeleteAssignmentsOf(p); err != nil {
			return err
		}
		if err := tx.DeleteServicePrincipal(p); err != nil && !store.IsNotFound(err) {
			return err
		}
	}
	return tx.DeleteCluster(id)
}

// The Contents of resource groups.

// Resources lists the clusters of a subscription, or of one of its groups.
func (h *Handler) Resources(tx *store.Tx, sub ident.SubscriptionID, group string) ([]arm.GenericResource, error) {
	all, err := tx.Clusters()
	if err != nil {
		return nil, err
	}
	var out []arm.GenericResource
	for _, c := range all {
		if c.Subscription != sub || group != "" && !strings.EqualFold(c.Group, group) {
			continue
		}
		var body struct {
			SKU      json.RawMessage   `json:"sku"`
			Identity json.RawMessage   `json:"identity"`
			Tags     map[string]string `json:"tags"`
		}
		if err := json.Unmarshal(c.Render(""), &body); err != nil {
			return nil, fault.Wrap(err, "body of cluster %s", c.ID)
		}
		out = append(out, arm.GenericResource{
			ID: c.ResourceID(), Name: c.Name, Type: managedcluster.Type, SKU: body.SKU, Location: c.Location, Identity: body.Identity, Tags: body.Tags,
		})
	}
	return out, nil
}

// Exists reports whether a cluster is there; what lies below one, such as a namespace, is taken to be there with it.
func (h *Handler) Exists(tx *store.Tx, id ident.ResourceID) (exists, known bool, err error) {
	if len(id.Types) == 0 || !strings.EqualFold(id.Provider+"/"+id.Types[0], managedcluster.Type) {
		return false, false, nil
	}
	c := managedcluster.Cluster{Subscription: id.Subscription, Group: id.Group, Name: id.Names[0]}
	_, err = tx.ClusterByResource(c.ResourceID())
	if store.IsNotFound(err) {
		return false, true, nil
	}
	return err == nil, true, err
}

// DeleteAll deletes every cluster of a group and returns when all are gone. Operations that run on them end as canceled.
func (h *Handler) DeleteAll(ctx context.Context, sub ident.SubscriptionID, group string) error {
	for _, c := range h.World.Clusters() {
		if c.Subscription != sub || !strings.EqualFold(c.Group, group) {
			continue
		}
		if err := h.deleteOne(ctx, c.ID, c.ResourceID()); err != nil {
			return fmt.Errorf("delete cluster %s: %w", c.ResourceID(), err)
		}
	}
	return nil
}

func (h *Handler) deleteOne(ctx context.Context, id ident.ClusterID, resourceID string) error {
	key := strings.ToLower(resourceID)
	_, err := h.DB.Update(ctx, func(tx *store.Tx) error {
		running, err := tx.RunningOperation(key)
		if err == nil {
			_, err = arm.CancelOperation(tx, h.Now(), running.ID, "The resource group is being deleted.")
		}
		if err != nil && !store.IsNotFound(err) {
			return err
		}
		return h.setDeleting(tx, id, resourceID)
	})
	if err != nil {
		return err
	}
	op := resource.Operation{ResourceKey: key}
	if op.Input, err = json.Marshal(input{id}); err != nil {
		return fault.Wrap(err, "delete cluster")
	}
	if err := h.takeDown(ctx, op); err != nil {
		return err
	}
	_, err = h.DB.Update(ctx, func(tx *store.Tx) error { return h.wentAway(tx, op) })
	return err
}

func (h *Handler) setDeleting(tx *store.Tx, id ident.ClusterID, resourceID string) error {
	c, err := tx.Cluster(id)
	if store.IsNotFound(err) {
		return nil
	}
	if err != nil || c.ProvisioningState == managedcluster.Deleting {
		return err
	}
	c.ProvisioningState = managedcluster.Deleting
	if err := tx.PutCluster(c); err != nil {
		return err
	}
	return tx.Audit(audit.Record{
		At: h.Now().UTC(), Event: audit.ClusterDeleted, Tenant: c.Tenant, ActorName: "deletion of the resource group", Target: resourceID,
		Detail: details(c),
	})
}
