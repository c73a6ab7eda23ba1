package keyring_test

import (
	"bytes"
	"crypto/sha1"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"pgregory.net/rapid"

	"github.com/keyreeve/keyreeve/internal/keyring"
	"github.com/keyreeve/keyreeve/internal/keyring/keytest"
	"github.com/keyreeve/keyreeve/internal/seal"
)

func start() time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) }

func TestKeyIsPublishedAsEntraDoes(t *testing.T) {
	k := keytest.Key(t, 0, start())
	var raw map[string]any
	if err := json.Unmarshal(k.JWK, &raw); err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"d", "p", "q", "dp", "dq", "qi"} {
		if _, there := raw[secret]; there {
			t.Fatalf("the published key holds %s", secret)
		}
	}
	var jwk jose.JSONWebKey // a second reader; it checks x5t against x5c
	if err := json.Unmarshal(k.JWK, &jwk); err != nil {
		t.Fatal(err)
	}
	der := jwk.Certificates[0].Raw
	sum := sha1.Sum(der)
	if thumb := base64.RawURLEncoding.EncodeToString(sum[:]); k.KID != thumb || raw["x5t"] != thumb || raw["use"] != "sig" || raw["kty"] != "RSA" {
		t.Errorf("kid %s, want the thumbprint %s in %s", k.KID, thumb, k.JWK)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	if private := keytest.Private(t, 0); !private.PublicKey.Equal(cert.PublicKey) || !private.PublicKey.Equal(jwk.Key) {
		t.Error("the certificate or the key is another one")
	}
}

func TestSealing(t *testing.T) {
	s := keytest.Sealer(t)
	k, other := keytest.Key(t, 0, start()), keytest.Key(t, 1, start())
	sealed, err := k.Seal(s)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(sealed, keytest.Private(t, 0).D.Bytes()) {
		t.Fatal("the private key is there in clear")
	}
	opened, err := keyring.Open(k.Public, sealed, s)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := opened.Signer()
	if err != nil {
		t.Fatal(err)
	}
	compact, err := signer.Sign([]byte("hello"))
	if err != nil {
		t.Fatal(err)
	}
	jws, err := jose.ParseSignedCompact(compact, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		t.Fatal(err)
	}
	public, err := k.VerifyKey()
	if err != nil {
		t.Fatal(err)
	}
	if payload, err := jws.Verify(public); err != nil || string(payload) != "hello" {
		t.Errorf("%q, %v", payload, err)
	}
	if h := jws.Signatures[0].Protected; h.KeyID != k.KID || h.ExtraHeaders["typ"] != "JWT" || h.ExtraHeaders["x5t"] != k.KID {
		t.Errorf("header %+v", h)
	}

	foreign, err := seal.New(bytes.Repeat([]byte{1}, seal.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	renamed := k.Public
	renamed.KID = other.KID
	for name, open := range map[string]func() error{
		"with another sealing key":   func() error { _, err := keyring.Open(k.Public, sealed, foreign); return err },
		"under another key's id":     func() error { _, err := keyring.Open(renamed, sealed, s); return err },
		"as the half of another key": func() error { _, err := keyring.Open(other.Public, sealed, s); return err },
	} {
		if open() == nil {
			t.Errorf("it opens %s", name)
		}
	}
}

func TestSmallKeysAreRefused(t *testing.T) {
	k := keytest.Private(t, 0)
	small := *k
	small.N = k.Primes[0]
	if _, err := keyring.FromPrivate(&small, start(), start()); err == nil {
		t.Error("a 1024-bit key was taken")
	}
}

// simulate carries out a plan with keys made of names only.
func simulate(keys []keyring.Public, plan keyring.Plan, now time.Time, name string) []keyring.Public {
	for _, s := range plan.Supersede {
		i := slices.IndexFunc(keys, func(k keyring.Public) bool { return k.KID == s.KID })
		keys[i] = s
	}
	keys = slices.DeleteFunc(keys, func(k keyring.Public) bool { return slices.Contains(plan.Retire, k.KID) })
	if plan.Create {
		keys = append(keys, keyring.Public{KID: name, CreatedAt: now, ActiveFrom: plan.CreateFrom})
	}
	return keys
}

// TestRotation lets upkeep look at any times, also after long pauses, and holds what follows from the policy.
func TestRotation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := keyring.DefaultPolicy()
		var keys []keyring.Public
		signedAt := map[string]time.Time{} // the last time each key signed
		now := start()
		for i := range rapid.IntRange(1, 60).Draw(t, "looks") {
			plan := p.Plan(keys, now)
			keys = simulate(keys, plan, now, string(rune('A'+i)))
			if again := p.Plan(keys, now); !again.Empty() {
				t.Fatalf("after carrying out %+v there is more to do: %+v", plan, again)
			}
			active, ok := keyring.Active(keys, now)
			if !ok {
				t.Fatal("no key signs")
			}
			if first := i == 0; !first && plan.Create && plan.CreateFrom.Before(now.Add(p.PublishAhead)) {
				t.Fatalf("a key is published %s before it signs", plan.CreateFrom.Sub(now))
			}
			for kid, last := range signedAt {
				there := slices.ContainsFunc(keys, func(k keyring.Public) bool { return k.KID == kid && k.Verifies(now) })
				if !there && now.Before(last.Add(24*time.Hour)) {
					t.Fatalf("key %s signed %s ago and verifies no more", kid, now.Sub(last))
				}
			}
			signedAt[active.KID] = now
			if len(keys) > 3 {
				t.Fatalf("%d keys pile up", len(keys))
			}
			now = now.Add(time.Duration(rapid.Int64Range(1, int64(40*24*time.Hour)).Draw(t, "pause")))
		}
	})
}

func TestRotationInNormalLife(t *testing.T) {
	p := keyring.DefaultPolicy()
	keys := simulate(nil, p.Plan(nil, start()), start(), "first")
	if a, ok := keyring.Active(keys, start()); !ok || a.KID != "first" {
		t.Fatal("the first key does not sign at once")
	}
	at := start().Add(29*24*time.Hour - time.Minute)
	if plan := p.Plan(keys, at); !plan.Empty() {
		t.Fatalf("too early: %+v", plan)
	}
	at = at.Add(time.Minute)
	keys = simulate(keys, p.Plan(keys, at), at, "second")
	set := keyring.Published(keys, at)
	if a, _ := keyring.Active(keys, at); a.KID != "first" || len(set.Keys) != 2 {
		t.Fatal("the second key must be published, and not sign yet")
	}
	at = start().Add(30 * 24 * time.Hour)
	if a, _ := keyring.Active(keys, at); a.KID != "second" {
		t.Fatal("the second key must sign after 30 days")
	}
	keys = simulate(keys, p.Plan(keys, at), at, "")
	if keys[0].RetiresAt != at.Add(p.VerifyAfter) {
		t.Fatalf("the first key retires at %s", keys[0].RetiresAt)
	}
	at = at.Add(p.VerifyAfter)
	if keys = simulate(keys, p.Plan(keys, at), at, ""); len(keys) != 1 {
		t.Fatalf("the first key is still there: %v", keys)
	}
}

func TestPolicyCheck(t *testing.T) {
	good := keyring.DefaultPolicy()
	if err := good.Check(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*keyring.Policy){
		"never":                   func(p *keyring.Policy) { p.Every = 0 },
		"publishes after it ends": func(p *keyring.Policy) { p.PublishAhead = p.Every },
		"forgets at once":         func(p *keyring.Policy) { p.VerifyAfter = 0 },
	} {
		p := good
		change(&p)
		if p.Check() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestRing(t *testing.T) {
	var empty keyring.Ring
	if _, err := empty.Active(start()); !errors.Is(err, keyring.ErrNoKey) {
		t.Errorf("empty ring: %v", err)
	}
	a, b := keytest.Key(t, 0, start()), keytest.Key(t, 1, start().Add(time.Hour))
	ring := keytest.Ring(t, a, b)
	for at, want := range map[time.Duration]string{0: a.KID, time.Hour - 1: a.KID, time.Hour: b.KID} {
		if s, err := ring.Active(start().Add(at)); err != nil || s.KID() != want {
			t.Errorf("after %s: %v, %v", at, s, err)
		}
	}
	lost := errors.New("lost")
	c := keytest.Key(t, 2, start())
	if err := ring.Load([]keyring.Public{c.Public}, keytest.Sealer(t), func(string) ([]byte, error) { return nil, lost }); !errors.Is(err, lost) {
		t.Errorf("load: %v", err)
	}
	if s, err := ring.Active(start()); err != nil || s.KID() != a.KID {
		t.Error("a failed load must leave the ring as it was")
	}
}
