package store_test

import (
	"crypto/sha256"
	"encoding/hex"
	"testing"

	"github.com/keyreeve/keyreeve/internal/store"
	"github.com/keyreeve/keyreeve/internal/store/postgrestest"
	"github.com/keyreeve/keyreeve/internal/store/storetest"
)

// databaseOf names the database of a folder.
func databaseOf(dir string) string {
	sum := sha256.Sum256([]byte(dir))
	return "t" + hex.EncodeToString(sum[:8])
}

func TestPostgres(t *testing.T) {
	storetest.Run(t, func(t testing.TB, dir string, opt store.Options) *store.DB {
		t.Helper()
		opt.Postgres = postgrestest.Database(t, databaseOf(dir))
		db, err := store.Open(t.Context(), opt)
		if err != nil {
			t.Fatal(err)
		}
		return db
	})
}
