package rbac

import (
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// slowMatch is the obvious way: the pattern as a regular expression.
func slowMatch(pattern, action string) bool {
	parts := strings.Split(pattern, "*")
	for i := range parts {
		parts[i] = regexp.QuoteMeta(slowLower(parts[i]))
	}
	return regexp.MustCompile(`(?s)\A` + strings.Join(parts, ".*") + `\z`).MatchString(slowLower(action))
}

// slowLower lowers A to Z only, as action strings are ASCII.
func slowLower(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 32
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
}

func fastMatch(p, s string) bool {
	c := compilePattern(p)
	return c.match(lowerASCII(nil, s))
}

func TestPattern(t *testing.T) {
	const pods = "Microsoft.ContainerService/managedClusters/pods/"
	for _, c := range []struct {
		pattern, action string
		want            bool
	}{
		{"*", "", true},
		{"*", "Microsoft.Compute/virtualMachines/read", true},
		{"*/read", "Microsoft.Compute/virtualMachines/read", true},
		{"*/read", "Microsoft.Compute/virtualMachines/write", false},
		{"*/read", "/read", true},
		{"*/read", "read", false},
		{"Microsoft.ContainerService/managedClusters/*", pods + "exec/action", true},
		{"Microsoft.ContainerService/managedClusters/*", "Microsoft.ContainerService/managedClusters", false},
		{"Microsoft.ContainerService/managedClusters/*", "Microsoft.ContainerService/managedClusters/", true},
		{"Microsoft.Authorization/*/Delete", "microsoft.authorization/roleAssignments/delete", true},
		{"Microsoft.Authorization/*/Delete", "Microsoft.Authorization/delete", false},
		{"Microsoft.Authorization/*/Delete", "Microsoft.Authorization/locks/delete/x", false},
		{pods + "*", pods + "read", true},
		{pods + "read", pods + "readlog", false},
		{pods + "read", "x" + pods + "read", false},
		{"a*b*c", "abc", true},
		{"a*b*c", "aXXbYYbZZc", true},
		{"a*b*c", "acb", false},
		{"a*bc*c", "abc", false},
		{"ab*ba", "aba", false},
		{"**", "x", true},
		{"a**b", "ab", true},
		{"", "", true},
		{"", "x", false},
		{"a.c", "abc", false},
	} {
		if got := fastMatch(c.pattern, c.action); got != c.want {
			t.Errorf("pattern %q, action %q: got %v, want %v", c.pattern, c.action, got, c.want)
		}
		if got := slowMatch(c.pattern, c.action); got != c.want {
			t.Errorf("the oracle is wrong: pattern %q, action %q: got %v, want %v", c.pattern, c.action, got, c.want)
		}
	}
}

func TestPatternAgainstRegexp(t *testing.T) {
	// Few letters, so that pieces repeat and overlap.
	rapid.Check(t, func(t *rapid.T) {
		p := rapid.StringMatching(`[abA/*]{0,12}`).Draw(t, "pattern")
		s := rapid.StringMatching(`[abB/]{0,16}`).Draw(t, "action")
		if got, want := fastMatch(p, s), slowMatch(p, s); got != want {
			t.Fatalf("pattern %q, action %q: got %v, want %v", p, s, got, want)
		}
		list := append(rapid.SliceOfN(rapid.StringMatching(`[abA/*]{1,6}`), 0, 4).Draw(t, "others"), p)
		table, want := newPatterns(list), false
		for _, x := range list {
			want = want || slowMatch(x, s)
		}
		if got := table.match(lowerASCII(nil, s)); got != want {
			t.Fatalf("patterns %q, action %q: got %v, want %v", list, s, got, want)
		}
	})
}

// TestMeet compares with trying: two patterns of few letters meet when some short word is in both.
func TestMeet(t *testing.T) {
	words := []string{""}
	for i := 0; len(words) < 4000; i++ {
		words = append(words, words[i]+"a", words[i]+"b", words[i]+"/")
	}
	rapid.Check(t, func(t *rapid.T) {
		a := rapid.StringMatching(`[ab/*]{0,5}`).Draw(t, "a")
		b := rapid.StringMatching(`[ab/*]{0,5}`).Draw(t, "b")
		ca, cb, want := compilePattern(a), compilePattern(b), false
		for _, w := range words {
			want = want || ca.match([]byte(w)) && cb.match([]byte(w))
		}
		got := meet(a, b)
		if got != want && (want || strings.Count(a, "*")+strings.Count(b, "*") < 2) {
			t.Fatalf("%q and %q meet: %v, want %v", a, b, got, want)
		}
		if got != meet(b, a) {
			t.Fatal("not the same from both sides")
		}
	})
}

func FuzzPattern(f *testing.F) {
	f.Add("*/read", "Microsoft.Compute/virtualMachines/READ")
	f.Add("a*b*c", "aXbXbXc")
	f.Add("**a", "ba")
	f.Fuzz(func(t *testing.T, p, s string) {
		if badPattern(p) != "" && p != "" {
			t.Skip()
		}
		s = strings.ToValidUTF8(s, "\uFFFD")
		if got, want := fastMatch(p, s), slowMatch(p, s); got != want {
			t.Fatalf("pattern %q, action %q: got %v, want %v", p, s, got, want)
		}
	})
}

// slowCovers cuts both scopes into segments and compares them one by one.
func slowCovers(assigned, scope string) bool {
	cut := func(s string) ([]string, bool) {
		if !strings.HasPrefix(s, "/") {
			return nil, false
		}
		s = strings.TrimSuffix(strings.ToLower(s), "/")
		if s == "" {
			return nil, true
		}
		return strings.Split(s[1:], "/"), true
	}
	a, okA := cut(assigned)
	s, okS := cut(scope)
	if !okA || !okS || len(s) < len(a) {
		return false
	}
	for i := range a {
		if a[i] != s[i] {
			return false
		}
	}
	return true
}

func TestCovers(t *testing.T) {
	const cluster = "/subscriptions/1/resourceGroups/RG/providers/Microsoft.ContainerService/managedClusters/a"
	for _, c := range []struct {
		assigned, scope string
		want            bool
	}{
		{"/", cluster, true},
		{"/", "/", true},
		{cluster, "/", false},
		{"/subscriptions/1", cluster, true},
		{"/subscriptions/1/", cluster, true},
		{"/subscriptions/11", cluster, false},
		{"/subscriptions/1/resourcegroups/rg", cluster, true},
		{"/subscriptions/1/resourcegroups/r", cluster, false},
		{cluster, cluster, true},
		{cluster, cluster + "b", false},
		{cluster, strings.ToUpper(cluster), true},
		{cluster, cluster + "/namespaces/dev", true},
		{cluster + "/namespaces/dev", cluster, false},
		{cluster + "/namespaces/dev", cluster + "/namespaces/DEV", true},
		{cluster + "/namespaces/dev", cluster + "/namespaces/dev2", false},
		{cluster + "/namespaces/dev", cluster + "/namespaces/prod/../dev", false},
		{"/subscriptions/1/resourceGroups/Übung", "/subscriptions/1/resourceGroups/ÜBUNG/providers/x/y/z", true},
		{"", cluster, false},
		{"subscriptions/1", "subscriptions/1", false},
		{cluster, "", false},
	} {
		if got := Covers(c.assigned, c.scope); got != c.want {
			t.Errorf("Covers(%q, %q) = %v", c.assigned, c.scope, got)
		}
		if got := slowCovers(c.assigned, c.scope); got != c.want {
			t.Errorf("the oracle is wrong: (%q, %q) = %v", c.assigned, c.scope, got)
		}
	}
}

func FuzzCovers(f *testing.F) {
	f.Add("/subscriptions/1", "/subscriptions/1/resourceGroups/x")
	f.Add("/", "/a/")
	f.Add("//", "//a")
	f.Fuzz(func(t *testing.T, a, s string) {
		if got, want := Covers(a, s), slowCovers(a, s); got != want {
			t.Fatalf("Covers(%q, %q) = %v, want %v", a, s, got, want)
		}
		g := NewGrant(Assignment{Scope: a}, &Role{blocks: []block{{control: rules{allow: newPatterns([]string{"*"})}}}})
		d := Decide(Request{Action: "x", Scope: s}, oneHolder{g})
		if got, want := d.Verdict == Allow, slowCovers(a, s); got != want {
			t.Fatalf("Decide at %q with a grant at %q: %v, want %v", s, a, d.Verdict, want)
		}
	})
}
