package resource

import (
	"strings"
	"time"

	"github.com/keyreeve/keyreeve/internal/ident"
)

// HostType is the type of hosts outside clusters to which identities are assigned: a machine, or a runner of pipelines.
const HostType = "Keyreeve.Identity/hosts"

// Host is such a host. It shows a secret to get tokens, and gets them for the identities that are assigned to it alone.
type Host struct {
	Subscription ident.SubscriptionID `json:"subscription"`
	Tenant       ident.TenantID       `json:"tenant"`
	Group        string               `json:"group"`
	Name         string               `json:"name"`
	Location     string               `json:"location"`
	Tags         map[string]string    `json:"tags,omitempty"`
	// Own is the identity that comes and goes with the host; zero if it has none.
	Own OwnIdentity `json:"own,omitzero"`
	// Assigned are the user-assigned identities, by ARM id.
	Assigned []AssignedIdentity `json:"assigned,omitempty"`
	// Secret is the hash of what the host shows; empty until one was made.
	Secret    string    `json:"secret,omitempty"`
	SecretAt  time.Time `json:"secretAt,omitzero"`
	CreatedAt time.Time `json:"createdAt"`
}

// OwnIdentity is a system-assigned identity: a principal without a resource of its own.
type OwnIdentity struct {
	Principal ident.ObjectID `json:"principal"`
	Client    ident.ClientID `json:"client"`
}

// IsZero reports whether there is none.
func (o OwnIdentity) IsZero() bool { return o.Principal.IsZero() }

// AssignedIdentity is a user-assigned identity that was assigned. Its principal says which it was: another one that is made later
// under the same name is not assigned.
type AssignedIdentity struct {
	ID        string         `json:"id"`
	Principal ident.ObjectID `json:"principal"`
}

// ID is the ARM id.
func (h Host) ID() string {
	return "/subscriptions/" + h.Subscription.String() + "/resourceGroups/" + h.Group + "/providers/" + HostType + "/" + h.Name
}

// AssignedTo returns what was assigned under an ARM id.
func (h Host) AssignedTo(id string) (AssignedIdentity, bool) {
	for _, a := range h.Assigned {
		if strings.EqualFold(a.ID, id) {
			return a, true
		}
	}
	return AssignedIdentity{}, false
}
