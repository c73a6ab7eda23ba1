package proof

import "github.com/keyreeve/keyreeve/internal/ident"

// FederatedCredential is trust in a token of somebody else (federatedIdentityCredential): an application or a
// user-assigned managed identity may sign in with a token whose issuer, subject and one audience are these, compared
// exactly and with case.
type FederatedCredential struct {
	ID ident.ObjectID `json:"id"`
	// Owner is the application's object id, or that of a managed identity's service principal.
	Owner  ident.ObjectID `json:"owner"`
	Tenant ident.TenantID `json:"tenant"`
	// AppID is the client that signs in with it.
	AppID       ident.ClientID `json:"appId"`
	Name        string         `json:"name"`
	Issuer      string         `json:"issuer"`
	Subject     string         `json:"subject"`
	Audiences   []string       `json:"audiences"`
	Description string         `json:"description,omitempty"`
}
