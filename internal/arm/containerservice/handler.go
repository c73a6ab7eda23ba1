// Package containerservice owns the ARM face of managed clusters (Microsoft.ContainerService): their life, the
// credentials handed out for them, and what each call needs and changes.
//
//	PUT, POST, DELETE ─► rules of managedcluster ─► one transaction (cluster, keys, identities, operation, audit) ─► 201/202
//	                                                                 │
//	                                                     worker ─► driver ─► Succeeded or Failed
//
// Workers may be called again after a crash: each only makes true what the store says. The package decides nothing about
// a cluster by itself, that is managedcluster's; and it starts nothing, that is the driver's.
package containerservice

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/keyreeve/keyreeve/internal/arm"
	"github.com/keyreeve/keyreeve/internal/cluster"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/managedcluster"
	"github.com/keyreeve/keyreeve/internal/pki"
	"github.com/keyreeve/keyreeve/internal/seal"
	"github.com/keyreeve/keyreeve/internal/store"
	"github.com/keyreeve/keyreeve/internal/world"
)

// Driver makes clusters real.
type Driver interface {
	// Endpoint chooses the address, HOST:PORT, of a new cluster's API server; taken tells which are given away.
	Endpoint(ctx context.Context, taken func(endpoint string) bool) (string, error)
	// Ensure makes a cluster run as described, or go on running, and does not wait for it.
	Ensure(context.Context, cluster.Desired) error
	// WaitReady returns when the cluster is as last described.
	WaitReady(context.Context, ident.ClusterID) error
	// Drain moves what runs on nodes that the description does not have to others, as far as disruption budgets allow. When
	// the context ends first, the error is a cluster.NotDrainedError.
	Drain(context.Context, cluster.Desired) error
	// Stop ends a cluster and keeps its data. Doing it again is no error.
	Stop(context.Context, ident.ClusterID) error
	// Delete ends a cluster and removes its data. Doing it again is no error.
	Delete(context.Context, ident.ClusterID) error
}

// Handler serves managed clusters.
type Handler struct {
	DB     *store.DB
	World  *world.World
	Sealer *seal.Sealer
	Driver Driver
	// LoginURL is the token service's origin, without a slash at the end.
	LoginURL string
	// LoginCA is the PEM bundle by which it is trusted, for kubeconfigs; empty when every machine trusts it.
	LoginCA string
	// Domain ends the names of API servers; empty is aks.localhost, which is the machine itself (RFC 6761).
	Domain string
	// CredentialLife is how long handed out certificates are good; 0 is 30 days.
	CredentialLife time.Duration
	// ReadyWithin bounds how long a cluster may take to come up; 0 is 10 minutes.
	ReadyWithin time.Duration
	// DrainWithin bounds how long nodes that go away may take to be empty; 0 is 2 minutes.
	DrainWithin time.Duration
	// GateURL and GateCA are where gates of attached clusters connect to and what they verify that with; Gates tells of
	// those that did.
	GateURL, GateCA string
	Gates           Gates
	// Contents are the rooms that keep something in resource groups, this one among them: what is in a cluster's node resource
	// group goes with it.
	Contents []arm.Contents
	Now      func() time.Time
	Log      *slog.Logger

	locks locks
}

const (
	namespace = "Microsoft.ContainerService"
	itemPath  = "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ContainerService/managedClusters/{name}"
	read      = managedcluster.Type + "/read"
	write     = managedcluster.Type + "/write"
	remove    = managedcluster.Type + "/delete"
)

func (h *Handler) domain() string {
	if h.Domain == "" {
		return "aks.localhost"
	}
	return h.Domain
}

func (h *Handler) credentialLife() time.Duration {
	if h.CredentialLife <= 0 {
		return 30 * 24 * time.Hour
	}
	return h.CredentialLife
}

func (h *Handler) readyWithin() time.Duration {
	if h.ReadyWithin <= 0 {
		return 10 * time.Minute
	}
	return h.ReadyWithin
}

func (h *Handler) drainWithin() time.Duration {
	if h.DrainWithin <= 0 {
		return 2 * time.Minute
	}
	return h.DrainWithin
}

// Mount registers the routes and the workers.
func (h *Handler) Mount(f *arm.Face, runner *arm.Runner) {
	route := func(method, pattern, action string, handle arm.HandlerFunc) {
		f.Handle(arm.Route{Method: method, Pattern: pattern, Action: action, Errors: arm.Bare, Handle: handle})
	}
	const below = "/subscriptions/{subscription}/providers/Microsoft.ContainerService"
	route(http.MethodPut, itemPath, write, h.put)
	route(http.MethodPatch, itemPath, write, h.patch)
	route(http.MethodGet, itemPath, read, h.get)
	route(http.MethodDelete, itemPath, remove, h.delete)
	route(http.MethodGet, "/providers/Microsoft.ContainerService/operations", arm.Self, h.operations)
	route(http.MethodGet, below+"/managedClusters", arm.Self, h.list(false))
	route(http.MethodGet, strings.TrimSuffix(itemPath, "/{name}"), arm.Self, h.list(true))

	route(http.MethodPost, itemPath+"/rotateClusterCertificates", managedcluster.Type+"/rotateClusterCertificates/action", h.rotate)
	route(http.MethodPost, itemPath+"/rotateServiceAccountSigningKeys", managedcluster.Type+"/rotateServiceAccountSigningKeys/action", h.rotateSigningKey)
	route(http.MethodPost, itemPath+"/resetAADProfile", managedcluster.Type+"/resetAADProfile/action", h.resetAAD)
	route(http.MethodPost, itemPath+"/listClusterUserCredential", managedcluster.Type+"/listClusterUserCredential/action", h.credential(managedcluster.ClusterUser))
	route(http.MethodPost, itemPath+"/listClusterAdminCredential", managedcluster.Type+"/listClusterAdminCredential/action", h.credential(managedcluster.ClusterAdmin))
	route(http.MethodPost, itemPath+"/accessProfiles/{profile}/listCredential", managedcluster.Type+"/accessProfiles/listCredential/action", h.accessProfile)

	route(http.MethodPost, itemPath+"/start", managedcluster.Type+"/start/action", h.power(managedcluster.Running))
	route(http.MethodPost, itemPath+"/stop", managedcluster.Type+"/stop/action", h.power(managedcluster.Stopped))
	route(http.MethodPost, itemPath+"/abort", managedcluster.Type+"/abort/action", h.abort)
	h.mountPools(route)
	route(http.MethodGet, itemPath+"/upgradeProfiles/default", managedcluster.Type+"/upgradeProfiles/read", h.upgradeProfile)
	route(http.MethodGet, below+"/locations/{location}/orchestrators", namespace+"/locations/orchestrators/read", h.orchestrators)
	route(http.MethodGet, below+"/locations/{location}/kubernetesVersions", namespace+"/locations/kubernetesversions/read", h.kubernetesVersions)

	route(http.MethodGet, below+"/locations/{location}/osOptions/default", namespace+"/locations/osOptions/read", h.osOptions)

	route(http.MethodGet, itemPath+"/keyreeveCertificates", read, h.certificates)
	route(http.MethodPost, itemPath+"/keyreeveCertificates/{fingerprint}/revoke", read, h.revoke)
	h.mountAttached(route)
	h.mountRefusals(route)

	runner.Register(managedcluster.Type, managedcluster.Creating, arm.Worker{Do: h.bringUp, Succeeded: h.cameUp, Failed: h.failed})
	runner.Register(managedcluster.Type, managedcluster.Starting, arm.Worker{Do: h.bringUp, Succeeded: h.cameUp, Failed: h.failed})
	runner.Register(managedcluster.Type, managedcluster.Stopping, arm.Worker{Do: h.shutDown, Succeeded: h.cameUp, Failed: h.failed})
	runner.Register(managedcluster.Type, managedcluster.Updating, arm.Worker{Do: h.change, Succeeded: h.cameUp, Failed: h.failed})
	runner.Register(managedcluster.Type, managedcluster.Rotating, arm.Worker{Do: h.bringUp, Succeeded: h.cameUp, Failed: h.failed})
	runner.Register(managedcluster.Type, managedcluster.Deleting, arm.Worker{Do: h.takeDown, Succeeded: h.wentAway, Failed: h.failed})
}

// mountRefusals answers the operations of the real service that are not offered: with a plain no, and never as if done.
func (h *Handler) mountRefusals(route func(method, pattern, action string, handle arm.HandlerFunc)) {
	for _, op := range []string{
		"resetServicePrincipalProfile", "listClusterMonitoringUserCredential", "upgradeNodeImageVersion",
		"unpinManagedCluster",
	} {
		route(http.MethodPost, itemPath+"/"+op, managedcluster.Type+"/"+op+"/action", notOffered(op))
	}
	route(http.MethodPost, itemPath+"/runCommand", managedcluster.Type+"/runcommand/action",
		refused("runCommand", "no command is run in a cluster on a caller's behalf; use kubectl with the caller's own credential"))
	const windows = itemPath + "/maintenanceConfigurations"
	route(http.MethodGet, windows, managedcluster.Type+"/maintenanceConfigurations/read", none)
	route(http.MethodPut, windows+"/{configuration}", managedcluster.Type+"/maintenanceConfigurations/write",
		refused("maintenanceConfigurations", "nothing is upgraded by itself, so there is nothing to plan"))
	route(http.MethodDelete, windows+"/{configuration}", managedcluster.Type+"/maintenanceConfigurations/delete", func(w http.ResponseWriter, _ *arm.Request) error {
		w.WriteHeader(http.StatusNoContent)
		return nil
	})
}

func notOffered(op string) arm.HandlerFunc {
	return func(http.ResponseWriter, *arm.Request) error {
		return fault.New(fault.Invalid, "OperationNotSupported", "Operation '%s' is not offered by this service.", op)
	}
}

// key is the form in which operations name a cluster.
func key(c managedcluster.Cluster) string { return strings.ToLower(c.ResourceID()) }

// id returns the ARM id that a request's path names, in the group's own spelling.
func id(r *arm.Request, group string) string {
	c := managedcluster.Cluster{Subscription: r.Subscription.ID, Group: group, Name: r.Param("name")}
	return c.ResourceID()
}

// find reads the cluster that a request's path names.
func find(tx *store.Tx, r *arm.Request) (managedcluster.Cluster, error) {
	c, err := tx.ClusterByResource(id(r, r.Group.Name))
	if store.IsNotFound(err) {
		return c, arm.ResourceNotFound(managedcluster.Type, r.Param("name"), r.Param("group"))
	}
	return c, err
}

func (h *Handler) view(r *arm.Request) (c managedcluster.Cluster, err error) {
	err = h.DB.View(r.Context(), func(tx *store.Tx) error {
		c, err = find(tx, r)
		return err
	})
	return c, err
}

func (h *Handler) get(_ http.ResponseWriter, r *arm.Request) error {
	c, err := h.view(r)
	if err != nil {
		return err
	}
	return r.WriteJSON(http.StatusOK, c.Render(r.APIVersion))
}

// list answers with the clusters of a subscription, or of a group, that the caller may read.
func (h *Handler) list(grouped bool) arm.HandlerFunc {
	return func(_ http.ResponseWriter, r *arm.Request) error {
		all, err := r.Allowed(read, r.Scope)
		if err != nil {
			return err
		}
		if !all && !r.HoldsRole(r.Scope) {
			return r.NotAuthorized(read, r.Scope)
		}
		var clusters []managedcluster.Cluster
		err = h.DB.View(r.Context(), func(tx *store.Tx) error { // the world knows no bodies
			clusters, err = inScope(tx, r, grouped)
			return err
		})
		if err != nil {
			return err
		}
		value := []any{}
		for _, c := range clusters {
			// Who may read them all may still be denied one.
			ok, err := r.Allowed(read, c.ResourceID())
			if err != nil {
				return err
			}
			if ok {
				value = append(value, c.Render(r.APIVersion))
			}
		}
		return r.WriteJSON(http.StatusOK, map[string]any{"value": value})
	}
}

// inScope reads the clusters of a request's subscription, or of the group of its path. The routes check access themselves, so the
// request has no group.
func inScope(tx *store.Tx, r *arm.Request, grouped bool) ([]managedcluster.Cluster, error) {
	var group string
	if grouped {
		g, err := arm.ResourceGroup(tx, r.Subscription.ID, r.Param("group"))
		if err != nil {
			return nil, err
		}
		group = g.Name
	}
	list, err := tx.Clusters()
	return slices.DeleteFunc(list, func(c managedcluster.Cluster) bool {
		return c.Subscription != r.Subscription.ID || grouped && !strings.EqualFold(c.Group, group)
	}), err
}

// secrets opens a cluster's authorities and keys.
func (h *Handler) secrets(tx *store.Tx, id ident.ClusterID) (pki.Secrets, error) {
	sealed, err := tx.ClusterSecrets(id)
	if err != nil {
		return pki.Secrets{}, fault.Wrap(err, "keys of cluster %s", id)
	}
	plain, err := h.Sealer.Open(pki.SealName(id.String()), sealed)
	if err != nil {
		return pki.Secrets{}, fault.Wrap(err, "keys of cluster %s", id)
	}
	s, err := pki.ParseSecrets(plain)
	if err != nil {
		return pki.Secrets{}, fault.Wrap(err, "keys of cluster %s", id)
	}
	return s, nil
}

func (h *Handler) keepSecrets(tx *store.Tx, id ident.ClusterID, s pki.Secrets) error {
	plain, err := s.Marshal()
	if err != nil {
		return fault.Wrap(err, "keys of cluster %s", id)
	}
	return tx.PutClusterSecrets(id, h.Sealer.Seal(pki.SealName(id.String()), plain))
}

// StartAll hands every cluster on record to the driver, once, when the control plane starts. It waits for none of them,
// and goes on to the next when one cannot be handed over; the error tells of those.
func (h *Handler) StartAll(ctx context.Context) error {
	var all error
	for _, c := range h.World.Clusters() {
		if c.ProvisioningState == managedcluster.Deleting || c.IsAttached() || c.PowerState == managedcluster.Stopped {
			continue
		}
		if err := h.ensure(ctx, c.ID); err != nil {
			all = errors.Join(all, fmt.Errorf("start cluster %s: %w", c.ResourceID(), err))
		}
	}
	return all
}

// locks keep the workers of one cluster apart.
type locks struct {
	mu   sync.Mutex
	held map[ident.ClusterID]chan struct{}
}

// take waits for a cluster's lock, or for the context's end.
func (l *locks) take(ctx context.Context, id ident.ClusterID) (release func(), err error) {
	l.mu.Lock()
	if l.held == nil {
		l.held = map[ident.ClusterID]chan struct{}{}
	}
	lock, ok := l.held[id]
	if !ok {
		lock = make(chan struct{}, 1)
		l.held[id] = lock
	}
	l.mu.Unlock()
	select {
	case lock <- struct{}{}:
		return func() { <-lock }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}
