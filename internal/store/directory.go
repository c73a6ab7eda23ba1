package store

import (
	"slices"

	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/feed"
	"github.com/keyreeve/keyreeve/internal/ident"
)

// PutTenant makes or replaces a tenant and its domains. Conflict if another tenant has one of the domains.
func (tx *Tx) PutTenant(t directory.Tenant) error {
	domains := make([]string, 0, len(t.Domains))
	for _, d := range t.Domains {
		if d = directory.Fold(d); !slices.Contains(domains, d) {
			domains = append(domains, d)
		}
	}
	// Asked first, so that a conflict leaves nothing half done.
	for _, d := range domains {
		owner, err := tx.TenantByDomain(d)
		switch {
		case err == nil && owner.ID != t.ID:
			return taken(ErrExists)
		case err != nil && !IsNotFound(err):
			return err
		}
	}
	err := tx.put(feed.Tenant, t.ID.String(), t,
		`INSERT INTO tenants (doc, id) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET doc = excluded.doc`, t.ID)
	if err != nil {
		return err
	}
	if _, err := tx.exec(`DELETE FROM tenant_domains WHERE tenant = $1`, t.ID); err != nil {
		return err
	}
	for _, d := range domains {
		if _, err := tx.exec(`INSERT INTO tenant_domains (domain, tenant) VALUES ($1, $2)`, d, t.ID); err != nil {
			return err
		}
	}
	return nil
}

// Tenant returns a tenant.
func (tx *Tx) Tenant(id ident.TenantID) (directory.Tenant, error) {
	return one[directory.Tenant](tx, "tenant", id.String(), `SELECT doc FROM tenants WHERE id = $1`, id)
}

// TenantByDomain returns the tenant with a verified domain.
func (tx *Tx) TenantByDomain(domain string) (directory.Tenant, error) {
	return one[directory.Tenant](tx, "tenant", domain,
		`SELECT t.doc FROM tenants t JOIN tenant_domains d ON d.tenant = t.id WHERE d.domain = $1`, directory.Fold(domain))
}

// Tenants returns every tenant.
func (tx *Tx) Tenants() ([]directory.Tenant, error) {
	return all[directory.Tenant](tx, "tenant", `SELECT doc FROM tenants ORDER BY id`)
}

// PutUser makes or replaces a user. Conflict if another user of the tenant has its user principal name.
func (tx *Tx) PutUser(u directory.User) error {
	return tx.put(feed.User, u.ID.String(), u,
		`INSERT INTO users (doc, id, tenant, upn_key, display_key) VALUES ($1, $2, $3, $4, $5)
		 ON CONFLICT (id) DO UPDATE SET doc = excluded.doc, tenant = excluded.tenant, upn_key = excluded.upn_key, display_key = excluded.display_key`,
		u.ID, u.Tenant, directory.Fold(u.UserPrincipalName), directory.Fold(u.DisplayName))
}

// DeleteUser removes a user with memberships, ownerships, grants, directory roles, credentials and sessions. Role assignments stay: they
// name an id that nobody will have again.
func (tx *Tx) DeleteUser(id ident.ObjectID) error {
	if err := tx.remove(feed.User, id.String(), `DELETE FROM users WHERE id = $1`, id); err != nil {
		return err
	}
	if _, err := tx.exec(`DELETE FROM passwords WHERE id = $1`, id); err != nil {
		return err
	}
	if err := tx.removeAll(feed.Session, "", `DELETE FROM sessions WHERE user_id = $1 RETURNING id`, id); err != nil {
		return err
	}
	return tx.forget(id)
}

// forget removes the relations of a principal that was deleted.
func (tx *Tx) forget(id ident.ObjectID) error {
	err := tx.removeAll(feed.Member, "/"+id.String(), `DELETE FROM members WHERE member_id = $1 RETURNING group_id`, id)
	if err != nil {
		return err
	}
	err = tx.removeAll(feed.DirectoryRole, "/"+id.String(), `DELETE FROM directory_roles WHERE principal = $1 RETURNING role`, id)
	if err != nil {
		return err
	}
	return tx.forgetGrants(id)
}

// User returns a user by object id.
func (tx *Tx) User(id ident.ObjectID) (directory.User, error) {
	return one[directory.User](tx, "user", id.String(), `SELECT doc FROM users WHERE id = $1`, id)
}

// UserByUPN returns a user of a tenant by user principal name, without case.
func (tx *Tx) UserByUPN(tenant ident.TenantID, upn string) (directory.User, error) {
	return one[directory.User](tx, "user", upn, `SELECT doc FROM users WHERE tenant = $1 AND upn_key = $2`, tenant, directory.Fold(upn))
}

// PutGroup makes or replaces a group.
func (tx *Tx) PutGroup(g directory.Group) error {
	return tx.put(feed.Group, g.ID.String(), g,
		`INSERT INTO user_groups (doc, id, tenant, display_key, nickname_key) VALUES ($1, $2, $3, $4, $5)
		 ON CONFLICT (id) DO UPDATE SET doc = excluded.doc, tenant = excluded.tenant, display_key = excluded.display_key, nickname_key = excluded.nickname_key`,
		g.ID, g.Tenant, directory.Fold(g.DisplayName), directory.Fold(g.MailNickname))
}

// DeleteGroup removes a group with its members, memberships and directory roles.
func (tx *Tx) DeleteGroup(id ident.ObjectID) error {
	if _, err := tx.Group(id); err != nil {
		return err
	}
	rows, err := tx.returning(feed.Member, `DELETE FROM members WHERE group_id = $1 RETURNING member_id`, id)
	if err != nil {
		return err
	}
	for _, m := range rows {
		tx.tell(feed.Member, feed.Delete, id.String()+"/"+m)
	}
	if err := tx.forget(id); err != nil {
		return err
	}
	return tx.remove(feed.Group, id.String(), `DELETE FROM user_groups WHERE id = $1`, id)
}

// Group returns a group.
func (tx *Tx) Group(id ident.ObjectID) (directory.Group, error) {
	return one[directory.Group](tx, "group", id.String(), `SELECT doc FROM user_groups WHERE id = $1`, id)
}

// AddMember puts a principal into a group. Conflict if it is one already.
func (tx *Tx) AddMember(group, member ident.ObjectID) error {
	if _, err := tx.exec(`INSERT INTO members (group_id, member_id) VALUES ($1, $2)`, group, member); err != nil {
		return err
	}
	tx.tell(feed.Member, feed.Put, group.String()+"/"+member.String())
	return nil
}

// RemoveMember takes a principal out of a group. NotFound if it is not a direct member.
func (tx *Tx) RemoveMember(group, member ident.ObjectID) error {
	return tx.remove(feed.Member, group.String()+"/"+member.String(),
		`DELETE FROM members WHERE group_id = $1 AND member_id = $2`, group, member)
}

// Members returns a page of the ids of a group's direct members, in the order of their ids, after a given one.
func (tx *Tx) Members(group, after ident.ObjectID, limit int) ([]ident.ObjectID, error) {
	return objectIDs(tx.texts("member",
		`SELECT member_id FROM members WHERE group_id = $1 AND member_id > $2 ORDER BY member_id LIMIT $3`, group, after.String(), limit))
}

// MemberOf returns the ids of the groups that a principal is a direct member of.
func (tx *Tx) MemberOf(member ident.ObjectID) ([]ident.ObjectID, error) {
	return objectIDs(tx.texts("member", `SELECT group_id FROM members WHERE member_id = $1 ORDER BY group_id`, member))
}

func objectIDs(texts []string, err error) ([]ident.ObjectID, error) {
	if err != nil {
		return nil, err
	}
	out := make([]ident.ObjectID, len(texts))
	for i, s := range texts {
		if out[i], err = ident.Parse[ident.ObjectID](s); err != nil {
			return nil, fault.Wrap(err, "store: object id")
		}
	}
	return out, nil
}

// MembersBelow returns a page of the ids of a group's members, direct or by nesting, in the order of their ids, after a
// given one. The group itself is not among them, also when it is in a cycle.
func (tx *Tx) MembersBelow(group, after ident.ObjectID, limit int) ([]ident.ObjectID, error) {
	return objectIDs(tx.texts("member",
		`WITH RECURSIVE below (id) AS (
		   SELECT $1
		   UNION
		   SELECT m.member_id FROM members m JOIN below b ON m.group_id = b.id JOIN user_groups g ON g.id = m.member_id
		 )
		 SELECT DISTINCT member_id FROM members
		 WHERE group_id IN (SELECT id FROM below) AND member_id > $2 AND member_id <> $1 ORDER BY member_id LIMIT $3`,
		group.String(), after.String(), limit))
}

// GrantDirectoryRole gives a principal a directory role. Doing it twice is no error.
func (tx *Tx) GrantDirectoryRole(role ident.DirectoryRoleID, principal ident.ObjectID) error {
	n, err := tx.exec(`INSERT INTO directory_roles (role, principal) VALUES ($1, $2) ON CONFLICT DO NOTHING`, role, principal)
	if err != nil || n == 0 {
		return err
	}
	tx.tell(feed.DirectoryRole, feed.Put, role.String()+"/"+principal.String())
	return nil
}

// DirectoryRoles returns the directory roles that a principal holds directly.
func (tx *Tx) DirectoryRoles(principal ident.ObjectID) ([]ident.DirectoryRoleID, error) {
	texts, err := tx.texts("directory role", `SELECT role FROM directory_roles WHERE principal = $1 ORDER BY role`, principal)
	if err != nil {
		return nil, err
	}
	out := make([]ident.DirectoryRoleID, len(texts))
	for i, s := range texts {
		if out[i], err = ident.Parse[ident.DirectoryRoleID](s); err != nil {
			return nil, fault.Wrap(err, "store: directory role")
		}
	}
	return out, nil
}

// RevokeDirectoryRole takes a directory role from a principal. NotFound if it does not hold the role directly.
func (tx *Tx) RevokeDirectoryRole(role ident.DirectoryRoleID, principal ident.ObjectID) error {
	return tx.remove(feed.DirectoryRole, role.String()+"/"+principal.String(),
		`DELETE FROM directory_roles WHERE role = $1 AND principal = $2`, role, principal)
}

// DirectoryRoleHolders returns the principals that hold a directory role directly, in the order of their ids.
func (tx *Tx) DirectoryRoleHolders(role ident.DirectoryRoleID) ([]ident.ObjectID, error) {
	return objectIDs(tx.texts("directory role", `SELECT principal FROM directory_roles WHERE role = $1 ORDER BY principal`, role))
}
