package directory

import (
	"slices"

	"github.com/keyreeve/keyreeve/internal/ident"
)

func roleID(s string) ident.DirectoryRoleID { return ident.MustParse[ident.DirectoryRoleID](s) }

// GlobalAdministrator may do everything in the directory.
func GlobalAdministrator() ident.DirectoryRoleID {
	return roleID("62e90394-69f5-4237-9190-012177145e10")
}

// PrivilegedRoleAdministrator gives and takes directory roles.
func PrivilegedRoleAdministrator() ident.DirectoryRoleID {
	return roleID("e8611ab8-c189-46e8-94e1-60213ab1f814")
}

// UserAdministrator manages users who are not administrators, and groups that cannot hold directory roles.
func UserAdministrator() ident.DirectoryRoleID { return roleID("fe930be7-5e62-47db-91af-98c3a49a38b1") }

// GroupsAdministrator manages groups that cannot hold directory roles.
func GroupsAdministrator() ident.DirectoryRoleID {
	return roleID("fdd7a751-b60b-444a-984c-02652fe8fa1c")
}

// ApplicationAdministrator manages applications and service principals.
func ApplicationAdministrator() ident.DirectoryRoleID {
	return roleID("9b895d92-2cd3-44c7-9d02-a6ac2d5ea5c3")
}

// CloudApplicationAdministrator manages applications and service principals; there is no application proxy here, so it
// is the same as ApplicationAdministrator.
func CloudApplicationAdministrator() ident.DirectoryRoleID {
	return roleID("158c047a-c907-4556-b7ef-446551a6b5f7")
}

// DirectoryReaders may read the directory: what members may do by default, for applications and guests.
func DirectoryReaders() ident.DirectoryRoleID { return roleID("88d8e3e3-8f55-4a1e-953a-9b9898b8876b") }

func applicationAdministrators() []ident.DirectoryRoleID {
	return []ident.DirectoryRoleID{GlobalAdministrator(), ApplicationAdministrator(), CloudApplicationAdministrator()}
}

// readers are the roles with which everything can be read.
func readers() []ident.DirectoryRoleID {
	out := []ident.DirectoryRoleID{}
	for _, r := range Roles() {
		out = append(out, r.ID)
	}
	return out
}

// Role is a built-in directory role.
type Role struct {
	ID          ident.DirectoryRoleID
	DisplayName string
	Description string
	// Privileged roles lead to others: who holds one is managed by Global Administrators alone.
	Privileged bool
}

// Roles lists the directory roles there are, by name.
func Roles() []Role {
	return []Role{
		{ApplicationAdministrator(), "Application Administrator", "Can create and manage all aspects of app registrations and enterprise apps.", true},
		{CloudApplicationAdministrator(), "Cloud Application Administrator", "Can create and manage all aspects of app registrations and enterprise apps except App Proxy.", true},
		{DirectoryReaders(), "Directory Readers", "Can read basic directory information. Commonly used to grant directory read access to applications and guests.", false},
		{GlobalAdministrator(), "Global Administrator", "Can manage all aspects of Microsoft Entra ID and Microsoft services that use Microsoft Entra identities.", true},
		{GroupsAdministrator(), "Groups Administrator", "Members of this role can create/manage groups, create/manage groups settings like naming and expiration policies, and view groups activity and audit reports.", true},
		{PrivilegedRoleAdministrator(), "Privileged Role Administrator", "Can manage role assignments in Microsoft Entra ID, and all aspects of Privileged Identity Management.", true},
		{UserAdministrator(), "User Administrator", "Can manage all aspects of users and groups, including resetting passwords for limited admins.", true},
	}
}

// FindRole returns a directory role by its template id.
func FindRole(id ident.DirectoryRoleID) (Role, bool) {
	all := Roles()
	i := slices.IndexFunc(all, func(r Role) bool { return r.ID == id })
	if i < 0 {
		return Role{}, false
	}
	return all[i], true
}

// RoleObject is the id that a directory role has as an object of a tenant; its template id is the same in all of them.
func RoleObject(t ident.TenantID, role ident.DirectoryRoleID) ident.ObjectID {
	return ident.Derive[ident.ObjectID]("directory role", t.String(), role.String())
}
