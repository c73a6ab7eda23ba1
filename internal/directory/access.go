package directory

import (
	"slices"

	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
)

// Actor is who wants something of the directory.
type Actor struct {
	ID ident.ObjectID
	// Application is set for a service principal with a token of its own.
	Application bool
	// Guest is set for a user whose type is Guest.
	Guest bool
	// Roles are the directory roles held.
	Roles []ident.DirectoryRoleID
}

func (a Actor) holds(role ident.DirectoryRoleID) bool { return slices.Contains(a.Roles, role) }

// Denied is the refusal of the directory, in Graph's words.
func Denied() error {
	return fault.New(fault.Forbidden, "Authorization_RequestDenied", "Insufficient privileges to complete the operation.")
}

// MayRead decides whether an actor may read the directory: members do by default, applications and guests by a role.
func (a Actor) MayRead() error {
	if !a.Application && !a.Guest {
		return nil
	}
	if slices.ContainsFunc([]ident.DirectoryRoleID{GlobalAdministrator(), UserAdministrator(), GroupsAdministrator(), DirectoryReaders()}, a.holds) {
		return nil
	}
	return Denied()
}

// MayReadUser decides whether an actor may read one user: like MayRead, and everybody may read themselves.
func (a Actor) MayReadUser(id ident.ObjectID) error {
	if id == a.ID && !a.Application {
		return nil
	}
	return a.MayRead()
}

// MayCreateUsers decides whether an actor may make users.
func (a Actor) MayCreateUsers() error {
	if a.holds(GlobalAdministrator()) || a.holds(UserAdministrator()) {
		return nil
	}
	return Denied()
}

// MayManageUser decides whether an actor may change, delete or reset a user. privileged says that the user holds a
// directory role or is in a group that may hold one: such users are left to Global Administrators, or a User
// Administrator could become any of them.
func (a Actor) MayManageUser(target ident.ObjectID, privileged bool) error {
	switch {
	case a.holds(GlobalAdministrator()):
		return nil
	case a.holds(UserAdministrator()) && (!privileged || target == a.ID):
		return nil
	}
	return Denied()
}

// MayEndSessions decides whether an actor may end the sessions of a user: everybody may end their own.
func (a Actor) MayEndSessions(target ident.ObjectID, privileged bool) error {
	if target == a.ID && !a.Application {
		return nil
	}
	return a.MayManageUser(target, privileged)
}

// MayManageGroup decides whether an actor may make, change or delete a group or change its members. Groups that may
// hold directory roles are left to Global Administrators.
func (a Actor) MayManageGroup(assignableToRole bool) error {
	switch {
	case a.holds(GlobalAdministrator()):
		return nil
	case a.holds(GroupsAdministrator()) && !assignableToRole:
		return nil
	}
	return Denied()
}

// KeepsAdministrator refuses a change that leaves a tenant without an enabled Global Administrator. before and after
// say whether it has one.
func KeepsAdministrator(before, after bool) error {
	if after || !before {
		return nil
	}
	return badRequest("", "The organization would be left without an enabled Global Administrator. Assign the role to another user first.")
}
