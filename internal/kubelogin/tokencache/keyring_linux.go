package tokencache

import (
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"
)

// kernelKeyring keeps a secret in the kernel's keyring of the user: in memory, for all sessions of the user, until the machine
// restarts or three days pass without use.
type kernelKeyring struct{ name string }

// SystemKeyring returns the operating system's store for a secret of this name.
func SystemKeyring(name string) Keyring { return kernelKeyring{name} }

// ring is the keyring that outlives sessions, linked to the process so that it possesses what is in it.
func (k kernelKeyring) ring() (int, error) {
	ring, err := unix.KeyctlInt(unix.KEYCTL_GET_PERSISTENT, -1, unix.KEY_SPEC_PROCESS_KEYRING, 0, 0)
	if err != nil {
		return 0, fmt.Errorf("the kernel's keyring cannot be used here (--token-cache file does without): %w", err)
	}
	return ring, nil
}

func (k kernelKeyring) Get() ([]byte, error) {
	ring, err := k.ring()
	if err != nil {
		return nil, err
	}
	id, err := unix.KeyctlSearch(ring, "user", k.name, 0)
	if errors.Is(err, unix.ENOKEY) || errors.Is(err, unix.EKEYEXPIRED) || errors.Is(err, unix.EKEYREVOKED) {
		return nil, fs.ErrNotExist
	}
	if err != nil {
		return nil, err
	}
	key := make([]byte, keySize+1)
	n, err := unix.KeyctlBuffer(unix.KEYCTL_READ, id, key, 0)
	if err != nil {
		return nil, err
	}
	return key[:min(n, len(key))], nil
}

func (k kernelKeyring) Put(secret []byte) error {
	ring, err := k.ring()
	if err != nil {
		return err
	}
	_, err = unix.AddKey("user", k.name, secret, ring)
	return err
}
