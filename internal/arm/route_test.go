package arm

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// testPatterns overlap on purpose.
func testPatterns() []string {
	return []string{
		"/", "/a", "/a/{x}", "/a/{x}/b", "/a/b/{y}", "/a/b/c", "/{x}/b", "/{x}/{y}/{z}", "/a/{x}/{y}/d", "/a/b/{x}/e",
		"/{scope...}/p/q", "/{scope...}/p/q/{n}", "/{scope...}/a/{n}/q/{m}",
	}
}

func newTable(patterns []string) *table {
	t := &table{}
	for _, p := range patterns {
		if p == "/" {
			continue // the face serves nothing there
		}
		t.add(Route{Method: http.MethodGet, Pattern: p, Action: Self, Handle: func(http.ResponseWriter, *Request) error { return nil }})
	}
	return t
}

// slowFind is the oracle: it compares every pattern with the path, and picks by the rule in table's comment.
func slowFind(patterns, segments []string) string {
	best := ""
	for _, p := range patterns {
		if p != "/" && slowMatch(p, segments) && (best == "" || slowBetter(p, best)) {
			best = p
		}
	}
	return best
}

func slowMatch(pattern string, segments []string) bool {
	want := strings.Split(pattern[1:], "/")
	have := segments
	if want[0] == scopeParam {
		want = want[1:]
		if len(have) < len(want) {
			return false
		}
		have = have[len(have)-len(want):]
	}
	if len(want) != len(have) {
		return false
	}
	for i := range want {
		if !strings.HasPrefix(want[i], "{") && !strings.EqualFold(want[i], have[i]) {
			return false
		}
	}
	return true
}

func slowBetter(a, b string) bool {
	ra, rb := strings.HasPrefix(a, "/"+scopeParam), strings.HasPrefix(b, "/"+scopeParam)
	if ra != rb {
		return rb
	}
	as, bs := strings.Split(a, "/"), strings.Split(b, "/")
	if ra && len(as) != len(bs) {
		return len(as) > len(bs)
	}
	for i := range min(len(as), len(bs)) {
		la, lb := !strings.HasPrefix(as[i], "{"), !strings.HasPrefix(bs[i], "{")
		if la != lb {
			return la
		}
	}
	return false
}

func checkFind(t interface{ Fatalf(string, ...any) }, table *table, segments []string) {
	got := ""
	if leaf := table.find(segments); leaf != nil {
		got = leaf[http.MethodGet].Pattern
	}
	if want := slowFind(testPatterns(), segments); got != want {
		t.Fatalf("%q is served by %q, want %q", segments, got, want)
	}
}

func TestFindIsTheSlowMatcher(t *testing.T) {
	table := newTable(testPatterns())
	rapid.Check(t, func(t *rapid.T) {
		checkFind(t, table, rapid.SliceOfN(rapid.SampledFrom([]string{"a", "A", "b", "c", "d", "e", "p", "q", "x"}), 0, 7).Draw(t, "segments"))
	})
}

func FuzzFind(f *testing.F) {
	for _, s := range []string{"/a/b/c", "/A/x/p/Q", "//a/b/", "/a/%61", "/a/p/q/a/n/q/m", "/a/../b", "/%2e%2e/b", "/a%2fb", "/a//b", "/a/providers/N//t", "/a/\x00"} {
		f.Add(s)
	}
	table := newTable(testPatterns())
	f.Fuzz(func(t *testing.T, path string) {
		segments, err := splitPath(path)
		if err != nil {
			return
		}
		for _, s := range segments {
			if s == "" || s == "." || s == ".." || strings.ContainsAny(s, "/\\") || strings.ContainsFunc(s, func(c rune) bool { return c < ' ' }) {
				t.Fatalf("%q has the segment %q", path, s)
			}
		}
		// What was split reads back as the same segments.
		escaped := make([]string, len(segments))
		for i, s := range segments {
			escaped[i] = url.PathEscape(s)
		}
		if again, err := splitPath("/" + strings.Join(escaped, "/")); err == nil && !slices.Equal(again, segments) {
			t.Fatalf("%q reads back as %q", segments, again)
		}
		checkFind(t, table, segments)
	})
}

func TestSplitPath(t *testing.T) {
	for path, want := range map[string][]string{
		"/": nil, "//": nil, "//metadata/endpoints": {"metadata", "endpoints"}, "/a/b/": {"a", "b"}, "/a%20b": {"a b"}, "/a%2520b": {"a%20b"}, "/ä": {"ä"},
		"/g/providers/N//t/n": {"g", "providers", "N", "t", "n"}, "/g/PROVIDERS/N//t/n/providers/M//u": {"g", "PROVIDERS", "N", "t", "n", "providers", "M", "u"},
	} {
		got, err := splitPath(path)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("splitPath(%q) = %q, %v, want %q", path, got, err, want)
		}
	}
	for _, path := range []string{
		"", "a", "/a//b", "/g/providers//N/t/n", "/g/providers/N///t/n", "/g/providers/N/t//n", "/g/providers/N///", "///a", "/a/./b", "/a/../b", "/a/%2e%2E/b", "/a%2Fb", "/a%5Cb", "/a%00", "/a%0a", "/a%", "/%ff", "/" + strings.Repeat("a/", 65), "/" + strings.Repeat("a", 2048),
	} {
		if got, err := splitPath(path); err == nil {
			t.Errorf("splitPath(%q) = %q, want an error", path, got)
		}
	}
}

func TestScope(t *testing.T) {
	const g = "/subscriptions/s/resourceGroups/g"
	const c = g + "/providers/Microsoft.ContainerService/managedClusters/c"
	const auth = "/providers/Microsoft.Authorization/roleAssignments"
	rest := Route{rest: true, params: []string{"", "", "", "name"}}
	for _, test := range []struct {
		route Route
		path  string
		want  string
	}{
		{Route{}, "/tenants", "/"},
		{Route{}, "/subscriptions", "/"},
		{Route{}, "/subscriptions/s", "/subscriptions/s"},
		{Route{}, "/subscriptions/s/providers/N", "/subscriptions/s"},
		{Route{}, "/subscriptions/s/providers/N/register", "/subscriptions/s"},
		{Route{}, "/subscriptions/s/providers/N/t", "/subscriptions/s"},
		{Route{}, "/subscriptions/s/resourceGroups", "/subscriptions/s"},
		{Route{}, "/subscriptions/s/resourcegroups/G", "/subscriptions/s/resourcegroups/G"},
		{Route{}, g + "/resources", g},
		{Route{}, g + "/providers/Microsoft.ContainerService/managedClusters", g},
		{Route{}, c, c},
		{Route{}, c + "/listClusterUserCredential", c},
		{Route{}, c + "/accessProfiles/p/listCredential", c + "/accessProfiles/p"},
		{rest, c + auth + "/1", c + auth + "/1"},
		{rest, c + "/namespaces/n" + auth + "/1", c + "/namespaces/n" + auth + "/1"},
		{rest, auth + "/1", auth + "/1"},
		{Route{rest: true, params: []string{"", "", ""}}, c + "/namespaces/n" + auth, c + "/namespaces/n"},
		{Route{rest: true, params: []string{"", "", ""}}, auth, "/"},
		// A group named providers does not move the split.
		{rest, "/subscriptions/s/resourceGroups/providers" + auth + "/1", "/subscriptions/s/resourceGroups/providers" + auth + "/1"},
		{rest, "/subscriptions/s/resourceGroups" + auth + "/1", "/subscriptions/s/resourceGroups" + auth + "/1"},
		// Nor does an assignment on an assignment.
		{rest, g + auth + "/0" + auth + "/1", g + auth + "/0" + auth + "/1"},
	} {
		segments, err := splitPath(test.path)
		if err != nil {
			t.Fatal(err)
		}
		test.route.params = slices.Clone(test.route.params)
		if got := test.route.scope(segments); got != test.want {
			t.Errorf("scope of %s is %s, want %s", test.path, got, test.want)
		}
	}
}

// FuzzScopeSplit holds the split of a path below any scope against the last mark in its text.
func FuzzScopeSplit(f *testing.F) {
	f.Add("/subscriptions/s/resourceGroups/g")
	f.Add("/subscriptions/s/resourceGroups/providers")
	f.Add("/subscriptions/s/providers/Microsoft.Authorization/roleAssignments/x")
	f.Add("")
	const pattern = "/{scope...}/providers/Microsoft.Authorization/roleAssignments/{name}"
	table := newTable([]string{pattern})
	f.Fuzz(func(t *testing.T, scope string) {
		path := scope + "/providers/Microsoft.Authorization/roleAssignments/1"
		segments, err := splitPath(path)
		if err != nil {
			return
		}
		leaf := table.find(segments)
		if leaf == nil {
			t.Fatalf("%q is not served", path)
		}
		req := &Request{route: leaf[http.MethodGet], segments: segments}
		text := joinPath(segments)
		i := strings.LastIndex(text, "/providers/Microsoft.Authorization/")
		want := text[:i]
		if want == "" {
			want = "/"
		}
		if req.Prefix() != want || req.Param("name") != "1" || req.route.scope(segments) != text {
			t.Fatalf("%q is split into %q and %q, scope %q", path, req.Prefix(), req.Param("name"), req.route.scope(segments))
		}
	})
}

func FuzzFilter(f *testing.F) {
	for _, s := range []string{
		"atScope()", "principalId eq 'x'", "atScope() and assignedTo('x')", "tagname eq 'a' and tagvalue eq 'it''s'", "a eq 'b' AND c()", "a eq b", "a eq 'b", "", "a( 'x' )",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		clauses, err := ParseFilter(text)
		if err != nil {
			return
		}
		again, err := ParseFilter(FormatFilter(clauses))
		if err != nil || !cmp.Equal(clauses, again) {
			t.Fatalf("%q reads as %v, and back as %v, %v", text, clauses, again, err)
		}
	})
}

func FuzzRanges(f *testing.F) {
	for _, s := range []string{
		"eventTimestamp ge '2025-01-01T00:00:00Z' and eventTimestamp le '2025-01-02T00:00:00Z'", "a ge 1", "a le b and c eq 'd'", "a gt 'b'", "a ge '", "a eq (", "f()",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		clauses, err := ParseRanges(text)
		if err != nil {
			if _, plain := ParseFilter(text); plain == nil {
				t.Fatalf("%q is a filter and no range", text)
			}
			return
		}
		again, err := ParseRanges(FormatFilter(clauses))
		if err != nil || !cmp.Equal(clauses, again) {
			t.Fatalf("%q reads as %v, and back as %v, %v", text, clauses, again, err)
		}
	})
}

func TestFilter(t *testing.T) {
	for text, want := range map[string][]Clause{
		"atScope()":                            {{Name: "atScope", Call: true}},
		" principalId  eq  'x' and atScope() ": {{Name: "principalId", Value: "x"}, {Name: "atScope", Call: true}},
		"assignedTo('a''b')":                   {{Name: "assignedTo", Call: true, Arg: true, Value: "a'b"}},
		"a eq ''":                              {{Name: "a"}},
		"a eq ' and b eq '":                    {{Name: "a", Value: " and b eq "}},
	} {
		if got, err := ParseFilter(text); err != nil || !cmp.Equal(got, want) {
			t.Errorf("ParseFilter(%q) = %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", "a", "a eq", "a eq x", "a eq 'x", "a eq 'x'b eq 'y'", "a eq 'x' or b eq 'y'", "a eq 'x' and", "a ne 'x'", "f(", "f('x", "f(x)", "1a eq 'x'", "a eq 'x')", strings.Repeat("a", 3000),
	} {
		if got, err := ParseFilter(text); err == nil {
			t.Errorf("ParseFilter(%q) = %v, want an error", text, got)
		}
	}
}

func TestBadRoutesPanic(t *testing.T) {
	handle := func(http.ResponseWriter, *Request) error { return nil }
	good := Route{Method: http.MethodGet, Pattern: "/a/{x}", Action: Self, Handle: handle}
	for name, r := range map[string]Route{
		"twice":            {Method: http.MethodGet, Pattern: "/A/{y}", Action: Self, Handle: handle},
		"no action":        {Method: http.MethodPut, Pattern: "/a", Handle: handle},
		"public, action":   {Method: http.MethodPut, Pattern: "/a", Action: Self, Public: true, Handle: handle},
		"no handler":       {Method: http.MethodPut, Pattern: "/a", Action: Self},
		"relative pattern": {Method: http.MethodPut, Pattern: "a", Action: Self, Handle: handle},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("registered")
				}
			}()
			table := &table{}
			table.add(good)
			table.add(r)
		})
	}
}
