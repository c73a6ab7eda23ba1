package directory

import (
	"time"

	"github.com/keyreeve/keyreeve/internal/ident"
)

// RestorableFor is how long something that was deleted may be restored.
const RestorableFor = 30 * 24 * time.Hour

// Kind is a type of directory object.
type Kind string

// The kinds.
const (
	KindUser             Kind = "user"
	KindGroup            Kind = "group"
	KindApplication      Kind = "application"
	KindServicePrincipal Kind = "servicePrincipal"
)

// Deleted is an object that was deleted, with what it was part of. One of the four objects is set. Directory roles,
// membership of groups that may hold them, sessions and Azure role assignments do not come back with it.
type Deleted struct {
	ID        ident.ObjectID `json:"id"`
	Tenant    ident.TenantID `json:"tenant"`
	Kind      Kind           `json:"kind"`
	DeletedAt time.Time      `json:"deletedAt"`

	User             *User             `json:"user,omitempty"`
	Group            *Group            `json:"group,omitempty"`
	Application      *Application      `json:"application,omitempty"`
	ServicePrincipal *ServicePrincipal `json:"servicePrincipal,omitempty"`

	// PasswordHash of a user, in the form it is kept in.
	PasswordHash string              `json:"passwordHash,omitempty"`
	MemberOf     []ident.ObjectID    `json:"memberOf,omitempty"`
	Members      []ident.ObjectID    `json:"members,omitempty"`
	Owners       []ident.ObjectID    `json:"owners,omitempty"`
	Owned        []ident.ObjectID    `json:"owned,omitempty"`
	Consents     []PermissionGrant   `json:"consents,omitempty"`
	AppRoles     []AppRoleAssignment `json:"appRoles,omitempty"`
}

// DisplayName is the name of the object.
func (d Deleted) DisplayName() string {
	switch {
	case d.User != nil:
		return d.User.DisplayName
	case d.Group != nil:
		return d.Group.DisplayName
	case d.Application != nil:
		return d.Application.DisplayName
	case d.ServicePrincipal != nil:
		return d.ServicePrincipal.DisplayName
	}
	return ""
}
