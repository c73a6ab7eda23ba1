package store_test

import (
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/internal/store"
)

func open(t *testing.T, path string) (*store.DB, error) {
	t.Helper()
	db, err := store.Open(t.Context(), store.Options{Path: path, Now: time.Now})
	if err == nil {
		t.Cleanup(func() { _ = db.Close() })
	}
	return db, err
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	if _, err := store.Open(t.Context(), store.Options{Path: filepath.Join(dir, "a.db")}); err == nil {
		t.Error("opened without a clock")
	}
	if _, err := open(t, filepath.Join(dir, "none", "a.db")); err == nil || !strings.Contains(err.Error(), "folder") {
		t.Errorf("opened in a folder that is not there: %v", err)
	}
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte(strings.Repeat("not a database\n", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t, text); err == nil {
		t.Error("opened a text")
	}
}

// TestOpenRefusesNewer holds that a program does not touch a database that a newer one has migrated.
func TestOpenRefusesNewer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	db, err := open(t, path)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	raw, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := raw.Exec(`INSERT INTO migrations (number, name) VALUES (9999, 'of the future')`); err != nil {
		t.Fatal(err)
	}
	if err := raw.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t, path); err == nil || !strings.Contains(err.Error(), "use a newer program") {
		t.Errorf("got %v", err)
	}
}

// TestFilesArePrivate holds that nobody else can read the database or the files beside it, also if they were laxer.
func TestFilesArePrivate(t *testing.T) {
	for name, prepare := range map[string]func(string) error{
		"new":               func(string) error { return nil },
		"lax":               func(path string) error { return os.WriteFile(path, nil, 0o644) },
		"odd name? 100% #1": func(string) error { return nil },
	} {
		dir := filepath.Join(t.TempDir(), name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, name+".db")
		if err := prepare(path); err != nil {
			t.Fatal(err)
		}
		db, err := open(t, path)
		if err != nil {
			t.Fatal(name, err)
		}
		if _, err := db.Update(t.Context(), func(tx *store.Tx) error { return tx.SetSetting("a", "b") }); err != nil {
			t.Fatal(err)
		}
		files, err := os.ReadDir(dir)
		if err != nil || len(files) < 2 || files[0].Name() != name+".db" {
			t.Errorf("%s: %v, %v", name, files, err)
		}
		for _, f := range files {
			if info, err := f.Info(); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%s: %v, %v", f.Name(), info.Mode(), err)
			}
		}
	}
}

func TestPeek(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	if err := store.Peek(t.Context(), path, func(*store.Tx) error { return nil }); err == nil {
		t.Error("peeked into nothing")
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("peeking made a file")
	}
	db, err := open(t, path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Update(t.Context(), func(tx *store.Tx) error { return tx.SetSetting("a", "b") }); err != nil {
		t.Fatal(err)
	}
	err = store.Peek(t.Context(), path, func(tx *store.Tx) error {
		if v, ok, err := tx.Setting("a"); v != "b" || !ok || err != nil {
			t.Errorf("%q %t %v", v, ok, err)
		}
		if err := tx.SetSetting("a", "c"); err == nil {
			t.Error("a peek wrote")
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
