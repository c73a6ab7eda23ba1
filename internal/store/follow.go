package store

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/feed"
)

// Follow calls f with a snapshot of the store, in one or more parts, and then with every later change, in order, without a
// gap. f is called while writes wait: it must be quick and must not write. It must not change what it is given.
func (db *DB) Follow(ctx context.Context, f func(feed.Change)) error {
	db.commit.Lock()
	defer db.commit.Unlock()
	at, err := db.tellSnapshot(ctx, f)
	if err != nil {
		return err
	}
	db.followers = append(db.followers, &follower{f, at})
	return nil
}

// CatchUp brings followers to the newest commit. Update does it by itself; it serves where another process may have
// written to the same database.
func (db *DB) CatchUp(ctx context.Context) error {
	db.commit.Lock()
	defer db.commit.Unlock()
	return db.catchUp(ctx)
}

// catchUp is CatchUp with the lock held. It reads the change at the head again: if that is not the one that followers were
// shown, the database has another history.
func (db *DB) catchUp(ctx context.Context) error {
	const page = 1000
	if lost := db.lost.Load(); lost != nil {
		return unreachable(*lost)
	}
	for {
		from := db.Head()
		if from > 0 && db.headAt != 0 {
			from--
		}
		now := db.opt.Now()
		missed, err := db.Changes(ctx, from, page)
		if errors.Is(err, ErrCompacted) && from < db.Head() { // the record at the head may just have gone
			missed, err = db.Changes(ctx, db.Head(), page)
		} else if err == nil && from < db.Head() {
			if len(missed) == 0 || stamp(missed[0].At) != db.headAt {
				err = ErrDiverged
			} else {
				missed = missed[1:]
			}
		}
		if errors.Is(err, ErrCompacted) || errors.Is(err, ErrDiverged) {
			lost := errors.Join(ErrDiverged, err)
			db.lost.Store(&lost)
			return unreachable(lost)
		}
		if err != nil {
			return err
		}
		for _, c := range missed {
			db.deliver(c)
		}
		if len(missed) < page-1 {
			db.checked.Store(now.UnixNano())
			return nil
		}
	}
}

// deliver shows a change to the followers that have not seen it. The lock is held.
func (db *DB) deliver(c feed.Change) {
	for _, f := range db.followers {
		if f.at < c.Revision {
			f.at = c.Revision
			f.see(c)
		}
	}
	db.head.Store(int64(c.Revision))
	db.headAt = stamp(c.At)
}

// Changes returns at most limit changes after a revision, oldest first, and ErrCompacted when some of them are gone or
// the revision is not yet: who asks must begin anew with a snapshot.
func (db *DB) Changes(ctx context.Context, after feed.Revision, limit int) ([]feed.Change, error) {
	if limit < 1 {
		return nil, fault.Wrap(errors.New("a page has no size"), "store: changes")
	}
	var out []feed.Change
	err := db.View(ctx, func(tx *Tx) error {
		var floor, head int64
		if err := tx.sql.QueryRowContext(ctx, `SELECT floor, revision FROM head`).Scan(&floor, &head); err != nil {
			return db.engine.failed(err, "store: head")
		}
		if int64(after) < floor || int64(after) > head {
			return ErrCompacted
		}
		rows, err := tx.sql.QueryContext(ctx, `SELECT revision, at, events FROM changes WHERE revision > $1 ORDER BY revision LIMIT $2`, int64(after), limit)
		if err != nil {
			return db.engine.failed(err, "store: changes")
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var c feed.Change
			var at int64
			var events []byte
			if err := rows.Scan(&c.Revision, &at, &events); err != nil {
				return db.engine.failed(err, "store: changes")
			}
			c.At = unstamp(at)
			if err := json.Unmarshal(events, &c.Events); err != nil {
				return fault.Wrap(err, "store: changes")
			}
			out = append(out, c)
		}
		if err := rows.Err(); err != nil {
			return db.engine.failed(err, "store: changes")
		}
		return nil
	})
	return out, err
}
