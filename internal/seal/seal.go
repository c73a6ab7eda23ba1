// Package seal owns secrecy at rest: it seals small secrets with a key that is kept apart from the database.
//
// AES-256-GCM with a random nonce; the name of what is sealed is bound to it, so that one row's secret cannot be put
// into another row.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// KeySize is the size of a sealing key in bytes.
const KeySize = 32

// ErrOpen is the cause of every failure to open a sealed secret: wrong key, wrong name, or altered bytes.
var ErrOpen = errors.New("seal: cannot be opened with this key")

// Sealer seals and opens secrets with one key.
type Sealer struct{ aead cipher.AEAD }

// New makes a Sealer of a key of KeySize bytes.
func New(key []byte) (*Sealer, error) {
	if len(key) != KeySize {
		return nil, fmt.Errorf("seal: key has %d bytes, want %d", len(key), KeySize)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	return &Sealer{aead: aead}, nil
}

// Seal returns plain sealed under a name.
func (s *Sealer) Seal(name string, plain []byte) []byte {
	return s.aead.Seal(nil, nil, plain, []byte(name)) //nolint:gosec // no nonce is given because this AEAD makes a random one itself
}

// Open returns what was sealed under a name.
func (s *Sealer) Open(name string, sealed []byte) ([]byte, error) {
	plain, err := s.aead.Open(nil, nil, sealed, []byte(name))
	if err != nil {
		return nil, fmt.Errorf("%w (%s)", ErrOpen, name)
	}
	return plain, nil
}

// LoadFile reads the key in a file: KeySize bytes in base64. The file must not be readable by everyone, nor
// writable by a group.
func LoadFile(path string) (*Sealer, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	// A group may read it: that is how a cluster hands a secret to a process that is not root.
	if info.Mode().Perm()&0o037 != 0 {
		return nil, fmt.Errorf("seal: %s may be read by others (mode %04o); chmod 600 it", path, info.Mode().Perm())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		return nil, fmt.Errorf("seal: %s does not hold a base64 key", path)
	}
	return New(key)
}

// LoadOrCreateFile is LoadFile, and makes the file with a new random key if there is none.
func LoadOrCreateFile(path string) (*Sealer, error) {
	s, err := LoadFile(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return s, err
	}
	key := make([]byte, KeySize)
	_, _ = rand.Read(key) // never fails
	f, err := os.CreateTemp(filepath.Dir(path), ".seal-*")
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	defer func() { _ = os.Remove(f.Name()) }()
	_, err = f.WriteString(base64.StdEncoding.EncodeToString(key) + "\n")
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	// Link, not rename: if another process made the file meanwhile, its key stands.
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("seal: %w", err)
	}
	return LoadFile(path)
}
