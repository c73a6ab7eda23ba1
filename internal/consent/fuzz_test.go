package consent

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/oauth"
)

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
		s, err := ParseScope(text)
		if err != nil {
			if e, ok := oauth.As(err); !ok || e.Word != oauth.InvalidScope {
				t.Fatalf("not a refusal: %v", err)
			}
			return
		}
		if !chars.MatchString(text) || len(text) > maxScope {
			t.Fatalf("%q was accepted", text)
		}
		if s.Raw != text {
			t.Fatal("the text is not echoed")
		}
		if s.All && len(s.Permissions) > 0 || (s.Resource == "") != (!s.All && len(s.Permissions) == 0) {
			t.Fatalf("%q: %+v does not hold together", text, s)
		}
		var back []string
		for i, on := range []bool{s.OpenID, s.Profile, s.Email, s.Offline} {
			if on {
				back = append(back, words[i])
			}
		}
		permissions := s.Permissions
		if s.All {
			permissions = []string{".default"}
		}
		for _, p := range permissions {
			back = append(back, s.Resource+"/"+p)
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
