package store

import (
	"context"
	"database/sql"

	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/feed"
)

// snapshotQueries list, in an order in which each object follows those it refers to, the rows that make a snapshot:
// each query gives a key and a document, or NULL for relations that are all key.
func snapshotQueries() []struct {
	kind  feed.Kind
	query string
} {
	return []struct {
		kind  feed.Kind
		query string
	}{
		{feed.Tenant, `SELECT id, doc FROM tenants`},
		{feed.SigningKey, `SELECT kid, doc FROM signing_keys`},
		{feed.PermissionGrant, `SELECT id, doc FROM permission_grants`},
		{feed.AppRoleAssignment, `SELECT id, doc FROM app_role_assignments`},
		{feed.Subscription, `SELECT id, doc FROM subscriptions`},
		{feed.ManagementGroup, `SELECT tenant || '/' || name_key, doc FROM management_groups`},
		{feed.ResourceGroup, `SELECT '/subscriptions/' || subscription || '/resourcegroups/' || name_key, doc FROM resource_groups`},
		{feed.User, `SELECT id, doc FROM users`},
		{feed.ServicePrincipal, `SELECT id, doc FROM service_principals`},
		{feed.Application, `SELECT id, doc FROM applications`},
		{feed.Group, `SELECT id, doc FROM user_groups`},
		{feed.Member, `SELECT group_id || '/' || member_id, NULL FROM members`},
		{feed.DirectoryRole, `SELECT role || '/' || principal, NULL FROM directory_roles`},
		{feed.RoleDefinition, `SELECT id, doc FROM role_definitions`},
		{feed.RoleAssignment, `SELECT id, doc FROM role_assignments`},
		{feed.Cluster, `SELECT id, doc FROM clusters`},
		{feed.Certificate, `SELECT fingerprint, doc FROM certificates`},
		{feed.Session, `SELECT id, doc FROM sessions`},
		{feed.Operation, `SELECT id, doc FROM operations WHERE status = 'InProgress'`},
	}
}

// Snapshot returns the whole store, as a change that makes an empty world equal to it.
func (db *DB) Snapshot(ctx context.Context) (feed.Change, error) {
	change := feed.Change{At: db.opt.Now().UTC()}
	err := db.View(ctx, func(tx *Tx) error {
		var revision int64
		if err := tx.sql.QueryRowContext(ctx, `SELECT revision FROM head`).Scan(&revision); err != nil {
			return fault.Wrap(err, "store: snapshot")
		}
		change.Revision = feed.Revision(revision)
		for _, q := range snapshotQueries() {
			if err := snapshotRows(ctx, tx.sql, q.kind, q.query, &change); err != nil {
				return err
			}
		}
		return nil
	})
	return change, err
}

func snapshotRows(ctx context.Context, tx *sql.Tx, kind feed.Kind, query string, change *feed.Change) error {
	rows, err := tx.QueryContext(ctx, query)
	if err != nil {
		return fault.Wrap(err, "store: snapshot of %s", kind)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		e := feed.Event{Kind: kind, Op: feed.Put}
		var value []byte
		if err := rows.Scan(&e.Key, &value); err != nil {
			return fault.Wrap(err, "store: snapshot of %s", kind)
		}
		e.Value = value
		change.Events = append(change.Events, e)
	}
	if err := rows.Err(); err != nil {
		return fault.Wrap(err, "store: snapshot of %s", kind)
	}
	return nil
}
