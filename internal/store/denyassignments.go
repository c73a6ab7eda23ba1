package store

import (
	"strings"

	"github.com/keyreeve/keyreeve/internal/feed"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/rbac"
)

// PutDenyAssignment makes or replaces a deny assignment. Conflict if another one at the scope has its name.
func (tx *Tx) PutDenyAssignment(d rbac.DenyAssignment) error {
	return tx.put(feed.DenyAssignment, d.ID.String(), d,
		`INSERT INTO deny_assignments (doc, id, tenant, scope_key, name_key) VALUES ($1, $2, $3, $4, $5)
		 ON CONFLICT (id) DO UPDATE SET doc = excluded.doc, tenant = excluded.tenant, scope_key = excluded.scope_key, name_key = excluded.name_key`,
		d.ID, d.Tenant, strings.ToLower(d.Scope), strings.ToLower(d.Name))
}

// DenyAssignment returns a deny assignment.
func (tx *Tx) DenyAssignment(id ident.DenyAssignmentID) (rbac.DenyAssignment, error) {
	return one[rbac.DenyAssignment](tx, "deny assignment", id.String(), `SELECT doc FROM deny_assignments WHERE id = $1`, id)
}

// DenyAssignments returns every deny assignment of a tenant, ordered by scope and id.
func (tx *Tx) DenyAssignments(tenant ident.TenantID) ([]rbac.DenyAssignment, error) {
	return all[rbac.DenyAssignment](tx, "deny assignment", `SELECT doc FROM deny_assignments WHERE tenant = $1 ORDER BY scope_key, id`, tenant)
}

// DeleteDenyAssignment removes a deny assignment.
func (tx *Tx) DeleteDenyAssignment(id ident.DenyAssignmentID) error {
	return tx.remove(feed.DenyAssignment, id.String(), `DELETE FROM deny_assignments WHERE id = $1`, id)
}
