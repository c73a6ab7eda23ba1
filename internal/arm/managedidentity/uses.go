package managedidentity

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/keyreeve/keyreeve/internal/arm"
	"github.com/keyreeve/keyreeve/internal/audit"
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

// associated lists the resources that the identity is assigned to, of the whole tenant.
func (h *Handler) associated(_ http.ResponseWriter, r *arm.Request) error {
	value := []associated{}
	add := func(sub resource.Subscription, group, name, kind, id string) {
		value = append(value, associated{
			ID: id, Name: name, Type: kind, Group: group, Subscription: sub.ID.String(), SubscriptionName: sub.DisplayName,
		})
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
				if slices.Contains(host.Identities, i.ID()) {
					add(sub, host.Group, host.Name, strings.ToLower(resource.HostType), host.ID())
				}
			}
			for _, c := range clusters {
				if c.Subscription == sub.ID && c.Uses(i.ID()) {
					add(sub, c.Group, c.Name, strings.ToLower(managedcluster.Type), c.ResourceID())
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
	var out body
	err = h.DB.View(r.Context(), func(tx *store.Tx) error {
		if !strings.EqualFold(owner.Type(), managedcluster.Type) {
			return missing
		}
		c, err := tx.ClusterByResource(owner.String())
		if store.IsNotFound(err) || err == nil && (c.IsAttached() || !c.ControlPlane.System()) {
			return missing
		}
		out = body{
			ID: c.ResourceID() + "/providers/" + kind + "/default", Name: "default", Type: kind, Location: c.Location, Tags: map[string]string{},
			Properties: bodyProperties{Tenant: c.Tenant, Principal: c.ControlPlane.Object, Client: c.ControlPlane.Client},
		}
		return err
	})
	if err != nil {
		return err
	}
	return r.WriteJSON(http.StatusOK, out)
}

// The Contents of resource groups.

func generic(i resource.Identity) arm.GenericResource {
	created := i.CreatedAt
	return arm.GenericResource{
		ID: i.ID(), Name: i.Name, Type: resource.IdentityType, Location: i.Location, Tags: i.Tags, CreatedTime: &created, ProvisioningState: "Succeeded",
	}
}

// Resources lists the identities of a subscription, or of one of its groups.
func (h *Handler) Resources(tx *store.Tx, sub ident.SubscriptionID, group string) ([]arm.GenericResource, error) {
	list, err := tx.Identities(sub)
	if err != nil {
		return nil, err
	}
	var out []arm.GenericResource
	for _, i := range list {
		if group == "" || strings.EqualFold(i.Group, group) {
			out = append(out, generic(i))
		}
	}
	return out, nil
}

// byID reads the identity that an id names; known is false if it names something else.
func byID(tx *store.Tx, id ident.ResourceID) (i resource.Identity, known bool, err error) {
	if !strings.EqualFold(id.Type(), resource.IdentityType) {
		return i, false, nil
	}
	i, err = tx.Identity(id.String())
	return i, true, err
}

// Exists reports whether an identity is there.
func (h *Handler) Exists(tx *store.Tx, id ident.ResourceID) (exists, known bool, err error) {
	_, known, err = byID(tx, id)
	if store.IsNotFound(err) {
		return false, known, nil
	}
	return known && err == nil, known, err
}

// Tags returns an identity with its tags.
func (h *Handler) Tags(tx *store.Tx, id ident.ResourceID) (arm.GenericResource, bool, error) {
	i, known, err := byID(tx, id)
	if store.IsNotFound(err) || !known {
		return arm.GenericResource{}, false, nil
	}
	return generic(i), err == nil, err
}

// SetTags replaces an identity's tags.
func (h *Handler) SetTags(tx *store.Tx, _ *arm.Request, id ident.ResourceID, tags map[string]string) error {
	i, known, err := byID(tx, id)
	if err != nil || !known {
		return err
	}
	if err := checkTags(tags); err != nil {
		return err
	}
	i.Tags = tags
	return tx.PutIdentity(i)
}

// DeleteAll deletes every identity and host of a group.
func (h *Handler) DeleteAll(ctx context.Context, sub ident.SubscriptionID, group string) error {
	_, err := h.DB.Update(ctx, func(tx *store.Tx) error {
		hosts, err := tx.Hosts(sub)
		if err != nil {
			return err
		}
		for _, host := range hosts {
			if strings.EqualFold(host.Group, group) {
				if err := tx.DeleteHost(host.ID()); err != nil {
					return err
				}
			}
		}
		list, err := tx.Identities(sub)
		if err != nil {
			return err
		}
		for _, i := range list {
			if !strings.EqualFold(i.Group, group) {
				continue
			}
			if err := forget(tx, i); err != nil {
				return err
			}
			if err := tx.Audit(audit.Record{
				At: h.Now().UTC(), Event: audit.IdentityDeleted, Tenant: i.Tenant, ActorName: "deletion of the resource group", Target: i.ID(),
			}); err != nil {
				return err
			}
		}
		return nil
	})
	return err
}
