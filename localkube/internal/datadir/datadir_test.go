package datadir_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/keyreeve/keyreeve/localkube/internal/datadir"
)

func TestTake(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "clusters", "c1")
	first, err := datadir.Take(dir)
	if err != nil {
		t.Fatal(err)
	}
	if fi, err := os.Stat(dir); err != nil || fi.Mode().Perm() != 0o700 {
		t.Errorf("directory is %v, %v", fi, err)
	}
	if _, err := datadir.Take(dir); !errors.Is(err, datadir.ErrTaken) {
		t.Errorf("second claim: %v, want ErrTaken", err)
	}
	if err := first.Release(); err != nil {
		t.Fatal(err)
	}
	again, err := datadir.Take(dir)
	if err != nil {
		t.Fatalf("claim after release: %v", err)
	}
	_ = again.Release()
}
