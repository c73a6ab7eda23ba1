package directory

import (
	"slices"

	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
)

// Actor is who wants something of the directory. An application may do what its app roles at Microsoft Graph and its
// directory roles say. A person may do what their directory roles, their ownership and the defaults for members say, as far
// as the client they use may act for them.
type Actor struct {
	ID ident.ObjectID
	// Application is set for a service principal with a token of its own.
	Application bool
	// Guest is set for a user whose type is Guest.
	Guest bool
	// Roles are the directory roles held.
	Roles []ident.DirectoryRoleID
	// Permissions are the app roles of an application at Microsoft Graph, or the scopes of a person's token.
	Permissions []string
	// Members is what members of the tenant may do without a role.
	Members MemberDefaults
}

// MemberDefaults takes away what members of a tenant may do without a role. The zero value is Entra's default: they
// register applications and make security groups, which they then own.
type MemberDefaults struct {
	NoApplications bool `json:"noApplications,omitempty"`
	NoGroups       bool `json:"noGroups,omitempty"`
}

func (a Actor) holds(roles ...ident.DirectoryRoleID) bool {
	return slices.ContainsFunc(roles, func(r ident.DirectoryRoleID) bool { return slices.Contains(a.Roles, r) })
}

// has reports whether one of some permissions was given. Through a client that acts as the person, a person has all.
func (a Actor) has(permissions ...string) bool {
	return slices.ContainsFunc(permissions, func(p string) bool { return slices.Contains(a.Permissions, p) }) ||
		!a.Application && slices.Contains(a.Permissions, AccessAsUser)
}

// right is what may give somebody a right.
type right struct {
	// permissions: an application needs one of them, or a role; a person's client needs one of them.
	permissions []string
	// role says that a directory role gives it, own that the actor does by who they are: a member, an owner, themselves.
	role, own bool
	// ownPermissions are permissions of an application that count for what it owns.
	ownPermissions []string
}

func (a Actor) decide(r right) error {
	allowed := false
	if a.Application {
		allowed = r.role || a.has(r.permissions...) || r.own && a.has(r.ownPermissions...)
	} else {
		allowed = a.has(r.permissions...) && (r.role || r.own)
	}
	if allowed {
		return nil
	}
	return Denied()
}

// Denied is the refusal of the directory, in Graph's words.
func Denied() error {
	return fault.New(fault.Forbidden, "Authorization_RequestDenied", "Insufficient privileges to complete the operation.")
}

// Area is a part of the directory that is read with permissions of its own.
type Area int

// The areas.
const (
	Users Area = iota + 1
	Groups
	Applications // and service principals
	Organization
	RoleManagement
	Consent
	Policies
)

func (area Area) permissions() []string {
	own := map[Area][]string{
		Users:          {"User.ReadBasic.All", "User.Read.All", "User.ReadWrite.All"},
		Groups:         {"GroupMember.Read.All", "GroupMember.ReadWrite.All", "Group.Read.All", "Group.ReadWrite.All"},
		Applications:   {"Application.Read.All", "Application.ReadWrite.All", "Application.ReadWrite.OwnedBy"},
		Organization:   {"Organization.Read.All", "Domain.Read.All", "User.Read"},
		RoleManagement: {"RoleManagement.Read.Directory", "RoleManagement.ReadWrite.Directory"},
		Consent:        {"DelegatedPermissionGrant.ReadWrite.All", "AppRoleAssignment.ReadWrite.All", "Application.Read.All", "Application.ReadWrite.All"},
		Policies:       {"Policy.Read.All", "Policy.ReadWrite.Authorization"},
	}
	return append(own[area], "Directory.Read.All", "Directory.ReadWrite.All")
}

// MayRead decides whether an actor may read an area. Members do by default, guests by a role.
func (a Actor) MayRead(area Area) error {
	return a.decide(right{permissions: area.permissions(), role: a.holds(readers()...), own: !a.Application && !a.Guest})
}

// MayReadUser decides whether an actor may read one user: everybody may read themselves.
func (a Actor) MayReadUser(id ident.ObjectID) error {
	if id == a.ID && !a.Application && a.has(append(Users.permissions(), "User.Read", "User.ReadWrite")...) {
		return nil
	}
	return a.MayRead(Users)
}

// MayReadMemberships decides whether an actor may ask for the groups of an object of an area.
func (a Actor) MayReadMemberships(area Area, id ident.ObjectID) error {
	if area == Users && a.MayReadUser(id) == nil {
		return nil
	}
	if a.MayRead(area) == nil {
		return nil
	}
	return a.MayRead(Groups)
}

// MayCreateUsers decides whether an actor may make users.
func (a Actor) MayCreateUsers() error {
	return a.decide(right{permissions: userWriters(), role: a.holds(GlobalAdministrator(), UserAdministrator())})
}

func userWriters() []string { return []string{"User.ReadWrite.All", "Directory.ReadWrite.All"} }

// MayManageUser decides whether an actor may change, delete or reset a user. privileged says that the user holds a
// directory role or is in a group that may hold one: such users are left to Global Administrators, or a User
// Administrator could become any of them.
func (a Actor) MayManageUser(target ident.ObjectID, privileged bool) error {
	r := right{permissions: userWriters(), role: a.holds(GlobalAdministrator()) || a.holds(UserAdministrator()) && (!privileged || target == a.ID)}
	if privileged && a.Application {
		r.permissions = nil
	}
	return a.decide(r)
}

// MayChangeOwnPassword decides whether an actor may change a password that it knows: people do, their own.
func (a Actor) MayChangeOwnPassword(target ident.ObjectID) error {
	if target != a.ID || a.Application || !a.has("Directory.ReadWrite.All") {
		return Denied()
	}
	return nil
}

// MayEndSessions decides whether an actor may end the sessions of a user: everybody may end their own.
func (a Actor) MayEndSessions(target ident.ObjectID, privileged bool) error {
	if target == a.ID && !a.Application && a.has(append(userWriters(), "User.ReadWrite", "User.RevokeSessions.All")...) {
		return nil
	}
	return a.MayManageUser(target, privileged)
}

// MayCreateGroup decides whether an actor may make a group. Groups that may hold directory roles are left to those who
// may give roles.
func (a Actor) MayCreateGroup(assignableToRole bool) error {
	if assignableToRole {
		return a.MayManageRoles()
	}
	return a.decide(right{
		permissions: append(groupWriters(), "Group.Create"),
		role:        a.holds(GlobalAdministrator(), GroupsAdministrator(), UserAdministrator()),
		own:         !a.Application && !a.Guest && !a.Members.NoGroups,
	})
}

func groupWriters() []string { return []string{"Group.ReadWrite.All", "Directory.ReadWrite.All"} }

// MayManageGroup decides whether an actor may change or delete a group. owner says that it owns the group.
func (a Actor) MayManageGroup(assignableToRole, owner bool) error {
	return a.manageGroup(assignableToRole, owner, groupWriters())
}

// MayChangeMembers decides whether an actor may change the members of a group.
func (a Actor) MayChangeMembers(assignableToRole, owner bool) error {
	return a.manageGroup(assignableToRole, owner, append(groupWriters(), "GroupMember.ReadWrite.All"))
}

func (a Actor) manageGroup(assignableToRole, owner bool, permissions []string) error {
	if assignableToRole {
		return a.decide(right{permissions: roleWriters(), role: a.holds(roleGivers()...), own: owner})
	}
	return a.decide(right{
		permissions: permissions, role: a.holds(GlobalAdministrator(), GroupsAdministrator(), UserAdministrator()),
		own: owner, ownPermissions: []string{"Group.Create"},
	})
}

// MayCreateApplication decides whether an actor may register an application, or make its service principal.
func (a Actor) MayCreateApplication() error {
	return a.decide(right{
		permissions: append(applicationWriters(), ownedApplications), role: a.holds(applicationAdministrators()...),
		own: !a.Application && !a.Guest && !a.Members.NoApplications,
	})
}

const ownedApplications = "Application.ReadWrite.OwnedBy"

func applicationWriters() []string {
	return []string{"Application.ReadWrite.All", "Directory.ReadWrite.All"}
}

// MayManageApplication decides whether an actor may change an application or a service principal, its credentials
// included. owner says that it owns it. privileged says that the service principal holds a directory role, itself or by
// a group: who could add a secret to it would hold that role.
func (a Actor) MayManageApplication(owner, privileged bool) error {
	r := right{permissions: applicationWriters(), role: a.holds(applicationAdministrators()...), own: owner, ownPermissions: []string{ownedApplications}}
	if privileged {
		r.role = a.holds(GlobalAdministrator())
		if a.Application {
			r.permissions = nil
		}
	}
	return a.decide(r)
}

// MayConsent decides whether an actor may let a client act for people. self says that it is for the actor alone, admin
// that a scope is among those that only administrators consent to.
func (a Actor) MayConsent(self, admin bool) error {
	return a.decide(right{
		permissions: []string{"DelegatedPermissionGrant.ReadWrite.All", "Directory.ReadWrite.All"},
		role:        a.holds(append(applicationAdministrators(), PrivilegedRoleAdministrator())...),
		own:         self && !admin && !a.Application && !a.Guest,
	})
}

// MayAssignAppRole decides whether an actor may give app roles of a resource. sensitive says that the resource is
// Microsoft Graph: its app roles make administrators, and are left to those who may give directory roles.
func (a Actor) MayAssignAppRole(sensitive, ownsResource bool) error {
	r := right{
		permissions: []string{"AppRoleAssignment.ReadWrite.All"},
		role:        a.holds(append(applicationAdministrators(), PrivilegedRoleAdministrator())...),
		own:         ownsResource && !sensitive,
	}
	if sensitive {
		r.role = a.holds(roleGivers()...)
	}
	return a.decide(r)
}

// MayManageRoles decides whether an actor may give and take directory roles.
func (a Actor) MayManageRoles() error {
	return a.decide(right{permissions: roleWriters(), role: a.holds(roleGivers()...)})
}

func roleWriters() []string { return []string{"RoleManagement.ReadWrite.Directory"} }

func roleGivers() []ident.DirectoryRoleID {
	return []ident.DirectoryRoleID{GlobalAdministrator(), PrivilegedRoleAdministrator()}
}

// MayChangePolicy decides whether an actor may change what members may do by default.
func (a Actor) MayChangePolicy() error {
	return a.decide(right{permissions: []string{"Policy.ReadWrite.Authorization"}, role: a.holds(roleGivers()...)})
}

// KeepsAdministrator refuses a change that leaves a tenant without an enabled Global Administrator. before and after
// say whether it has one.
func KeepsAdministrator(before, after bool) error {
	if after || !before {
		return nil
	}
	return badRequest("", "The organization would be left without an enabled Global Administrator. Assign the role to another user first.")
}
