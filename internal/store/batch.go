package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"runtime"
	"strings"
	"time"

	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/feed"
)

// batchMax bounds the writes of one commit, and so how long the first of them waits for the last.
const batchMax = 128

// refuseFor is how long writes are refused at once after the database could not be reached.
const refuseFor = 300 * time.Millisecond

// batch is the writes that are committed together: one transaction, with a savepoint before each write.
type batch struct {
	ctx    context.Context //nolint:containedctx // the batch lives as long as its transaction
	later  context.Context //nolint:containedctx // the same, for statements that nobody waits for
	cancel context.CancelFunc
	sql    *sql.Tx
	// name is random: the last change carries it.
	name string
	// base and floor are those of the database when the batch began.
	base, floor feed.Revision
	changes     []feed.Change
	events      []string // of each change, as JSON
	records     []auditRow
	writes      int
	marked      bool
	// done is closed when the batch is committed and followers have seen it, or when it failed with err.
	done chan struct{}
	err  error
}

// Update runs fn in a write transaction and commits it with the next revision. When it returns, followers have seen
// the change. An error of fn, or of the commit, leaves the store as it was. An fn that changes nothing takes no
// revision. fn must not call Update or View.
//
// fn sees what earlier writes did, and no other write runs meanwhile. Writes that come at the same time share a commit;
// what fn returns is answered once the commit that it saw the beginning of has succeeded.
func (db *DB) Update(ctx context.Context, fn func(*Tx) error) (feed.Revision, error) {
	b, rev, err := db.join(ctx, fn)
	if b == nil {
		return rev, err
	}
	<-b.done
	if b.err != nil {
		return 0, b.err
	}
	return rev, err
}

// join runs fn as a part of the open batch, and commits the batch when nobody else waits to join it. It returns the batch
// whose end decides what becomes of fn's write; nil if there is nothing to wait for.
func (db *DB) join(ctx context.Context, fn func(*Tx) error) (*batch, feed.Revision, error) {
	db.waiting.Add(1)
	db.commit.Lock()
	db.waiting.Add(-1)
	defer db.commit.Unlock()
	defer db.finishIfLast() // also when fn panics: others wait for their commit
	if err := ctx.Err(); err != nil {
		return nil, 0, fault.Wrap(err, "store: begin")
	}
	if db.open == nil {
		if err := db.begin(ctx); err != nil {
			return nil, 0, err
		}
	}
	b := db.open
	rev, err := db.run(ctx, b, fn)
	if len(b.changes) == 0 && b.err == nil {
		return nil, rev, err
	}
	return b, rev, err
}

// finishIfLast commits the open batch if it is full or no other write is about to join it.
func (db *DB) finishIfLast() {
	b := db.open
	if b == nil {
		return
	}
	if b.err == nil && b.writes < batchMax {
		// Writers that were answered by the last commit are often on their way with their next write.
		for i := 0; i < 4 && db.waiting.Load() == 0 && b.writes < db.lastLen; i++ {
			runtime.Gosched()
		}
		if db.waiting.Load() > 0 {
			return
		}
	}
	db.finish()
}

// begin opens a batch. It brings followers to the head first, so that what fn decides from memory is not behind what it
// reads.
func (db *DB) begin(ctx context.Context) error {
	if db.closed {
		return fault.Wrap(sql.ErrConnDone, "store: begin")
	}
	if lost := db.lost.Load(); lost != nil {
		return unreachable(*lost)
	}
	if away := db.refuse.Load(); away != nil {
		return *away // the next in a long queue need not wait for the same answer
	}
	bctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), db.opt.WriteTimeout)
	b := &batch{ctx: bctx, later: later(bctx), cancel: cancel, name: rand.Text(), done: make(chan struct{})}
	err := db.lockHead(b)
	if err != nil && db.engine.stale(err) && bctx.Err() == nil {
		err = db.lockHead(b) // the connection was from before the server went and came back
	}
	if err == nil && b.base != db.Head() {
		err = db.catchUp(bctx)
	}
	if err != nil {
		if b.sql != nil {
			_ = b.sql.Rollback()
		}
		cancel()
		if _, ok := errors.AsType[*fault.Error](err); !ok {
			err = db.engine.failed(err, "store: begin")
		}
		if IsAway(err) {
			db.refuse.Store(&err)
			time.AfterFunc(refuseFor, func() { db.refuse.Store(nil) })
		}
		return err
	}
	db.open = b
	return nil
}

// lockHead begins the batch's transaction, in which nobody else writes.
func (db *DB) lockHead(b *batch) (err error) {
	if b.sql, err = db.write.BeginTx(b.ctx, nil); err != nil {
		return err
	}
	if err = b.sql.QueryRowContext(b.ctx, db.engine.lockHead).Scan(&b.base, &b.floor); err != nil {
		_ = b.sql.Rollback()
	}
	return err
}

// mark sets the savepoint that a write goes back to, in the place of the last one's.
func (b *batch) mark() error {
	err := savepoint(b.later, b.sql, "w", b.marked)
	b.marked = true
	return err
}

// run calls fn between savepoints: an error, a panic or an end of the goroutine undoes fn's writes and no others.
func (db *DB) run(ctx context.Context, b *batch, fn func(*Tx) error) (feed.Revision, error) {
	if b.err == nil && b.ctx.Err() != nil {
		b.err = db.engine.failed(b.ctx.Err(), "store: write")
	}
	if b.err != nil {
		return 0, b.err
	}
	b.writes++
	tx := &Tx{ctx: b.ctx, sql: b.sql, writable: true, engine: &db.engine, batch: b}
	kept := false
	defer func() {
		if kept || !tx.started {
			return
		}
		if _, err := b.sql.ExecContext(b.ctx, `ROLLBACK TO SAVEPOINT w`); err != nil && b.err == nil {
			b.err = db.engine.failed(err, "store: undo") // the others' writes went with it
		}
	}()
	if err := db.checkFence(ctx, tx); err != nil {
		return 0, err
	}
	if err := fn(tx); err != nil {
		return 0, err
	}
	if err := ctx.Err(); err != nil {
		return 0, fault.Wrap(err, "store: write")
	}
	if tx.failed != nil {
		return 0, tx.failed // and fn did not mind
	}
	if !tx.wrote {
		kept = true
		return b.base + feed.Revision(len(b.changes)), nil
	}
	if tx.events == nil {
		tx.events = []feed.Event{{Kind: feed.Private, Op: feed.Put}}
	}
	text, err := json.Marshal(tx.events)
	if err != nil {
		return 0, fault.Wrap(err, "store: feed")
	}
	kept = true
	rev := b.base + feed.Revision(len(b.changes)) + 1
	b.changes = append(b.changes, feed.Change{Revision: rev, At: db.opt.Now().UTC(), Events: tx.events})
	b.events = append(b.events, string(text))
	b.records = append(b.records, tx.records...)
	return rev, nil
}

// finish commits the open batch, shows it to the followers and answers those who wait for it.
func (db *DB) finish() {
	b := db.open
	db.open = nil
	db.lastLen = b.writes
	defer close(b.done)
	defer b.cancel()
	defer func() { _ = b.sql.Rollback() }() // no effect after the commit
	if b.err != nil || len(b.changes) == 0 {
		return
	}
	if b.err = db.record(b); b.err != nil {
		return
	}
	if db.opt.BeforeCommit != nil {
		if err := db.opt.BeforeCommit(); err != nil {
			b.err = fault.Wrap(err, "store: commit")
			return
		}
	}
	if err := b.sql.Commit(); err != nil && !db.wasCommitted(b, err) {
		return
	}
	for _, c := range b.changes {
		db.deliver(c)
	}
	db.checked.Store(db.opt.Now().UnixNano())
}

// record appends the batch's changes to the feed, and its records to the audit log.
func (db *DB) record(b *batch) error {
	last := len(b.changes) - 1
	err := inChunks(len(b.changes), func(from, to int) error {
		args := make([]any, 0, 4*(to-from))
		for i, c := range b.changes[from:to] {
			mark := ""
			if from+i == last {
				mark = b.name
			}
			args = append(args, int64(c.Revision), stamp(c.At), b.events[from+i], mark)
		}
		text := `INSERT INTO changes (revision, at, events, mark) VALUES ` + places(to-from, 4) //nolint:gosec // marks of parameters
		_, err := b.sql.ExecContext(b.later, text, args...)
		return err
	})
	if err != nil {
		return db.engine.failed(err, "store: feed")
	}
	err = inChunks(len(b.records), func(from, to int) error {
		args := make([]any, 0, 2*(to-from))
		for _, r := range b.records[from:to] {
			args = append(args, r.at, r.doc)
		}
		text := `INSERT INTO audit (at, doc) VALUES ` + places(to-from, 2) //nolint:gosec // marks of parameters
		_, err := b.sql.ExecContext(b.later, text, args...)
		return err
	})
	if err != nil {
		return db.engine.failed(err, "store: audit")
	}
	head, floor := b.base+feed.Revision(len(b.changes)), b.floor
	// Compact in steps, so that most commits delete nothing.
	step := feed.Revision(max(1, min(1000, db.opt.KeepChanges/10)))
	if want := head/step*step - feed.Revision(db.opt.KeepChanges); want > floor {
		floor = want
		if _, err := b.sql.ExecContext(b.later, `DELETE FROM changes WHERE revision <= $1`, int64(floor)); err != nil {
			return db.engine.failed(err, "store: feed")
		}
	}
	if _, err := b.sql.ExecContext(b.later, `UPDATE head SET revision = $1, floor = $2 WHERE one = 1`, int64(head), int64(floor)); err != nil {
		return db.engine.failed(err, "store: feed")
	}
	return nil
}

// inChunks calls fn with the bounds of parts that make n rows: of few sizes, so that there are few statements to compile.
func inChunks(n int, fn func(from, to int) error) error {
	for from := 0; from < n; {
		size := 1
		for size*4 <= n-from && size < 64 {
			size *= 4
		}
		if err := fn(from, from+size); err != nil {
			return err
		}
		from += size
	}
	return nil
}

// places returns "($1, $2), ($3, $4), …": rows of parameters.
func places(rows, columns int) string {
	var b strings.Builder
	for i := range rows * columns {
		switch {
		case i == 0:
			b.WriteString("(")
		case i%columns == 0:
			b.WriteString("), (")
		default:
			b.WriteString(", ")
		}
		b.WriteString("$" + itoa(i+1))
	}
	b.WriteString(")")
	return b.String()
}
