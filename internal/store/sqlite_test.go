package store_test

import (
	"path/filepath"
	"testing"

	"github.com/keyreeve/keyreeve/internal/store"
	"github.com/keyreeve/keyreeve/internal/store/storetest"
)

func TestSQLite(t *testing.T) {
	storetest.Run(t, func(t testing.TB, dir string, opt store.Options) *store.DB {
		t.Helper()
		opt.Path = filepath.Join(dir, "store.db")
		db, err := store.Open(t.Context(), opt)
		if err != nil {
			t.Fatal(err)
		}
		return db
	})
}
