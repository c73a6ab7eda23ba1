// Package store owns the database: one concrete type over SQL, one text for every engine, migrations apart.
//
// Every write appends one record to the change feed with the next revision. Writes that come together are committed
// together:
//
//	Update(ctx, fn) ─┐
//	Update(ctx, fn) ─┼─► fn(tx) one after the other ─► one commit ─► followers, in order ─► each is answered
//	Update(ctx, fn) ─┘
//
// so that whoever follows (the world, the gates) has seen a write before its caller is answered. Several processes may
// write to one PostgreSQL: revisions are given out under a lock in the database, and each process follows what the others
// wrote. The store knows no HTTP, no tokens in clear, and not who is asking.
//
// Tables by file: directory.go (tenants, people, groups, roles), applications.go (applications and service principals),
// credentials.go (what these prove themselves with: client secrets, certificates, federated credentials, by appId and by
// owner), grants.go (consent, app roles, owners), signin.go (passwords, sessions, codes, keys), resources.go (ARM).
package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

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
	// ErrDiverged says that the database no longer holds what followers were shown: it was put back from an older copy, or
	// a standby took over that lacked the newest commits. What was built from the feed must be built anew.
	ErrDiverged = errors.New("store: the database has another history than what was read from it before")
	// ErrAway says that the database cannot be reached.
	ErrAway = errors.New("store: the database is away")
)

// Options say how to open a store.
type Options struct {
	// Path is the SQLite file; its folder must exist. Empty with Postgres.
	Path string
	// Postgres is the connection string of a PostgreSQL database: a URL or key=value pairs, several hosts if need be.
	Postgres string
	// Now is the clock that stamps changes.
	Now func() time.Time
	// Readers is the number of reading connections; 0 means 4, with PostgreSQL 16.
	Readers int
	// BeforeCommit, if set, is called before each commit; its error fails the writes in it. For tests of failing disks.
	BeforeCommit func() error
	// KeepChanges is how many change records are kept for followers that fall behind; 0 means 100,000.
	KeepChanges int
	// WriteTimeout bounds a write: what is not committed by then fails. 0 means 15 seconds.
	WriteTimeout time.Duration
	// AsIs opens the database without bringing it to the newest migration, to look into what another program serves.
	AsIs bool
	// Poll is how often a database that others write to is asked for changes, should no notification come; 0 means a second.
	Poll time.Duration
}

// DB is an open store. It is safe for concurrent use.
type DB struct {
	write  *sql.DB
	read   *sql.DB
	engine engine
	opt    Options

	// commit is held while one write runs, while a batch of them is committed and while followers see it: it is what
	// orders the feed.
	commit    sync.Mutex
	followers []*follower
	// open is the batch that the next write joins, under commit; waiting counts the writes that will ask for commit.
	open    *batch
	waiting atomic.Int64
	lastLen int
	closed  bool
	// refuse is why writes are refused for a moment.
	refuse atomic.Pointer[error]
	// head is the newest revision that followers have seen, headAt its stamp. They are written under commit.
	head   atomic.Int64
	headAt int64
	// checked is when the head was last known to be the database's own, in nanoseconds since 1970.
	checked atomic.Int64
	// lost is why the feed cannot be followed any more.
	lost atomic.Pointer[error]
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
	if (opt.Path == "") == (opt.Postgres == "") {
		return nil, errors.New("store: give either a SQLite file or a PostgreSQL database")
	}
	opt.KeepChanges = orElse(opt.KeepChanges, 100_000)
	opt.WriteTimeout = orElse(opt.WriteTimeout, 15*time.Second)
	opt.Poll = orElse(opt.Poll, time.Second)
	db := &DB{opt: opt}
	var err error
	if opt.Postgres != "" {
		err = db.openPostgres()
	} else {
		err = db.openSQLite()
	}
	if err != nil {
		return nil, err
	}
	if !opt.AsIs {
		if err := migrate(ctx, db.write, migrations, db.engine); err != nil {
			return nil, errors.Join(err, db.Close())
		}
	} else if err := db.notEmpty(ctx); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	if err := db.readHead(ctx); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

func orElse[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// readHead sets the head to the database's.
func (db *DB) readHead(ctx context.Context) error {
	return db.View(ctx, func(tx *Tx) error {
		var head, at int64
		err := tx.sql.QueryRowContext(ctx,
			`SELECT h.revision, coalesce(c.at, 0) FROM head h LEFT JOIN changes c ON c.revision = h.revision`).Scan(&head, &at)
		if err != nil {
			return fmt.Errorf("store: head: %w", err)
		}
		db.head.Store(head)
		db.headAt = at
		db.checked.Store(db.opt.Now().UnixNano())
		return nil
	})
}

// Close closes the store. Writes under way end first.
func (db *DB) Close() error {
	db.commit.Lock()
	defer db.commit.Unlock()
	if db.open != nil {
		db.finish()
	}
	db.closed = true
	err := db.write.Close()
	if db.read != nil {
		err = errors.Join(err, db.read.Close())
	}
	return err
}

// Head returns the newest revision that followers have seen.
func (db *DB) Head() feed.Revision { return feed.Revision(db.head.Load()) }

// View runs fn on one consistent state of the store, in which nothing can be written.
func (db *DB) View(ctx context.Context, fn func(*Tx) error) error {
	sqlTx, err := db.read.BeginTx(ctx, db.engine.view)
	for retry := 0; retry < 3 && err != nil && db.engine.stale(err) && ctx.Err() == nil; retry++ {
		sqlTx, err = db.read.BeginTx(ctx, db.engine.view) // a connection from before the server went and came back
	}
	if err != nil {
		return db.engine.failed(err, "store: begin")
	}
	defer func() { _ = sqlTx.Rollback() }()
	return fn(&Tx{ctx: ctx, sql: sqlTx, engine: &db.engine})
}

// Glance runs fn, which reads by one statement, without a transaction around it: that saves a database elsewhere two
// journeys. A second statement might see another state; View is for those.
func (db *DB) Glance(ctx context.Context, fn func(*Tx) error) error {
	return fn(&Tx{ctx: ctx, sql: db.read, engine: &db.engine})
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
