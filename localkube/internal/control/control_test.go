package control

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

func TestListen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run", "x.sock")
	first, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = first.Close() }()
	for p, want := range map[string]os.FileMode{path: 0o600, filepath.Dir(path): 0o700} {
		if fi, err := os.Stat(p); err != nil || fi.Mode().Perm() != want {
			t.Errorf("%s is %v, %v, want mode %s", p, fi, err, want)
		}
	}
	second, err := Listen(path) // the first stands for one that a dead process left
	if err != nil {
		t.Fatal(err)
	}
	_ = second.Close()
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(path); err == nil {
		t.Error("a file in the way was replaced")
	}
}

func TestOrphaned(t *testing.T) {
	for _, row := range []struct {
		name    string
		timeout time.Duration
		hold    func(*Holders)
		want    time.Duration // when it is an orphan; 0 is never
	}{
		{"never held", 10 * time.Second, func(*Holders) {}, 10 * time.Second},
		{"no timeout", 0, func(*Holders) {}, 0},
		{"held from 5 s to 20 s", 10 * time.Second, func(h *Holders) {
			time.Sleep(5 * time.Second)
			release := h.add()
			time.Sleep(15 * time.Second)
			release()
		}, 30 * time.Second},
		{"held by two in turn", 10 * time.Second, func(h *Holders) {
			a := h.add()
			time.Sleep(15 * time.Second)
			b := h.add()
			a()
			time.Sleep(15 * time.Second)
			b()
		}, 40 * time.Second},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := NewHolders()
				begin := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				go row.hold(h)
				orphan := h.Orphaned(ctx, row.timeout)
				if took := time.Since(begin); orphan != (row.want > 0) || orphan && took != row.want {
					t.Errorf("%t after %s, want it after %s", orphan, took, row.want)
				}
			})
		})
	}
}
