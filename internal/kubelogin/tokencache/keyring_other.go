//go:build !linux

package tokencache

// SystemKeyring returns the operating system's store for a secret of this name.
func SystemKeyring(string) Keyring {
	return noKeyring{"the system's keyring is supported on Linux only; --token-cache file does without"}
}
