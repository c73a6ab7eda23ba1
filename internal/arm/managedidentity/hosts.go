package managedidentity

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/keyreeve/keyreeve/internal/arm"
	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/proof"
	"github.com/keyreeve/keyreeve/internal/resource"
	"github.com/keyreeve/keyreeve/internal/store"
)

// secretPrefix lets secret scanners know what they found.
const secretPrefix = "krh_"

func (h *Handler) mountHosts(route func(method, pattern, action string, handle arm.HandlerFunc)) {
	const item = group + "/providers/Keyreeve.Identity/hosts/{name}"
	route(http.MethodPut, item, resource.HostType+"/write", h.putHost)
	route(http.MethodGet, item, resource.HostType+"/read", h.getHost)
	route(http.MethodDelete, item, resource.HostType+"/delete", h.removeHost)
	route(http.MethodPost, item+"/newSecret", resource.HostType+"/newSecret/action", h.newSecret)
}

type hostBody struct {
	ID       string       `json:"id,omitempty"`
	Name     string       `json:"name,omitempty"`
	Type     string       `json:"type,omitempty"`
	Location string       `json:"location"`
	Identity hostIdentity `json:"identity"`
}

type hostIdentity struct {
	Type  string                     `json:"type"`
	Users map[string]json.RawMessage `json:"userAssignedIdentities"`
}

func renderHost(h resource.Host) hostBody {
	users := map[string]json.RawMessage{}
	for _, id := range h.Identities {
		users[id] = json.RawMessage(`{}`)
	}
	return hostBody{ID: h.ID(), Name: h.Name, Type: resource.HostType, Location: h.Location, Identity: hostIdentity{Type: "UserAssigned", Users: users}}
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

// putHost makes a host, or gives it other identities: each must be there, and the caller must be allowed to give it away.
func (h *Handler) putHost(_ http.ResponseWriter, r *arm.Request) error {
	if err := resource.CheckIdentityName(r.Param("name")); err != nil {
		return err
	}
	var in hostBody
	if err := r.DecodeJSON(&in); err != nil {
		return err
	}
	location, err := place(in.Location)
	if err != nil {
		return err
	}
	if !strings.EqualFold(in.Identity.Type, "UserAssigned") || len(in.Identity.Users) == 0 {
		return fault.New(fault.Invalid, "InvalidParameter", "identity.type must be UserAssigned, with at least one identity.").At("identity")
	}
	var host resource.Host
	status := http.StatusOK
	_, err = h.DB.Update(r.Context(), func(tx *store.Tx) error {
		g, err := arm.ResourceGroupForWrite(tx, r.Subscription.ID, r.Param("group"))
		if err != nil {
			return err
		}
		host, err = tx.Host(hostID(r, g.Name))
		if store.IsNotFound(err) {
			status = http.StatusCreated
			host = resource.Host{
				Subscription: r.Subscription.ID, Tenant: r.Subscription.Tenant, Group: g.Name, Name: r.Param("name"), Location: location, CreatedAt: r.Now().UTC(),
			}
		} else if err != nil {
			return err
		}
		before := host.Identities
		host.Identities = nil
		for id := range in.Identity.Users {
			i, err := tx.Identity(id)
			if !slices.ContainsFunc(before, func(b string) bool { return strings.EqualFold(b, id) }) {
				if err := mayAssign(r, id); err != nil {
					return err
				}
			}
			if store.IsNotFound(err) || err == nil && i.Tenant != host.Tenant {
				return fault.New(fault.Invalid, "FailedIdentityOperation", "Identity operation for resource '%s' failed: '%s' was not found.", r.Scope, id).At("identity")
			}
			if err != nil {
				return err
			}
			host.Identities = append(host.Identities, i.ID())
		}
		slices.Sort(host.Identities)
		host.Identities = slices.Compact(host.Identities)
		if err := tx.PutHost(host); err != nil {
			return err
		}
		return r.Audit(tx, audit.HostWritten, host.ID(), map[string]string{"identities": strings.Join(host.Identities, ",")})
	})
	if err != nil {
		return err
	}
	return r.WriteJSON(status, renderHost(host))
}

func mayAssign(r *arm.Request, id string) error {
	ok, err := r.Allowed(resource.AssignIdentity, id)
	if err != nil || ok {
		return err
	}
	return arm.GatewayError(fault.New(fault.Forbidden, "LinkedAuthorizationFailed",
		"The client '%s' with object id '%s' has permission to perform action '%s' on scope '%s'; however, it does not have permission to "+
			"perform action(s) '%s' on the linked scope(s) '%s' (respectively) or the linked scope(s) are invalid.",
		r.Caller.Name, r.Caller.Object, resource.HostType+"/write", r.Scope, resource.AssignIdentity, id))
}

func (h *Handler) getHost(_ http.ResponseWriter, r *arm.Request) error {
	var host resource.Host
	err := h.DB.View(r.Context(), func(tx *store.Tx) (err error) {
		host, err = findHost(tx, r)
		return err
	})
	if err != nil {
		return err
	}
	return r.WriteJSON(http.StatusOK, renderHost(host))
}

func (h *Handler) removeHost(w http.ResponseWriter, r *arm.Request) error {
	status := http.StatusOK
	_, err := h.DB.Update(r.Context(), func(tx *store.Tx) error {
		id := hostID(r, r.Group.Name)
		err := tx.DeleteHost(id)
		if store.IsNotFound(err) {
			status = http.StatusNoContent
			return nil
		}
		if err != nil {
			return err
		}
		return r.Audit(tx, audit.HostDeleted, id, nil)
	})
	if err != nil {
		return err
	}
	w.WriteHeader(status)
	return nil
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
