// Package caller owns who is asking: the bearer token of an ARM or Graph request, checked against the keys and the world.
package caller

import (
	"time"

	"github.com/keyreeve/keyreeve/internal/ident"
)

// Kind says what sort of principal is asking.
type Kind string

// The kinds of caller.
const (
	User             Kind = "User"
	ServicePrincipal Kind = "ServicePrincipal"
)

// Caller is a principal whose token was found good.
type Caller struct {
	Kind    Kind
	Tenant  ident.TenantID
	Object  ident.ObjectID
	Name    string // user principal name, or the object id of a service principal
	Client  ident.ClientID
	Session ident.SessionID
	TokenID string
	// Roles are the template ids of the directory roles held.
	Roles    []ident.DirectoryRoleID
	IssuedAt time.Time
	Expires  time.Time
}
