package store

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"path"
	"sort"
	"strconv"
	"strings"
)

// migrate applies the numbered SQL files of dir that were not applied yet, all in one transaction: forward only, and
// all or none. The write lock of the transaction keeps two processes from migrating at once.
func migrate(ctx context.Context, db *sql.DB, files fs.FS, dir string) error {
	entries, err := fs.ReadDir(files, dir)
	if err != nil {
		return fmt.Errorf("store: migrations: %w", err)
	}
	sort.Slice(entries, func(i, j int) bool { return entries[i].Name() < entries[j].Name() })
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("store: migrations: %w", err)
	}
	defer func() { _ = tx.Rollback() }()
	if _, err := tx.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS migrations (number INTEGER PRIMARY KEY, name TEXT NOT NULL)`); err != nil {
		return fmt.Errorf("store: migrations: %w", err)
	}
	var done int
	if err := tx.QueryRowContext(ctx, `SELECT coalesce(max(number), 0) FROM migrations`).Scan(&done); err != nil {
		return fmt.Errorf("store: migrations: %w", err)
	}
	newest := 0
	for _, e := range entries {
		number, err := strconv.Atoi(strings.SplitN(e.Name(), "_", 2)[0])
		if err != nil {
			return fmt.Errorf("store: migration %s has no number", e.Name())
		}
		newest = number
		if number <= done {
			continue
		}
		text, err := fs.ReadFile(files, path.Join(dir, e.Name()))
		if err != nil {
			return fmt.Errorf("store: migration %s: %w", e.Name(), err)
		}
		if _, err := tx.ExecContext(ctx, string(text)); err != nil {
			return fmt.Errorf("store: migration %s: %w", e.Name(), err)
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO migrations (number, name) VALUES ($1, $2)`, number, e.Name()); err != nil {
			return fmt.Errorf("store: migration %s: %w", e.Name(), err)
		}
	}
	if done > newest {
		return fmt.Errorf("store: the database is at migration %d and this program knows only %d: use a newer program", done, newest)
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("store: migrations: %w", err)
	}
	return nil
}
