package managedidentity

import (
	"net/http"
	"strings"

	"github.com/keyreeve/keyreeve/internal/arm"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/managedcluster"
	"github.com/keyreeve/keyreeve/internal/resource"
	"github.com/keyreeve/keyreeve/internal/store"
)

type associated struct {
	ID               string `json:"id"`
	Name             string `json:"name"`
	Type             string `json:"type"`
	Group            string `json:"resourceGroup"`
	Subscription     string `json:"subscriptionId"`
	SubscriptionName string `json:"subscriptionDisplayName"`
}

// associated lists the resources that the identity is assigned to, of the whole tenant: those that the caller may read.
func (h *Handler) associated(_ http.ResponseWriter, r *arm.Request) error {
	value := []associated{}
	add := func(sub resource.Subscription, group, name, kind, id string) error {
		ok, err := r.Allowed(kind+"/read", id)
		if err != nil || !ok {
			return err
		}
		value = append(value, associated{
			ID: id, Name: name, Type: kind, Group: group, Subscription: sub.ID.String(), SubscriptionName: sub.DisplayName,
		})
		return nil
	}
	err := h.DB.View(r.Context(), func(tx *store.Tx) error {
		i, err := find(tx, r)
		if err != nil {
			return err
		}
		subs, err := tx.Subscriptions(i.Tenant)
		if err != nil {
			return err
		}
		clusters, err := tx.Clusters()
		if err != nil {
			return err
		}
		for _, sub := range subs {
			hosts, err := tx.Hosts(sub.ID)
			if err != nil {
				return err
			}
			for _, host := range hosts {
				if a, ok := host.AssignedTo(i.ID()); ok && a.Principal == i.Principal {
					if err := add(sub, host.Group, host.Name, strings.ToLower(resource.HostType), host.ID()); err != nil {
						return err
					}
				}
			}
			for _, c := range clusters {
				if c.Subscription == sub.ID && c.Uses(i.ID()) {
					if err := add(sub, c.Group, c.Name, strings.ToLower(managedcluster.Type), c.ResourceID()); err != nil {
						return err
					}
				}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return r.WriteJSON(http.StatusOK, map[string]any{"totalCount": len(value), "value": value})
}

// systemAssigned shows the identity that belongs to the resource of the path, to those who may read the resource.
func (h *Handler) systemAssigned(_ http.ResponseWriter, r *arm.Request) error {
	const kind = "Microsoft.ManagedIdentity/identities"
	owner, err := ident.ParseResourceID(r.Prefix())
	if err != nil {
		return arm.ResourceNotFound(kind, "default", "")
	}
	if err := r.Require(owner.Type()+"/read", r.Prefix()); err != nil {
		return err
	}
	missing := arm.ResourceNotFound(kind, "default", owner.Group)
	out := body{Name: "default", Type: kind, Tags: map[string]string{}}
	err = h.DB.View(r.Context(), func(tx *store.Tx) error {
		var own resource.OwnIdentity
		switch {
		case strings.EqualFold(owner.Type(), managedcluster.Type):
			c, err := tx.ClusterByResource(owner.String())
			if err != nil {
				return err
			}
			if !c.IsAttached() && c.ControlPlane.System() {
				own = resource.OwnIdentity{Principal: c.ControlPlane.Object, Client: c.ControlPlane.Client}
			}
			out.ID, out.Location, out.Properties.Tenant = c.ResourceID(), c.Location, c.Tenant
		case strings.EqualFold(owner.Type(), resource.HostType):
			host, err := tx.Host(owner.String())
			if err != nil {
				return err
			}
			own = host.Own
			out.ID, out.Location, out.Properties.Tenant = host.ID(), host.Location, host.Tenant
		}
		if own.IsZero() {
			return missing
		}
		out.ID += "/providers/" + kind + "/default"
		out.Properties.Principal, out.Properties.Client = own.Principal, own.Client
		return nil
	})
	if store.IsNotFound(err) {
		return missing
	}
	if err != nil {
		return err
	}
	return r.WriteJSON(http.StatusOK, out)
}
