package store_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/keyring"
	"github.com/keyreeve/keyreeve/internal/store"
	"github.com/keyreeve/keyreeve/internal/store/postgrestest"
)

func anySeal(store.BackupHeader) error { return nil }

// fill writes some of everything that a backup treats differently: texts of any sort, numbers at their bounds, bytes.
func fill(t *testing.T, db *store.DB) {
	t.Helper()
	for n := range 3 {
		_, err := db.Update(t.Context(), func(tx *store.Tx) error {
			return errors.Join(
				tx.PutTenant(directory.Tenant{ID: crashTenant(), Domains: []string{"a.test"}}),
				tx.PutUser(directory.User{ID: crashID("user", 1), Tenant: crashTenant(), UserPrincipalName: "ü\"\\\n<&>\u2028@a.test", DisplayName: "\U0010FFFF"}),
				tx.PutSigningKey(keyring.Public{KID: "kid"}, []byte{0, 255, byte(n)}),
				tx.SetSetting("empty", ""),
				tx.Audit(audit.Record{At: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), Event: "x"}),
			)
		})
		if err != nil {
			t.Fatal(err, errors.Unwrap(err))
		}
	}
}

func backup(t *testing.T, db *store.DB) []byte {
	t.Helper()
	var out bytes.Buffer
	h, err := db.Backup(t.Context(), &out, "check")
	if err != nil || h.Revision != int64(db.Head()) {
		t.Fatal(h, err)
	}
	return out.Bytes()
}

// content is what a backup says beside when it was made.
func content(t *testing.T, raw []byte) string {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[1:len(lines)-1], "\n")
}

// TestBackupGoesAnywhere restores a backup of each engine to each engine: what comes out is what went in, the feed goes on
// with the next revision, and the audit log with the next number.
func TestBackupGoesAnywhere(t *testing.T) {
	target := map[string]func(t *testing.T) store.Options{
		"sqlite": func(t *testing.T) store.Options { return options(filepath.Join(t.TempDir(), "b.db")) },
		"postgres": func(t *testing.T) store.Options {
			return options(postgrestest.Database(t, databaseOf(t.Name()+t.TempDir())))
		},
	}
	for from, source := range target {
		for to, dest := range target {
			t.Run(from+" to "+to, func(t *testing.T) {
				a, err := store.Open(t.Context(), source(t))
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = a.Close() }()
				fill(t, a)
				raw, opt := backup(t, a), dest(t)
				h, err := store.Restore(t.Context(), opt, bytes.NewReader(raw), anySeal)
				if err != nil || h.SealCheck != "check" {
					t.Fatal(h, err)
				}
				b, err := store.Open(t.Context(), opt)
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = b.Close() }()
				if diff := cmp.Diff(content(t, raw), content(t, backup(t, b))); diff != "" {
					t.Error(diff)
				}
				snapA, err1 := a.Snapshot(t.Context())
				snapB, err2 := b.Snapshot(t.Context())
				if diff := cmp.Diff(snapA.Events, snapB.Events); diff != "" || err1 != nil || err2 != nil {
					t.Error(diff, err1, err2)
				}
				rev, err := b.Update(t.Context(), func(tx *store.Tx) error { return tx.Audit(audit.Record{Event: "next"}) })
				if err != nil || rev != a.Head()+1 {
					t.Error(rev, err)
				}
				if _, err := store.Restore(t.Context(), opt, bytes.NewReader(raw), anySeal); !errors.Is(err, store.ErrNotEmpty) {
					t.Errorf("restored over what is there: %v", err)
				}
			})
		}
	}
}

// TestDamagedBackups holds that nothing but a whole backup is restored, and that an empty database stays empty else.
func TestDamagedBackups(t *testing.T) {
	a := openAny(t, filepath.Join(t.TempDir(), "a.db"))
	fill(t, a)
	good := backup(t, a)
	text := func(change func(string) string) []byte {
		r, err := gzip.NewReader(bytes.NewReader(good))
		if err != nil {
			t.Fatal(err)
		}
		plain, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		w := gzip.NewWriter(&out)
		if _, err := io.WriteString(w, change(string(plain))); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	replace := func(old, text2 string) []byte {
		return text(func(s string) string {
			if !strings.Contains(s, old) {
				t.Fatalf("there is no %s", old)
			}
			return strings.Replace(s, old, text2, 1)
		})
	}
	for name, test := range map[string]struct {
		raw  []byte
		want string
	}{
		"nothing":      {nil, "no backup"},
		"text":         {[]byte("CREATE TABLE"), "no backup"},
		"cut":          {good[:len(good)-20], "ends too early"},
		"cut at line":  {text(func(s string) string { return s[:strings.LastIndex(strings.TrimSpace(s), "\n")+1] }), "ends too early"},
		"other":        {replace("keyreeve-backup", "other-backup"), "no backup of Keyreeve"},
		"newer form":   {replace(`"version":1`, `"version":2`), "has version 2"},
		"newer tables": {replace(`"migrations":[1`, `"migrations":[9999,1`), "use a newer program"},
		"one letter":   {replace("a.test", "b.test"), "damaged"},
		"a table more": {replace(`{"table":"users"`, `{"table":"sqlite_master"`), "no table"},
		"short row":    {replace(`["empty",""]`, `["empty"]`), "one value for each column"},
	} {
		t.Run(name, func(t *testing.T) {
			opt := options(filepath.Join(t.TempDir(), "b.db"))
			if _, err := store.Restore(t.Context(), opt, bytes.NewReader(test.raw), anySeal); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			if _, err := store.Restore(t.Context(), opt, bytes.NewReader(good), anySeal); err != nil {
				t.Errorf("after it: %v", err)
			}
		})
	}
	refused := errors.New("another key")
	opt := options(filepath.Join(t.TempDir(), "c.db"))
	if _, err := store.Restore(t.Context(), opt, bytes.NewReader(good), func(store.BackupHeader) error { return refused }); !errors.Is(err, refused) {
		t.Errorf("got %v", err)
	}
}
