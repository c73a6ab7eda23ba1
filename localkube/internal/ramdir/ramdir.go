// Package ramdir owns a private directory in memory for files that must not reach a disk: keys, and sockets that have
// no other protection. It knows nothing of what is put there.
package ramdir

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

const sharedMemory = "/dev/shm"

// lockName is the file that a living process holds locked in its directory, and unlockedFor is how long a directory
// may be without that while it is made.
const (
	lockName    = "lock"
	unlockedFor = 10 * time.Second
)

// Dir is a directory that only this user can enter. It is gone when it is removed, or else when the next process makes
// one.
type Dir struct {
	path string
	lock *os.File
}

// Make makes the directory that belongs to owner, an absolute path of which the caller holds a claim, and removes what
// dead processes left, there and in directories of other owners.
func Make(owner string) (*Dir, error) {
	sum := sha256.Sum256([]byte(owner))
	prefix := filepath.Join(base(), fmt.Sprintf("localkube-%d-", os.Getuid()))
	path := prefix + hex.EncodeToString(sum[:8])
	if err := removeOwn(path); err != nil {
		return nil, err
	}
	sweep(prefix)
	if err := os.Mkdir(path, 0o700); err != nil {
		return nil, fmt.Errorf("make private directory: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(path, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("mark private directory: %w", err)
	}
	if err := tryLock(lock); err != nil {
		return nil, errors.Join(fmt.Errorf("mark private directory: %w", err), lock.Close())
	}
	return &Dir{path: path, lock: lock}, nil
}

// sweep removes the directories of dead processes. What it cannot remove it leaves to the next.
func sweep(prefix string) {
	paths, err := filepath.Glob(prefix + "*")
	if err != nil {
		return
	}
	for _, p := range paths {
		if isDead(p) {
			_ = removeOwn(p)
		}
	}
}

// isDead says whether nobody holds a directory's lock that was there long enough to be held.
func isDead(path string) bool {
	f, err := os.Open(filepath.Join(path, lockName))
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	fi, err := f.Stat()
	return err == nil && time.Since(fi.ModTime()) > unlockedFor && tryLock(f) == nil
}

func tryLock(f *os.File) error {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
}

// base prefers memory; where a system has none that is mounted, its directory for temporary files has to do.
func base() string {
	if fi, err := os.Stat(sharedMemory); err == nil && fi.IsDir() {
		return sharedMemory
	}
	return os.TempDir()
}

// removeOwn removes a directory of this user, and refuses whatever else has its name.
func removeOwn(path string) error {
	fi, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at private directory: %w", err)
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !fi.IsDir() || !ok || int(st.Uid) != os.Getuid() {
		return fmt.Errorf("private directory: %s is there and is not ours", path)
	}
	if err := os.RemoveAll(path); err != nil {
		return fmt.Errorf("clean private directory: %w", err)
	}
	return nil
}

// Path is the path of a file in the directory.
func (d *Dir) Path(name string) string { return filepath.Join(d.path, name) }

// Write writes a file that only this user can read, and answers its path.
func (d *Dir) Write(name string, content []byte) (string, error) {
	p := d.Path(name)
	if err := os.WriteFile(p, content, 0o600); err != nil {
		return "", fmt.Errorf("write %s: %w", name, err)
	}
	return p, nil
}

// Remove removes the directory with everything in it.
func (d *Dir) Remove() error { return errors.Join(os.RemoveAll(d.path), d.lock.Close()) }
