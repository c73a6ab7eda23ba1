package proof_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/internal/keyring/keytest"
	"github.com/keyreeve/keyreeve/internal/proof"
)

// FuzzAssertion: whatever comes in, nothing panics, and what is read holds together.
func FuzzAssertion(f *testing.F) {
	for _, seed := range []string{
		"", "a.b.c", "eyJhbGciOiJub25lIn0.e30.", "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJhIiwiYXVkIjoiYiIsImV4cCI6MX0.AA",
		"eyJhbGciOiJSUzI1NiIsIng1dCI6IkFBQUEifQ.eyJhdWQiOltdLCJleHAiOjFlMzB9.AA", "eyJhbGciOiJIUzI1NiJ9.e30.AA",
		"eyJhbGciOiJSUzI1NiJ9.eyJhdWQiOlsiYSIsImIiXSwiZXhwIjoxLjUsIm5iZiI6MC41fQ.AA\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a, err := proof.ParseAssertion(text)
		if err != nil {
			if len(text) > 200 && strings.Contains(err.Error(), text[:200]) {
				t.Fatal("the error quotes the assertion")
			}
			return
		}
		if a.Expires.IsZero() || len(a.Audiences) == 0 {
			t.Fatalf("%+v has no end or no audience", a)
		}
		for name, v := range map[string]string{"x5t": a.SHA1, "x5t#S256": a.SHA256} {
			if v != "" && (len(v)%40 != 0 && len(v) != 64 || strings.ToUpper(v) != v) {
				t.Fatalf("%s is %q", name, v)
			}
		}
		if a.CheckKey(nil, time.Now()) == nil {
			t.Fatal("good without a key")
		}
		if _, m := a.Federated(nil); m != proof.NoCredential {
			t.Fatal("trusted without a credential")
		}
	})
}

// TestClaimsAreReadExactly: names of claims have one spelling (RFC 7519 4), and each claim is there once; otherwise whoever adds a
// claim of their own to an issuer's tokens could stand for somebody else.
func TestClaimsAreReadExactly(t *testing.T) {
	token := func(claims string) string {
		b64 := base64.RawURLEncoding.EncodeToString
		return b64([]byte(`{"alg":"RS256"}`)) + "." + b64([]byte(claims)) + ".AA"
	}
	const rest = `"iss":"i","aud":"a","exp":1`
	for _, name := range []string{"SUB", "Sub", "\u017fub", "s\u0055b"} {
		for _, claims := range []string{`{"sub":"own","` + name + `":"other",` + rest + `}`, `{"` + name + `":"other","sub":"own",` + rest + `}`} {
			if a, err := proof.ParseAssertion(token(claims)); err != nil || a.Subject != "own" {
				t.Errorf("%s: subject %q, %v", claims, a.Subject, err)
			}
		}
	}
	for _, claims := range []string{
		`{"sub":"own","sub":"other",` + rest + `}`, `{"s\u0075b":"other","sub":"own",` + rest + `}`, `{"aud":["a"],"sub":"own",` + rest + `}`,
	} {
		if a, err := proof.ParseAssertion(token(claims)); err == nil {
			t.Errorf("%s is taken for %q", claims, a.Subject)
		}
	}
}

// TestHeadersInAnyOrder: a signature is over the header as it was written. MSAL for .NET puts x5c behind x5t#S256, and others write spaces.
func TestHeadersInAnyOrder(t *testing.T) {
	key := keytest.Private(t, 1)
	b64 := base64.RawURLEncoding.EncodeToString
	for _, header := range []string{
		`{"alg":"PS256","typ":"JWT"}`, `{"typ":"JWT","alg":"PS256","x5t":"AAAAAAAAAAAAAAAAAAAAAAAAAAA"}`, `{ "typ" : "JWT", "alg" : "PS256" }`, `{"typ":"J\u0057T","alg":"PS256"}`,
	} {
		for salt, want := range map[int]bool{rsa.PSSSaltLengthEqualsHash: true, 20: false} {
			text := b64([]byte(header)) + "." + b64([]byte(`{"iss":"i","aud":"a","exp":1}`))
			sum := sha256.Sum256([]byte(text))
			signature, err := rsa.SignPSS(rand.Reader, key, crypto.SHA256, sum[:], &rsa.PSSOptions{SaltLength: salt})
			if err != nil {
				t.Fatal(err)
			}
			a, err := proof.ParseAssertion(text + "." + b64(signature))
			if err != nil || a.Verify(&key.PublicKey) != want {
				t.Errorf("%s with a salt of %d: %v, %v", header, salt, !want, err)
			}
		}
	}
}

// TestVerificationKeys: what is published as a key counts only if it is public, for signatures, and of a size that holds (RFC 7518 3.3).
func TestVerificationKeys(t *testing.T) {
	modulus := func(bits int) string {
		n := make([]byte, bits/8)
		for i := range n {
			n[i] = 0xff
		}
		return base64.RawURLEncoding.EncodeToString(n)
	}
	for text, want := range map[string]bool{
		`{"kty":"RSA","e":"AQAB","n":"` + modulus(2048) + `"}`:                       true,
		`{"kty":"RSA","e":"AQAB","n":"` + modulus(1024) + `"}`:                       false,
		`{"kty":"RSA","e":"AQAB","n":"` + modulus(512) + `"}`:                        false,
		`{"kty":"RSA","e":"AQAB","n":"` + modulus(32768) + `"}`:                      false,
		`{"kty":"RSA","e":"AQ","n":"` + modulus(2048) + `"}`:                         false,
		`{"kty":"oct","k":"AAAA"}`:                                                   false,
		`{"kty":"RSA","use":"enc","e":"AQAB","n":"` + modulus(2048) + `"}`:           false,
		`{"kty":"RSA","key_ops":["encrypt"],"e":"AQAB","n":"` + modulus(2048) + `"}`: false,
	} {
		if _, ok := proof.VerificationKey([]byte(text)); ok != want {
			t.Errorf("%.60s…: %v", text, ok)
		}
	}
}
