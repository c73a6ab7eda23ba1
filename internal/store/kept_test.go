package store

import (
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestKeptStatementInUse: a query that is asked again while its rows are read is run beside it, and the kept one is good
// afterwards; so it is after rows that nobody read to their end, and after the table has changed.
func TestKeptStatementInUse(t *testing.T) {
	db, err := Open(t.Context(), Options{Path: filepath.Join(t.TempDir(), "db"), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if _, err := db.Update(t.Context(), func(tx *Tx) error {
		for n := range 5 {
			if err := tx.SetSetting("n"+strconv.Itoa(n), "v"); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	const ask = `SELECT name FROM settings WHERE name >= $1 ORDER BY name`
	names := func(tx *Tx, from string) []string {
		t.Helper()
		got, err := tx.texts("setting", ask, from)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	read := func(tx *Tx) error {
		rows, err := tx.query(ask, "n1")
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }() // as everybody does
		var got []string
		for rows.Next() {
			var name string
			if err := rows.Scan(&name); err != nil {
				return err
			}
			if inner := names(tx, "n3"); !slices.Equal(inner, []string{"n3", "n4"}) {
				t.Errorf("within: %q", inner)
			}
			if got = append(got, name); len(got) == 3 {
				break
			}
		}
		if !slices.Equal(got, []string{"n1", "n2", "n3"}) {
			t.Errorf("without: %q", got)
		}
		return rows.Err()
	}
	for range 3 {
		if err := db.View(t.Context(), read); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := db.write.Exec(`ALTER TABLE settings ADD COLUMN more TEXT NOT NULL DEFAULT ''`); err != nil {
		t.Fatal(err)
	}
	if err := db.View(t.Context(), read); err != nil {
		t.Fatal(err)
	}
}

// TestChunks: every row is in one chunk, in order, and there are few sizes.
func TestChunks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, next := rapid.IntRange(0, 1000).Draw(t, "rows"), 0
		_ = inChunks(n, func(from, to int) error {
			if from != next || !slices.Contains([]int{1, 4, 16, 64}, to-from) {
				t.Fatalf("from %d to %d after %d", from, to, next)
			}
			next = to
			return nil
		})
		if next != n {
			t.Fatalf("%d of %d", next, n)
		}
	})
	if got := places(2, 3); got != "($1, $2, $3), ($4, $5, $6)" || strings.Count(places(64, 4), "$") != 256 {
		t.Error(got)
	}
}
