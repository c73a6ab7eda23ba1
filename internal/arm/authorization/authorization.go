// Package authorization owns Microsoft.Authorization: role and deny assignments, custom role definitions, and what a caller may do.
//
// Its paths hang below any scope; they are split at the last "/providers/Microsoft.Authorization/". It writes what
// rbac decides by, and never decides access itself.
package authorization

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/keyreeve/keyreeve/internal/arm"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/managedcluster"
	"github.com/keyreeve/keyreeve/internal/rbac"
	"github.com/keyreeve/keyreeve/internal/resource"
	"github.com/keyreeve/keyreeve/internal/store"
	"github.com/keyreeve/keyreeve/internal/world"
)

// Handler serves the routes of this room.
type Handler struct {
	DB    *store.DB
	World *world.World
	// Contents are the rooms that know whether a resource is there: roles are not assigned at what is not.
	Contents []arm.Contents
	// Own returns a cluster's own roles and bindings, nil when they are not known. Without it they never are.
	Own func(ident.ClusterID) *rbac.ClusterRBAC
}

const namespace = "/providers/Microsoft.Authorization/"

// The actions that callers need.
const (
	readAssignment   = "Microsoft.Authorization/roleAssignments/read"
	writeAssignment  = "Microsoft.Authorization/roleAssignments/write"
	deleteAssignment = "Microsoft.Authorization/roleAssignments/delete"
	readDefinition   = "Microsoft.Authorization/roleDefinitions/read"
	writeDefinition  = "Microsoft.Authorization/roleDefinitions/write"
	deleteDefinition = "Microsoft.Authorization/roleDefinitions/delete"
	readDeny         = "Microsoft.Authorization/denyAssignments/read"
	writeDeny        = "Microsoft.Authorization/denyAssignments/write"
	deleteDeny       = "Microsoft.Authorization/denyAssignments/delete"
)

// Mount registers the routes.
func (h *Handler) Mount(f *arm.Face) {
	const (
		assignments = "/{scope...}" + namespace + "roleAssignments"
		definitions = "/{scope...}" + namespace + "roleDefinitions"
		deny        = "/{scope...}" + namespace + "denyAssignments"
	)
	for _, r := range []arm.Route{
		{Method: http.MethodGet, Pattern: assignments, Action: readAssignment, Handle: h.listAssignments},
		{Method: http.MethodGet, Pattern: assignments + "/{name}", Action: readAssignment, Handle: h.getAssignment},
		{Method: http.MethodPut, Pattern: assignments + "/{name}", Action: writeAssignment, Conditional: true, Handle: h.putAssignment},
		{Method: http.MethodDelete, Pattern: assignments + "/{name}", Action: deleteAssignment, Conditional: true, Handle: h.deleteAssignment},
		// Role definitions at the root are the catalogue of built-in roles, which everybody may read.
		{Method: http.MethodGet, Pattern: namespace + "roleDefinitions", Action: arm.Self, Handle: h.listDefinitions},
		{Method: http.MethodGet, Pattern: namespace + "roleDefinitions/{name}", Action: arm.Self, Handle: h.getDefinition},
		{Method: http.MethodPut, Pattern: namespace + "roleDefinitions/{name}", Action: writeDefinition, Handle: h.putDefinition},
		{Method: http.MethodDelete, Pattern: namespace + "roleDefinitions/{name}", Action: deleteDefinition, Handle: h.deleteDefinition},
		{Method: http.MethodGet, Pattern: definitions, Action: readDefinition, Handle: h.listDefinitions},
		{Method: http.MethodGet, Pattern: definitions + "/{name}", Action: readDefinition, Handle: h.getDefinition},
		{Method: http.MethodPut, Pattern: definitions + "/{name}", Action: writeDefinition, Handle: h.putDefinition},
		{Method: http.MethodDelete, Pattern: definitions + "/{name}", Action: deleteDefinition, Handle: h.deleteDefinition},
		{Method: http.MethodGet, Pattern: "/{scope...}" + namespace + "permissions", Action: arm.Self, Handle: h.listPermissions},
		{Method: http.MethodPost, Pattern: namespace + "elevateAccess", Action: arm.Self, Handle: h.elevateAccess},
		{Method: http.MethodGet, Pattern: deny, Action: readDeny, Handle: h.listDeny},
		{Method: http.MethodGet, Pattern: deny + "/{name}", Action: readDeny, Handle: h.getDeny},
		{Method: http.MethodPut, Pattern: deny + "/{name}", Action: writeDeny, Handle: h.putDeny},
		{Method: http.MethodDelete, Pattern: deny + "/{name}", Action: deleteDeny, Handle: h.deleteDeny},
	} {
		f.Handle(r)
	}
	h.mountAccess(f)
}

type list[T any] struct {
	Value []T `json:"value"`
}

// scopeOf returns the scope that a request's path hangs below, as it was sent, when it is one that roles can be assigned at:
// the root, a management group, a subscription, a resource group, or a resource with what is below it.
func scopeOf(r *arm.Request) (string, error) {
	scope := r.Prefix()
	if !validScope(scope) {
		return "", fault.New(fault.Invalid, "InvalidScope", "The scope '%s' is not valid.", scope)
	}
	return scope, nil
}

// validScope reports whether s is "/" or an id of a form that names a management group, a subscription, a resource group or a
// resource. What is named as a namespace of a cluster must be one that Kubernetes can have: else a letter that only looks like
// another could name a namespace.
func validScope(s string) bool {
	if s == "/" {
		return true
	}
	if _, ok := resource.ParseManagementGroupID(s); ok {
		return true
	}
	p := strings.Split(s, "/")
	if len(p) < 3 || p[0] != "" || !strings.EqualFold(p[1], "subscriptions") || !ident.IsGUID(p[2]) {
		return false
	}
	if !validNamespace(p) {
		return false
	}
	rest := p[3:]
	if len(rest) >= 2 && strings.EqualFold(rest[0], "resourceGroups") && rest[1] != "" {
		rest = rest[2:]
	}
	for len(rest) > 0 {
		// providers/{namespace}/{type}/{name}, then pairs, perhaps with a provider's extension below.
		if len(rest) < 4 || !strings.EqualFold(rest[0], "providers") {
			return false
		}
		if slices.Contains(rest[:4], "") {
			return false
		}
		rest = rest[4:]
		for len(rest) >= 2 && !strings.EqualFold(rest[0], "providers") {
			if rest[0] == "" || rest[1] == "" {
				return false
			}
			rest = rest[2:]
		}
	}
	return true
}

// validNamespace reports whether the segments of an id name no namespace of a managed cluster, or one that can be.
func validNamespace(p []string) bool {
	const at = 9 // "", subscriptions, s, resourceGroups, g, providers, Microsoft.ContainerService, managedClusters, name, namespaces
	if len(p) < at+2 || !strings.EqualFold(p[6]+"/"+p[7], managedcluster.Type) || !strings.EqualFold(p[at], "namespaces") {
		return true
	}
	_, ok := rbac.KubeScope("/", rbac.KubeRequest{Namespace: lowerASCII(p[at+1])})
	return ok && p[at+1] != ""
}

// there returns ResourceNotFound when the scope is, or is below, a resource that its room knows not to be there. Below a
// resource everything counts as there: the namespaces of a cluster have no resource behind them.
func (h *Handler) there(tx *store.Tx, tenant ident.TenantID, scope string) error {
	if name, ok := resource.ParseManagementGroupID(scope); ok {
		_, err := tx.ManagementGroup(tenant, name)
		if store.IsNotFound(err) {
			return fault.New(fault.NotFound, "NotFound", "'%s' not found", scope)
		}
		return err
	}
	p := strings.Split(scope, "/")
	const length = 9 // "", subscriptions, s, resourceGroups, g, providers, ns, type, name
	if len(p) < length {
		return nil
	}
	id, err := ident.ParseResourceID(strings.Join(p[:length], "/"))
	if err != nil {
		return nil //nolint:nilerr // not a resource in a group: nobody's to know
	}
	for _, c := range h.Contents {
		exists, known, err := c.Exists(tx, id)
		if err != nil {
			return err
		}
		if known && !exists {
			return arm.ResourceNotFound(id.Type(), id.Name(), id.Group)
		}
	}
	return nil
}

// objectID is the id of an object of this room at a scope.
func objectID(scope, collection, name string) string {
	return strings.TrimSuffix(scope, "/") + namespace + collection + "/" + name
}

// definitionID is the one spelling of a role definition's id: with the subscription's prefix, whatever the scope.
func definitionID(sub ident.SubscriptionID, role ident.RoleDefinitionID) string {
	if sub.IsZero() {
		return objectID("/", "roleDefinitions", role.String())
	}
	return objectID("/subscriptions/"+sub.String(), "roleDefinitions", role.String())
}

// stamp writes a time as this service does, always with seven digits; the zero time is null.
func stamp(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	s := t.UTC().Format("2006-01-02T15:04:05.0000000Z")
	return &s
}

// orNull is null for an empty text.
func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
