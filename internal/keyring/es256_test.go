package keyring_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"pgregory.net/rapid"

	"github.com/keyreeve/keyreeve/internal/keyring"
	"github.com/keyreeve/keyreeve/internal/keyring/keytest"
)

// TestES256 takes a key through everything: sealed, opened, published as other readers read it, signing and checking.
func TestES256(t *testing.T) {
	key, err := keyring.GenerateES256(start(), start())
	if err != nil {
		t.Fatal(err)
	}
	rsa := keytest.Key(t, 0, start())
	ring := keytest.Ring(t, rsa, key) // seals and opens
	signer, err := ring.ActiveES256(start())
	if err != nil || signer.KID() != key.KID {
		t.Fatal(signer, err)
	}
	if s, err := ring.Active(start()); err != nil || s.KID() != rsa.KID {
		t.Error("RS256 is not the ring's first", err)
	}
	set := keyring.Published([]keyring.Public{key.Public, rsa.Public}, start())
	text, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	var read jose.JSONWebKeySet
	if err := json.Unmarshal(text, &read); err != nil || len(read.Keys) != 2 || read.Keys[0].KeyID != rsa.KID {
		t.Fatal(string(text), err)
	}
	published := read.Keys[1]
	certified, ok := published.Certificates[0].PublicKey.(*ecdsa.PublicKey)
	if !ok || !certified.Equal(published.Key) || published.Algorithm != "ES256" {
		t.Errorf("published as %s", text)
	}
	compact, err := signer.Sign([]byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	jws, err := jose.ParseSignedCompact(compact, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		t.Fatal(err)
	}
	if payload, err := jws.Verify(published.Key); err != nil || string(payload) != "x" {
		t.Error(string(payload), err)
	}
	// A key counts for what it says, and no other.
	lying := key.Public
	lying.Algorithm = "RS256"
	if _, err := lying.VerifyKey(); err == nil {
		t.Error("a key of a curve checks RS256")
	}
	lying = rsa.Public
	lying.Algorithm = "ES256"
	lying.JWK = json.RawMessage(strings.ReplaceAll(string(lying.JWK), "RS256", "ES256"))
	if _, err := lying.VerifyKey(); err == nil {
		t.Error("an RSA key checks ES256")
	}
	other, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := keyring.FromPrivate(other, start(), start()); err == nil {
		t.Error("a key of another curve was taken")
	}
}

// TestWithdraw: what shall sign no more verifies for as long as its tokens live, and is then gone.
func TestWithdraw(t *testing.T) {
	p := keyring.DefaultPolicy()
	keys := []keyring.Public{{KID: "k", Algorithm: "ES256", ActiveFrom: start()}}
	plan := p.Withdraw(keys, start())
	if len(plan.Supersede) != 1 || plan.Create || !plan.Supersede[0].Verifies(start().Add(p.VerifyAfter-time.Second)) {
		t.Fatalf("%+v", plan)
	}
	keys = plan.Supersede
	if plan := p.Withdraw(keys, start().Add(time.Hour)); !plan.Empty() {
		t.Errorf("again: %+v", plan)
	}
	if plan := p.Withdraw(keys, start().Add(p.VerifyAfter)); len(plan.Retire) != 1 {
		t.Errorf("at the end: %+v", plan)
	}
}

// TestSignAsOthersRead holds what is signed against go-jose, for any payload; a thousand signatures of a curve meet numbers
// that begin with zeros.
func TestSignAsOthersRead(t *testing.T) {
	curve, err := keyring.GenerateES256(start(), start())
	if err != nil {
		t.Fatal(err)
	}
	check := func(t rapid.TB, key keyring.Key, signer *keyring.Signer, payload []byte) {
		compact, err := signer.Sign(payload)
		if err != nil {
			t.Fatal(err)
		}
		jws, err := jose.ParseSignedCompact(compact, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(key.Algorithm)})
		if err != nil {
			t.Fatal(err)
		}
		public, err := key.VerifyKey()
		if err != nil {
			t.Fatal(err)
		}
		got, err := jws.Verify(public)
		header := jws.Signatures[0].Protected
		if err != nil || !bytes.Equal(got, payload) || header.KeyID != key.KID || header.ExtraHeaders["typ"] != "JWT" || header.ExtraHeaders["x5t"] != key.KID {
			t.Fatalf("%q, %+v, %v", got, header, err)
		}
	}
	for _, key := range []keyring.Key{curve, keytest.Key(t, 0, start())} {
		signer, err := key.Signer()
		if err != nil {
			t.Fatal(err)
		}
		rapid.Check(t, func(t *rapid.T) { check(t, key, signer, rapid.SliceOf(rapid.Byte()).Draw(t, "payload")) })
	}
	signer, err := curve.Signer()
	if err != nil {
		t.Fatal(err)
	}
	for n := range 1000 {
		check(t, curve, signer, []byte{byte(n), byte(n >> 8)})
	}
}
