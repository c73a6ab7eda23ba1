package proof_test

import (
	"strings"
	"testing"
	"time"

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
