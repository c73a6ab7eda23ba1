package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"

	"github.com/keyreeve/keyreeve/internal/fault"
)

// Peek runs fn on one consistent state of a database that another process may be serving. It writes nothing, not even
// a migration: it is for the way in when all else fails.
func Peek(ctx context.Context, path string, fn func(*Tx) error) (err error) {
	if _, err := os.Stat(path); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	db, err := sql.Open("sqlite", dsn(path, "&_pragma=query_only(1)"))
	if err != nil {
		return fmt.Errorf("store: open: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	sqlTx, err := db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return fault.Wrap(err, "store: begin")
	}
	defer func() { _ = sqlTx.Rollback() }()
	return fn(&Tx{ctx: ctx, sql: sqlTx})
}
