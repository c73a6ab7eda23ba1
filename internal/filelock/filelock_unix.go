//go:build unix

package filelock

import (
	"errors"
	"os"
	"syscall"
)

// Try takes the lock on an open file, or returns ErrTaken at once. It ends when the file is closed.
func Try(f *os.File) error {
	err := lock(f, syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return ErrTaken
	}
	return err
}

// Wait takes the lock on an open file when nobody else has it any more. It ends when the file is closed.
func Wait(f *os.File) error { return lock(f, syscall.LOCK_EX) }

func lock(f *os.File, how int) error {
	for {
		if err := syscall.Flock(int(f.Fd()), how); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}
