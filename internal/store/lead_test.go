package store_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/feed"
	"github.com/keyreeve/keyreeve/internal/store"
	"github.com/keyreeve/keyreeve/internal/store/postgrestest"
)

const term = 2 * time.Second

// leadUntilKilled leads, and while it does writes again and again and prints the revision of each write. It prints
// "deposed" when a write is refused because another process leads.
func leadUntilKilled(database string) error {
	ctx := context.Background()
	db, err := store.Open(ctx, options(database))
	if err != nil {
		return err
	}
	return db.Lead(ctx, "work", term, func(ctx context.Context) error {
		for n := 0; ; n++ {
			rev, err := db.Update(context.WithoutCancel(ctx), func(tx *store.Tx) error { return tx.SetSetting("child", fmt.Sprint(n)) })
			if errors.Is(err, store.ErrDeposed) {
				fmt.Fprintln(os.Stdout, "deposed")
				select {} // until killed
			}
			switch {
			case store.IsAway(err): // the server ended the connection of a process that stood still
			case err != nil:
				return err
			default:
				fmt.Fprintln(os.Stdout, rev)
			}
		}
	})
}

// leader is a process that leads.
type leader struct {
	*exec.Cmd
	lines *bufio.Scanner
}

func startLeader(t *testing.T, database string) *leader {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), leadEnv+"="+database)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = child.Process.Kill()
		_ = child.Wait()
	})
	l := &leader{child, bufio.NewScanner(out)}
	if !l.lines.Scan() {
		t.Fatal("the child does not lead")
	}
	return l
}

func databases(t *testing.T) map[string]string {
	return map[string]string{
		"sqlite":   filepath.Join(t.TempDir(), "lead.db"),
		"postgres": postgrestest.Database(t, databaseOf(t.Name())),
	}
}

// lead becomes the leader, and returns the context of the work and a function that ends it.
func lead(t *testing.T, db *store.DB) (context.Context, func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	began, done := make(chan context.Context), make(chan error, 1)
	go func() {
		done <- db.Lead(ctx, "work", term, func(ctx context.Context) error {
			began <- ctx
			<-ctx.Done()
			return ctx.Err()
		})
	}()
	end := func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	select {
	case work := <-began:
		return work, end
	case <-time.After(time.Minute):
		t.Fatal("does not lead after a minute")
		return nil, nil
	}
}

func openAny(t *testing.T, database string) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), options(database))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// TestLeaderDies kills a leader: another process leads within a few terms and finds everything that was acknowledged.
func TestLeaderDies(t *testing.T) {
	for name, database := range databases(t) {
		t.Run(name, func(t *testing.T) {
			child := startLeader(t, database)
			db := openAny(t, database)
			if err := child.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			work, end := lead(t, db)
			defer end()
			if _, err := db.Update(work, putSetting); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestLeaderStopsAndGoesOn stops a leader as a long pause of its machine would: when it goes on it still believes that it
// leads, and its writes are refused.
func TestLeaderStopsAndGoesOn(t *testing.T) {
	// Not on SQLite: a process that stands still in the middle of a write keeps the file locked, and one process serves it.
	database := databases(t)["postgres"]
	child := startLeader(t, database)
	db := openAny(t, database)
	if err := child.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	work, end := lead(t, db)
	defer end()
	rev, err := db.Update(work, putSetting)
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	for child.lines.Scan() {
		if child.lines.Text() == "deposed" {
			break
		}
		var at feed.Revision
		if _, err := fmt.Sscan(child.lines.Text(), &at); err != nil || at > rev {
			t.Fatalf("the old leader wrote at %s, after %d", child.lines.Text(), rev)
		}
	}
	if _, err := db.Update(work, putSetting); err != nil {
		t.Error(err)
	}
}

// TestLeadIsHandedOn holds that a leader who ends in good order is followed at once, that its context writes no more, and
// that the context of ordinary work does.
func TestLeadIsHandedOn(t *testing.T) {
	for name, database := range databases(t) {
		t.Run(name, func(t *testing.T) {
			a, b := openAny(t, database), openAny(t, database)
			first, end := lead(t, a)
			end()
			second, end := lead(t, b)
			defer end()
			_, err := a.Update(context.WithoutCancel(first), putSetting)
			if !errors.Is(err, store.ErrDeposed) || !fault.Is(err, fault.Unavailable) {
				t.Errorf("got %v", err)
			}
			if _, err := b.Update(second, putSetting); err != nil {
				t.Error(err)
			}
			if _, err := a.Update(t.Context(), putSetting); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestLeadersWorkFails holds that an error of the work is Lead's.
func TestLeadersWorkFails(t *testing.T) {
	db := openAny(t, filepath.Join(t.TempDir(), "a.db"))
	broken := errors.New("broken")
	if err := db.Lead(t.Context(), "work", term, func(context.Context) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}
