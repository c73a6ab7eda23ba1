// Package datadir owns the directory that holds one cluster's data: it makes it private and lets one process at a
// time have it. It never looks at what the others keep below it.
package datadir

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// ErrTaken says that another process runs on the directory.
var ErrTaken = errors.New("another localkube runs on this data directory")

// Claim is the right to use a data directory.
type Claim struct {
	dir  string
	lock *os.File
}

// Take makes dir, if it is missing, and claims it. The operating system takes the claim back when the process ends,
// however it ends.
func Take(dir string) (*Claim, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make data directory: %w", err)
	}
	if err := os.Chmod(dir, 0o700); err != nil { //nolint:gosec // a directory needs its execute bit
		return nil, fmt.Errorf("make data directory private: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock file: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w: %s", ErrTaken, dir)
		}
		return nil, fmt.Errorf("lock data directory: %w", err)
	}
	return &Claim{dir: dir, lock: f}, nil
}

// Etcd is where etcd keeps its data.
func (c *Claim) Etcd() string { return filepath.Join(c.dir, "etcd") }

// Release gives the directory back.
func (c *Claim) Release() error { return c.lock.Close() }
