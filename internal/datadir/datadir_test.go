package datadir

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestLockIsForOne(t *testing.T) {
	d := Dir(t.TempDir())
	release, err := d.Lock()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Lock(); !errors.Is(err, ErrServed) {
		t.Fatalf("second lock: %v, want ErrServed", err)
	}
	if err := release(); err != nil {
		t.Fatal(err)
	}
	again, err := d.Lock()
	if err != nil {
		t.Fatalf("lock after release: %v", err)
	}
	if err := again(); err != nil {
		t.Fatal(err)
	}
}

func TestInitialAdminAppearsOnlyWhenPublished(t *testing.T) {
	d := Dir(t.TempDir())
	want := InitialAdmin{UserPrincipalName: "admin@keyreeve.test", Password: "p", TenantID: "t", SubscriptionID: "s"}
	if err := d.PrepareInitialAdmin(want); err != nil {
		t.Fatal(err)
	}
	if _, err := d.ReadInitialAdmin(); err == nil {
		t.Fatal("readable before it was published")
	}
	for range 2 { // publishing again changes nothing
		if err := d.PublishInitialAdmin(); err != nil {
			t.Fatal(err)
		}
	}
	got, err := d.ReadInitialAdmin()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	info, err := os.Stat(d.InitialAdmin())
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, want owner only", info.Mode())
	}
}

func TestRecoveryJournal(t *testing.T) {
	d := Dir(t.TempDir())
	at := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	if got, n, err := d.RecoveriesAfter(0); err != nil || n != 0 || got != nil {
		t.Fatalf("empty journal: %v %d %v", got, n, err)
	}
	for _, reason := range []string{"first", "second"} {
		if err := d.AppendRecovery(Recovery{At: at, Cluster: "c", Reason: reason}); err != nil {
			t.Fatal(err)
		}
	}
	got, n, err := d.RecoveriesAfter(1)
	if err != nil || n != 2 || len(got) != 1 || got[0].Reason != "second" {
		t.Fatalf("after 1: %+v %d %v", got, n, err)
	}
	f, err := os.OpenFile(d.Recoveries(), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("damaged\nhalf a li"); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	got, n, err = d.RecoveriesAfter(2)
	if err != nil || n != 3 || len(got) != 1 || got[0].Reason == "" {
		t.Fatalf("damaged line: %+v %d %v", got, n, err)
	}
	if _, _, err := d.RecoveriesAfter(9); err == nil {
		t.Error("a shortened journal went unnoticed")
	}
}

func TestMakeRefusesWhatOthersMayWrite(t *testing.T) {
	d := Dir(t.TempDir())
	if err := os.Chmod(string(d), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := d.Make(); err == nil || !strings.Contains(err.Error(), "chmod 700") {
		t.Errorf("%v", err)
	}
	if err := os.Chmod(string(d), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := d.Make(); err != nil {
		t.Error(err)
	}
}

// TestLostDatabaseIsNotReplaced: an empty database in place of a lost one would overwrite the first administrator's
// sign-in and orphan the clusters.
func TestLostDatabaseIsNotReplaced(t *testing.T) {
	for name, tc := range map[string]struct {
		there func(Dir) error
		ok    bool
	}{
		"nothing":       {func(Dir) error { return nil }, true},
		"only a key":    {func(d Dir) error { return os.WriteFile(d.SealKey(), nil, 0o600) }, true},
		"administrator": {func(d Dir) error { return os.WriteFile(d.InitialAdmin(), nil, 0o600) }, false},
		"clusters":      {func(d Dir) error { return os.MkdirAll(d.Clusters()+"/c", 0o700) }, false},
		"empty database": {func(d Dir) error {
			return errors.Join(os.WriteFile(d.Database(), nil, 0o600), os.WriteFile(d.InitialAdmin(), nil, 0o600))
		}, false},
		"whole": {func(d Dir) error {
			return errors.Join(os.WriteFile(d.Database(), []byte("x"), 0o600), os.WriteFile(d.InitialAdmin(), nil, 0o600))
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			d := Dir(t.TempDir())
			if err := tc.there(d); err != nil {
				t.Fatal(err)
			}
			if err := d.Fresh(); (err == nil) != tc.ok {
				t.Error(err)
			}
		})
	}
}

func TestDamagedEndpoints(t *testing.T) {
	d := Dir(t.TempDir())
	if err := os.WriteFile(d.EndpointsFile(), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Endpoints(); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("%v", err)
	}
}
