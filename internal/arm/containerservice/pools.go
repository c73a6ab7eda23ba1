package containerservice

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/keyreeve/keyreeve/internal/arm"
	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/managedcluster"
	"github.com/keyreeve/keyreeve/internal/resource"
	"github.com/keyreeve/keyreeve/internal/store"
)

const poolPath = itemPath + "/agentPools/{pool}"

func (h *Handler) mountPools(route func(method, pattern, action string, handle arm.HandlerFunc)) {
	const pools = managedcluster.Type + "/agentPools"
	route(http.MethodGet, itemPath+"/agentPools", pools+"/read", h.agentPools)
	route(http.MethodGet, poolPath, pools+"/read", h.agentPool)
	route(http.MethodPut, poolPath, pools+"/write", h.putPool)
	route(http.MethodDelete, poolPath, pools+"/delete", h.deletePool)
	route(http.MethodGet, itemPath+"/availableAgentPoolVersions", managedcluster.Type+"/availableAgentPoolVersions/read", h.poolVersions)
	route(http.MethodGet, poolPath+"/upgradeProfiles/default", pools+"/upgradeProfiles/read", h.poolUpgrades)
	route(http.MethodPost, poolPath+"/abort", pools+"/abort/action", h.abort)
	for op, why := range map[string]string{
		"upgradeNodeImageVersion": "nodes are pretended and run no image",
		"deleteMachines":          "the nodes of a pool are not chosen one by one: scale the pool",
	} {
		route(http.MethodPost, poolPath+"/"+op, pools+"/"+op+"/action", refused(op, why))
	}
}

// refused is the plain no to an operation of the real service that cannot be done here, with the reason.
func refused(op, why string) arm.HandlerFunc {
	return func(http.ResponseWriter, *arm.Request) error {
		return fault.New(fault.Invalid, "OperationNotSupported", "Operation '%s' is not offered by this service: %s.", op, why)
	}
}

func poolNotFound(r *arm.Request, c managedcluster.Cluster) error {
	return fault.New(fault.NotFound, "NotFound", "Could not find the agent pool '%s' in the managed cluster '%s'.", r.Param("pool"), c.Name)
}

func (h *Handler) agentPools(_ http.ResponseWriter, r *arm.Request) error {
	c, err := h.view(r)
	if err != nil {
		return err
	}
	value := []any{}
	for _, p := range c.AgentPools() {
		value = append(value, p)
	}
	return r.WriteJSON(http.StatusOK, map[string]any{"value": value})
}

func (h *Handler) agentPool(_ http.ResponseWriter, r *arm.Request) error {
	c, err := h.view(r)
	if err != nil {
		return err
	}
	return writePool(r, http.StatusOK, c)
}

func writePool(r *arm.Request, status int, c managedcluster.Cluster) error {
	bodies := c.AgentPools()
	for i, p := range c.Pools {
		if strings.EqualFold(p.Name, r.Param("pool")) {
			return r.WriteJSON(status, bodies[i])
		}
	}
	return poolNotFound(r, c)
}

// changeable reads the cluster of a request that changes it: one that runs and has nothing else to do.
func changeable(tx *store.Tx, r *arm.Request) (managedcluster.Cluster, error) {
	c, err := find(tx, r)
	if err != nil {
		return c, err
	}
	if err := busy(tx, c); err != nil {
		return c, err
	}
	return c, c.Powered()
}

// putPool makes or changes an agent pool.
func (h *Handler) putPool(_ http.ResponseWriter, r *arm.Request) error {
	body, err := r.Body()
	if err != nil {
		return err
	}
	var (
		c      managedcluster.Cluster
		op     resource.Operation
		status = http.StatusOK
	)
	_, err = h.DB.Update(r.Context(), func(tx *store.Tx) error {
		before, err := changeable(tx, r)
		if err != nil {
			return err
		}
		var change managedcluster.PoolChange
		if c, change, err = before.PutPool(r.Param("pool"), body); err != nil {
			return err
		}
		_, exists := before.Pool(change.Name)
		if err := precondition(r, presence(exists, before)); err != nil {
			return err
		}
		state := managedcluster.Updating
		if change.Created {
			status, state = http.StatusCreated, managedcluster.Creating
		}
		in := input{Cluster: c.ID, Pool: change.Name}
		if !change.Created {
			in.Before = &change.Before
		}
		if change.Nodes || change.Before.State != "" {
			c = c.MarkPool(change.Name, state)
			op, err = h.startPoolWork(tx, r, &c, in)
		} else {
			op, err = done(tx, r, c, managedcluster.Updating, http.StatusOK)
		}
		if err != nil {
			return err
		}
		if err := tx.PutCluster(c); err != nil {
			return err
		}
		p, _ := c.Pool(change.Name)
		return r.Audit(tx, audit.ClusterWritten, c.ResourceID()+"/agentPools/"+change.Name, map[string]string{
			"pool": p.Name, "count": fmt.Sprint(p.Count), "mode": p.Mode,
		})
	})
	if err != nil {
		return err
	}
	r.AsyncHeader(namespace, op)
	return writePool(r, status, c)
}

// presence is the tag that a condition of a request is held against: the cluster's, or none for what is not there.
func presence(exists bool, c managedcluster.Cluster) string {
	if !exists {
		return ""
	}
	return c.ETag()
}

// startPoolWork begins the work of bringing a cluster's nodes to what its agent pools say.
func (h *Handler) startPoolWork(tx *store.Tx, r *arm.Request, c *managedcluster.Cluster, in input) (resource.Operation, error) {
	c.ProvisioningState = managedcluster.Updating
	return r.StartOperation(tx, arm.NewOperation{
		Resource: c.ResourceID(), Verb: managedcluster.Updating, Location: c.Location, Final: http.StatusNoContent, Input: in,
	})
}

// deletePool drains an agent pool's nodes and removes it with them.
func (h *Handler) deletePool(w http.ResponseWriter, r *arm.Request) error {
	ignore, _, err := r.Query("ignore-pod-disruption-budget")
	if err != nil {
		return err
	}
	var op resource.Operation
	missing := false
	_, err = h.DB.Update(r.Context(), func(tx *store.Tx) error {
		before, err := changeable(tx, r)
		if err != nil {
			return err
		}
		p, ok := before.Pool(r.Param("pool"))
		if !ok {
			missing = true
			return nil
		}
		if err := precondition(r, before.ETag()); err != nil {
			return err
		}
		c, err := before.DeletePool(p.Name)
		if err != nil {
			return err
		}
		in := input{Cluster: c.ID, Pool: p.Name, Before: &p, Undrained: strings.EqualFold(ignore, "true")}
		if op, err = h.startPoolWork(tx, r, &c, in); err != nil {
			return err
		}
		if err := tx.PutCluster(c); err != nil {
			return err
		}
		return r.Audit(tx, audit.ClusterWritten, c.ResourceID()+"/agentPools/"+p.Name, map[string]string{"pool": p.Name, "deleted": "true"})
	})
	if err != nil {
		return err
	}
	if missing {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	return accepted(w, r, op)
}
