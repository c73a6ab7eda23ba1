package managedidentity

import (
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/keyreeve/keyreeve/internal/arm"
	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/proof"
	"github.com/keyreeve/keyreeve/internal/resource"
	"github.com/keyreeve/keyreeve/internal/store"
)

// secretPrefix lets secret scanners know what they found.
const secretPrefix = "krh_"

const (
	hostSet   = "/providers/Keyreeve.Identity/hosts"
	hostRead  = resource.HostType + "/read"
	hostWrite = resource.HostType + "/write"
)

func (h *Handler) mountHosts(route func(method, pattern, action string, handle arm.HandlerFunc)) {
	const item = group + hostSet + "/{name}"
	route(http.MethodPut, item, hostWrite, h.putHost)
	route(http.MethodPatch, item, hostWrite, h.patchHost)
	route(http.MethodGet, item, hostRead, h.getHost)
	route(http.MethodDelete, item, resource.HostType+"/delete", h.removeHost)
	route(http.MethodGet, "/subscriptions/{subscription}"+hostSet, arm.Self, h.listHosts(false))
	route(http.MethodGet, group+hostSet, arm.Self, h.listHosts(true))
	route(http.MethodPost, item+"/newSecret", resource.HostType+"/newSecret/action", h.newSecret)
}

func hostID(r *arm.Request, group string) string {
	return resource.Host{Subscription: r.Subscription.ID, Group: group, Name: r.Param("name")}.ID()
}

func findHost(tx *store.Tx, r *arm.Request) (resource.Host, error) {
	host, err := tx.Host(hostID(r, r.Group.Name))
	if store.IsNotFound(err) {
		return host, arm.ResourceNotFound(resource.HostType, r.Param("name"), r.Param("group"))
	}
	return host, err
}

// putHost makes a host, or gives it other identities and tags. What a body does not say of identities stays.
func (h *Handler) putHost(_ http.ResponseWriter, r *arm.Request) error {
	if err := resource.CheckIdentityName(r.Param("name")); err != nil {
		return err
	}
	in, err := readHost(r)
	if err != nil {
		return err
	}
	location, err := place(in.Location)
	if err != nil {
		return err
	}
	var out hostBody
	status := http.StatusOK
	_, err = h.DB.Update(r.Context(), func(tx *store.Tx) error {
		g, err := arm.ResourceGroupForWrite(tx, r.Subscription.ID, r.Param("group"))
		if err != nil {
			return err
		}
		host, err := tx.Host(hostID(r, g.Name))
		switch {
		case store.IsNotFound(err):
			status = http.StatusCreated
			host = resource.Host{
				Subscription: r.Subscription.ID, Tenant: r.Subscription.Tenant, Group: g.Name, Name: r.Param("name"), Location: location, CreatedAt: r.Now().UTC(),
			}
		case err != nil:
			return err
		case !strings.EqualFold(host.Location, location):
			return moved(host.Name, host.Location, host.Group, location)
		}
		host.Tags = maps.Clone(in.Tags)
		out, err = writeHost(tx, r, host, in.wants(nil))
		return err
	})
	if err != nil {
		return err
	}
	return r.WriteJSON(status, out)
}

// patchHost changes what a body says: tags, and identities, of which null takes one away.
func (h *Handler) patchHost(_ http.ResponseWriter, r *arm.Request) error {
	in, err := readHost(r)
	if err != nil {
		return err
	}
	var out hostBody
	_, err = h.DB.Update(r.Context(), func(tx *store.Tx) error {
		host, err := findHost(tx, r)
		if err != nil {
			return err
		}
		if in.hasTags {
			host.Tags = maps.Clone(in.Tags)
		}
		out, err = writeHost(tx, r, host, in.wants(&host))
		return err
	})
	if err != nil {
		return err
	}
	return r.WriteJSON(http.StatusOK, out)
}

// writeHost brings a host to the identities that are wanted. Each that it did not have must be there, and the caller must be
// allowed to give it away.
func writeHost(tx *store.Tx, r *arm.Request, host resource.Host, want *wanted) (hostBody, error) {
	if want != nil {
		if err := assign(tx, r, &host, want.users); err != nil {
			return hostBody{}, err
		}
		if err := ownIdentity(tx, r, &host, want.system); err != nil {
			return hostBody{}, err
		}
	}
	if err := tx.PutHost(host); err != nil {
		return hostBody{}, err
	}
	names := make([]string, 0, len(host.Assigned))
	for _, a := range host.Assigned {
		names = append(names, a.ID)
	}
	fields := map[string]string{"identities": strings.Join(names, ",")}
	if !host.Own.IsZero() {
		fields["principal"] = host.Own.Principal.String()
	}
	if err := r.Audit(tx, audit.HostWritten, host.ID(), fields); err != nil {
		return hostBody{}, err
	}
	return renderHost(tx, host)
}

func assign(tx *store.Tx, r *arm.Request, host *resource.Host, ids []string) error {
	next := make([]resource.AssignedIdentity, 0, len(ids))
	for _, id := range ids {
		before, had := host.AssignedTo(id)
		i, err := tx.Identity(id)
		if had && (store.IsNotFound(err) || err == nil && i.Principal == before.Principal) {
			next = append(next, before) // one that is gone gives nothing, and hinders nobody
			continue
		}
		if denied := mayAssign(r, id); denied != nil {
			return denied
		}
		if store.IsNotFound(err) || err == nil && i.Tenant != host.Tenant {
			return fault.New(fault.Invalid, "FailedIdentityOperation", "Identity operation for resource '%s' failed: '%s' was not found.", r.Scope, id).At("identity")
		}
		if err != nil {
			return err
		}
		next = append(next, resource.AssignedIdentity{ID: i.ID(), Principal: i.Principal})
	}
	slices.SortFunc(next, func(a, b resource.AssignedIdentity) int { return strings.Compare(a.ID, b.ID) })
	host.Assigned = slices.Compact(next)
	return nil
}

// ownIdentity makes the identity that is the host's own, or ends it.
func ownIdentity(tx *store.Tx, r *arm.Request, host *resource.Host, want bool) error {
	switch {
	case want == !host.Own.IsZero():
		return nil
	case !want:
		id := host.Own.Principal
		host.Own = resource.OwnIdentity{}
		return tx.DeleteManagedPrincipal(id)
	}
	host.Own = resource.OwnIdentity{Principal: ident.New[ident.ObjectID](), Client: ident.New[ident.ClientID]()}
	return tx.PutServicePrincipal(directory.ServicePrincipal{
		ID: host.Own.Principal, Tenant: host.Tenant, AppID: host.Own.Client, DisplayName: host.Name, Type: directory.TypeManagedIdentity,
		AccountEnabled: true, CreatedAt: r.Now().UTC(), AlternativeNames: resource.AlternativeNames(false, host.ID()),
	})
}

func mayAssign(r *arm.Request, id string) error {
	ok, err := r.Allowed(resource.AssignIdentity, id)
	if err != nil || ok {
		return err
	}
	return arm.GatewayError(fault.New(fault.Forbidden, "LinkedAuthorizationFailed",
		"The client '%s' with object id '%s' has permission to perform action '%s' on scope '%s'; however, it does not have permission to "+
			"perform action(s) '%s' on the linked scope(s) '%s' (respectively) or the linked scope(s) are invalid.",
		r.Caller.Name, r.Caller.Object, hostWrite, r.Scope, resource.AssignIdentity, id))
}

func (h *Handler) getHost(_ http.ResponseWriter, r *arm.Request) error {
	var out hostBody
	err := h.DB.View(r.Context(), func(tx *store.Tx) error {
		host, err := findHost(tx, r)
		if err != nil {
			return err
		}
		out, err = renderHost(tx, host)
		return err
	})
	if err != nil {
		return err
	}
	return r.WriteJSON(http.StatusOK, out)
}

// listHosts answers with the hosts of a subscription, or of a group, that the caller may read.
func (h *Handler) listHosts(grouped bool) arm.HandlerFunc {
	return readable(h, hostRead, func(tx *store.Tx, r *arm.Request) ([]hostBody, error) {
		g, err := groupIn(tx, r, grouped)
		if err != nil {
			return nil, err
		}
		list, err := hostsIn(tx, r.Subscription.ID, g)
		if err != nil {
			return nil, err
		}
		var out []hostBody
		for _, host := range list {
			b, err := renderHost(tx, host)
			if err != nil {
				return nil, err
			}
			out = append(out, b)
		}
		return out, nil
	}, func(b hostBody) string { return b.ID })
}

// hostsIn reads the hosts of a subscription, or of one of its groups.
func hostsIn(tx *store.Tx, sub ident.SubscriptionID, group string) ([]resource.Host, error) {
	list, err := tx.Hosts(sub)
	if err != nil || group == "" {
		return list, err
	}
	return slices.DeleteFunc(list, func(host resource.Host) bool { return !strings.EqualFold(host.Group, group) }), nil
}

func (h *Handler) removeHost(w http.ResponseWriter, r *arm.Request) error {
	status := http.StatusOK
	_, err := h.DB.Update(r.Context(), func(tx *store.Tx) error {
		host, err := tx.Host(hostID(r, r.Group.Name))
		if store.IsNotFound(err) {
			status = http.StatusNoContent
			return nil
		}
		if err != nil {
			return err
		}
		if err := forgetHost(tx, host); err != nil {
			return err
		}
		return r.Audit(tx, audit.HostDeleted, host.ID(), nil)
	})
	if err != nil {
		return err
	}
	w.WriteHeader(status)
	return nil
}

// forgetHost removes a host with its own identity, and what was said about access to it.
func forgetHost(tx *store.Tx, host resource.Host) error {
	if err := forgetScope(tx, host.ID()); err != nil {
		return err
	}
	if !host.Own.IsZero() {
		if err := tx.DeleteManagedPrincipal(host.Own.Principal); err != nil {
			return err
		}
	}
	return tx.DeleteHost(host.ID())
}

// newSecret makes a host's secret, which is shown this once. The one before ends.
func (h *Handler) newSecret(w http.ResponseWriter, r *arm.Request) error {
	secret := proof.NewToken(secretPrefix)
	_, err := h.DB.Update(r.Context(), func(tx *store.Tx) error {
		host, err := findHost(tx, r)
		if err != nil {
			return err
		}
		host.Secret, host.SecretAt = proof.HashToken(secret), r.Now().UTC()
		if err := tx.PutHost(host); err != nil {
			return err
		}
		return r.Audit(tx, audit.HostSecretMade, host.ID(), nil)
	})
	if err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "no-store")
	return r.WriteJSON(http.StatusOK, map[string]string{"identityEndpoint": h.EndpointURL, "identityHeader": secret})
}
