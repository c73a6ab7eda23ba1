package store

import (
	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/feed"
	"github.com/keyreeve/keyreeve/internal/ident"
)

// PutPermissionGrant makes or replaces consent. Conflict if the same client was consented to at the same resource for
// the same principal, or for everybody.
func (tx *Tx) PutPermissionGrant(g directory.PermissionGrant) error {
	return tx.put(feed.PermissionGrant, g.ID.String(), g,
		`INSERT INTO permission_grants (doc, id, tenant, client, resource, principal) VALUES ($1, $2, $3, $4, $5, $6)
		 ON CONFLICT (id) DO UPDATE SET doc = excluded.doc, tenant = excluded.tenant, client = excluded.client, resource = excluded.resource, principal = excluded.principal`,
		g.ID, g.Tenant, g.Client, g.Resource, text(g.Principal))
}

// DeletePermissionGrant takes consent back.
func (tx *Tx) DeletePermissionGrant(id ident.GrantID) error {
	return tx.remove(feed.PermissionGrant, id.String(), `DELETE FROM permission_grants WHERE id = $1`, id)
}

// PermissionGrant returns a consent.
func (tx *Tx) PermissionGrant(id ident.GrantID) (directory.PermissionGrant, error) {
	return one[directory.PermissionGrant](tx, "permission grant", id.String(), `SELECT doc FROM permission_grants WHERE id = $1`, id)
}

// PermissionGrantsOf returns what a client was consented to.
func (tx *Tx) PermissionGrantsOf(client ident.ObjectID) ([]directory.PermissionGrant, error) {
	return all[directory.PermissionGrant](tx, "permission grant", `SELECT doc FROM permission_grants WHERE client = $1 ORDER BY id`, client)
}

// PermissionGrantsBy returns what a user consented to, or what was for one user.
func (tx *Tx) PermissionGrantsBy(principal ident.ObjectID) ([]directory.PermissionGrant, error) {
	return all[directory.PermissionGrant](tx, "permission grant", `SELECT doc FROM permission_grants WHERE principal = $1 ORDER BY id`, principal)
}

// PermissionGrants returns a page of the consents of a tenant in the order of their ids, after a given one.
func (tx *Tx) PermissionGrants(tenant ident.TenantID, after ident.GrantID, limit int) ([]directory.PermissionGrant, error) {
	return all[directory.PermissionGrant](tx, "permission grant",
		`SELECT doc FROM permission_grants WHERE tenant = $1 AND id > $2 ORDER BY id LIMIT $3`, tenant, text(after), limit)
}

// PutAppRoleAssignment gives a principal an app role. Conflict if it has it already.
func (tx *Tx) PutAppRoleAssignment(a directory.AppRoleAssignment) error {
	return tx.put(feed.AppRoleAssignment, a.ID.String(), a,
		`INSERT INTO app_role_assignments (doc, id, tenant, principal, resource, role) VALUES ($1, $2, $3, $4, $5, $6)
		 ON CONFLICT (id) DO UPDATE SET doc = excluded.doc, tenant = excluded.tenant, principal = excluded.principal, resource = excluded.resource, role = excluded.role`,
		a.ID, a.Tenant, a.Principal, a.Resource, text(a.Role))
}

// DeleteAppRoleAssignment takes an app role from a principal.
func (tx *Tx) DeleteAppRoleAssignment(id ident.GrantID) error {
	return tx.remove(feed.AppRoleAssignment, id.String(), `DELETE FROM app_role_assignments WHERE id = $1`, id)
}

// AppRoleAssignment returns the assignment of an app role.
func (tx *Tx) AppRoleAssignment(id ident.GrantID) (directory.AppRoleAssignment, error) {
	return one[directory.AppRoleAssignment](tx, "app role assignment", id.String(), `SELECT doc FROM app_role_assignments WHERE id = $1`, id)
}

// AppRoleAssignments returns the app roles that a principal was given itself.
func (tx *Tx) AppRoleAssignments(principal ident.ObjectID) ([]directory.AppRoleAssignment, error) {
	return all[directory.AppRoleAssignment](tx, "app role assignment", `SELECT doc FROM app_role_assignments WHERE principal = $1 ORDER BY id`, principal)
}

// AppRolesAssignedTo returns a page of who has app roles of a resource, in the order of their ids, after a given one.
func (tx *Tx) AppRolesAssignedTo(resource ident.ObjectID, after ident.GrantID, limit int) ([]directory.AppRoleAssignment, error) {
	return all[directory.AppRoleAssignment](tx, "app role assignment",
		`SELECT doc FROM app_role_assignments WHERE resource = $1 AND id > $2 ORDER BY id LIMIT $3`, resource, text(after), limit)
}

// AddOwner makes a principal an owner of an object. Conflict if it is one already.
func (tx *Tx) AddOwner(object, owner ident.ObjectID) error {
	_, err := tx.exec(`INSERT INTO owners (object, owner) VALUES ($1, $2)`, object, owner)
	return err
}

// RemoveOwner ends it. NotFound if the principal is no owner.
func (tx *Tx) RemoveOwner(object, owner ident.ObjectID) error {
	return tx.remove(feed.Private, object.String(), `DELETE FROM owners WHERE object = $1 AND owner = $2`, object, owner)
}

// Owners returns the owners of an object, in the order of their ids.
func (tx *Tx) Owners(object ident.ObjectID) ([]ident.ObjectID, error) {
	return objectIDs(tx.texts("owner", `SELECT owner FROM owners WHERE object = $1 ORDER BY owner`, object))
}

// OwnedBy returns a page of what a principal owns, in the order of their ids, after a given one.
func (tx *Tx) OwnedBy(owner, after ident.ObjectID, limit int) ([]ident.ObjectID, error) {
	return objectIDs(tx.texts("owner", `SELECT object FROM owners WHERE owner = $1 AND object > $2 ORDER BY object LIMIT $3`, owner, text(after), limit))
}

// Owns reports whether a principal owns an object.
func (tx *Tx) Owns(owner, object ident.ObjectID) (bool, error) {
	n, err := tx.count("owner", `SELECT count(*) FROM owners WHERE object = $1 AND owner = $2`, object, owner)
	return n > 0, err
}

// forgetGrants removes the ownerships, consents and app roles of an object that was deleted, as whatever it was in them.
func (tx *Tx) forgetGrants(id ident.ObjectID) error {
	if _, err := tx.exec(`DELETE FROM owners WHERE object = $1 OR owner = $1`, id); err != nil {
		return err
	}
	err := tx.removeAll(feed.PermissionGrant, "",
		`DELETE FROM permission_grants WHERE client = $1 OR resource = $1 OR principal = $1 RETURNING id`, id)
	if err != nil {
		return err
	}
	return tx.removeAll(feed.AppRoleAssignment, "", `DELETE FROM app_role_assignments WHERE principal = $1 OR resource = $1 RETURNING id`, id)
}
