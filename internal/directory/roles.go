package directory

import "github.com/keyreeve/keyreeve/internal/ident"

// GlobalAdministrator may do everything in the directory.
func GlobalAdministrator() ident.DirectoryRoleID {
	return ident.MustParse[ident.DirectoryRoleID]("62e90394-69f5-4237-9190-012177145e10")
}

// UserAdministrator manages users who are not administrators.
func UserAdministrator() ident.DirectoryRoleID {
	return ident.MustParse[ident.DirectoryRoleID]("fe930be7-5e62-47db-91af-98c3a49a38b1")
}

// GroupsAdministrator manages groups that cannot hold directory roles.
func GroupsAdministrator() ident.DirectoryRoleID {
	return ident.MustParse[ident.DirectoryRoleID]("fdd7a751-b60b-444a-984c-02652fe8fa1c")
}

// DirectoryReaders may read the directory: what members may do by default, for applications and guests.
func DirectoryReaders() ident.DirectoryRoleID {
	return ident.MustParse[ident.DirectoryRoleID]("88d8e3e3-8f55-4a1e-953a-9b9898b8876b")
}
