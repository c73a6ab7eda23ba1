package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// migration is one numbered SQL file.
type migration struct {
	number int
	name   string
	text   string
}

// readMigrations returns the numbered SQL files of a folder in the order of their numbers.
func readMigrations(files fs.FS, dir string) ([]migration, error) {
	entries, err := fs.ReadDir(files, dir)
	if err != nil {
		return nil, fmt.Errorf("store: migrations: %w", err)
	}
	var all []migration
	for _, e := range entries {
		number, err := strconv.Atoi(strings.SplitN(e.Name(), "_", 2)[0])
		if err != nil || number < 1 {
			return nil, fmt.Errorf("store: migration %s has no number", e.Name())
		}
		if slices.ContainsFunc(all, func(m migration) bool { return m.number == number }) {
			return nil, fmt.Errorf("store: two migrations have the number %d", number)
		}
		text, err := fs.ReadFile(files, path.Join(dir, e.Name()))
		if err != nil {
			return nil, fmt.Errorf("store: migration %s: %w", e.Name(), err)
		}
		all = append(all, migration{number, e.Name(), string(text)})
	}
	slices.SortFunc(all, func(a, b migration) int { return a.number - b.number })
	return all, nil
}

// migrate applies the migrations that were not applied yet, also one whose number is below that of another which was,
// all in one transaction: forward only, and all or none. A lock keeps two processes from migrating at once.
func migrate(ctx context.Context, db *sql.DB, files fs.FS, e engine) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return e.failed(err, "store: migrations")
	}
	defer func() { _ = tx.Rollback() }()
	if err := applyMigrations(ctx, tx, files, e, func(int) bool { return true }); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return e.failed(err, "store: migrations")
	}
	return nil
}

// applyMigrations applies those of the migrations not applied yet that are wanted.
func applyMigrations(ctx context.Context, tx *sql.Tx, files fs.FS, e engine, wanted func(number int) bool) error {
	known, err := readMigrations(files, e.migrations)
	if err != nil {
		return err
	}
	if e.shared {
		if err := checkPostgres(ctx, tx); err != nil {
			return err
		}
	}
	if e.lockMigrations != "" {
		if _, err := tx.ExecContext(ctx, e.lockMigrations); err != nil {
			return e.failed(err, "store: migrations")
		}
	}
	if _, err := tx.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS migrations (number INTEGER PRIMARY KEY, name TEXT NOT NULL)`); err != nil {
		return e.failed(err, "store: migrations")
	}
	applied, err := appliedMigrations(ctx, tx)
	if err != nil {
		return err
	}
	for _, m := range known {
		if _, ok := applied[m.number]; ok || !wanted(m.number) {
			delete(applied, m.number)
			continue
		}
		if _, err := tx.ExecContext(ctx, m.text); err != nil {
			return fmt.Errorf("store: migration %s: %w", m.name, err)
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO migrations (number, name) VALUES ($1, $2)`, m.number, m.name); err != nil {
			return fmt.Errorf("store: migration %s: %w", m.name, err)
		}
	}
	for number, name := range applied {
		return fmt.Errorf("store: the database is at migration %d (%s), which this program does not know: use a newer program", number, name)
	}
	return nil
}

// appliedMigrations returns the names of the migrations that were applied, by number.
func appliedMigrations(ctx context.Context, tx runner) (map[int]string, error) {
	rows, err := tx.QueryContext(ctx, `SELECT number, name FROM migrations`)
	if err != nil {
		return nil, fmt.Errorf("store: migrations: %w", err)
	}
	defer func() { _ = rows.Close() }()
	applied := map[int]string{}
	for rows.Next() {
		var number int
		var name string
		if err := rows.Scan(&number, &name); err != nil {
			return nil, fmt.Errorf("store: migrations: %w", err)
		}
		applied[number] = name
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("store: migrations: %w", err)
	}
	return applied, nil
}

// ErrEmpty is what opening a database as it is returns when no migration was ever applied to it.
var ErrEmpty = errors.New("store: the database is empty")

// notEmpty returns ErrEmpty for a database without migrations.
func (db *DB) notEmpty(ctx context.Context) error {
	query := `SELECT count(*) FROM sqlite_master WHERE name = 'migrations'`
	if db.engine.shared {
		query = `SELECT count(to_regclass('migrations'))`
	}
	var n int
	if err := db.write.QueryRowContext(ctx, query).Scan(&n); err != nil {
		return db.engine.failed(err, "store: migrations")
	}
	if n == 0 {
		return ErrEmpty
	}
	return nil
}
