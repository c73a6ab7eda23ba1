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

func inputOf(op resource.Operation) (input, error) {
	var in input
	if err := json.Unmarshal(op.Input, &in); err != nil {
		return in, fault.Wrap(err, "input of operation %s", op.ID)
	}
	return in, nil
}

// describe says how a cluster should run, by what the store says now.
func (h *Handler) describe(ctx context.Context, id ident.ClusterID) (d cluster.Desired, err error) {
	err = h.DB.View(ctx, func(tx *store.Tx) error {
		c, err := tx.Cluster(id)
		if err != nil {
			return err
		}
		secrets, err := h.secrets(tx, id)
		if err != nil {
			return err
		}
		d = cluster.Describe(c, secrets)
		if c.WorkloadIdentity {
			d.Workload = &cluster.Workload{Tenant: c.Tenant.String(), AuthorityHost: h.LoginURL + "/"}
		}
		return nil
	})
	return d, err
}

// ensure tells the driver how a cluster should run.
func (h *Handler) ensure(ctx context.Context, id ident.ClusterID) error {
	d, err := h.describe(ctx, id)
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
	in, err := inputOf(op)
	if err != nil {
		return err
	}
	release, err := h.locks.take(ctx, in.Cluster)
	if err != nil {
		return err
	}
	defer release()
	return h.reach(ctx, in.Cluster)
}

// reach makes a cluster run as the store says, and waits for it. The cluster's lock is held.
func (h *Handler) reach(ctx context.Context, id ident.ClusterID) error {
	if err := h.ensure(ctx, id); err != nil {
		return err
	}
	ready, cancel := context.WithTimeout(ctx, h.readyWithin())
	defer cancel()
	err := h.Driver.WaitReady(ready, id)
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

// change is bringUp for a cluster that runs: nodes that go away are emptied first.
func (h *Handler) change(ctx context.Context, op resource.Operation) error {
	in, err := inputOf(op)
	if err != nil {
		return err
	}
	release, err := h.locks.take(ctx, in.Cluster)
	if err != nil {
		return err
	}
	defer release()
	if !in.Undrained {
		if err := h.drain(ctx, in.Cluster); err != nil {
			return err
		}
	}
	return h.reach(ctx, in.Cluster)
}

// drain empties the nodes that a cluster should no longer have. Only a budget that forbids it stops the change: an API
// server that does not answer is what the change may be there to repair.
func (h *Handler) drain(ctx context.Context, id ident.ClusterID) error {
	d, err := h.describe(ctx, id)
	if err != nil {
		return err
	}
	limit, cancel := context.WithTimeout(ctx, h.drainWithin())
	defer cancel()
	err = h.Driver.Drain(limit, d)
	if left, ok := errors.AsType[*cluster.NotDrainedError](err); ok && ctx.Err() == nil {
		return fault.New(fault.Conflict, "PodDrainFailure",
			"Drain of node %s did not complete within %s: pods [%s] could not be evicted. Please check the pod disruption budgets.",
			left.Node, h.drainWithin(), strings.Join(left.Pods, " ")).Because(err)
	}
	if err != nil {
		h.Log.WarnContext(ctx, "nodes go away without being emptied first", "cluster", id.String(), "error", err)
	}
	return ctx.Err()
}

// cameUp ends an operation that brought a cluster to what the store says.
func (h *Handler) cameUp(tx *store.Tx, op resource.Operation) error {
	return h.conclude(tx, op, func(c managedcluster.Cluster, _ input) managedcluster.Cluster {
		c = c.Settled()
		c.ProvisioningState = managedcluster.Succeeded
		return c
	})
}

// failed ends an operation that did not reach its end. One of an agent pool fails the pool alone.
func (h *Handler) failed(tx *store.Tx, op resource.Operation, _ error) error {
	in, err := inputOf(op)
	if err != nil {
		return err
	}
	if c, err := tx.Cluster(in.Cluster); err == nil && !c.IsAttached() {
		if err := keepNodeGroup(tx, c); err != nil {
			return err
		}
	}
	return h.conclude(tx, op, func(c managedcluster.Cluster, in input) managedcluster.Cluster {
		switch {
		case in.Pool == "":
			c.ProvisioningState = managedcluster.Failed
			return c
		case in.Before != nil:
			c = c.RestorePool(*in.Before)
		default:
			c = c.MarkPool(in.Pool, managedcluster.Failed)
		}
		c.ProvisioningState = managedcluster.Succeeded
		return c
	})
}

func (h *Handler) conclude(tx *store.Tx, op resource.Operation, after func(managedcluster.Cluster, input) managedcluster.Cluster) error {
	in, err := inputOf(op)
	if err != nil {
		return err
	}
	c, err := tx.Cluster(in.Cluster)
	if store.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	return tx.PutCluster(after(c, in))
}

// takeDown ends a cluster and removes its data.
func (h *Handler) takeDown(ctx context.Context, op resource.Operation) error {
	in, err := inputOf(op)
	if err != nil {
		return err
	}
	id := in.Cluster
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
	return h.emptyNodeGroup(ctx, id)
}

// wentAway forgets a cluster: role assignments at it and below, the identities that are its own, and itself. What these
// identities held stays on record as assignments of unknown principals, as it does in the real service.
func (h *Handler) wentAway(tx *store.Tx, op resource.Operation) error {
	in, err := inputOf(op)
	if err != nil {
		return err
	}
	id := in.Cluster
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
	if err := tx.DeleteLocksBelow(lockScope(c)); err != nil {
		return err
	}
	if !c.IsAttached() {
		if err := dropIdentities(tx, c); err != nil {
			return err
		}
		if err := deleteNodeGroup(tx, c); err != nil {
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
		g, err := generic(c)
		if err != nil {
			return nil, err
		}
		out = append(out, g)
	}
	return out, nil
}

// generic is a cluster as lists over all types show it.
func generic(c managedcluster.Cluster) (arm.GenericResource, error) {
	var body struct {
		SKU      json.RawMessage   `json:"sku"`
		Identity json.RawMessage   `json:"identity"`
		Tags     map[string]string `json:"tags"`
	}
	if err := json.Unmarshal(c.Render(""), &body); err != nil {
		return arm.GenericResource{}, fault.Wrap(err, "body of cluster %s", c.ID)
	}
	created := c.CreatedAt.UTC()
	return arm.GenericResource{
		ID: c.ResourceID(), Name: c.Name, Type: managedcluster.Type, SKU: body.SKU, Location: c.Location, Identity: body.Identity, Tags: body.Tags,
		CreatedTime: &created, ProvisioningState: c.ProvisioningState,
	}, nil
}

// byID reads the cluster that an id names; known is false if it names none, or something below one.
func byID(tx *store.Tx, id ident.ResourceID) (c managedcluster.Cluster, known bool, err error) {
	if len(id.Types) != 1 || !strings.EqualFold(id.Type(), managedcluster.Type) {
		return c, false, nil
	}
	c = managedcluster.Cluster{Subscription: id.Subscription, Group: id.Group, Name: id.Names[0]}
	c, err = tx.ClusterByResource(c.ResourceID())
	if store.IsNotFound(err) {
		return c, false, nil
	}
	return c, err == nil, err
}

// Tags returns a cluster with its tags.
func (h *Handler) Tags(tx *store.Tx, id ident.ResourceID) (arm.GenericResource, bool, error) {
	c, known, err := byID(tx, id)
	if err != nil || !known {
		return arm.GenericResource{}, false, err
	}
	g, err := generic(c)
	return g, err == nil, err
}

// SetTags replaces a cluster's tags.
func (h *Handler) SetTags(tx *store.Tx, _ *arm.Request, id ident.ResourceID, tags map[string]string) error {
	before, known, err := byID(tx, id)
	if err != nil || !known {
		return err
	}
	if err := busy(tx, before); err != nil {
		return err
	}
	c, err := before.WithTags(tags)
	if err != nil {
		return err
	}
	return tx.PutCluster(c)
}

// lockScope is a cluster's id in the spelling that locks are kept by.
func lockScope(c managedcluster.Cluster) string {
	id, err := ident.ParseResourceID(c.ResourceID())
	if err != nil {
		return c.ResourceID()
	}
	return id.String()
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
	if op.Input, err = json.Marshal(input{Cluster: id}); err != nil {
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
	if err := deletable(tx, c); err != nil {
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
