package grant

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/keyreeve/keyreeve/internal/directory"
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

// FuzzScope holds the scope parser against a regular expression, and what it read against what it was given.
func FuzzScope(f *testing.F) {
	for _, seed := range []string{
		"openid profile", "https://management.core.windows.net//.default", "6dae42f8-4368-4678-94ff-3960e28e3630/.default offline_access",
		"User.Read Group.Read.All", "https://graph.microsoft.com/User.Read", "https://graph.microsoft.com", "a/.default b/.default", "/x", "x/",
		"a/.default a/b", "api://x/y/z", "\"", "  ", "a//b a//c",
	} {
		f.Add(seed)
	}
	chars := regexp.MustCompile(`^[\x20-\x21\x23-\x5b\x5d-\x7e]*$`)
	words := []string{"openid", "profile", "email", "offline_access"}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := parseScope(text)
		if err != nil {
			if e, ok := oauth.As(err); !ok || e.Word != oauth.InvalidScope {
				t.Fatalf("not a refusal: %v", err)
			}
			return
		}
		if !chars.MatchString(text) || len(text) > maxScope {
			t.Fatalf("%q was accepted", text)
		}
		if s.raw != text {
			t.Fatal("the text is not echoed")
		}
		if s.all && len(s.permissions) > 0 || (s.resource == "") != (!s.all && len(s.permissions) == 0) {
			t.Fatalf("%q: %+v does not hold together", text, s)
		}
		var back []string
		for i, on := range []bool{s.openID, s.profile, s.email, s.offline} {
			if on {
				back = append(back, words[i])
			}
		}
		permissions := s.permissions
		if s.all {
			permissions = []string{".default"}
		}
		for _, p := range permissions {
			back = append(back, s.resource+"/"+p)
		}
		// Written out and sorted, it is what came in, once the short forms of Graph's scopes are written out too.
		var in []string
		for part := range strings.FieldsSeq(text) {
			if !slices.Contains(words, part) && !strings.Contains(part, "/") {
				part = directory.MicrosoftGraph().String() + "/" + part
			}
			in = append(in, part)
		}
		slices.Sort(in)
		slices.Sort(back)
		if in = slices.Compact(in); !slices.Equal(in, back) {
			t.Fatalf("%q was read as %q", in, back)
		}
	})
}
