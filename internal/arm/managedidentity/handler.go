// Package managedidentity owns the ARM face of managed identities (Microsoft.ManagedIdentity): user-assigned ones and the
// federated credentials by which workloads elsewhere sign in as them, the look-up of those that belong to a resource, and
// the hosts outside clusters to which identities are assigned.
//
//	PUT identity ─► one transaction: the resource and its principal in the directory ─► 201
//	PUT federated credential ─► trust in (issuer, subject, audience), read by the token service
//
// Making and giving away identities is decided here; tokens are issued elsewhere, and clusters take their identities
// in their own room.
package managedidentity

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/keyreeve/keyreeve/internal/arm"
	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/resource"
	"github.com/keyreeve/keyreeve/internal/store"
)

// Handler serves the routes of this room.
type Handler struct {
	DB *store.DB
	// EndpointURL is where hosts ask for tokens.
	EndpointURL string
	Now         func() time.Time
}

const (
	group    = "/subscriptions/{subscription}/resourceGroups/{group}"
	itemPath = group + "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{name}"
	listPath = "/providers/Microsoft.ManagedIdentity/userAssignedIdentities"
	read     = resource.IdentityType + "/read"
	write    = resource.IdentityType + "/write"
	remove   = resource.IdentityType + "/delete"
)

// Mount registers the routes.
func (h *Handler) Mount(f *arm.Face) {
	route := func(method, pattern, action string, handle arm.HandlerFunc) {
		f.Handle(arm.Route{Method: method, Pattern: pattern, Action: action, Handle: handle})
	}
	route(http.MethodPut, itemPath, write, h.put)
	route(http.MethodPatch, itemPath, write, h.patch)
	route(http.MethodGet, itemPath, read, h.get)
	route(http.MethodDelete, itemPath, remove, h.remove)
	route(http.MethodGet, "/subscriptions/{subscription}"+listPath, arm.Self, h.list(false))
	route(http.MethodGet, group+listPath, arm.Self, h.list(true))
	route(http.MethodPost, itemPath+"/listAssociatedResources", resource.IdentityType+"/listAssociatedResources/action", h.associated)
	route(http.MethodPost, itemPath+"/revokeTokens", resource.IdentityType+"/revokeTokens/action", h.revokeTokens)
	route(http.MethodGet, "/{scope...}/providers/Microsoft.ManagedIdentity/identities/default", arm.Self, h.systemAssigned)
	h.mountFederated(route)
	h.mountHosts(route)
}

type body struct {
	ID         string            `json:"id"`
	Name       string            `json:"name"`
	Type       string            `json:"type"`
	Location   string            `json:"location"`
	Tags       map[string]string `json:"tags"`
	Properties bodyProperties    `json:"properties"`
}

type bodyProperties struct {
	Tenant    ident.TenantID `json:"tenantId"`
	Principal ident.ObjectID `json:"principalId"`
	Client    ident.ClientID `json:"clientId"`
}

func render(i resource.Identity) body {
	tags := i.Tags
	if tags == nil {
		tags = map[string]string{}
	}
	return body{
		ID: i.ID(), Name: i.Name, Type: resource.IdentityType, Location: i.Location, Tags: tags,
		Properties: bodyProperties{Tenant: i.Tenant, Principal: i.Principal, Client: i.Client},
	}
}

// idOf is the ARM id that a request's path names.
func idOf(r *arm.Request, group string) string {
	return resource.Identity{Subscription: r.Subscription.ID, Group: group, Name: r.Param("name")}.ID()
}

// find reads the identity that a request's path names.
func find(tx *store.Tx, r *arm.Request) (resource.Identity, error) {
	i, err := tx.Identity(idOf(r, r.Group.Name))
	if store.IsNotFound(err) {
		return i, arm.ResourceNotFound(resource.IdentityType, r.Param("name"), r.Param("group"))
	}
	return i, err
}

// sent is the body of a PUT or PATCH.
type sent struct {
	Location string            `json:"location"`
	Tags     map[string]string `json:"tags"`
	hasTags  bool
}

// readBody reads a body. Members that the service owns may come back and change nothing.
func readBody(r *arm.Request) (sent, error) {
	in, _, err := readMembers(r)
	return in, err
}

// readMembers also returns every member of the body.
func readMembers(r *arm.Request) (sent, map[string]json.RawMessage, error) {
	var members map[string]json.RawMessage
	if err := r.DecodeJSON(&members); err != nil {
		return sent{}, nil, err
	}
	var out sent
	for k, v := range members {
		var into any
		switch strings.ToLower(k) {
		case "location":
			into = &out.Location
		case "tags":
			into, out.hasTags = &out.Tags, true
		default:
			continue
		}
		if err := json.Unmarshal(v, into); err != nil {
			return sent{}, nil, fault.New(fault.Invalid, "InvalidRequestContent", "The request content was invalid: '%s' is of the wrong type.", k).At(k).Because(err)
		}
	}
	return out, members, checkTags(out.Tags)
}

func checkTags(tags map[string]string) error {
	if len(tags) > 50 {
		return fault.New(fault.Invalid, "InvalidTags", "A resource has at most 50 tags.").At("tags")
	}
	for k, v := range tags {
		if k == "" || len(k) > 512 || len(v) > 256 {
			return fault.New(fault.Invalid, "InvalidTags", "A tag's name has 1 to 512 characters, and its value at most 256.").At("tags")
		}
	}
	return nil
}

func (h *Handler) put(_ http.ResponseWriter, r *arm.Request) error {
	if err := resource.CheckIdentityName(r.Param("name")); err != nil {
		return err
	}
	in, err := readBody(r)
	if err != nil {
		return err
	}
	location, err := place(in.Location)
	if err != nil {
		return err
	}
	var i resource.Identity
	status := http.StatusOK
	_, err = h.DB.Update(r.Context(), func(tx *store.Tx) error {
		g, err := arm.ResourceGroupForWrite(tx, r.Subscription.ID, r.Param("group"))
		if err != nil {
			return err
		}
		i, err = tx.Identity(idOf(r, g.Name))
		switch {
		case store.IsNotFound(err):
			status = http.StatusCreated
			i = New(r.Subscription.ID, r.Subscription.Tenant, g.Name, r.Param("name"), location, r.Now())
		case err != nil:
			return err
		case !strings.EqualFold(i.Location, location):
			return moved(i.Name, i.Location, i.Group, location)
		}
		i.Tags = maps.Clone(in.Tags)
		if err := tx.PutIdentity(i); err != nil {
			return err
		}
		return audited(tx, r, audit.IdentityWritten, i)
	})
	if err != nil {
		return err
	}
	return r.WriteJSON(status, render(i))
}

// New is a user-assigned identity that is not there yet.
func New(sub ident.SubscriptionID, tenant ident.TenantID, group, name, location string, now time.Time) resource.Identity {
	return resource.Identity{
		Subscription: sub, Tenant: tenant, Group: group, Name: name, Location: location, CreatedAt: now.UTC(),
		Principal: ident.New[ident.ObjectID](), Client: ident.New[ident.ClientID](),
	}
}

// moved refuses a resource in another place than it is in.
func moved(name, location, group, to string) error {
	return fault.New(fault.Conflict, "InvalidResourceLocation",
		"The resource '%s' already exists in location '%s' in resource group '%s'. A resource with the same name cannot be created in location '%s'. "+
			"Please select a new resource name.", name, location, group, to)
}

// place returns a location's name.
func place(sent string) (string, error) {
	location := strings.ToLower(strings.ReplaceAll(sent, " ", ""))
	if location == "" {
		return "", arm.GatewayError(fault.New(fault.Invalid, "LocationRequired", "The location property is required for this definition."))
	}
	if _, ok := resource.FindLocation(location); !ok {
		return "", arm.GatewayError(fault.New(fault.Invalid, "LocationNotAvailableForResourceType",
			"The provided location '%s' is not available for resource type '%s'.", location, resource.IdentityType))
	}
	return location, nil
}

func audited(tx *store.Tx, r *arm.Request, event audit.Event, i resource.Identity) error {
	return r.Audit(tx, event, i.ID(), map[string]string{"principal": i.Principal.String(), "client": i.Client.String()})
}

// patch sets the tags, which is all of an identity that can be changed.
func (h *Handler) patch(_ http.ResponseWriter, r *arm.Request) error {
	in, err := readBody(r)
	if err != nil {
		return err
	}
	var i resource.Identity
	_, err = h.DB.Update(r.Context(), func(tx *store.Tx) error {
		if i, err = find(tx, r); err != nil {
			return err
		}
		if !in.hasTags {
			return nil
		}
		i.Tags = maps.Clone(in.Tags)
		if err := tx.PutIdentity(i); err != nil {
			return err
		}
		return audited(tx, r, audit.IdentityWritten, i)
	})
	if err != nil {
		return err
	}
	return r.WriteJSON(http.StatusOK, render(i))
}

func (h *Handler) get(_ http.ResponseWriter, r *arm.Request) error {
	var i resource.Identity
	err := h.DB.View(r.Context(), func(tx *store.Tx) (err error) {
		i, err = find(tx, r)
		return err
	})
	if err != nil {
		return err
	}
	return r.WriteJSON(http.StatusOK, render(i))
}

func (h *Handler) remove(w http.ResponseWriter, r *arm.Request) error {
	missing := false
	_, err := h.DB.Update(r.Context(), func(tx *store.Tx) error {
		i, err := tx.Identity(idOf(r, r.Group.Name))
		if store.IsNotFound(err) {
			missing = true
			return nil
		}
		if err != nil {
			return err
		}
		if err := forget(tx, i); err != nil {
			return err
		}
		return audited(tx, r, audit.IdentityDeleted, i)
	})
	if err != nil {
		return err
	}
	if missing {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

// forget removes an identity, and what was said about access to it.
func forget(tx *store.Tx, i resource.Identity) error {
	if err := forgetScope(tx, i.ID()); err != nil {
		return err
	}
	return tx.DeleteIdentity(i)
}

// forgetScope removes the role assignments and locks of a resource that goes.
func forgetScope(tx *store.Tx, scope string) error {
	if err := tx.DeleteAssignmentsBelow(scope); err != nil {
		return err
	}
	id, err := ident.ParseResourceID(scope)
	if err != nil {
		return fault.Wrap(err, "resource %s", scope)
	}
	return tx.DeleteLocksBelow(id.String())
}

// revokeTokens ends every token that was issued to the identity.
func (h *Handler) revokeTokens(w http.ResponseWriter, r *arm.Request) error {
	_, err := h.DB.Update(r.Context(), func(tx *store.Tx) error {
		i, err := find(tx, r)
		if err != nil {
			return err
		}
		p, err := tx.ServicePrincipal(i.Principal)
		if err != nil {
			return err
		}
		p.SessionsValidFrom = r.Now().UTC()
		if err := tx.PutServicePrincipal(p); err != nil {
			return err
		}
		return audited(tx, r, audit.SessionRevoked, i)
	})
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

// list answers with the identities of a subscription, or of a group, that the caller may read.
func (h *Handler) list(grouped bool) arm.HandlerFunc {
	return readable(h, read, func(tx *store.Tx, r *arm.Request) ([]body, error) {
		g, err := groupIn(tx, r, grouped)
		if err != nil {
			return nil, err
		}
		list, err := identitiesIn(tx, r.Subscription.ID, g)
		var out []body
		for _, i := range list {
			out = append(out, render(i))
		}
		return out, err
	}, func(b body) string { return b.ID })
}

// readable answers with those of a list of resources that the caller may read.
func readable[T any](h *Handler, action string, find func(*store.Tx, *arm.Request) ([]T, error), id func(T) string) arm.HandlerFunc {
	return func(_ http.ResponseWriter, r *arm.Request) error {
		all, err := r.Allowed(action, r.Scope)
		if err != nil {
			return err
		}
		if !all && !r.HoldsRole(r.Scope) {
			return r.NotAuthorized(action, r.Scope)
		}
		var list []T
		err = h.DB.View(r.Context(), func(tx *store.Tx) error {
			list, err = find(tx, r)
			return err
		})
		if err != nil {
			return err
		}
		value := []T{}
		for _, one := range list {
			ok, err := r.Allowed(action, id(one))
			if err != nil {
				return err
			}
			if ok {
				value = append(value, one)
			}
		}
		return r.WriteJSON(http.StatusOK, map[string]any{"value": value})
	}
}

// groupIn is the name of the resource group that a list is of; empty for the whole subscription.
func groupIn(tx *store.Tx, r *arm.Request, grouped bool) (string, error) {
	if !grouped {
		return "", nil
	}
	g, err := arm.ResourceGroup(tx, r.Subscription.ID, r.Param("group"))
	return g.Name, err
}

// identitiesIn reads the identities of a subscription, or of one of its groups.
func identitiesIn(tx *store.Tx, sub ident.SubscriptionID, group string) ([]resource.Identity, error) {
	list, err := tx.Identities(sub)
	if err != nil || group == "" {
		return list, err
	}
	return slices.DeleteFunc(list, func(i resource.Identity) bool { return !strings.EqualFold(i.Group, group) }), nil
}
