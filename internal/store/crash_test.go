package store_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/feed"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/store"
	"github.com/keyreeve/keyreeve/internal/store/postgrestest"
	"github.com/keyreeve/keyreeve/internal/world"
)

// crashEnv makes the test binary the writer that TestCrash kills, leadEnv the leader that TestLeaderDies kills and stops;
// the value is the database.
const (
	crashEnv = "KEYREEVE_STORE_CRASH_TEST"
	leadEnv  = "KEYREEVE_STORE_LEAD_TEST"
)

func TestMain(m *testing.M) {
	for name, do := range map[string]func(string) error{crashEnv: writeUntilKilled, leadEnv: leadUntilKilled} {
		if database := os.Getenv(name); database != "" {
			if err := do(database); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			return
		}
	}
	os.Exit(m.Run())
}

// options opens a database that is named by a SQLite file or a connection string.
func options(database string) store.Options {
	if strings.Contains(database, "host=") {
		return store.Options{Postgres: database, Now: time.Now}
	}
	return store.Options{Path: database, Now: time.Now}
}

func crashTenant() ident.TenantID { return ident.Derive[ident.TenantID]("crash") }

func crashID(kind string, rev feed.Revision) ident.ObjectID {
	return ident.Derive[ident.ObjectID]("crash", kind, strconv.FormatInt(int64(rev), 10))
}

// writeUntilKilled writes a user, a group and a membership in each commit, named for a number nobody had before, from four
// sides at once, and prints "number revision" for each that was acknowledged.
func writeUntilKilled(database string) error {
	ctx := context.Background()
	db, err := store.Open(ctx, options(database))
	if err != nil {
		return err
	}
	if _, err := db.Update(ctx, func(tx *store.Tx) error { return tx.PutTenant(directory.Tenant{ID: crashTenant()}) }); err != nil {
		return err
	}
	var wg sync.WaitGroup
	errs := make(chan error, 4)
	for side := range 4 {
		wg.Go(func() {
			for n := int64(db.Head())*4 + int64(side) + 1; ; n += 4 {
				rev, err := db.Update(ctx, func(tx *store.Tx) error { return putThree(tx, feed.Revision(n)) })
				if err != nil {
					errs <- err
					return
				}
				// One write call a line: what is printed was acknowledged.
				if _, err := fmt.Fprintf(os.Stdout, "%d %d\n", n, rev); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	return <-errs
}

func putThree(tx *store.Tx, n feed.Revision) error {
	u, g := crashID("user", n), crashID("group", n)
	if err := tx.PutUser(directory.User{ID: u, Tenant: crashTenant(), UserPrincipalName: fmt.Sprintf("u%d@x", n)}); err != nil {
		return err
	}
	if err := tx.PutGroup(directory.Group{ID: g, Tenant: crashTenant()}); err != nil {
		return err
	}
	return tx.AddMember(g, u)
}

// TestCrash kills a writer at random moments and opens what it leaves: every acknowledged write is there, whole; the
// feed has no gap; and a world loads.
func TestCrash(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) { crash(t, filepath.Join(t.TempDir(), "crash.db"), 15*time.Second) })
	t.Run("postgres", func(t *testing.T) { crash(t, postgrestest.Database(t, "crash"), 8*time.Second) })
}

func crash(t *testing.T, database string, budget time.Duration) {
	const rounds = 30
	start := time.Now()
	acked := 0
	done := 0
	for ; done < rounds && (time.Since(start) < budget || done < 5); done++ {
		acks := crashRound(t, database)
		acked += len(acks)
		checkAfterCrash(t, database, acks)
	}
	t.Logf("%d rounds, %d acknowledged writes, in %v", done, acked, time.Since(start))
	if acked < done {
		t.Errorf("only %d writes were acknowledged in %d rounds: the test shows nothing", acked, done)
	}
}

// crashRound starts a writer, kills it, and returns what it acknowledged.
func crashRound(t *testing.T, database string) map[feed.Revision]feed.Revision {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), crashEnv+"="+database)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	acks := map[feed.Revision]feed.Revision{}
	var kill *time.Timer
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var n, rev feed.Revision
		if _, err := fmt.Sscanf(lines.Text(), "%d %d", &n, &rev); err != nil {
			t.Errorf("the writer said %q", lines.Text())
			continue
		}
		acks[n] = rev
		if kill == nil { // from the first acknowledged write on
			kill = time.AfterFunc(time.Duration(rand.Int64N(int64(150*time.Millisecond))), func() { _ = child.Process.Kill() })
		}
	}
	if err := child.Wait(); err == nil || kill == nil {
		t.Fatalf("the writer ended by itself: %v", err)
	}
	return acks
}

func checkAfterCrash(t *testing.T, database string, acks map[feed.Revision]feed.Revision) {
	t.Helper()
	ctx := t.Context()
	db, err := store.Open(ctx, options(database))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	var after feed.Revision
	user := map[feed.Revision]string{} // which user each revision made
	for {
		cs, err := db.Changes(ctx, after, 500)
		if err != nil {
			t.Fatal(err)
		}
		if len(cs) == 0 {
			// PostgreSQL may still end a commit whose writer is dead, after this process has read the head; it is told of it like any other.
			if err := db.CatchUp(ctx); err != nil {
				t.Fatal(err)
			}
			if db.Head() <= after {
				break
			}
		}
		for _, c := range cs {
			if c.Revision != after+1 {
				t.Fatalf("change %d follows %d", c.Revision, after)
			}
			after = c.Revision
			user[c.Revision] = c.Events[0].Key
		}
	}
	if after != db.Head() {
		t.Errorf("the last change is %d, the head %d", after, db.Head())
	}
	w, err := world.New()
	if err != nil {
		t.Fatal(err)
	}
	var failed error
	if err := db.Follow(ctx, func(c feed.Change) { failed = w.Apply(c) }); err != nil || failed != nil {
		t.Fatal(err, failed)
	}
	for n, rev := range acks {
		u, g := crashID("user", n), crashID("group", n)
		if user[rev] != u.String() {
			t.Errorf("revision %d made %s, want %s", rev, user[rev], u)
		}
		if _, ok := w.Principal(u); !ok || !w.IsMember(u, g) {
			t.Errorf("write %d was acknowledged and is lost", n)
		}
	}
	err = db.View(ctx, func(tx *store.Tx) error {
		users, err1 := tx.CountUsers(crashTenant())
		groups, err2 := tx.CountGroups(crashTenant())
		if users != groups || err1 != nil || err2 != nil {
			t.Errorf("%d users and %d groups: a write is there in part (%v, %v)", users, groups, err1, err2)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
