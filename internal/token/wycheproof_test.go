package token_test

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/keyreeve/keyreeve/internal/keyring"
	"github.com/keyreeve/keyreeve/internal/token"
)

// anyKey publishes one key under whatever id it is asked for.
type anyKey struct{ keyring.Public }

func (k anyKey) SigningKey(string) (keyring.Public, bool) { return k.Public, true }

// TestWycheproof runs the vectors for JSON Web Signatures (see proof) through what reads access tokens. None of them is one,
// so the reason of the refusal says how far it got. Only RS256
// and ES256 may get beyond the signature, each with a key of its own, and only with a good one.
func TestWycheproof(t *testing.T) {
	text, err := os.ReadFile("../proof/testdata/wycheproof/json_web_signature_test.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors struct {
		NumberOfTests int
		TestGroups    []struct {
			Comment         string
			Public, Private json.RawMessage
			Tests           []struct {
				ID      int `json:"tcId"`
				Comment string
				JWS     json.RawMessage
				Result  string
			}
		}
	}
	if err := json.Unmarshal(text, &vectors); err != nil {
		t.Fatal(err)
	}
	ran, beyond := 0, 0
	for _, g := range vectors.TestGroups {
		jwk := g.Public
		if jwk == nil {
			jwk = g.Private // of symmetric keys there is no other half
		}
		var named struct{ KID, Kty string }
		if err := json.Unmarshal(jwk, &named); err != nil {
			t.Fatal(err)
		}
		alg := keyring.RS256
		if named.Kty == "EC" {
			alg = keyring.ES256
		}
		v, err := token.NewVerifier(token.Config{
			Issuer: issuer, Audiences: []string{audience}, Now: start,
			Keys: anyKey{keyring.Public{KID: named.KID, Algorithm: string(alg), JWK: jwk, CreatedAt: start(), ActiveFrom: start()}},
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, vector := range g.Tests {
			ran++
			var raw string
			if json.Unmarshal(vector.JWS, &raw) != nil {
				raw = string(vector.JWS) // the JSON form of a signature, which is never a token
			}
			_, err := v.Verify(raw)
			if err == nil {
				t.Errorf("%s %d (%s) is a token", g.Comment, vector.ID, vector.Comment)
				continue
			}
			signed := strings.Contains(err.Error(), "typ is not JWT") || strings.Contains(err.Error(), "claim") || strings.Contains(err.Error(), "invalid character")
			if want := vector.Result == "valid" && (named.Kty == "RSA" || named.Kty == "EC") && algorithm(raw) == string(alg); signed != want {
				t.Errorf("%s %d (%s): got beyond the signature: %t, want %t: %v", g.Comment, vector.ID, vector.Comment, signed, want, err)
			}
			if signed {
				beyond++
			}
		}
	}
	if ran != vectors.NumberOfTests || beyond == 0 {
		t.Errorf("ran %d of %d, %d with a good signature", ran, vectors.NumberOfTests, beyond)
	}
}

// algorithm is what the header of a compact signature names.
func algorithm(raw string) string {
	first, _, _ := strings.Cut(raw, ".")
	text, err := base64.RawURLEncoding.DecodeString(first)
	var header struct{ Alg string }
	if err != nil || json.Unmarshal(text, &header) != nil {
		return ""
	}
	return header.Alg
}
