package store

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"unsafe"

	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/feed"
)

// snapshotQueries list, in an order in which each object follows those it refers to, the rows that make a snapshot:
// each query gives a key and a document, or NULL for relations that are all key. compact tells memberships by member.
func snapshotQueries(compact bool) []snapshotQuery {
	members := snapshotQuery{feed.Member, `SELECT group_id || '/' || member_id, NULL FROM members`}
	if compact {
		members = snapshotQuery{feed.Memberships, `SELECT member_id, '["' || string_agg(group_id, '","') || '"]' FROM members GROUP BY member_id`}
	}
	return []snapshotQuery{
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
		members,
		{feed.DirectoryRole, `SELECT role || '/' || principal, NULL FROM directory_roles`},
		{feed.RoleDefinition, `SELECT id, doc FROM role_definitions`},
		{feed.RoleAssignment, `SELECT id, doc FROM role_assignments`},
		{feed.DenyAssignment, `SELECT id, doc FROM deny_assignments`},
		{feed.Cluster, `SELECT id, doc FROM clusters`},
		{feed.Certificate, `SELECT fingerprint, doc FROM certificates`},
		{feed.Session, `SELECT id, doc FROM sessions`},
		{feed.Operation, `SELECT id, doc FROM operations WHERE status = 'InProgress'`},
	}
}

// Snapshot returns the whole store, as a change that makes an empty world equal to it.
func (db *DB) Snapshot(ctx context.Context) (feed.Change, error) {
	var whole feed.Change
	err := db.snapshot(ctx, false, func(part feed.Change) error {
		events := append(whole.Events, part.Events...)
		whole = part
		whole.Events = events
		return nil
	})
	return whole, err
}

// tellSnapshot calls f with the parts of a compact snapshot and returns its revision. The next parts are read while f takes
// one in.
func (db *DB) tellSnapshot(ctx context.Context, f func(feed.Change)) (feed.Revision, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	parts, failed := make(chan feed.Change, 2), make(chan error, 1)
	go func() {
		defer close(parts)
		failed <- db.snapshot(ctx, true, func(part feed.Change) error {
			select {
			case parts <- part:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	var at feed.Revision
	for part := range parts {
		f(part)
		at = part.Revision
	}
	return at, <-failed
}

// partEvents is how many events are told in one part of a snapshot.
const partEvents = 10_000

type snapshotQuery struct {
	kind  feed.Kind
	query string
}

// snapshot tells the whole store, in parts of which all but the last are partial.
func (db *DB) snapshot(ctx context.Context, compact bool, tell func(feed.Change) error) error {
	part := feed.Change{At: db.opt.Now().UTC()}
	return db.View(ctx, func(tx *Tx) error {
		var revision int64
		if err := tx.sql.QueryRowContext(ctx, `SELECT revision FROM head`).Scan(&revision); err != nil {
			return fault.Wrap(err, "store: snapshot")
		}
		part.Revision = feed.Revision(revision)
		add := func(e feed.Event) error {
			if len(part.Events) < partEvents {
				part.Events = append(part.Events, e)
				return nil
			}
			full := part
			full.Partial = true
			part.Events = append(make([]feed.Event, 0, partEvents), e)
			return tell(full)
		}
		for _, q := range snapshotQueries(compact) {
			if err := snapshotRows(ctx, tx.sql, q, add); err != nil {
				return err
			}
		}
		return tell(part)
	})
}

// document is a column's text as the driver made it. Nobody changes what is in an event, so it is not copied.
type document []byte

// Scan implements sql.Scanner.
func (d *document) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		*d = nil
	case string:
		*d = unsafe.Slice(unsafe.StringData(v), len(v)) //nolint:gosec // G103: read alone, as said above
	case []byte:
		*d = bytes.Clone(v) // the driver's own
	default:
		return fmt.Errorf("a column of type %T", src)
	}
	return nil
}

func snapshotRows(ctx context.Context, tx runner, q snapshotQuery, add func(feed.Event) error) error {
	rows, err := tx.QueryContext(ctx, q.query)
	if err != nil {
		return fault.Wrap(err, "store: snapshot of %s", q.kind)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		e := feed.Event{Kind: q.kind, Op: feed.Put}
		var value document
		if err := rows.Scan(&e.Key, &value); err != nil {
			return fault.Wrap(err, "store: snapshot of %s", q.kind)
		}
		e.Value = json.RawMessage(value)
		if err := add(e); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return fault.Wrap(err, "store: snapshot of %s", q.kind)
	}
	return nil
}
