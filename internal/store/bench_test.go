package store_test

import (
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/feed"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/store"
)

func openBench(b *testing.B) (*store.DB, ident.TenantID) {
	b.Helper()
	db, err := store.Open(b.Context(), store.Options{Path: filepath.Join(b.TempDir(), "bench.db"), Now: time.Now})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = db.Close() })
	t := ident.New[ident.TenantID]()
	if _, err := db.Update(b.Context(), func(tx *store.Tx) error {
		return tx.PutTenant(directory.Tenant{ID: t, Domains: []string{"bench.test"}})
	}); err != nil {
		b.Fatal(err)
	}
	return db, t
}

func benchUser(t ident.TenantID, n int64) directory.User {
	name := "user" + strconv.FormatInt(n, 10)
	return directory.User{ID: ident.New[ident.ObjectID](), Tenant: t, UserPrincipalName: name + "@bench.test", DisplayName: name, AccountEnabled: true}
}

// BenchmarkWrite measures durable writes of one user each, by one writer and by sixteen at once.
func BenchmarkWrite(b *testing.B) {
	for _, writers := range []int{1, 16} {
		b.Run("writers="+strconv.Itoa(writers), func(b *testing.B) {
			db, t := openBench(b)
			var n atomic.Int64
			b.SetParallelism(max(1, writers/2)) // of two processors
			if writers == 1 {
				for b.Loop() {
					u := benchUser(t, n.Add(1))
					if _, err := db.Update(b.Context(), func(tx *store.Tx) error { return tx.PutUser(u) }); err != nil {
						b.Fatal(err)
					}
				}
			} else {
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						u := benchUser(t, n.Add(1))
						if _, err := db.Update(b.Context(), func(tx *store.Tx) error { return tx.PutUser(u) }); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "writes/s")
		})
	}
}

// BenchmarkFollow measures the snapshot of a directory of ten thousand users.
func BenchmarkFollow(b *testing.B) {
	db, t := openBench(b)
	if _, err := db.Update(b.Context(), func(tx *store.Tx) error {
		for n := range int64(10_000) {
			if err := tx.PutUser(benchUser(t, n)); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		n := 0
		if err := db.Follow(b.Context(), func(c feed.Change) { n += len(c.Events) }); err != nil || n < 10_000 {
			b.Fatal(n, err)
		}
	}
}
