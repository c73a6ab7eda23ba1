package resource

import (
	"time"

	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
)

// IdentityType is the type of user-assigned managed identities.
const IdentityType = "Microsoft.ManagedIdentity/userAssignedIdentities"

// AssignIdentity is the action that lets somebody, on an identity, give it to a resource.
const AssignIdentity = IdentityType + "/assign/action"

// Identity is a user-assigned managed identity: a resource with a life of its own, and a principal in the directory.
type Identity struct {
	Subscription ident.SubscriptionID `json:"subscription"`
	Tenant       ident.TenantID       `json:"tenant"`
	Group        string               `json:"group"` // in the resource group's own spelling
	Name         string               `json:"name"`
	Location     string               `json:"location"`
	Tags         map[string]string    `json:"tags,omitempty"`
	// Principal is the service principal's object id, Client its appId.
	Principal ident.ObjectID `json:"principal"`
	Client    ident.ClientID `json:"client"`
	CreatedAt time.Time      `json:"createdAt"`
}

// ID is the ARM id, in the spelling of the service's answers.
func (i Identity) ID() string {
	return "/subscriptions/" + i.Subscription.String() + "/resourcegroups/" + i.Group + "/providers/" + IdentityType + "/" + i.Name
}

// AlternativeNames are what the principal of a managed identity carries: whether it is a resource of its own, and its
// ARM id, or that of the resource that it belongs to.
func AlternativeNames(explicit bool, resourceID string) []string {
	if explicit {
		return []string{"isExplicit=True", resourceID}
	}
	return []string{"isExplicit=False", resourceID}
}

// CheckIdentityName checks the name of a user-assigned identity: 3 to 128 letters, digits, '-' and '_', the first a letter
// or digit.
func CheckIdentityName(name string) error {
	ok := len(name) >= 3 && len(name) <= 128
	for i, c := range []byte(name) {
		alnum := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		ok = ok && (alnum || i > 0 && (c == '-' || c == '_'))
	}
	if !ok {
		return fault.New(fault.Invalid, "InvalidParameter",
			"The name of an identity has 3 to 128 letters, digits, hyphens and underscores, and begins with a letter or digit.").At("resourceName")
	}
	return nil
}
