//go:build !linux

package tokencache

import "io/fs"

// noKeyring is the keyring of a system whose own is not used.
type noKeyring struct{ why string }

func (k noKeyring) Get() ([]byte, error) { return nil, k.error() }
func (k noKeyring) Put([]byte) error     { return k.error() }
func (k noKeyring) error() error {
	return &fs.PathError{Op: "open", Path: "keyring", Err: errString(k.why)}
}

type errString string

func (e errString) Error() string { return string(e) }
