package containerservice

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"

	"github.com/keyreeve/keyreeve/internal/arm"
	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/managedcluster"
	"github.com/keyreeve/keyreeve/internal/pki"
	"github.com/keyreeve/keyreeve/internal/resource"
	"github.com/keyreeve/keyreeve/internal/store"
)

// input is what a worker needs.
type input struct {
	Cluster ident.ClusterID `json:"cluster"`
	// Pool is the agent pool that the work is about, and Before what it was; nil for a new one.
	Pool   string               `json:"pool,omitempty"`
	Before *managedcluster.Pool `json:"before,omitempty"`
	// Undrained says that pods are not asked to leave the nodes that go away.
	Undrained bool `json:"undrained,omitempty"`
}

func (h *Handler) put(_ http.ResponseWriter, r *arm.Request) error {
	body, err := r.Body()
	if err != nil {
		return err
	}
	req, err := managedcluster.Parse(body)
	if err != nil {
		return err
	}
	// Keys take a while to make, so a new cluster's are made before the transaction that nobody else may write during.
	keys := sync.OnceValues(func() (pki.Secrets, error) { return pki.NewSecrets(r.Param("name"), r.Now()) })
	if _, exists := h.World.ClusterByResource(id(r, r.Group.Name)); !exists && !req.Attached() {
		if _, err := keys(); err != nil {
			return fault.Wrap(err, "keys of a new cluster")
		}
	}
	var (
		c      managedcluster.Cluster
		op     resource.Operation
		status int
	)
	_, err = h.DB.Update(r.Context(), func(tx *store.Tx) error {
		group, err := arm.ResourceGroupForWrite(tx, r.Subscription.ID, r.Param("group"))
		if err != nil {
			return err
		}
		before, err := tx.ClusterByResource(id(r, group.Name))
		switch {
		case store.IsNotFound(err):
			status = http.StatusCreated
			if err := precondition(r, ""); err != nil {
				return err
			}
			if req.Attached() {
				c, op, err = h.createAttached(tx, r, req, group.Name)
			} else {
				c, op, err = h.create(tx, r, req, group.Name, keys)
			}
			return err
		case err != nil:
			return err
		}
		status = http.StatusOK
		if err := precondition(r, before.ETag()); err != nil {
			return err
		}
		c, op, err = h.update(tx, r, req, before)
		return err
	})
	if err != nil {
		return err
	}
	r.AsyncHeader(namespace, op)
	return r.WriteJSON(status, c.Render(r.APIVersion))
}

// precondition holds If-Match and If-None-Match (RFC 9110 13.1) against the present state; an empty tag is none.
func precondition(r *arm.Request, tag string) error {
	holds := func(list string) bool {
		for t := range strings.SplitSeq(list, ",") {
			t = strings.Trim(strings.TrimSpace(t), `"`)
			if tag != "" && (t == "*" || t == tag) {
				return true
			}
		}
		return false
	}
	match, none := r.HTTP.Header.Get("If-Match"), r.HTTP.Header.Get("If-None-Match")
	if match != "" && !holds(match) || none != "" && holds(none) {
		return fault.New(fault.Precondition, "PreconditionFailed", "The condition of the request does not hold for the present state of the resource.")
	}
	return nil
}

func (h *Handler) known(t ident.TenantID) bool {
	_, ok := h.World.Tenant(t)
	return ok
}

// create makes a cluster: its record, its keys, its identities, and the operation that brings it up.
func (h *Handler) create(tx *store.Tx, r *arm.Request, req *managedcluster.Request, group string, keys func() (pki.Secrets, error)) (managedcluster.Cluster, resource.Operation, error) {
	none := resource.Operation{}
	endpoint, err := h.endpoint(tx, r)
	if err != nil {
		return managedcluster.Cluster{}, none, err
	}
	controlPlane, kubelet, err := h.identities(tx, r, req, nil)
	if err != nil {
		return managedcluster.Cluster{}, none, err
	}
	c, err := managedcluster.Create(managedcluster.New{
		ID: ident.New[ident.ClusterID](), Subscription: r.Subscription.ID, Tenant: r.Subscription.Tenant, Group: group, Name: r.Param("name"),
		Endpoint: endpoint, Domain: h.domain(), ControlPlane: controlPlane, Kubelet: kubelet, Now: r.Now(), By: r.Caller.Object,
	}, req, h.known)
	if err != nil {
		return c, none, err
	}
	if err := knownLocation(c.Location); err != nil {
		return c, none, err
	}
	secrets, err := keys()
	if err != nil {
		return c, none, fault.Wrap(err, "keys of a new cluster")
	}
	if c, err = h.issuer(c, secrets); err != nil {
		return c, none, err
	}
	op, err := r.StartOperation(tx, arm.NewOperation{
		Resource: c.ResourceID(), Verb: managedcluster.Creating, Location: c.Location, Final: http.StatusOK, Input: input{Cluster: c.ID},
	})
	if err != nil {
		return c, none, err
	}
	if err := tx.PutCluster(c); err != nil {
		return c, none, err
	}
	if err := h.keepSecrets(tx, c.ID, secrets); err != nil {
		return c, none, err
	}
	if err := putNodeGroup(tx, c); err != nil {
		return c, none, err
	}
	if err := putIdentities(tx, c); err != nil {
		return c, none, err
	}
	return c, op, r.Audit(tx, audit.ClusterWritten, c.ResourceID(), details(c))
}

// endpoint gives a new cluster an address that no other one on record has.
func (h *Handler) endpoint(tx *store.Tx, r *arm.Request) (string, error) {
	all, err := tx.Clusters()
	if err != nil {
		return "", err
	}
	given := map[string]bool{}
	for _, c := range all {
		if c.IsAttached() {
			continue
		}
		given[c.Endpoint] = true
	}
	endpoint, err := h.Driver.Endpoint(r.Context(), func(e string) bool { return given[e] })
	if fault.Is(err, fault.Unsupported) {
		return "", err // this server runs no clusters
	}
	if err != nil {
		return "", fault.New(fault.Unavailable, "QuotaExceeded", "There is no free address for another cluster.").Because(err)
	}
	return endpoint, nil
}

// details are what the audit log keeps of a cluster's settings.
func details(c managedcluster.Cluster) map[string]string {
	d := map[string]string{"disableLocalAccounts": fmt.Sprint(c.LocalAccountsDisabled), "entra": fmt.Sprint(c.Entra()), "epoch": fmt.Sprint(c.Epoch)}
	if c.AAD != nil {
		groups := make([]string, len(c.AAD.AdminGroups))
		for i, g := range c.AAD.AdminGroups {
			groups[i] = g.String()
		}
		d["adminGroups"] = strings.Join(groups, ",")
		d["aadTenant"] = c.AAD.Tenant.String()
	}
	return d
}

// busy refuses a write while an operation runs on a cluster.
func busy(tx *store.Tx, c managedcluster.Cluster) error {
	running, err := tx.RunningOperation(strings.ToLower(c.ResourceID()))
	if store.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	return arm.OperationInProgress(running.Verb)
}

// update changes a cluster. What the gate reads takes effect with the transaction, and the operation is over with it;
// other nodes take a worker.
func (h *Handler) update(tx *store.Tx, r *arm.Request, req *managedcluster.Request, before managedcluster.Cluster) (managedcluster.Cluster, resource.Operation, error) {
	if err := busy(tx, before); err != nil {
		return before, resource.Operation{}, err
	}
	if err := before.Powered(); err != nil {
		return before, resource.Operation{}, err
	}
	c, change, err := before.Update(req, h.known)
	if err != nil {
		return before, resource.Operation{}, err
	}
	if err := h.changeIdentities(tx, r, req, before, &c); err != nil {
		return before, resource.Operation{}, err
	}
	if c.WantsIssuer && c.Issuer == nil {
		secrets, err := h.secrets(tx, c.ID)
		if err != nil {
			return before, resource.Operation{}, err
		}
		if c, err = h.issuer(c, secrets); err != nil {
			return before, resource.Operation{}, err
		}
	}
	var op resource.Operation
	if c.IsAttached() {
		c.ProvisioningState = managedcluster.Succeeded
	}
	if change.Nodes || c.ProvisioningState != managedcluster.Succeeded || !c.PoolsSettled() {
		c.ProvisioningState = managedcluster.Updating
		op, err = r.StartOperation(tx, arm.NewOperation{
			Resource: c.ResourceID(), Verb: managedcluster.Updating, Location: c.Location, Final: http.StatusOK, Input: input{Cluster: c.ID},
		})
	} else {
		op, err = done(tx, r, c, managedcluster.Updating, http.StatusOK)
	}
	if err != nil {
		return c, op, err
	}
	if err := tx.PutCluster(c); err != nil {
		return c, op, err
	}
	if err := r.Audit(tx, audit.ClusterWritten, c.ResourceID(), details(c)); err != nil {
		return c, op, err
	}
	return c, op, auditLocalAccounts(tx, r, c, change)
}

func auditLocalAccounts(tx *store.Tx, r *arm.Request, c managedcluster.Cluster, change managedcluster.Change) error {
	switch {
	case change.LocalAccountsDisabled:
		return r.Audit(tx, audit.LocalAccountsDisabled, c.ResourceID(), details(c))
	case change.LocalAccountsEnabled:
		return r.Audit(tx, audit.LocalAccountsEnabled, c.ResourceID(), details(c))
	}
	return nil
}

// done records an operation that is over with the transaction it is in, for clients that ask after it.
func done(tx *store.Tx, r *arm.Request, c managedcluster.Cluster, verb string, final int) (resource.Operation, error) {
	op := resource.Operation{
		ID: ident.New[ident.OperationID](), Subscription: c.Subscription, Location: c.Location, ResourceKey: strings.ToLower(c.ResourceID()),
		Verb: verb, Status: resource.Succeeded, Final: final, StartedAt: r.Now(), EndedAt: r.Now(), StartedBy: r.Caller.Object,
	}
	return op, tx.PutOperation(op)
}

// patch sets the tags, which is all that PATCH does to a cluster.
func (h *Handler) patch(_ http.ResponseWriter, r *arm.Request) error {
	var body map[string]json.RawMessage
	if err := r.DecodeJSON(&body); err != nil {
		return err
	}
	var tags map[string]string
	for k, v := range body {
		if !strings.EqualFold(k, "tags") {
			return fault.New(fault.Invalid, "InvalidParameter", "Only tags can be changed with PATCH; use PUT for others.").At("tags")
		}
		if err := json.Unmarshal(v, &tags); err != nil {
			return fault.New(fault.Invalid, "InvalidParameter", "The value of parameter tags is invalid. Error details: It must be an object of strings.").At("tags")
		}
	}
	var c managedcluster.Cluster
	_, err := h.DB.Update(r.Context(), func(tx *store.Tx) error {
		before, err := find(tx, r)
		if err != nil {
			return err
		}
		if err := precondition(r, before.ETag()); err != nil {
			return err
		}
		if err := busy(tx, before); err != nil {
			return err
		}
		if c, err = before.WithTags(tags); err != nil {
			return err
		}
		if err := tx.PutCluster(c); err != nil {
			return err
		}
		return r.Audit(tx, audit.ClusterWritten, c.ResourceID(), details(c))
	})
	if err != nil {
		return err
	}
	return r.WriteJSON(http.StatusOK, c.Render(r.APIVersion))
}

func (h *Handler) delete(w http.ResponseWriter, r *arm.Request) error {
	var op resource.Operation
	missing := false
	_, err := h.DB.Update(r.Context(), func(tx *store.Tx) error {
		c, err := tx.ClusterByResource(id(r, r.Group.Name))
		if store.IsNotFound(err) {
			missing = true
			return nil
		}
		if err != nil {
			return err
		}
		if err := precondition(r, c.ETag()); err != nil {
			return err
		}
		running, err := tx.RunningOperation(strings.ToLower(c.ResourceID()))
		if err == nil && running.Verb == managedcluster.Deleting {
			op = running // asked twice: both may follow the one that runs
			return nil
		}
		if err != nil && !store.IsNotFound(err) {
			return err
		}
		if err := deletable(tx, c); err != nil {
			return err
		}
		op, err = r.StartOperation(tx, arm.NewOperation{
			Resource: c.ResourceID(), Verb: managedcluster.Deleting, Location: c.Location, Final: http.StatusNoContent, Input: input{Cluster: c.ID},
		})
		if err != nil {
			return err
		}
		c.ProvisioningState = managedcluster.Deleting
		if err := tx.PutCluster(c); err != nil {
			return err
		}
		return r.Audit(tx, audit.ClusterDeleted, c.ResourceID(), details(c))
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

func accepted(w http.ResponseWriter, r *arm.Request, op resource.Operation) error {
	r.AsyncHeader(namespace, op)
	r.LocationHeader(namespace, op)
	w.WriteHeader(http.StatusAccepted)
	return nil
}

// reissue begins the operation by which a cluster gets new keys. c is the cluster as it will be, in the state that names the
// operation.
func (h *Handler) reissue(tx *store.Tx, r *arm.Request, c managedcluster.Cluster, secrets pki.Secrets, event audit.Event) (resource.Operation, error) {
	op, err := r.StartOperation(tx, arm.NewOperation{
		Resource: c.ResourceID(), Verb: c.ProvisioningState, Location: c.Location, Final: http.StatusNoContent, Input: input{Cluster: c.ID},
	})
	if err != nil {
		return op, err
	}
	if err := tx.PutCluster(c); err != nil {
		return op, err
	}
	if err := h.keepSecrets(tx, c.ID, secrets); err != nil {
		return op, err
	}
	return op, r.Audit(tx, event, c.ResourceID(), details(c))
}

// rotate replaces a cluster's authorities and keys: whatever they vouched for is void from then on.
func (h *Handler) rotate(w http.ResponseWriter, r *arm.Request) error {
	secrets, err := pki.NewSecrets(r.Param("name"), r.Now())
	if err != nil {
		return fault.Wrap(err, "new keys of a cluster")
	}
	var op resource.Operation
	_, err = h.DB.Update(r.Context(), func(tx *store.Tx) error {
		before, err := find(tx, r)
		if err != nil {
			return err
		}
		if before.IsAttached() {
			return attachedOnly("rotateClusterCertificates")
		}
		if err := before.Powered(); err != nil {
			return err
		}
		c, err := h.issuer(before.Rotated(), secrets) // what the old key signed is void too
		if err != nil {
			return err
		}
		c.ProvisioningState = managedcluster.Rotating
		op, err = h.reissue(tx, r, c, secrets, audit.ClusterCertsRotated)
		return err
	})
	if err != nil {
		return err
	}
	return accepted(w, r, op)
}

func (h *Handler) resetAAD(w http.ResponseWriter, r *arm.Request) error {
	body, err := r.Body()
	if err != nil {
		return err
	}
	var op resource.Operation
	_, err = h.DB.Update(r.Context(), func(tx *store.Tx) error {
		before, err := changeable(tx, r)
		if err != nil {
			return err
		}
		c, err := before.ResetAAD(body, h.known)
		if err != nil {
			return err
		}
		if op, err = done(tx, r, c, managedcluster.Updating, http.StatusOK); err != nil {
			return err
		}
		if err := tx.PutCluster(c); err != nil {
			return err
		}
		return r.Audit(tx, audit.ClusterWritten, c.ResourceID(), details(c))
	})
	if err != nil {
		return err
	}
	return accepted(w, r, op)
}
