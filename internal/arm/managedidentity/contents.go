package managedidentity

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/keyreeve/keyreeve/internal/arm"
	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/resource"
	"github.com/keyreeve/keyreeve/internal/store"
)

// The Contents of resource groups: identities and hosts.

func genericIdentity(i resource.Identity) arm.GenericResource {
	created := i.CreatedAt
	return arm.GenericResource{
		ID: i.ID(), Name: i.Name, Type: resource.IdentityType, Location: i.Location, Tags: i.Tags, CreatedTime: &created, ProvisioningState: "Succeeded",
	}
}

func genericHost(tx *store.Tx, host resource.Host) (arm.GenericResource, error) {
	body, err := renderHost(tx, host)
	if err != nil {
		return arm.GenericResource{}, err
	}
	identity, err := json.Marshal(body.Identity)
	if err != nil {
		return arm.GenericResource{}, fault.Wrap(err, "identity of %s", host.ID())
	}
	created := host.CreatedAt
	return arm.GenericResource{
		ID: host.ID(), Name: host.Name, Type: resource.HostType, Location: host.Location, Tags: host.Tags, Identity: identity, CreatedTime: &created,
		ProvisioningState: "Succeeded",
	}, nil
}

// Resources lists the identities and hosts of a subscription, or of one of its groups.
func (h *Handler) Resources(tx *store.Tx, sub ident.SubscriptionID, group string) ([]arm.GenericResource, error) {
	list, err := identitiesIn(tx, sub, group)
	if err != nil {
		return nil, err
	}
	var out []arm.GenericResource
	for _, i := range list {
		out = append(out, genericIdentity(i))
	}
	hosts, err := hostsIn(tx, sub, group)
	if err != nil {
		return nil, err
	}
	for _, host := range hosts {
		g, err := genericHost(tx, host)
		if err != nil {
			return nil, err
		}
		out = append(out, g)
	}
	return out, nil
}

// Exists reports whether an identity or a host is there.
func (h *Handler) Exists(tx *store.Tx, id ident.ResourceID) (exists, known bool, err error) {
	switch {
	case strings.EqualFold(id.Type(), resource.IdentityType):
		_, err = tx.Identity(id.String())
	case strings.EqualFold(id.Type(), resource.HostType):
		_, err = tx.Host(id.String())
	default:
		return false, false, nil
	}
	if store.IsNotFound(err) {
		return false, true, nil
	}
	return err == nil, true, err
}

// Tags returns an identity or a host with its tags.
func (h *Handler) Tags(tx *store.Tx, id ident.ResourceID) (res arm.GenericResource, known bool, err error) {
	switch {
	case strings.EqualFold(id.Type(), resource.IdentityType):
		var i resource.Identity
		if i, err = tx.Identity(id.String()); err == nil {
			res = genericIdentity(i)
		}
	case strings.EqualFold(id.Type(), resource.HostType):
		var host resource.Host
		if host, err = tx.Host(id.String()); err == nil {
			res, err = genericHost(tx, host)
		}
	default:
		return res, false, nil
	}
	if store.IsNotFound(err) {
		return res, false, nil
	}
	return res, err == nil, err
}

// SetTags replaces the tags of an identity or a host.
func (h *Handler) SetTags(tx *store.Tx, _ *arm.Request, id ident.ResourceID, tags map[string]string) error {
	if err := checkTags(tags); err != nil {
		return err
	}
	if strings.EqualFold(id.Type(), resource.HostType) {
		host, err := tx.Host(id.String())
		if err != nil {
			return err
		}
		host.Tags = tags
		return tx.PutHost(host)
	}
	i, err := tx.Identity(id.String())
	if err != nil {
		return err
	}
	i.Tags = tags
	return tx.PutIdentity(i)
}

// DeleteAll deletes every host and identity of a group.
func (h *Handler) DeleteAll(ctx context.Context, sub ident.SubscriptionID, group string) error {
	_, err := h.DB.Update(ctx, func(tx *store.Tx) error {
		hosts, err := hostsIn(tx, sub, group)
		if err != nil {
			return err
		}
		for _, host := range hosts {
			if err := forgetHost(tx, host); err != nil {
				return err
			}
			if err := h.deletedWithGroup(tx, audit.HostDeleted, host.Tenant, host.ID()); err != nil {
				return err
			}
		}
		list, err := identitiesIn(tx, sub, group)
		if err != nil {
			return err
		}
		for _, i := range list {
			if err := forget(tx, i); err != nil {
				return err
			}
			if err := h.deletedWithGroup(tx, audit.IdentityDeleted, i.Tenant, i.ID()); err != nil {
				return err
			}
		}
		return nil
	})
	return err
}

func (h *Handler) deletedWithGroup(tx *store.Tx, event audit.Event, tenant ident.TenantID, id string) error {
	return tx.Audit(audit.Record{At: h.Now().UTC(), Event: event, Tenant: tenant, ActorName: "deletion of the resource group", Target: id})
}
