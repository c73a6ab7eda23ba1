package store_test

import (
	"errors"
	"flag"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
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
		if err := db.Follow(b.Context(), func(c feed.Change) { n += len(c.Events) }); err != nil || n < 10_000 {
			b.Fatal(n, err)
		}
	}
}

// BenchmarkRead measures reads of one user of a million by id and by name, and of a page by the beginning of a name, with
// the slowest in a hundred. It is slow to set up: name it to run it.
func BenchmarkRead(b *testing.B) {
	const users = 1_000_000
	if !strings.Contains(flag.Lookup("test.bench").Value.String(), "Read") {
		b.Skip("makes a million users: run it with -bench Read")
	}
	benchEngines(b, func(b *testing.B, opt store.Options) {
		db, tenant := openBench(b, opt)
		ids := make([]ident.ObjectID, 0, users)
		for len(ids) < users {
			if _, err := db.Update(b.Context(), func(tx *store.Tx) error {
				for range 2000 {
					u := benchUser(tenant, int64(len(ids)))
					if err := tx.PutUser(u); err != nil {
						return err
					}
					ids = append(ids, u.ID)
				}
				return nil
			}); err != nil {
				b.Fatal(err)
			}
		}
		for name, read := range map[string]func(tx *store.Tx, n int) error{
			"by id": func(tx *store.Tx, n int) error { _, err := tx.User(ids[n]); return err },
			"by name": func(tx *store.Tx, n int) error {
				_, err := tx.UserByUPN(tenant, "user"+strconv.Itoa(n)+"@bench.test")
				return err
			},
			"by prefix": func(tx *store.Tx, n int) error {
				us, err := tx.Users(store.NameQuery{Tenant: tenant, DisplayPrefix: "user" + strconv.Itoa(n/1000), Limit: 100})
				if err == nil && len(us) == 0 {
					return errors.New("nobody")
				}
				return err
			},
		} {
			b.Run(name, func(b *testing.B) {
				var took []time.Duration
				for b.Loop() {
					start := time.Now()
					if err := db.View(b.Context(), func(tx *store.Tx) error { return read(tx, rand.IntN(users)) }); err != nil {
						b.Fatal(err)
					}
					took = append(took, time.Since(start))
				}
				slices.Sort(took)
				b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
			})
		}
	})
}
