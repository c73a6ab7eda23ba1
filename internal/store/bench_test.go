package store_test

import (
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/feed"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/store"
	"github.com/keyreeve/keyreeve/internal/store/postgrestest"
)

// benchEngines are the databases that are measured, on the disk of the temporary folder.
func benchEngines(b *testing.B, bench func(b *testing.B, opt store.Options)) {
	b.Run("sqlite", func(b *testing.B) { bench(b, store.Options{Path: filepath.Join(b.TempDir(), "bench.db")}) })
	b.Run("postgres", func(b *testing.B) {
		server := postgrestest.Start(b) // with fsync, as it comes
		bench(b, store.Options{Postgres: server.DSN("postgres")})
	})
}

func openBench(b *testing.B, opt store.Options) (*store.DB, ident.TenantID) {
	b.Helper()
	opt.Now = time.Now
	db, err := store.Open(b.Context(), opt)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = db.Close() })
	t := ident.New[ident.TenantID]()
	if _, err := db.Update(b.Context(), func(tx *store.Tx) error {
		return tx.PutTenant(directory.Tenant{ID: t, Domains: []string{t.String() + ".test"}})
	}); err != nil {
		b.Fatal(err)
	}
	return db, t
}

func benchUser(t ident.TenantID, n int64) directory.User {
	name := "user" + strconv.FormatInt(n, 10)
	return directory.User{ID: ident.New[ident.ObjectID](), Tenant: t, UserPrincipalName: name + "@bench.test", DisplayName: name, AccountEnabled: true}
}

// BenchmarkSync measures what the disk allows: appending a page to a file and waiting until it is there.
func BenchmarkSync(b *testing.B) {
	f, err := os.Create(filepath.Join(b.TempDir(), "sync"))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	page := make([]byte, 4096)
	for b.Loop() {
		if _, err := f.Write(page); err != nil {
			b.Fatal(err)
		}
		if err := syscall.Fdatasync(int(f.Fd())); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "syncs/s")
}

// BenchmarkWrite measures durable writes of one user each, by one writer and by many at once.
func BenchmarkWrite(b *testing.B) {
	benchEngines(b, func(b *testing.B, opt store.Options) {
		db, t := openBench(b, opt)
		var n atomic.Int64
		for _, writers := range []int{1, 16, 64} {
			b.Run("writers="+strconv.Itoa(writers), func(b *testing.B) {
				var wg sync.WaitGroup
				var left atomic.Int64
				left.Store(int64(b.N))
				for range writers {
					wg.Go(func() {
						for left.Add(-1) >= 0 {
							u := benchUser(t, n.Add(1))
							if _, err := db.Update(b.Context(), func(tx *store.Tx) error { return tx.PutUser(u) }); err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				wg.Wait()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "writes/s")
			})
		}
	})
}

// BenchmarkFollow measures the snapshot of a directory of ten thousand users.
func BenchmarkFollow(b *testing.B) {
	db, t := openBench(b, store.Options{Path: filepath.Join(b.TempDir(), "bench.db")})
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
		if err := db.Follow(b.Context(), func(c feed.Change) { n = len(c.Events) }); err != nil || n < 10_000 {
			b.Fatal(n, err)
		}
	}
}
