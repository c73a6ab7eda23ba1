// Package world owns the in-memory view that hot paths read: principals, memberships closed over nesting, roles and
// assignments by holder, clusters and their certificates, sessions that ended.
//
// It is built from a snapshot and kept by the change feed, one change at a time and in order. It reads nothing else:
// no database, no network, no clock.
package world

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/feed"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/keyring"
	"github.com/keyreeve/keyreeve/internal/managedcluster"
	"github.com/keyreeve/keyreeve/internal/pki"
	"github.com/keyreeve/keyreeve/internal/rbac"
	"github.com/keyreeve/keyreeve/internal/resource"
	"github.com/keyreeve/keyreeve/internal/session"
)

// PrincipalKind says what a principal is.
type PrincipalKind uint8

// The kinds of principal.
const (
	User PrincipalKind = iota + 1
	ServicePrincipal
)

// Principal is what decisions need to know of a user or a service principal.
type Principal struct {
	ID      ident.ObjectID
	Kind    PrincipalKind
	Enabled bool
	Tenant  ident.TenantID
	// Name is the user principal name; of a service principal, its object id.
	Name        string
	DisplayName string
	AppID       ident.ClientID // of a service principal
	// ValidFrom ends what was issued before it.
	ValidFrom time.Time
}

// World is the view. Its methods are safe for concurrent use; what they return must not be changed.
type World struct {
	mu sync.RWMutex
	// loaded is set by the first change, the snapshot; the snapshot of an empty store is at revision 0 too.
	loaded   bool
	revision feed.Revision
	// loading is true while parts of a snapshot, which is at the revision part, are still to come.
	loading bool
	part    feed.Revision
	at      time.Time
	// broken is set when a change could not be applied: the world then no longer knows, and says so.
	broken error

	tenants       map[ident.TenantID]directory.Tenant
	domains       map[string]ident.TenantID
	upns          table // the numbers of users by tenant and name
	apps          map[appKey]ident.ObjectID
	applications  map[ident.ObjectID]directory.Application
	appsByID      map[ident.ClientID]ident.ObjectID
	appURIs       map[nameKey]ident.ObjectID
	groups        map[ident.ObjectID]directory.Group
	nodes         nodes // principals, memberships, and assignments by holder
	roles         map[ident.DirectoryRoleID]map[ident.ObjectID]struct{}
	consents      byHolder[directory.PermissionGrant]   // by client
	appRoles      byHolder[directory.AppRoleAssignment] // by principal
	subscriptions map[ident.SubscriptionID]resource.Subscription
	management    map[nameKey]resource.ManagementGroup // by lower-case name
	above         map[ident.SubscriptionID]ladder
	homes         map[ident.TenantID]uint32 // numbers tenants, from 1
	definitions   map[ident.RoleDefinitionID]*rbac.Role
	assignments   map[ident.RoleAssignmentID]*rbac.Grant // also those whose role is not defined, which grant nothing
	denials       map[ident.TenantID]*rbac.Denials
	denialOf      map[ident.DenyAssignmentID]ident.TenantID
	// custom are the assignments of roles that may change.
	custom       map[ident.RoleDefinitionID]map[ident.RoleAssignmentID]struct{}
	places       map[ident.ClusterID]*rbac.Place
	clusters     map[ident.ClusterID]managedcluster.Cluster
	clusterKeys  map[string]ident.ClusterID
	certificates map[string]pki.Issued
	sessions     map[ident.SessionID]session.Session
	keys         map[string]keyring.Public

	groupIDs []ident.ObjectID // room for the groups of one member
}

type nameKey struct {
	tenant ident.TenantID
	name   string
}

type appKey struct {
	tenant ident.TenantID
	app    ident.ClientID
}

// New returns an empty world at revision 0. It knows the built-in roles.
func New() (*World, error) {
	w := &World{
		tenants:       map[ident.TenantID]directory.Tenant{},
		domains:       map[string]ident.TenantID{},
		apps:          map[appKey]ident.ObjectID{},
		applications:  map[ident.ObjectID]directory.Application{},
		appsByID:      map[ident.ClientID]ident.ObjectID{},
		appURIs:       map[nameKey]ident.ObjectID{},
		groups:        map[ident.ObjectID]directory.Group{},
		nodes:         newNodes(),
		roles:         map[ident.DirectoryRoleID]map[ident.ObjectID]struct{}{},
		consents:      newByHolder(func(g directory.PermissionGrant) ident.ObjectID { return g.Client }),
		appRoles:      newByHolder(func(a directory.AppRoleAssignment) ident.ObjectID { return a.Principal }),
		subscriptions: map[ident.SubscriptionID]resource.Subscription{},
		management:    map[nameKey]resource.ManagementGroup{},
		above:         map[ident.SubscriptionID]ladder{},
		homes:         map[ident.TenantID]uint32{},
		definitions:   map[ident.RoleDefinitionID]*rbac.Role{},
		assignments:   map[ident.RoleAssignmentID]*rbac.Grant{},
		denials:       map[ident.TenantID]*rbac.Denials{},
		denialOf:      map[ident.DenyAssignmentID]ident.TenantID{},
		custom:        map[ident.RoleDefinitionID]map[ident.RoleAssignmentID]struct{}{},
		places:        map[ident.ClusterID]*rbac.Place{},
		clusters:      map[ident.ClusterID]managedcluster.Cluster{},
		clusterKeys:   map[string]ident.ClusterID{},
		certificates:  map[string]pki.Issued{},
		sessions:      map[ident.SessionID]session.Session{},
		keys:          map[string]keyring.Public{},
	}
	builtins, err := rbac.BuiltinRoles()
	if err != nil {
		return nil, fmt.Errorf("world: %w", err)
	}
	for _, d := range builtins {
		r, err := rbac.Compile(d)
		if err != nil {
			return nil, fmt.Errorf("world: built-in role %q: %w", d.Name, err)
		}
		w.definitions[d.ID] = r
	}
	return w, nil
}

// Status returns the revision the world is at, when that commit was made, and why the world no longer knows, if so.
func (w *World) Status() (feed.Revision, time.Time, error) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.revision, w.at, w.broken
}

// Tenant returns a tenant.
func (w *World) Tenant(id ident.TenantID) (directory.Tenant, bool) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	t, ok := w.tenants[id]
	return t, ok
}

// TenantByDomain returns the tenant with a verified domain.
func (w *World) TenantByDomain(domain string) (directory.Tenant, bool) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	t, ok := w.tenants[w.domains[directory.Fold(domain)]]
	return t, ok
}

// Tenants returns every tenant, ordered by id.
func (w *World) Tenants() []directory.Tenant {
	w.mu.RLock()
	defer w.mu.RUnlock()
	out := make([]directory.Tenant, 0, len(w.tenants))
	for _, t := range w.tenants {
		out = append(out, t)
	}
	slices.SortFunc(out, func(a, b directory.Tenant) int { return slices.Compare(a.ID[:], b.ID[:]) })
	return out
}

// Principal returns a user or service principal by object id.
func (w *World) Principal(id ident.ObjectID) (Principal, bool) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	if p := w.who(&id); p != nil {
		return *p, true
	}
	return Principal{}, false
}

// UserByUPN returns a user of a tenant by user principal name, without case.
func (w *World) UserByUPN(tenant ident.TenantID, upn string) (Principal, bool) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	if p := w.byUPN(tenant, directory.Fold(upn)); p != nil {
		return *p, true
	}
	return Principal{}, false
}

// ServicePrincipalOf returns an application's service principal in a tenant.
func (w *World) ServicePrincipalOf(tenant ident.TenantID, app ident.ClientID) (Principal, bool) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	if id, ok := w.apps[appKey{tenant, app}]; ok {
		if p := w.who(&id); p != nil {
			return *p, true
		}
	}
	return Principal{}, false
}

// Application returns a registered application by its appId. First-party applications are not in the world.
func (w *World) Application(id ident.ClientID) (directory.Application, bool) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	a, ok := w.applications[w.appsByID[id]]
	return a, ok
}

// ApplicationByURI returns an application of a tenant by one of its identifier URIs, without case.
func (w *World) ApplicationByURI(tenant ident.TenantID, uri string) (directory.Application, bool) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	a, ok := w.applications[w.appURIs[nameKey{tenant, directory.Fold(uri)}]]
	return a, ok
}

// Group returns a group.
func (w *World) Group(id ident.ObjectID) (directory.Group, bool) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	g, ok := w.groups[id]
	return g, ok
}

// DirectoryRoles returns the template ids of the directory roles a principal holds.
func (w *World) DirectoryRoles(principal ident.ObjectID) []ident.DirectoryRoleID {
	w.mu.RLock()
	defer w.mu.RUnlock()
	var out []ident.DirectoryRoleID
	for r, holders := range w.roles {
		if _, ok := holders[principal]; ok {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b ident.DirectoryRoleID) int { return slices.Compare(a[:], b[:]) })
	return out
}

// GroupsOf returns every group a principal or group is in, directly or by nesting, without itself, sorted. There is
// no limit to their number; cycles are harmless.
func (w *World) GroupsOf(id ident.ObjectID) []ident.ObjectID {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.nodes.groupsOf(id)
}

// IsMember reports whether a principal or group is in a group, directly or by nesting.
func (w *World) IsMember(id, group ident.ObjectID) bool {
	_, ok := slices.BinarySearchFunc(w.GroupsOf(id), group, compareIDs)
	return ok
}

// GrantsOf returns the role assignments held by exactly this principal or group, in the order of their ids. An
// assignment of a role that is not defined grants nothing and is not among them.
func (w *World) GrantsOf(id ident.ObjectID) []*rbac.Grant {
	w.mu.RLock()
	defer w.mu.RUnlock()
	if n := w.nodes.find(&id); n != nil {
		return n.grants.List()
	}
	return nil
}

// RoleDefinition returns a role, built-in or custom.
func (w *World) RoleDefinition(id ident.RoleDefinitionID) (*rbac.Role, bool) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	r, ok := w.definitions[id]
	return r, ok
}

// RoleDefinitions returns the built-in roles and the custom roles of a tenant, ordered by name.
func (w *World) RoleDefinitions(tenant ident.TenantID) []rbac.RoleDefinition {
	w.mu.RLock()
	defer w.mu.RUnlock()
	var out []rbac.RoleDefinition
	for _, r := range w.definitions {
		if r.Definition.Type == rbac.BuiltInRole || r.Definition.Tenant == tenant {
			out = append(out, r.Definition)
		}
	}
	slices.SortFunc(out, func(a, b rbac.RoleDefinition) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), slices.Compare(a.ID[:], b.ID[:]))
	})
	return out
}

// Subscription returns a subscription.
func (w *World) Subscription(id ident.SubscriptionID) (resource.Subscription, bool) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	s, ok := w.subscriptions[id]
	return s, ok
}

// Cluster returns a managed cluster by its own id.
func (w *World) Cluster(id ident.ClusterID) (managedcluster.Cluster, bool) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	c, ok := w.clusters[id]
	return c, ok
}

// ClusterByResource returns a managed cluster by its ARM id, without case.
func (w *World) ClusterByResource(id string) (managedcluster.Cluster, bool) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	c, ok := w.clusters[w.clusterKeys[strings.ToLower(id)]]
	return c, ok
}

// Clusters returns every managed cluster, ordered by resource id.
func (w *World) Clusters() []managedcluster.Cluster {
	w.mu.RLock()
	defer w.mu.RUnlock()
	out := make([]managedcluster.Cluster, 0, len(w.clusters))
	for _, c := range w.clusters {
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b managedcluster.Cluster) int {
		return strings.Compare(strings.ToLower(a.ResourceID()), strings.ToLower(b.ResourceID()))
	})
	return out
}

// Certificate returns the record of an issued client certificate by its lower-case hex SHA-256.
func (w *World) Certificate(fingerprint string) (pki.Issued, bool) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	c, ok := w.certificates[fingerprint]
	return c, ok
}

// Session returns a sign-in session. One that is not known has ended.
func (w *World) Session(id ident.SessionID) (session.Session, bool) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	s, ok := w.sessions[id]
	return s, ok
}

// SigningKey returns a published signing key by its id.
func (w *World) SigningKey(kid string) (keyring.Public, bool) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	k, ok := w.keys[kid]
	return k, ok
}

// SigningKeys returns the published signing keys, ordered by id.
func (w *World) SigningKeys() []keyring.Public {
	w.mu.RLock()
	defer w.mu.RUnlock()
	out := make([]keyring.Public, 0, len(w.keys))
	for _, k := range w.keys {
		out = append(out, k)
	}
	slices.SortFunc(out, func(a, b keyring.Public) int { return strings.Compare(a.KID, b.KID) })
	return out
}

func compareIDs(a, b ident.ObjectID) int { return slices.Compare(a[:], b[:]) }
