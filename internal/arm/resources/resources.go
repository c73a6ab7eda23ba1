// Package resources owns the part of Resource Manager that holds the rest: tenants, subscriptions, locations, resource
// providers, resource groups, and the list of all resources of a subscription.
//
// It knows of what lies in a group only through arm.Contents. It never decides what a resource type means.
package resources

import (
	"net/http"

	"github.com/keyreeve/keyreeve/internal/arm"
	"github.com/keyreeve/keyreeve/internal/store"
	"github.com/keyreeve/keyreeve/internal/world"
)

// Handler serves the routes of this room.
type Handler struct {
	DB    *store.DB
	World *world.World
	// Contents are the rooms that keep something in resource groups.
	Contents []arm.Contents
}

// The actions that callers need.
const (
	readGroup   = "Microsoft.Resources/subscriptions/resourceGroups/read"
	writeGroup  = "Microsoft.Resources/subscriptions/resourceGroups/write"
	deleteGroup = "Microsoft.Resources/subscriptions/resourceGroups/delete"
	readSub     = "Microsoft.Resources/subscriptions/read"
)

// Mount registers the routes.
func (h *Handler) Mount(f *arm.Face) {
	f.Supports = supports
	const (
		sub   = "/subscriptions/{subscription}"
		group = sub + "/resourceGroups/{group}"
		tags  = "/{scope...}/providers/Microsoft.Resources/tags/{name}"
	)
	for _, r := range []arm.Route{
		{Method: http.MethodGet, Pattern: "/tenants", Action: arm.Self, Handle: h.listTenants},
		{Method: http.MethodGet, Pattern: "/subscriptions", Action: arm.Self, Handle: h.listSubscriptions},
		{Method: http.MethodGet, Pattern: sub, Action: arm.Self, Handle: h.getSubscription},
		{Method: http.MethodGet, Pattern: sub + "/locations", Action: arm.Self, Handle: h.listLocations},
		{Method: http.MethodGet, Pattern: sub + "/resources", Action: arm.Self, Handle: h.listResources},
		{Method: http.MethodGet, Pattern: group + "/resources", Action: readGroup, Handle: h.listResources},

		{Method: http.MethodGet, Pattern: tags, Action: "Microsoft.Resources/tags/read", Handle: h.getTags},
		{Method: http.MethodPut, Pattern: tags, Action: "Microsoft.Resources/tags/write", Handle: h.putTags},
		{Method: http.MethodPatch, Pattern: tags, Action: "Microsoft.Resources/tags/write", Handle: h.patchTags},
		{Method: http.MethodDelete, Pattern: tags, Action: "Microsoft.Resources/tags/delete", Handle: h.deleteTags},
		{Method: http.MethodGet, Pattern: sub + "/tagNames", Action: arm.Self, Handle: h.listTagNames},
		{Method: http.MethodPut, Pattern: sub + "/tagNames/{name}", Action: "Microsoft.Resources/subscriptions/tagNames/write", Handle: refuseTagName},
		{Method: http.MethodDelete, Pattern: sub + "/tagNames/{name}", Action: "Microsoft.Resources/subscriptions/tagNames/delete", Handle: refuseTagName},

		{Method: http.MethodGet, Pattern: "/providers", Action: arm.Self, Handle: h.listTenantProviders},
		{Method: http.MethodGet, Pattern: sub + "/providers", Action: arm.Self, Handle: h.listProviders},
		{Method: http.MethodGet, Pattern: sub + "/providers/{namespace}", Action: arm.Self, Handle: h.getProvider},
		{Method: http.MethodPost, Pattern: sub + "/providers/{namespace}/register", Action: arm.Self, Handle: h.registerProvider},
		{Method: http.MethodPost, Pattern: sub + "/providers/{namespace}/unregister", Action: arm.Self, Handle: h.registerProvider},

		{Method: http.MethodGet, Pattern: sub + "/resourceGroups", Action: arm.Self, Handle: h.listGroups},
		{Method: http.MethodGet, Pattern: group, Action: readGroup, Handle: h.getGroup},
		{Method: http.MethodHead, Pattern: group, Action: readGroup, Handle: h.headGroup},
		{Method: http.MethodPut, Pattern: group, Action: writeGroup, Handle: h.putGroup},
		{Method: http.MethodPatch, Pattern: group, Action: writeGroup, Handle: h.patchGroup},
		{Method: http.MethodDelete, Pattern: group, Action: deleteGroup, Handle: h.deleteGroup},
	} {
		r.Errors = arm.FromGateway
		f.Handle(r)
	}
}

// RegisterWorkers registers the workers of this room's long-running operations.
func (h *Handler) RegisterWorkers(r *arm.Runner) {
	r.Register(arm.GroupType, verbDeleting, h.groupDeleter())
}

// list is the form of every list.
type list[T any] struct {
	Value    []T    `json:"value"`
	NextLink string `json:"nextLink,omitempty"`
}

// seesSubscription refuses callers who hold no role at the subscription, above it or below it: to them it does not show.
func seesSubscription(r *arm.Request) error {
	if scope := subscriptionScope(r); !r.HoldsRole(scope) {
		return r.NotAuthorized(readSub, scope)
	}
	return nil
}

func subscriptionScope(r *arm.Request) string { return "/subscriptions/" + r.SubscriptionID().String() }
