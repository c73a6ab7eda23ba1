package store

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

func sqliteEngine() engine {
	return engine{
		name: "sqlite", migrations: "migrations/sqlite",
		lockHead: `SELECT revision, floor FROM head`, // the transaction began as a writing one
		tables:   `SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY rowid`,
		view:     &sql.TxOptions{ReadOnly: true},
		conflict: func(err error) bool {
			e, ok := errors.AsType[*sqlite.Error](err)
			return ok && (e.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE || e.Code() == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY)
		},
		constraint: func(err error) bool {
			e, ok := errors.AsType[*sqlite.Error](err)
			return ok && e.Code()&0xff == sqlite3.SQLITE_CONSTRAINT
		},
		away:  func(error) bool { return false },
		stale: func(error) bool { return false },
		// Who asked is who writes: its error is the answer.
		doubtful: func(error) bool { return false },
	}
}

func (db *DB) openSQLite() error {
	db.engine = sqliteEngine()
	path := db.opt.Path
	if _, err := os.Stat(filepath.Dir(path)); err != nil {
		return fmt.Errorf("store: folder of the database: %w", err)
	}
	if err := private(path); err != nil {
		return err
	}
	write, err1 := sqlite.NewConnector(dsn(path, "&_pragma=journal_mode(WAL)&_txlock=immediate"))
	read, err2 := sqlite.NewConnector(dsn(path, "&_pragma=query_only(1)"))
	if err := errors.Join(err1, err2); err != nil {
		return fmt.Errorf("store: open: %w", err)
	}
	db.write = sql.OpenDB(keeperConnector{write})
	db.write.SetMaxOpenConns(1)
	db.read = sql.OpenDB(keeperConnector{read})
	readers := orElse(db.opt.Readers, 4)
	db.read.SetMaxOpenConns(readers)
	db.read.SetMaxIdleConns(readers)
	return nil
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
