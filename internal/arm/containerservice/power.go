package containerservice

import (
	"context"
	"net/http"

	"github.com/keyreeve/keyreeve/internal/arm"
	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/managedcluster"
	"github.com/keyreeve/keyreeve/internal/resource"
	"github.com/keyreeve/keyreeve/internal/store"
)

// power starts or stops a cluster. A stopped one has no API server and no nodes; its data, keys and record stay.
func (h *Handler) power(state string) arm.HandlerFunc {
	return func(w http.ResponseWriter, r *arm.Request) error {
		var op resource.Operation
		_, err := h.DB.Update(r.Context(), func(tx *store.Tx) error {
			before, err := find(tx, r)
			if err != nil {
				return err
			}
			if err := busy(tx, before); err != nil {
				return err
			}
			c, err := before.Power(state)
			if err != nil {
				return err
			}
			event := audit.ClusterStarted
			if state == managedcluster.Stopped {
				event = audit.ClusterStopped
			}
			if op, err = r.StartOperation(tx, arm.NewOperation{
				Resource: c.ResourceID(), Verb: c.ProvisioningState, Location: c.Location, Final: http.StatusNoContent, Input: input{Cluster: c.ID},
			}); err != nil {
				return err
			}
			if err := tx.PutCluster(c); err != nil {
				return err
			}
			return r.Audit(tx, event, c.ResourceID(), details(c))
		})
		if err != nil {
			return err
		}
		return accepted(w, r, op)
	}
}

// shutDown ends a cluster's process and keeps its data.
func (h *Handler) shutDown(ctx context.Context, op resource.Operation) error {
	in, err := inputOf(op)
	if err != nil {
		return err
	}
	release, err := h.locks.take(ctx, in.Cluster)
	if err != nil {
		return err
	}
	defer release()
	if err := h.Driver.Stop(ctx, in.Cluster); err != nil {
		return fault.Wrap(err, "cluster %s", in.Cluster)
	}
	return nil
}

// abort ends the operation that runs on a cluster. What it has done so far stays; the next update goes on from there.
func (h *Handler) abort(_ http.ResponseWriter, r *arm.Request) error {
	var c managedcluster.Cluster
	var op resource.Operation
	_, err := h.DB.Update(r.Context(), func(tx *store.Tx) error {
		var err error
		if c, err = find(tx, r); err != nil {
			return err
		}
		running, err := tx.RunningOperation(key(c))
		if store.IsNotFound(err) {
			return fault.New(fault.Conflict, "OperationNotAllowed", "There is no operation in progress on the managed cluster '%s' that could be aborted.", c.Name)
		}
		if err != nil {
			return err
		}
		if running.Verb == managedcluster.Deleting {
			return fault.New(fault.Conflict, "OperationNotAllowed", "The deletion of the managed cluster '%s' cannot be aborted.", c.Name)
		}
		if _, err := arm.CancelOperation(tx, r.Now(), running.ID, "The operation was aborted by "+r.Caller.Name+"."); err != nil {
			return err
		}
		c.ProvisioningState = managedcluster.Canceled
		for _, p := range c.Pools {
			if p.State != "" {
				c = c.MarkPool(p.Name, managedcluster.Canceled)
			}
		}
		if op, err = done(tx, r, c, managedcluster.Canceled, http.StatusNoContent); err != nil {
			return err
		}
		if err := tx.PutCluster(c); err != nil {
			return err
		}
		return r.Audit(tx, audit.ClusterWritten, c.ResourceID(), map[string]string{"aborted": running.Verb, "operation": running.ID.String()})
	})
	if err != nil {
		return err
	}
	r.AsyncHeader(namespace, op)
	r.LocationHeader(namespace, op)
	return r.WriteJSON(http.StatusAccepted, c.Render(r.APIVersion))
}
