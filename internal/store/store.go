// Package store owns the database: one concrete type over SQL, one text for every engine, migrations apart.
//
// Every write is a transaction that appends one record to the change feed with the next revision:
//
//	Update(ctx, fn) ── fn(tx) … ──► commit ──► followers, in order ──► return the revision
//
// so that whoever follows (the world, the gates) has seen a write before its caller is answered. The store knows no
// HTTP, no tokens in clear, and not who is asking.
//
// Tables by file: directory.go (tenants, people, groups, roles), applications.go (applications and service principals),
// credentials.go (what these prove themselves with: client secrets, certificates, federated credentials, by appId and by
// owner), grants.go (consent, app roles, owners), signin.go (passwords, sessions, codes, keys), resources.go (ARM).
package store

import (
	"context"
	"database/sql"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	_ "modernc.org/sqlite" // the SQLite engine

	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/feed"
)

//go:embed migrations
var migrations embed.FS

// Sentinel causes. The faults that carry them say what was missing or taken.
var (
	ErrNotFound = errors.New("store: no such row")
	ErrExists   = errors.New("store: already there")
	// ErrCompacted says that the changes asked for are no longer kept; take a snapshot.
	ErrCompacted = errors.New("store: changes compacted")
)

// Options say how to open a store.
type Options struct {
	// Path is the SQLite file; its folder must exist.
	Path string
	// Now is the clock that stamps changes.
	Now func() time.Time
	// Readers is the number of reading connections; 0 means 4.
	Readers int
	// BeforeCommit, if set, is called before each commit; its error fails the write. For tests of failing disks.
	BeforeCommit func() error
	// KeepChanges is how many change records are kept for followers that fall behind; 0 means 100,000.
	KeepChanges int
}

// DB is an open store. It is safe for concurrent use.
type DB struct {
	write *sql.DB
	read  *sql.DB
	opt   Options

	// commit is held from the start of a write until its followers have seen it: it is what orders the feed.
	commit    sync.Mutex
	followers []*follower
	// head is the newest revision that followers have seen. It is written under commit.
	head atomic.Int64
}

// follower is who follows the feed, and how far it has come.
type follower struct {
	see func(feed.Change)
	at  feed.Revision
}

// Open opens or creates the store and brings it to the newest migration.
func Open(ctx context.Context, opt Options) (*DB, error) {
	if opt.Now == nil {
		return nil, errors.New("store: Options.Now is missing")
	}
	if opt.Readers == 0 {
		opt.Readers = 4
	}
	if opt.KeepChanges == 0 {
		opt.KeepChanges = 100_000
	}
	if _, err := os.Stat(filepath.Dir(opt.Path)); err != nil {
		return nil, fmt.Errorf("store: folder of the database: %w", err)
	}
	if err := private(opt.Path); err != nil {
		return nil, err
	}
	write, err := sql.Open("sqlite", dsn(opt.Path, "&_pragma=journal_mode(WAL)&_txlock=immediate"))
	if err != nil {
		return nil, fmt.Errorf("store: open: %w", err)
	}
	write.SetMaxOpenConns(1)
	db := &DB{write: write, opt: opt}
	if err := migrate(ctx, write, migrations, "migrations/sqlite"); err != nil {
		return nil, errors.Join(err, write.Close())
	}
	read, err := sql.Open("sqlite", dsn(opt.Path, "&_pragma=query_only(1)"))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("store: open: %w", err), write.Close())
	}
	read.SetMaxOpenConns(opt.Readers)
	read.SetMaxIdleConns(opt.Readers)
	db.read = read
	var head int64
	if err := write.QueryRowContext(ctx, `SELECT revision FROM head`).Scan(&head); err != nil {
		return nil, errors.Join(fmt.Errorf("store: head: %w", err), db.Close())
	}
	db.head.Store(head)
	return db, nil
}

// private makes the file of the database one that only its owner may read, before anything is in it. SQLite gives the
// files beside it the same mode.
func private(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	if err := errors.Join(f.Chmod(0o600), f.Close()); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	return nil
}

// dsn names a SQLite file for the driver, with the settings every connection has.
func dsn(path, more string) string {
	// synchronous=FULL: an acknowledged commit survives loss of power, not only of the process.
	const common = "?_pragma=busy_timeout(10000)&_pragma=foreign_keys(1)&_pragma=synchronous(FULL)&_pragma=cache_size(-8000)"
	return "file:" + strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23").Replace(path) + common + more
}

// Close closes the store. Writes under way end first.
func (db *DB) Close() error {
	db.commit.Lock()
	defer db.commit.Unlock()
	err := db.write.Close()
	if db.read != nil {
		err = errors.Join(err, db.read.Close())
	}
	return err
}

// Head returns the newest revision that followers have seen.
func (db *DB) Head() feed.Revision { return feed.Revision(db.head.Load()) }

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

// catchUp is CatchUp with the lock held.
func (db *DB) catchUp(ctx context.Context) error {
	const batch = 1000
	for {
		missed, err := db.Changes(ctx, db.Head(), batch)
		if err != nil {
			return err
		}
		for _, c := range missed {
			db.deliver(c)
		}
		if len(missed) < batch {
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
}

// Update runs fn in a write transaction and commits it with the next revision. When it returns, followers have seen
// the change. An error of fn, or of the commit, leaves the store as it was. An fn that changes nothing takes no
// revision. fn must not call Update or View.
func (db *DB) Update(ctx context.Context, fn func(*Tx) error) (feed.Revision, error) {
	db.commit.Lock()
	defer db.commit.Unlock()
	sqlTx, err := db.write.BeginTx(ctx, nil)
	if err != nil {
		return 0, fault.Wrap(err, "store: begin")
	}
	defer func() { _ = sqlTx.Rollback() }() // no effect after the commit
	tx := &Tx{ctx: ctx, sql: sqlTx, writable: true}
	if err := fn(tx); err != nil {
		return 0, err
	}
	if !tx.wrote {
		return db.Head(), nil
	}
	change := feed.Change{At: db.opt.Now().UTC(), Events: tx.events}
	if err := db.record(tx, &change); err != nil {
		return 0, err
	}
	if db.opt.BeforeCommit != nil {
		if err := db.opt.BeforeCommit(); err != nil {
			return 0, fault.Wrap(err, "store: commit")
		}
	}
	if err := sqlTx.Commit(); err != nil {
		return 0, fault.Wrap(err, "store: commit")
	}
	if change.Revision != db.Head()+1 {
		// Somebody else wrote, or a commit was made though it was said to have failed. The write stands whatever comes
		// of this; a follower that is left behind sees the gap itself.
		_ = db.catchUp(context.WithoutCancel(ctx))
	}
	db.deliver(change)
	return change.Revision, nil
}

// record gives the change its revision and appends it to the feed.
func (db *DB) record(tx *Tx, change *feed.Change) error {
	if change.Events == nil {
		change.Events = []feed.Event{{Kind: feed.Private, Op: feed.Put}}
	}
	events, err := json.Marshal(change.Events)
	if err != nil {
		return fault.Wrap(err, "store: feed")
	}
	row := tx.sql.QueryRowContext(tx.ctx, `UPDATE head SET revision = revision + 1 WHERE one = 1 RETURNING revision`)
	if err := row.Scan(&change.Revision); err != nil {
		return fault.Wrap(err, "store: feed")
	}
	if _, err := tx.exec(`INSERT INTO changes (revision, at, events) VALUES ($1, $2, $3)`,
		int64(change.Revision), stamp(change.At), string(events)); err != nil {
		return err
	}
	// Compact in steps, so that most commits delete nothing.
	step := max(1, min(1000, int64(db.opt.KeepChanges)/10))
	if int64(change.Revision)%step == 0 {
		floor := int64(change.Revision) - int64(db.opt.KeepChanges)
		if floor > 0 {
			if _, err := tx.exec(`DELETE FROM changes WHERE revision <= $1`, floor); err != nil {
				return err
			}
			if _, err := tx.exec(`UPDATE head SET floor = $1 WHERE one = 1`, floor); err != nil {
				return err
			}
		}
	}
	return nil
}

// View runs fn on one consistent state of the store, in which nothing can be written.
func (db *DB) View(ctx context.Context, fn func(*Tx) error) error {
	sqlTx, err := db.read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return fault.Wrap(err, "store: begin")
	}
	defer func() { _ = sqlTx.Rollback() }()
	return fn(&Tx{ctx: ctx, sql: sqlTx})
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
			return fault.Wrap(err, "store: head")
		}
		if int64(after) < floor || int64(after) > head {
			return ErrCompacted
		}
		rows, err := tx.sql.QueryContext(ctx, `SELECT revision, at, events FROM changes WHERE revision > $1 ORDER BY revision LIMIT $2`, int64(after), limit)
		if err != nil {
			return fault.Wrap(err, "store: changes")
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var c feed.Change
			var at int64
			var events []byte
			if err := rows.Scan(&c.Revision, &at, &events); err != nil {
				return fault.Wrap(err, "store: changes")
			}
			c.At = unstamp(at)
			if err := json.Unmarshal(events, &c.Events); err != nil {
				return fault.Wrap(err, "store: changes")
			}
			out = append(out, c)
		}
		if err := rows.Err(); err != nil {
			return fault.Wrap(err, "store: changes")
		}
		return nil
	})
	return out, err
}

// stamp and unstamp store times as nanoseconds since 1970, UTC; the zero time is 0. Times beyond what fits (1677 to
// 2262) are as early or as late as can be: stamps order and expire things, documents keep the times themselves.
func stamp(t time.Time) int64 {
	switch {
	case t.IsZero():
		return 0
	case t.Year() < 1678:
		return math.MinInt64
	case t.Year() > 2261:
		return math.MaxInt64
	}
	return t.UnixNano()
}

func unstamp(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}
