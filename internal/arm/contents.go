package arm

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/store"
)

// Contents is what a room keeps in resource groups. Each room that does tells the core's other rooms so.
type Contents interface {
	// Resources returns the resources of a subscription, or of one of its groups (by name, without case) if group is not
	// empty.
	Resources(tx *store.Tx, sub ident.SubscriptionID, group string) ([]GenericResource, error)
	// Exists reports whether a resource is there; known is false for types that are not of this room.
	Exists(tx *store.Tx, id ident.ResourceID) (exists, known bool, err error)
	// DeleteAll deletes every resource of a group, with what runs behind it, and returns when all are gone. The group takes
	// no new ones. It is called again after a crash.
	DeleteAll(ctx context.Context, sub ident.SubscriptionID, group string) error
}

// Tagged is Contents whose resources carry tags.
type Tagged interface {
	// Tags returns a resource as lists show it, with its tags; known is false for one that is not of this room, or not there.
	Tags(tx *store.Tx, id ident.ResourceID) (res GenericResource, known bool, err error)
	// SetTags replaces a resource's tags, on behalf of the request's caller, who may.
	SetTags(tx *store.Tx, r *Request, id ident.ResourceID, tags map[string]string) error
}

// GenericResource is a resource as lists over all types show it (GET /subscriptions/{id}/resources).
type GenericResource struct {
	ID        string            `json:"id"`
	Name      string            `json:"name"`
	Type      string            `json:"type"`
	Kind      string            `json:"kind,omitempty"`
	ManagedBy string            `json:"managedBy,omitempty"`
	SKU       json.RawMessage   `json:"sku,omitempty"`
	Location  string            `json:"location"`
	Identity  json.RawMessage   `json:"identity,omitempty"`
	Tags      map[string]string `json:"tags,omitempty"`
	// The rest shows in lists that are asked for it ($expand).
	CreatedTime       *time.Time `json:"createdTime,omitempty"`
	ChangedTime       *time.Time `json:"changedTime,omitempty"`
	ProvisioningState string     `json:"provisioningState,omitempty"`
}

// Expanded returns the resource with those of its expandable members that $expand names.
func (g GenericResource) Expanded(expand string) GenericResource {
	named := func(member string) bool {
		for m := range strings.SplitSeq(expand, ",") {
			if strings.EqualFold(strings.TrimSpace(m), member) {
				return true
			}
		}
		return false
	}
	if !named("createdTime") {
		g.CreatedTime = nil
	}
	if !named("changedTime") {
		g.ChangedTime = nil
	}
	if !named("provisioningState") {
		g.ProvisioningState = ""
	}
	return g
}
