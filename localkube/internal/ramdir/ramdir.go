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
)

const sharedMemory = "/dev/shm"

// Dir is a directory that only this user can enter. It is gone when it is removed, or when the next process makes the
// directory of the same owner.
type Dir struct{ path string }

// Make makes the directory that belongs to owner, an absolute path of which the caller holds a claim, and removes what
// a dead process left there.
func Make(owner string) (*Dir, error) {
	sum := sha256.Sum256([]byte(owner))
	name := fmt.Sprintf("localkube-%d-%s", os.Getuid(), hex.EncodeToString(sum[:8]))
	path := filepath.Join(base(), name)
	if err := removeOwn(path); err != nil {
		return nil, err
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		return nil, fmt.Errorf("make private directory: %w", err)
	}
	return &Dir{path: path}, nil
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
func (d *Dir) Remove() error { return os.RemoveAll(d.path) }
