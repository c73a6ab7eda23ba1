package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/feed"
)

// ErrInDoubt says that the answer to a commit was lost, and that what became of it could not be found out in time.
var ErrInDoubt = errors.New("store: nobody knows whether the write was made")

// resolveFor bounds the search for a commit whose answer was lost; others wait meanwhile.
const resolveFor = 5 * time.Second

// wasCommitted decides what became of a batch whose commit returned an error. If the server may have made the commit all
// the same, it is asked; if the batch is not in the database, or nobody can tell, b.err says so.
func (db *DB) wasCommitted(b *batch, failed error) bool {
	b.err = db.engine.failed(failed, "store: commit")
	if !db.engine.doubtful(failed) {
		return false
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(b.ctx), min(resolveFor, db.opt.WriteTimeout))
	defer cancel()
	var err error
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, 500*time.Millisecond) {
		var there bool
		if there, err = db.find(ctx, b); err == nil {
			if there {
				b.err = nil
			}
			return there
		}
		if errors.Is(err, ErrInDoubt) {
			break
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			break
		}
	}
	b.err = fault.New(fault.Unavailable, "", "The database was lost during the write. It may have been made or not: look before you try again.").
		Because(errors.Join(ErrInDoubt, ErrAway, failed, err))
	return false
}

// find says whether a batch is in the database.
//
// It asks under the lock that the batch's own transaction holds as long as it lives, so the answer is final. And it commits
// itself: what it saw is then on disk, and on the standbys that a commit waits for.
func (db *DB) find(ctx context.Context, b *batch) (bool, error) {
	tx, err := db.write.BeginTx(ctx, nil)
	if err != nil {
		return false, err
	}
	defer func() { _ = tx.Rollback() }()
	last := b.changes[len(b.changes)-1].Revision
	var head, floor feed.Revision
	if err := tx.QueryRowContext(ctx, db.engine.lockHead).Scan(&head, &floor); err != nil {
		return false, err
	}
	if floor >= last { // so many came after it that it is gone
		return false, ErrInDoubt
	}
	var mark string
	err = tx.QueryRowContext(ctx, `SELECT mark FROM changes WHERE revision = $1`, int64(last)).Scan(&mark)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return false, err
	}
	if _, err := tx.ExecContext(ctx, `UPDATE head SET floor = $1 WHERE one = 1`, int64(floor)); err != nil {
		return false, err
	}
	return mark == b.name, tx.Commit()
}

// postgresDoubtful says whether a commit may have been made although it returned an error: unless the server said itself, and
// lived on, that it was not.
func postgresDoubtful(err error) bool {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.SeverityUnlocalized == "FATAL" || e.SeverityUnlocalized == "PANIC"
	}
	return !errors.Is(err, errUndone)
}
