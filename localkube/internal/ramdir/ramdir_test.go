package ramdir_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/localkube/internal/ramdir"
)

func TestDir(t *testing.T) {
	owner := t.TempDir()
	first, err := ramdir.Make(owner)
	if err != nil {
		t.Fatal(err)
	}
	path, err := first.Write("key", []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	for p, want := range map[string]fs.FileMode{path: 0o600, filepath.Dir(path): 0o700} {
		if fi, err := os.Stat(p); err != nil || fi.Mode().Perm() != want {
			t.Errorf("%s is %v, %v, want mode %s", p, fi, err, want)
		}
	}
	// The first was never removed, as after a kill: the next start cleans up.
	second, err := ramdir.Make(owner)
	if err != nil {
		t.Fatal(err)
	}
	if second.Path("key") != path {
		t.Errorf("the same owner has %s and %s", path, second.Path("key"))
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what a dead process left is still there: %v", err)
	}
	if err := second.Remove(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Dir(path)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("directory is still there: %v", err)
	}
	// A file in the way is not ours to remove.
	if err := os.WriteFile(filepath.Dir(path), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.Remove(filepath.Dir(path)) }()
	if _, err := ramdir.Make(owner); err == nil {
		t.Error("a file in the way was removed")
	}
}

func TestSweep(t *testing.T) {
	long := time.Now().Add(-time.Minute)
	age := func(d *ramdir.Dir) {
		t.Helper()
		if err := os.Chtimes(d.Path("lock"), long, long); err != nil {
			t.Fatal(err)
		}
	}
	exists := func(d *ramdir.Dir) bool {
		_, err := os.Stat(d.Path("lock"))
		return err == nil
	}
	mk := func() *ramdir.Dir {
		t.Helper()
		d, err := ramdir.Make(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = d.Remove() })
		return d
	}
	dead, young, living := mk(), mk(), mk()
	age(dead)
	age(living)
	for _, d := range []*ramdir.Dir{dead, young} {
		if err := ramdir.Abandon(d); err != nil {
			t.Fatal(err)
		}
	}
	mk()
	if exists(dead) || !exists(young) || !exists(living) {
		t.Errorf("there are dead %t, young %t, living %t", exists(dead), exists(young), exists(living))
	}
}
