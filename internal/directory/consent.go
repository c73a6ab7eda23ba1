package directory

import (
	"slices"
	"strings"
	"time"

	"github.com/keyreeve/keyreeve/internal/ident"
)

// ConsentType says for whom a client was consented to.
type ConsentType string

// The consent types.
const (
	AllPrincipals ConsentType = "AllPrincipals"
	OnePrincipal  ConsentType = "Principal"
)

// PermissionGrant is consent: a client may act for people at a resource (oauth2PermissionGrant).
type PermissionGrant struct {
	ID     ident.GrantID  `json:"id"`
	Tenant ident.TenantID `json:"tenant"`
	// Client and Resource are service principals.
	Client   ident.ObjectID `json:"clientId"`
	Resource ident.ObjectID `json:"resourceId"`
	// Consent is AllPrincipals, or Principal for one user: then Principal is set.
	Consent   ConsentType    `json:"consentType"`
	Principal ident.ObjectID `json:"principalId,omitzero"`
	// Scope lists the values of the scopes, with a space between.
	Scope string `json:"scope"`
}

// Covers reports whether the grant speaks of a user.
func (g PermissionGrant) Covers(user ident.ObjectID) bool {
	return g.Consent == AllPrincipals || g.Consent == OnePrincipal && g.Principal == user && !user.IsZero()
}

// Scopes returns the values of the scopes, each once.
func (g PermissionGrant) Scopes() []string {
	var out []string
	for s := range strings.FieldsSeq(g.Scope) {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// PrincipalType says what holds an app role.
type PrincipalType string

// The principal types.
const (
	PrincipalUser             PrincipalType = "User"
	PrincipalGroup            PrincipalType = "Group"
	PrincipalServicePrincipal PrincipalType = "ServicePrincipal"
)

// AppRoleAssignment gives a principal an app role of a resource. The zero role is the default one, which says no more
// than that the principal may sign in there.
type AppRoleAssignment struct {
	ID            ident.GrantID  `json:"id"`
	Tenant        ident.TenantID `json:"tenant"`
	Principal     ident.ObjectID `json:"principalId"`
	PrincipalType PrincipalType  `json:"principalType"`
	// Resource is a service principal.
	Resource  ident.ObjectID     `json:"resourceId"`
	Role      ident.PermissionID `json:"appRoleId"`
	CreatedAt time.Time          `json:"createdAt"`
}
