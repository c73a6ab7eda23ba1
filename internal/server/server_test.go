package server

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/datadir"
	"github.com/keyreeve/keyreeve/internal/pki"
	"github.com/keyreeve/keyreeve/internal/store"
)

// clock is a time that a test moves.
type clock struct{ offset atomic.Int64 }

func (c *clock) now() time.Time {
	return time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC).Add(time.Duration(c.offset.Load()))
}
func (c *clock) move(d time.Duration) { c.offset.Add(int64(d)) }

func config(dir datadir.Dir, c *clock) Config {
	return Config{Data: dir, Listen: "127.0.0.1:1", Localkube: "/nonexistent", Log: slog.New(slog.DiscardHandler), Now: c.now}
}

func open(t *testing.T, dir datadir.Dir, c *clock) *Server {
	t.Helper()
	s, err := Open(t.Context(), config(dir, c))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func shut(t *testing.T, s *Server) {
	t.Helper()
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
}

func TestConfig(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*Config)
		want   string // part of the error; empty for none
	}{
		"as it is":          {func(*Config) {}, ""},
		"no folder":         {func(c *Config) { c.Data = "" }, "no data folder"},
		"no port":           {func(c *Config) { c.Listen = "localhost" }, "is not HOST:PORT"},
		"no host":           {func(c *Config) { c.Listen = ":8443" }, "names no host"},
		"every address":     {func(c *Config) { c.Listen = "0.0.0.0:8443" }, "names no host"},
		"every address, v6": {func(c *Config) { c.Listen = "[::]:8443" }, "names no host"},
		"no room for four":  {func(c *Config) { c.Listen = "127.0.0.1:65533" }, "must be from 1 to 65532"},
		"port in words":     {func(c *Config) { c.Listen = "127.0.0.1:https" }, "must be from 1"},
	} {
		t.Run(name, func(t *testing.T) {
			c := config("d", &clock{})
			tc.change(&c)
			r, err := c.resolve()
			if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("error %v, want %q", err, tc.want)
			}
			if err == nil && r.endpoints() != (datadir.Endpoints{Login: "https://127.0.0.1:1", ARM: "https://127.0.0.1:2", Graph: "https://127.0.0.1:3"}) {
				t.Errorf("endpoints %+v", r.endpoints())
			}
		})
	}
}

// TestSealKeyIsNotMadeAnew: a database without its key is an error that says so, not a database that loses its secrets.
func TestSealKeyIsNotMadeAnew(t *testing.T) {
	dir, c := datadir.Dir(t.TempDir()), &clock{}
	shut(t, open(t, dir, c))
	key, err := os.ReadFile(dir.SealKey())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(dir.SealKey()); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), config(dir, c)); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("without the key: %v", err)
	}
	other := datadir.Dir(t.TempDir())
	shut(t, open(t, other, c))
	wrong, err := os.ReadFile(other.SealKey())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir.SealKey(), wrong, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), config(dir, c)); err == nil || !strings.Contains(err.Error(), "the seal.key that belongs to this database") {
		t.Fatalf("with another's key: %v", err)
	}
	if err := os.WriteFile(dir.SealKey(), key, 0o600); err != nil {
		t.Fatal(err)
	}
	shut(t, open(t, dir, c))
}

// TestFirstAdministratorAfterACrash: the password is in its place whenever the database holds the administrator.
func TestFirstAdministratorAfterACrash(t *testing.T) {
	dir, c := datadir.Dir(t.TempDir()), &clock{}
	shut(t, open(t, dir, c))
	want, err := dir.ReadInitialAdmin()
	if err != nil {
		t.Fatal(err)
	}
	// As if the process had died between the commit and the file's getting its name.
	if err := os.Rename(dir.InitialAdmin(), dir.InitialAdmin()+".new"); err != nil {
		t.Fatal(err)
	}
	shut(t, open(t, dir, c))
	if got, err := dir.ReadInitialAdmin(); err != nil || got != want {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
}

// TestAuthoritiesStayAndTheListenersCertificateIsRenewed: clients trust one authority for years, and never meet an expired
// certificate.
func TestAuthoritiesStayAndTheListenersCertificateIsRenewed(t *testing.T) {
	dir, c := datadir.Dir(t.TempDir()), &clock{}
	s := open(t, dir, c)
	ca, first := s.tls.CertPEM(), s.serving.current.Load()
	if err := s.serving.refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !s.serving.current.Load().Leaf.Equal(first.Leaf) {
		t.Error("renewed without need")
	}
	c.move(pki.MaxServerLife * 3 / 4)
	if err := s.serving.refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	second := s.serving.current.Load()
	if second.Leaf.Equal(first.Leaf) || !second.Leaf.NotAfter.After(first.Leaf.NotAfter) {
		t.Errorf("not renewed: good until %s", second.Leaf.NotAfter)
	}
	shut(t, s)
	s = open(t, dir, c)
	defer shut(t, s)
	if s.tls.CertPEM() != ca {
		t.Error("a restart made another authority")
	}
	if !s.serving.current.Load().Leaf.Equal(second.Leaf) {
		t.Error("a restart made another certificate")
	}
}

// TestRecoveriesAreReportedOnce, across restarts.
func TestRecoveriesAreReportedOnce(t *testing.T) {
	dir, c := datadir.Dir(t.TempDir()), &clock{}
	s := open(t, dir, c)
	defer shut(t, s)
	r := recoveries{db: s.db, dir: dir, log: s.log, now: c.now}
	if err := dir.AppendRecovery(datadir.Recovery{At: c.now(), ResourceID: "/c1", OSUser: "root", Reason: "drill"}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := r.report(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	var found []audit.Record
	err := s.db.View(t.Context(), func(tx *store.Tx) error {
		all, err := tx.AuditRecords(100)
		for _, a := range all {
			if a.Event == audit.ClusterRecovered {
				found = append(found, a)
			}
		}
		return err
	})
	if err != nil || len(found) != 1 || found[0].Target != "/c1" || found[0].Detail["reason"] != "drill" {
		t.Errorf("%+v, %v", found, err)
	}
	// A journal that was cut short is itself reported.
	if err := os.WriteFile(dir.Recoveries(), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.report(t.Context()); err != nil {
		t.Fatal(err)
	}
	err = s.db.View(t.Context(), func(tx *store.Tx) error {
		all, err := tx.AuditRecords(1)
		if err == nil && (len(all) != 1 || !strings.Contains(all[0].Detail["reason"], "shortened")) {
			t.Errorf("%+v", all)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestTasksStopTogether(t *testing.T) {
	broken := errors.New("broken")
	stopped := false
	err := runTasks(t.Context(),
		func(ctx context.Context) error { <-ctx.Done(); stopped = true; return ctx.Err() },
		func(context.Context) error { return broken })
	if !errors.Is(err, broken) || !stopped {
		t.Errorf("%v, the other stopped: %v", err, stopped)
	}
}

// TestPortsTaken: the error names the address and the way out, and what was opened before is closed again.
func TestPortsTaken(t *testing.T) {
	var cfg net.ListenConfig
	taken, err := cfg.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	free, err := cfg.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	_ = free.Close()
	_, err = bind(t.Context(), []listener{{name: "one", address: address}, {name: "ARM", address: taken.Addr().String()}})
	if err == nil || !strings.Contains(err.Error(), "ARM cannot listen on "+taken.Addr().String()) || !strings.Contains(err.Error(), "--listen") {
		t.Fatalf("%v", err)
	}
	again, err := cfg.Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatalf("the first address is still taken: %v", err)
	}
	_ = again.Close()
}
