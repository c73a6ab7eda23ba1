package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// lane is a connection to PostgreSQL that saves journeys: a statement whose answer nobody waits for (see later), and the
// beginning of a transaction, travel with the next statement that somebody does wait for. If one of them fails, that
// statement fails in its place, and was not run.
type lane struct {
	*stdlib.Conn

	queue []statement
}

type statement struct {
	query string
	args  []any
}

type laterKey struct{}

// later returns a context under which Exec may put a statement off until the next one or the commit.
func later(ctx context.Context) context.Context { return context.WithValue(ctx, laterKey{}, true) }

// laneConnector makes lanes.
type laneConnector struct{ driver.Connector }

// Connect makes a connection.
func (c laneConnector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	std, ok := conn.(*stdlib.Conn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("store: the driver made a %T", conn), conn.Close())
	}
	return &lane{Conn: std}, nil
}

// ExecContext runs a statement, or puts it off.
func (l *lane) ExecContext(ctx context.Context, query string, named []driver.NamedValue) (driver.Result, error) {
	if l.Conn.Conn().IsClosed() {
		return nil, driver.ErrBadConn
	}
	if ctx.Value(laterKey{}) != nil {
		l.queue = append(l.queue, statement{query, values(named)})
		return driver.RowsAffected(0), nil
	}
	if len(l.queue) == 0 {
		return l.Conn.ExecContext(ctx, query, named)
	}
	if len(named) == 0 { // perhaps several statements in one text, which travel alone
		if err := l.flush(ctx); err != nil {
			return nil, err
		}
		return l.Conn.ExecContext(ctx, query, named)
	}
	answers, err := l.send(ctx, statement{query, values(named)})
	if err != nil {
		return nil, err
	}
	tag, err := answers.Exec()
	if closing := answers.Close(); err == nil {
		err = closing
	}
	return driver.RowsAffected(tag.RowsAffected()), err
}

// QueryContext runs a query.
func (l *lane) QueryContext(ctx context.Context, query string, named []driver.NamedValue) (driver.Rows, error) {
	if l.Conn.Conn().IsClosed() {
		return nil, driver.ErrBadConn
	}
	if len(l.queue) == 0 {
		return l.Conn.QueryContext(ctx, query, named)
	}
	answers, err := l.send(ctx, statement{query, values(named)})
	if err != nil {
		return nil, err
	}
	rows, err := answers.Query()
	if err != nil {
		_ = answers.Close()
		return nil, err
	}
	// The first row now: an error belongs to the query.
	out := &laneRows{answers: answers, rows: rows, more: rows.Next(), first: true}
	if err := rows.Err(); err != nil {
		_ = out.Close()
		return nil, err
	}
	return out, nil
}

// PrepareContext refuses: a prepared statement would not wait its turn.
func (l *lane) PrepareContext(context.Context, string) (driver.Stmt, error) {
	return nil, errors.New("store: nothing is prepared on this connection")
}

// send sends what was put off and one statement, and returns the answers from that one's on.
func (l *lane) send(ctx context.Context, last ...statement) (pgx.BatchResults, error) {
	var b pgx.Batch
	n := len(l.queue)
	for _, s := range append(l.queue, last...) {
		b.Queue(s.query, s.args...)
	}
	l.queue = l.queue[:0]
	answers := l.Conn.Conn().SendBatch(ctx, &b)
	for range n {
		if _, err := answers.Exec(); err != nil {
			_ = answers.Close()
			return nil, err
		}
	}
	return answers, nil
}

// flush sends what was put off.
func (l *lane) flush(ctx context.Context) error {
	if len(l.queue) == 0 {
		return nil
	}
	answers, err := l.send(ctx)
	if err != nil {
		return err
	}
	return answers.Close()
}

func values(named []driver.NamedValue) []any {
	args := make([]any, len(named))
	for i, v := range named {
		args[i] = v.Value
	}
	return args
}

// BeginTx begins a transaction with its first statement.
func (l *lane) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	if l.Conn.Conn().IsClosed() {
		return nil, driver.ErrBadConn
	}
	if opts.ReadOnly || opts.Isolation != driver.IsolationLevel(sql.LevelDefault) {
		return nil, errors.New("store: this connection is for writing")
	}
	l.queue = append(l.queue[:0], statement{query: "BEGIN"})
	return &laneTx{lane: l, ctx: ctx}, nil
}

// laneTx is a transaction on a lane.
type laneTx struct {
	lane *lane
	ctx  context.Context //nolint:containedctx // database/sql gives none at the end
}

// errUndone says that the server ended a transaction by undoing it.
var errUndone = errors.New("store: the transaction was undone: a statement in it had failed")

// Commit sends what was put off with the commit.
func (t *laneTx) Commit() error {
	conn := t.lane.Conn.Conn()
	if conn.IsClosed() {
		return driver.ErrBadConn
	}
	answers, err := t.lane.send(t.ctx, statement{query: "COMMIT"})
	if err == nil {
		tag, failed := answers.Exec()
		if err = errors.Join(failed, answers.Close()); err == nil && tag.String() == "ROLLBACK" {
			err = errUndone
		}
	}
	if err != nil && !conn.IsClosed() && conn.PgConn().TxStatus() != 'I' {
		_ = t.Rollback()
	}
	return err
}

// Rollback forgets what was put off and undoes the rest.
func (t *laneTx) Rollback() error {
	t.lane.queue = t.lane.queue[:0]
	conn := t.lane.Conn.Conn()
	if conn.IsClosed() || conn.PgConn().TxStatus() == 'I' { // it never began, or has ended
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.ctx), 5*time.Second)
	defer cancel()
	_, err := conn.Exec(ctx, "ROLLBACK")
	if err != nil {
		_ = conn.Close(ctx) // nobody knows in which state it is
	}
	return err
}

// laneRows are the rows of a query that travelled with others.
type laneRows struct {
	answers     pgx.BatchResults
	rows        pgx.Rows
	first, more bool
}

// Columns returns the names of the columns.
func (r *laneRows) Columns() []string {
	names := make([]string, 0, len(r.rows.FieldDescriptions()))
	for _, f := range r.rows.FieldDescriptions() {
		names = append(names, f.Name)
	}
	return names
}

// Close ends the query.
func (r *laneRows) Close() error {
	r.rows.Close()
	return r.answers.Close()
}

// Next reads a row.
func (r *laneRows) Next(dest []driver.Value) error {
	if !r.first {
		r.more = r.rows.Next()
	}
	r.first = false
	if !r.more {
		if err := r.rows.Err(); err != nil {
			return err
		}
		return io.EOF
	}
	row, err := r.rows.Values()
	if err != nil {
		return err
	}
	for i, v := range row {
		switch v := v.(type) {
		case int32:
			dest[i] = int64(v)
		case int16:
			dest[i] = int64(v)
		case nil, int64, float64, bool, []byte, string, time.Time:
			dest[i] = v
		default:
			return fmt.Errorf("store: a column has a %T", v)
		}
	}
	return nil
}
