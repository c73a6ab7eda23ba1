package checkaccess

import (
	"path"
	"strings"
	"testing"
)

// FuzzCleanScope holds that a scope from a body is let through only if nothing in it can be read as another.
func FuzzCleanScope(f *testing.F) {
	for _, s := range []string{"/", "/subscriptions/s", "/a/../b", "/a//b", "a", "/a/", `/a\b`, "/a/./b", "/a/b/.."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if !cleanScope(s) {
			return
		}
		if want := strings.TrimSuffix(s, "/"); path.Clean(s) != want && s != "/" {
			t.Fatalf("%q is let through, and can be read as %q", s, path.Clean(s))
		}
		if strings.ContainsAny(s, "\\\x00\n") {
			t.Fatalf("%q is let through", s)
		}
	})
}
