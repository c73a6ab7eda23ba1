package rbac

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestPathOf holds that the path of a scope is that of its key, segment by segment, and ends where a grant at the scope is looked for.
func TestPathOf(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		scope := "/" + strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"", "a", "ResourceGroups", "Zürich", "İ", "K8s-Ünder", "subscriptions", "0123456789abcdefG"}), 0, 14).Draw(t, "segments"), "/")
		want := rootMarks()
		want.down([]byte(scopeKey(scope)))
		if got := PathOf(scope); got.marks != want {
			t.Fatalf("%q: %+v, want %+v", scope, got.marks, want)
		}
		if want.hash != hashScope(scopeKey(scope)) {
			t.Fatalf("%q: the hash of the path is not that of the scope", scope)
		}
	})
}

// TestPlaceMarks holds that the marks of a place are those of its scope, and in a namespace those of the namespace's.
func TestPlaceMarks(t *testing.T) {
	p := NewPlace(testCluster)
	for _, namespace := range []string{"", "dev", "a-very-long-namespace-0123456789"} {
		var got marks
		p.mark(&got, &KubeRequest{Namespace: namespace})
		scope, _ := KubeScope(testCluster, KubeRequest{Namespace: namespace})
		if want := PathOf(scope); got != want.marks {
			t.Errorf("%q: %+v, want %+v", namespace, got, want.marks)
		}
	}
}
