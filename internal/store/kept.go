package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
)

// keptMost bounds the statements that a connection keeps compiled. The store has some 300 texts; those made for one
// question must not push them out, nor grow without end.
const keptMost = 512

// sqliteConn is what SQLite's driver offers on a connection.
type sqliteConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
}

// keeper is a connection to SQLite that keeps its statements compiled: compiling takes longer than most of them run.
type keeper struct {
	sqliteConn

	kept map[string]*kept
}

// kept is a compiled statement. It is used by one at a time.
type kept struct {
	exec  driver.StmtExecContext
	query driver.StmtQueryContext
	close func() error
	busy  bool
}

// keeperConnector makes keepers.
type keeperConnector struct{ driver.Connector }

// Connect makes a connection.
func (c keeperConnector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	inner, ok := conn.(sqliteConn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("store: the driver made a %T", conn), conn.Close())
	}
	return &keeper{inner, map[string]*kept{}}, nil
}

// statement returns a compiled statement that nobody uses; nil if the text has to be run as it is.
func (k *keeper) statement(ctx context.Context, query string) *kept {
	if s, ok := k.kept[query]; ok {
		if s.busy {
			return nil
		}
		return s
	}
	if len(k.kept) >= keptMost || len(query) > 8<<10 || strings.Contains(query, ";") {
		return nil
	}
	st, err := k.PrepareContext(ctx, query)
	if err != nil {
		return nil // running it says why
	}
	exec, ok1 := st.(driver.StmtExecContext)
	ask, ok2 := st.(driver.StmtQueryContext)
	if !ok1 || !ok2 {
		_ = st.Close()
		return nil
	}
	s := &kept{exec: exec, query: ask, close: st.Close}
	k.kept[query] = s
	return s
}

// ExecContext runs a statement.
func (k *keeper) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if ctx.Value(laterKey{}) != nil {
		ctx = context.WithoutCancel(ctx) // it is short, and watching a context takes a goroutine
	}
	if s := k.statement(ctx, query); s != nil {
		return s.exec.ExecContext(ctx, args)
	}
	return k.sqliteConn.ExecContext(ctx, query, args)
}

// QueryContext runs a query.
func (k *keeper) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	s := k.statement(ctx, query)
	if s == nil {
		return k.sqliteConn.QueryContext(ctx, query, args)
	}
	rows, err := s.query.QueryContext(ctx, args)
	if err != nil {
		return nil, err
	}
	s.busy = true
	return &keptRows{rows, s}, nil
}

// BeginTx begins a transaction; one that only reads by kept statements too: it waits for nothing that could be broken off.
func (k *keeper) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	if !opts.ReadOnly {
		return k.sqliteConn.BeginTx(ctx, opts)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return keptTx{k}, keptTx{k}.run("BEGIN")
}

// keptTx is a reading transaction.
type keptTx struct{ on *keeper }

func (t keptTx) run(query string) error {
	_, err := t.on.ExecContext(context.Background(), query, nil)
	return err
}

// Commit ends the transaction.
func (t keptTx) Commit() error { return t.run("COMMIT") }

// Rollback ends the transaction.
func (t keptTx) Rollback() error { return t.run("ROLLBACK") }

// Close closes the statements and the connection.
func (k *keeper) Close() error {
	var err error
	for _, s := range k.kept {
		err = errors.Join(err, s.close())
	}
	k.kept = nil
	return errors.Join(err, k.sqliteConn.Close())
}

// keptRows are the rows of a kept statement.
type keptRows struct {
	driver.Rows

	of *kept
}

// Close frees the statement for the next.
func (r *keptRows) Close() error {
	err := r.Rows.Close()
	r.of.busy = false
	return err
}
