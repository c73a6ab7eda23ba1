package filelock

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestLock holds that a lock is had once, also against the same process by another handle, and ends with the file.
func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	open := func() *os.File {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Close() })
		return f
	}
	first, second, third := open(), open(), open()
	if err := Try(first); err != nil {
		t.Fatal(err)
	}
	if err := Try(second); !errors.Is(err, ErrTaken) {
		t.Errorf("taken twice: %v", err)
	}
	waited := make(chan error, 1)
	go func() { waited <- Wait(third) }()
	select {
	case err := <-waited:
		t.Errorf("waited for nothing: %v", err)
	default:
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-waited; err != nil {
		t.Error(err)
	}
	if err := Try(second); !errors.Is(err, ErrTaken) {
		t.Errorf("taken from who waited: %v", err)
	}
}
