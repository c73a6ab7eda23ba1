package proof

import (
	"encoding/json"
	"os"
	"testing"
)

// TestWycheproof runs the vectors for JSON Web Signatures of Project Wycheproof (testdata/wycheproof, Apache License 2.0,
// github.com/c2sp/wycheproof) through what reads assertions and published keys. Symmetric algorithms are never accepted
// here, however good the code is: a public key must not be taken for a secret.
func TestWycheproof(t *testing.T) {
	text, err := os.ReadFile("testdata/wycheproof/json_web_signature_test.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors struct {
		NumberOfTests int
		TestGroups    []struct {
			Comment string
			Public  json.RawMessage
			Tests   []struct {
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
	ran, accepted := 0, 0
	for _, g := range vectors.TestGroups {
		key, usable := VerificationKey(g.Public)
		for _, v := range g.Tests {
			ran++
			var compact string
			good := false
			if json.Unmarshal(v.JWS, &compact) == nil {
				if jws, err := parseJWS(compact); err == nil && usable {
					good = verifyPublished(jws, key)
				}
			}
			// Figures 20 and 27 of RFC 7520 come with keys whose alg is not that of the signature (PS256 for PS384, and "ES521").
			want := v.Result == "valid" && g.Public != nil && v.Comment != "Figure20" && v.Comment != "Figure27"
			if good {
				accepted++
			}
			if good != want {
				t.Errorf("%s %d (%s): accepted %t, want %t", g.Comment, v.ID, v.Comment, good, want)
			}
		}
	}
	if ran != vectors.NumberOfTests || accepted < 30 {
		t.Errorf("ran %d of %d, accepted %d", ran, vectors.NumberOfTests, accepted)
	}
}
