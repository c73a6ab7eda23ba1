// Package keytest owns ready-made signing keys for tests, so that no test waits for RSA. It is imported by tests only.
package keytest

import (
	"crypto/rsa"
	"crypto/x509"
	"embed"
	"encoding/pem"
	"fmt"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/internal/keyring"
	"github.com/keyreeve/keyreeve/internal/seal"
)

//go:embed testdata/*.pem
var files embed.FS

// Count is how many keys there are.
const Count = 4

// Private returns the i-th ready-made private key, from 0.
func Private(t testing.TB, i int) *rsa.PrivateKey {
	t.Helper()
	text, err := files.ReadFile(fmt.Sprintf("testdata/key%d.pem", i))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		t.Fatalf("key %d: not PEM", i)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	private, ok := parsed.(*rsa.PrivateKey)
	if !ok {
		t.Fatalf("key %d is a %T", i, parsed)
	}
	return private
}

// Key returns the i-th ready-made key, active from a time.
func Key(t testing.TB, i int, activeFrom time.Time) keyring.Key {
	t.Helper()
	k, err := keyring.FromPrivate(Private(t, i), activeFrom, activeFrom)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// Sealer returns a sealer with a fixed key.
func Sealer(t testing.TB) *seal.Sealer {
	t.Helper()
	s, err := seal.New(make([]byte, seal.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Ring returns a ring that holds the given keys.
func Ring(t testing.TB, keys ...keyring.Key) *keyring.Ring {
	t.Helper()
	s := Sealer(t)
	sealed := map[string][]byte{}
	var public []keyring.Public
	for _, k := range keys {
		blob, err := k.Seal(s)
		if err != nil {
			t.Fatal(err)
		}
		sealed[k.KID] = blob
		public = append(public, k.Public)
	}
	ring := &keyring.Ring{}
	if err := ring.Load(public, s, func(kid string) ([]byte, error) { return sealed[kid], nil }); err != nil {
		t.Fatal(err)
	}
	return ring
}
