package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/feed"
)

// Tx is a transaction. Its methods return a fault of kind NotFound (cause ErrNotFound) for a missing object and of
// kind Conflict (cause ErrExists) for a name that is taken; anything else is an internal fault. A method that returns
// NotFound or Conflict, or refers to what is not there, has changed nothing, and the transaction may go on.
type Tx struct {
	//nolint:containedctx // a transaction lives inside one call and ends with its context
	ctx      context.Context
	sql      runner
	engine   *engine
	writable bool
	wrote    bool
	events   []feed.Event
	// batch is what a write is a part of, and nil for reads. started is set once it has a savepoint there.
	batch   *batch
	started bool
	// records are for the audit log: they are written with those of the whole batch.
	records []auditRow
	// savepoint is set once a statement has a savepoint of its own; failed is what made the transaction useless.
	savepoint bool
	failed    error
}

// runner runs statements: a transaction, or the database for a single one.
type runner interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// start makes sure that what the write does from here on can be undone without the rest of its batch. A write that runs no
// statement needs nothing of that.
func (tx *Tx) start() error {
	if tx.batch == nil || tx.started {
		return nil
	}
	if err := tx.batch.mark(); err != nil {
		tx.failed = tx.engine.failed(err, "store: begin")
		return tx.failed
	}
	tx.started = true
	return nil
}

// query runs a reading statement, or a writing one that returns rows.
func (tx *Tx) query(query string, args ...any) (*sql.Rows, error) {
	if err := tx.start(); err != nil {
		return nil, err
	}
	rows, err := tx.sql.QueryContext(tx.ctx, query, args...)
	return rows, tx.spoiled(err)
}

// spoiled takes note of a reading statement's error that makes the rest of a write useless, and returns it.
func (tx *Tx) spoiled(err error) error {
	if err != nil && tx.batch != nil && tx.engine.poisons && !errors.Is(err, sql.ErrNoRows) && tx.failed == nil {
		tx.failed = tx.engine.failed(err, "store: read")
	}
	return err
}

// read reads the one row that a query selects; the error is that of sql.Row.
func (tx *Tx) read(into []any, query string, args ...any) error {
	if err := tx.start(); err != nil {
		return err
	}
	return tx.spoiled(tx.sql.QueryRowContext(tx.ctx, query, args...).Scan(into...))
}

// exec runs a writing statement and returns the number of rows it touched.
func (tx *Tx) exec(query string, args ...any) (int64, error) {
	if err := tx.mark(); err != nil {
		return 0, err
	}
	res, err := tx.sql.ExecContext(tx.ctx, query, args...)
	if err != nil {
		return 0, tx.undo(err)
	}
	n, err := res.RowsAffected()
	if err != nil {
		return 0, fault.Wrap(err, "store: write")
	}
	tx.wrote = tx.wrote || n > 0
	return n, nil
}

// mark makes sure that the statement that follows can be undone alone. Before the first write, the savepoint of the whole
// write serves.
func (tx *Tx) mark() error {
	if !tx.writable {
		return fault.Wrap(errors.New("write in a read transaction"), "store")
	}
	if tx.failed != nil {
		return tx.failed
	}
	if err := tx.start(); err != nil {
		return err
	}
	if !tx.engine.poisons || !tx.wrote {
		return nil
	}
	if err := savepoint(tx.batch.later, tx.sql, "s", tx.savepoint); err != nil {
		return tx.undo(err)
	}
	tx.savepoint = true
	return nil
}

// savepoint sets a savepoint, in the place of an earlier one of the same name if there is one.
func savepoint(ctx context.Context, tx runner, name string, again bool) error {
	if again {
		if _, err := tx.ExecContext(ctx, `RELEASE SAVEPOINT `+name); err != nil {
			return err
		}
	}
	_, err := tx.ExecContext(ctx, `SAVEPOINT `+name)
	return err
}

// undo makes a fault of a writing statement's error. After a row that the schema does not allow, the transaction is as it was
// before the statement; after anything else it is of no use any more.
func (tx *Tx) undo(err error) error {
	failed := tx.engine.failed(err, "store: write")
	if !tx.engine.constraint(err) {
		tx.failed = failed
		return failed
	}
	if tx.engine.poisons {
		back := `ROLLBACK TO SAVEPOINT w`
		if tx.savepoint {
			back = `ROLLBACK TO SAVEPOINT s`
		}
		if _, err := tx.sql.ExecContext(tx.ctx, back); err != nil {
			tx.failed = tx.engine.failed(err, "store: write")
			return tx.failed
		}
	}
	return failed
}

// returning runs a writing statement and returns the one text column it gives for each row it touched.
func (tx *Tx) returning(kind feed.Kind, query string, args ...any) ([]string, error) {
	if err := tx.mark(); err != nil {
		return nil, err
	}
	out, err := tx.texts(string(kind), query, args...)
	if err != nil {
		return nil, tx.undo(err)
	}
	tx.wrote = tx.wrote || len(out) > 0
	return out, nil
}

// removeAll runs a deleting statement that returns the first part of the keys of the rows it removed, and tells of
// each. suffix is the rest of the keys.
func (tx *Tx) removeAll(kind feed.Kind, suffix, query string, args ...any) error {
	keys, err := tx.returning(kind, query, args...)
	if err != nil {
		return err
	}
	for _, k := range keys {
		tx.tell(kind, feed.Delete, k+suffix)
	}
	return nil
}

// tell adds an event without a value to the change record of this transaction.
func (tx *Tx) tell(kind feed.Kind, op feed.Op, key string) {
	tx.events = append(tx.events, feed.Event{Kind: kind, Op: op, Key: key})
}

// put runs a writing statement whose first parameter is the JSON of doc, and tells of it.
func (tx *Tx) put(kind feed.Kind, key string, doc any, query string, args ...any) error {
	raw, err := json.Marshal(doc)
	if err != nil {
		return fault.Wrap(err, "store: %s", kind)
	}
	if _, err := tx.exec(query, append([]any{string(raw)}, args...)...); err != nil {
		return err
	}
	if kind != feed.Private {
		tx.events = append(tx.events, feed.Event{Kind: kind, Op: feed.Put, Key: key, Value: raw})
	}
	return nil
}

// remove runs a deleting statement, tells of it, and returns NotFound when it touched nothing.
func (tx *Tx) remove(kind feed.Kind, key, query string, args ...any) error {
	n, err := tx.exec(query, args...)
	if err != nil {
		return err
	}
	if n == 0 {
		return notFound(string(kind), key)
	}
	if kind == feed.Private {
		return nil
	}
	tx.tell(kind, feed.Delete, key)
	return nil
}

// one reads the single document that a query selects.
func one[T any](tx *Tx, what, key, query string, args ...any) (T, error) {
	var out T
	var raw []byte
	err := tx.read([]any{&raw}, query, args...)
	if errors.Is(err, sql.ErrNoRows) {
		return out, notFound(what, key)
	}
	if err != nil {
		return out, tx.engine.failed(err, "store: read %s", what)
	}
	if err := json.Unmarshal(raw, &out); err != nil {
		return out, fault.Wrap(err, "store: read %s", what)
	}
	return out, nil
}

// each calls fn with every document that a query selects.
func each[T any](tx *Tx, what string, fn func(T) error, query string, args ...any) error {
	rows, err := tx.query(query, args...)
	if err != nil {
		return tx.engine.failed(err, "store: list %s", what)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var raw sql.RawBytes
		if err := rows.Scan(&raw); err != nil {
			return tx.engine.failed(err, "store: list %s", what)
		}
		var v T
		if err := json.Unmarshal(raw, &v); err != nil {
			return fault.Wrap(err, "store: list %s", what)
		}
		if err := fn(v); err != nil {
			return err
		}
	}
	if err := tx.spoiled(rows.Err()); err != nil {
		return tx.engine.failed(err, "store: list %s", what)
	}
	return nil
}

// all reads every document that a query selects.
func all[T any](tx *Tx, what, query string, args ...any) ([]T, error) {
	var out []T
	err := each(tx, what, func(v T) error { out = append(out, v); return nil }, query, args...)
	return out, err
}

// texts reads one text column.
func (tx *Tx) texts(what, query string, args ...any) ([]string, error) {
	rows, err := tx.query(query, args...)
	if err != nil {
		return nil, tx.engine.failed(err, "store: list %s", what)
	}
	defer func() { _ = rows.Close() }()
	var out []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, tx.engine.failed(err, "store: list %s", what)
		}
		out = append(out, s)
	}
	if err := tx.spoiled(rows.Err()); err != nil {
		return nil, tx.engine.failed(err, "store: list %s", what)
	}
	return out, nil
}

func taken(cause error) error {
	return fault.New(fault.Conflict, "", "An object with the same name already exists.").Because(cause)
}

func notFound(what, key string) error {
	return fault.New(fault.NotFound, "", "The %s was not found.", what).Because(fmt.Errorf("%w: %s %s", ErrNotFound, what, key))
}

// IsNotFound reports whether err says that an object is missing.
func IsNotFound(err error) bool { return errors.Is(err, ErrNotFound) }

// IsExists reports whether err says that a name is taken.
func IsExists(err error) bool { return errors.Is(err, ErrExists) }
