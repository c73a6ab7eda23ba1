// Package tokencache owns what kubelogin remembers between two calls of kubectl: access tokens and the sessions by which
// they are renewed, each in a file of its own, sealed, readable by their owner alone.
//
// A file belongs to one identity: everything that decides whose token it is. Its name is a keyed hash of that, and so is
// part of what is sealed, so a token of another identity is never found, nor does a file moved by hand open. A cache that
// cannot be used is no cache: reading finds nothing, writing says why once, and signing in goes on.
package tokencache

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

const (
	keyFile = "keyreeve.key"
	keySize = 32
	// form is the first byte of what is sealed; another form is read as nothing.
	form = "\x01"
	// maxFile bounds what is read; a cache file is a few kilobytes.
	maxFile = 4 << 20
)

// Token is an access token as it is remembered.
type Token struct {
	Access   string    `json:"access"`
	Obtained time.Time `json:"obtained"`
	Expires  time.Time `json:"expires"`
	// Parked names the entry that an account was current in before it was set aside.
	Parked string `json:"parked,omitempty"`
	// Owner names the account, of an entry, whose session a token for something else came of.
	Owner string `json:"owner,omitempty"`
}

// Cache is a folder of sealed files.
type Cache struct {
	Dir string
	// Warn is told, once, why nothing can be remembered.
	Warn func(error)
	// Keyring holds the sealing key in place of a file beside what it seals; nil for the file.
	Keyring Keyring

	warned bool
	key    []byte
	// write stands in for os.File.Write in tests of full disks.
	write func(*os.File, []byte) error
	// uid stands in for os.Geteuid in tests.
	uid func() int
}

// Keyring keeps a secret in the operating system's own store.
type Keyring interface {
	// Get returns the secret, or fs.ErrNotExist.
	Get() ([]byte, error)
	Put([]byte) error
}

// Entry is what is remembered of one identity.
type Entry struct {
	cache *Cache
	name  string // empty when there is no key, and so no cache
}

// Find returns the entry of an identity. Without create, a cache that was never written stays unwritten and the entry is empty.
func (c *Cache) Find(identity []byte, create bool) Entry {
	if c.Dir == "" {
		return Entry{cache: c}
	}
	if c.key == nil {
		key, err := c.sealingKey(create)
		if err != nil {
			if create {
				c.warn(err)
			}
			return Entry{cache: c}
		}
		c.key = key
	}
	mac := hmac.New(sha256.New, c.key)
	mac.Write([]byte("keyreeve kubelogin name "))
	mac.Write(identity)
	return Entry{cache: c, name: hex.EncodeToString(mac.Sum(nil)[:16])}
}

func (c *Cache) warn(err error) {
	if !c.warned && c.Warn != nil {
		c.Warn(err)
	}
	c.warned = true
}

// sealingKey reads the key, and makes it when it is wanted and not there.
func (c *Cache) sealingKey(create bool) ([]byte, error) {
	if c.Keyring != nil {
		return c.keyFromKeyring(create)
	}
	path := filepath.Join(c.Dir, keyFile)
	key, err := c.readFile(path, keySize+1)
	if err == nil && len(key) == keySize {
		return key, nil
	}
	if !create {
		return nil, fs.ErrNotExist
	}
	if errors.Is(err, fs.ErrPermission) {
		return nil, err
	}
	if err == nil || errors.Is(err, fs.ErrInvalid) {
		// What is no key opens nothing: what it sealed is lost already.
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, err
	}
	key = make([]byte, keySize)
	if _, err := rand.Read(key); err != nil {
		return nil, err
	}
	// Whoever is first makes the key of all.
	temp, err := c.temporary(key)
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.Remove(temp) }()
	if err := os.Link(temp, path); err != nil && !errors.Is(err, fs.ErrExist) {
		// Not every file system has links.
		if err := os.Rename(temp, path); err != nil {
			return nil, err
		}
	}
	key, err = c.readFile(path, keySize+1)
	if err == nil && len(key) != keySize {
		err = fmt.Errorf("%s holds no key", path)
	}
	return key, err
}

func (c *Cache) keyFromKeyring(create bool) ([]byte, error) {
	key, err := c.Keyring.Get()
	if err == nil && len(key) == keySize {
		return key, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		if !create {
			c.warn(err)
		}
		return nil, err
	}
	if !create {
		return nil, fs.ErrNotExist
	}
	key = make([]byte, keySize)
	if _, err := rand.Read(key); err != nil {
		return nil, err
	}
	if err := c.Keyring.Put(key); err != nil {
		return nil, err
	}
	return c.Keyring.Get()
}

// temporary writes a new file in the folder and returns its path; on failure nothing is left behind.
func (c *Cache) temporary(data []byte) (string, error) {
	f, err := os.CreateTemp(c.Dir, ".new-*") // of mode 0600
	if err != nil {
		return "", err
	}
	write := c.write
	if write == nil {
		write = func(f *os.File, data []byte) error { _, err := f.Write(data); return err }
	}
	err = write(f, data)
	err = errors.Join(err, f.Close())
	if err != nil {
		_ = os.Remove(f.Name())
		return "", err
	}
	return f.Name(), nil
}

// Token returns the remembered token, whatever its age.
func (e Entry) Token() (Token, bool) {
	var t Token
	data, ok := e.read("token")
	if !ok || json.Unmarshal(data, &t) != nil || t.Access == "" {
		return Token{}, false
	}
	return t, true
}

// PutToken remembers a token.
func (e Entry) PutToken(t Token) {
	data, err := json.Marshal(t)
	if err != nil {
		e.cache.warn(err)
		return
	}
	e.write("token", data)
}

// Session returns what was remembered for renewing: MSAL's cache, a refresh token, a key.
func (e Entry) Session() []byte {
	data, _ := e.read("session")
	return data
}

// PutSession remembers it.
func (e Entry) PutSession(data []byte) { e.write("session", data) }

// Drop forgets both.
func (e Entry) Drop() error {
	if e.name == "" {
		return nil
	}
	var errs []error
	for _, kind := range []string{"token", "session"} {
		if err := os.Remove(e.path(kind)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (e Entry) path(kind string) string { return filepath.Join(e.cache.Dir, e.name+"."+kind) }

func (e Entry) aead() (cipher.AEAD, error) {
	block, err := aes.NewCipher(e.cache.key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// read opens a file. One that is missing, cut short, or sealed for something else is as good as none.
func (e Entry) read(kind string) ([]byte, bool) {
	if e.name == "" {
		return nil, false
	}
	data, err := e.cache.readFile(e.path(kind), maxFile)
	if err != nil || len(data) == 0 || data[:1:1][0] != form[0] {
		return nil, false
	}
	aead, err := e.aead()
	if err != nil {
		return nil, false
	}
	plain, err := aead.Open(nil, nil, data[1:], []byte(form+kind+" "+e.name))
	return plain, err == nil
}

// write replaces a file as a whole, or leaves it as it was.
func (e Entry) write(kind string, plain []byte) {
	if e.name == "" {
		return
	}
	aead, err := e.aead()
	if err == nil {
		var temp string
		temp, err = e.cache.temporary(append([]byte(form), aead.Seal(nil, nil, plain, []byte(form+kind+" "+e.name))...)) //nolint:gosec // the AEAD draws the nonce
		if err == nil {
			if err = os.Rename(temp, e.path(kind)); err != nil {
				_ = os.Remove(temp)
			}
		}
	}
	if err != nil {
		e.cache.warn(err)
	}
}
