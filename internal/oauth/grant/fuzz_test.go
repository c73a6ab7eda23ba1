package grant

import (
	"net/url"
	"testing"

	"github.com/keyreeve/keyreeve/internal/oauth"
)

// FuzzForm holds the form parser against a second one: net/http's rule for the first value of each name.
func FuzzForm(f *testing.F) {
	for _, seed := range []string{"", "a=b", "a=b&a=c", "a=&b", "grant_type=password&scope=x%2F.default", "%zz", "a;b", "=x", "a=b&a="} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		got, err := parseForm(body)
		want, wantErr := url.ParseQuery(body)
		double := false
		for _, v := range want {
			double = double || len(v) > 1
		}
		if (err != nil) != (wantErr != nil || double) {
			t.Fatalf("error %v; second parser %v, doubles %v", err, wantErr, double)
		}
		if err != nil {
			if e, ok := oauth.As(err); !ok || e.Status != 400 {
				t.Fatalf("not a refusal: %v", err)
			}
			return
		}
		for name := range want {
			if got[name] != want.Get(name) {
				t.Fatalf("%q is %q, want %q", name, got[name], want.Get(name))
			}
		}
		if len(got) > len(want) {
			t.Fatalf("%v has more than %v", got, want)
		}
		for _, v := range got {
			if v == "" {
				t.Fatal("an empty parameter counts")
			}
		}
	})
}
