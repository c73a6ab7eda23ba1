// Package handover owns how a program that is carried inside this one takes this process over. So kubelogin links, on the way to a
// cached token, nothing of what signing in needs, and is one file all the same.
package handover

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Become replaces this process by a program; it returns only if that cannot be done. The program is handed over in memory, which
// nobody else can change; where the kernel does not start programs from there, by a file in dir, for its owner alone.
func Become(program []byte, dir string, args, env []string) error {
	inMemory := fromMemory(program, args, env)
	path, err := keep(program, dir)
	if err == nil {
		err = unix.Exec(path, args, env)
	}
	return fmt.Errorf("the part that signs in cannot be started, neither from memory (%w) nor from a file (%w)", inMemory, err)
}

func fromMemory(program []byte, args, env []string) error {
	fd, err := unix.MemfdCreate(filepath.Base(args[0]), unix.MFD_CLOEXEC|unix.MFD_EXEC)
	if errors.Is(err, unix.EINVAL) { // Linux before 6.3
		fd, err = unix.MemfdCreate(filepath.Base(args[0]), unix.MFD_CLOEXEC)
	}
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), "memory")
	defer func() { _ = f.Close() }()
	if _, err := f.Write(program); err != nil {
		return err
	}
	return unix.Exec(fmt.Sprintf("/proc/self/fd/%d", fd), args, env)
}

// keep writes the program to a file that is named by its content, unless it is there.
func keep(program []byte, dir string) (string, error) {
	sum := sha256.Sum256(program)
	path := filepath.Join(dir, "kubelogin-"+hex.EncodeToString(sum[:12]))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	// Whoever else may write there could put another program in this one's place.
	if err := private(dir); err != nil {
		return "", err
	}
	if there, err := os.ReadFile(path); err == nil && bytes.Equal(there, program) && private(path) == nil {
		return path, nil
	}
	f, err := os.CreateTemp(dir, ".new-*")
	if err != nil {
		return "", err
	}
	_, err = f.Write(program)
	err = errors.Join(err, f.Chmod(0o700), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return "", errors.Join(err, os.Remove(f.Name()))
	}
	return path, nil
}

// private refuses what somebody else owns or may write to.
func private(path string) error {
	var s unix.Stat_t
	if err := unix.Stat(path, &s); err != nil {
		return err
	}
	if int(s.Uid) != os.Geteuid() || s.Mode&0o022 != 0 {
		return fmt.Errorf("%s belongs to others, or they may write to it", path)
	}
	return nil
}
