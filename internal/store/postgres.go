package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

func postgresEngine() engine {
	return engine{
		name: "postgres", migrations: "migrations/postgres",
		lockMigrations: `SELECT pg_advisory_xact_lock(7018986667877)`,
		lockHead:       `SELECT revision, floor FROM head FOR UPDATE`,
		tables: `SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
			WHERE c.relkind = 'r' AND n.nspname = current_schema() ORDER BY c.oid`,
		afterRestore: `SELECT setval(pg_get_serial_sequence('audit', 'seq'), (SELECT coalesce(max(seq), 0) + 1 FROM audit), false)`,
		view:         &sql.TxOptions{ReadOnly: true, Isolation: sql.LevelRepeatableRead},
		poisons:      true,
		shared:       true,
		conflict: func(err error) bool {
			e, ok := errors.AsType[*pgconn.PgError](err)
			return ok && e.Code == "23505"
		},
		constraint: func(err error) bool {
			e, ok := errors.AsType[*pgconn.PgError](err)
			return ok && strings.HasPrefix(e.Code, "23") // integrity constraint violation
		},
		away:     postgresAway,
		doubtful: postgresDoubtful,
		stale: func(err error) bool {
			_, refused := errors.AsType[*pgconn.ConnectError](err)
			return !refused && postgresAway(err) && !errors.Is(err, context.DeadlineExceeded)
		},
	}
}

// postgresAway says whether an error means that no server, or none that takes writes, can be reached now.
func postgresAway(err error) bool {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch e.Code {
		case "25006", // a standby, which only reads
			"53300", // too many connections
			"57P01", // shut down by an administrator
			"57P02", // another process crashed
			"57P03": // starting up
			return true
		}
		return strings.HasPrefix(e.Code, "08") || strings.HasPrefix(e.Code, "40")
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return true
	}
	return errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, net.ErrClosed) || strings.HasSuffix(err.Error(), "conn closed")
}

// postgresConfig reads a connection string, with the settings that every connection has.
func postgresConfig(text string) (*pgx.ConnConfig, error) {
	cfg, err := pgx.ParseConfig(text)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err) // pgx leaves the password out
	}
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = 5 * time.Second
	}
	set := func(name, value string) {
		if _, ok := cfg.RuntimeParams[name]; !ok {
			cfg.RuntimeParams[name] = value
		}
	}
	set("application_name", "keyreeve")
	// A process that stands still in a transaction must not keep the others from writing.
	set("idle_in_transaction_session_timeout", "10s")
	// A commit is answered when it is on disk here, and on the standbys that synchronous_standby_names names.
	if cfg.RuntimeParams["synchronous_commit"] == "off" || cfg.RuntimeParams["synchronous_commit"] == "local" {
		return nil, errors.New("store: synchronous_commit is off or local in the connection string: acknowledged writes could be lost")
	}
	if cfg.ValidateConnect == nil {
		cfg.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	return cfg, nil
}

func (db *DB) openPostgres() error {
	db.engine = postgresEngine()
	cfg, err := postgresConfig(db.opt.Postgres)
	if err != nil {
		return err
	}
	db.write = sql.OpenDB(laneConnector{stdlib.GetConnector(*cfg)})
	db.write.SetMaxOpenConns(1)
	db.read = stdlib.OpenDB(*cfg)
	readers := orElse(db.opt.Readers, 16)
	db.read.SetMaxOpenConns(readers)
	db.read.SetMaxIdleConns(readers)
	db.read.SetConnMaxIdleTime(5 * time.Minute)
	return nil
}

// checkPostgres refuses a database whose texts are not in the order of their bytes: pages and ranges rely on it, and an
// order that comes with a system's libraries changes with them.
func checkPostgres(ctx context.Context, tx *sql.Tx) error {
	var collate, encoding string
	err := tx.QueryRowContext(ctx,
		`SELECT datcollate, pg_encoding_to_char(encoding) FROM pg_database WHERE datname = current_database()`).Scan(&collate, &encoding)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	ok := map[string]bool{"C": true, "POSIX": true, "C.UTF-8": true, "C.utf8": true}
	if !ok[collate] || encoding != "UTF8" {
		return fmt.Errorf("store: the database has collation %s and encoding %s: make one with "+
			"CREATE DATABASE … TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'", collate, encoding)
	}
	return nil
}
