package store

import (
	"time"

	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/feed"
	"github.com/keyreeve/keyreeve/internal/ident"
)

// Objects that were deleted lie apart from those that are: nothing that looks for an object finds one of them by
// accident, and their names are free.

// PutDeleted keeps an object that was deleted, for RestorableFor.
func (tx *Tx) PutDeleted(d directory.Deleted) error {
	return tx.put(feed.Private, "", d,
		`INSERT INTO deleted_objects (doc, id, tenant, kind, display_key, deleted_at) VALUES ($1, $2, $3, $4, $5, $6)
		 ON CONFLICT (id) DO UPDATE SET doc = excluded.doc, deleted_at = excluded.deleted_at, display_key = excluded.display_key`,
		d.ID, d.Tenant, string(d.Kind), directory.Fold(d.DisplayName()), stamp(d.DeletedAt))
}

// Deleted returns an object that was deleted.
func (tx *Tx) Deleted(id ident.ObjectID) (directory.Deleted, error) {
	return one[directory.Deleted](tx, "deleted object", id.String(), `SELECT doc FROM deleted_objects WHERE id = $1`, id)
}

// DropDeleted forgets an object that was deleted, because it is restored or gone for good.
func (tx *Tx) DropDeleted(id ident.ObjectID) error {
	return tx.remove(feed.Private, id.String(), `DELETE FROM deleted_objects WHERE id = $1`, id)
}

// DeletedCursor is the place right after an object that was deleted.
func DeletedCursor(d directory.Deleted) NameCursor {
	return NameCursor{Key: directory.Fold(d.DisplayName()), ID: d.ID.String()}
}

// DeletedObjects returns a page of the objects of a kind that were deleted, ordered by display name.
func (tx *Tx) DeletedObjects(kind directory.Kind, q NameQuery) ([]directory.Deleted, error) {
	b, err := q.page(columns{})
	if err != nil {
		return nil, err
	}
	b.where += " AND kind = " + b.arg(string(kind))
	return all[directory.Deleted](tx, "deleted object", `SELECT doc FROM deleted_objects WHERE `+b.text(), b.args...)
}

// purgeDeleted removes for good what was deleted before a time, and returns how much it was.
func (tx *Tx) purgeDeleted(before time.Time) (int64, error) {
	texts, err := tx.returning(feed.Private, `DELETE FROM deleted_objects WHERE deleted_at < $1 RETURNING id`, stamp(before))
	if err != nil {
		return 0, err
	}
	for _, s := range texts {
		id, err := ident.Parse[ident.ObjectID](s)
		if err != nil {
			return 0, fault.Wrap(err, "store: object id")
		}
		if err := tx.ForgetCredentials(id); err != nil {
			return 0, err
		}
	}
	return int64(len(texts)), nil
}
