package graph

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/keyreeve/keyreeve/internal/fault"
)

func TestParseSearch(t *testing.T) {
	for in, want := range map[string]string{
		`"displayName:ada"`:                   `"displayName:ada"`,
		` "displayName:ada l"  AND "mail:x" `: `"displayName:ada l" AND "mail:x"`,
		`"a:b" OR "c:d" AND "e:f"`:            `"a:b" OR ("c:d" AND "e:f")`,
		`("a:b" OR "c:d") AND "e:f"`:          `("a:b" OR "c:d") AND "e:f"`,
		`"displayName:a\"b\\"`:                `"displayName:a\"b\\"`,
		`"displayName:a:b"`:                   `"displayName:a:b"`,
		`(("a:b"))`:                           `"a:b"`,
	} {
		s, err := parseSearch(in)
		if err != nil || s.String() != want {
			t.Errorf("%s: %v, %v, want %s", in, s, err, want)
		}
	}
	for _, in := range []string{
		"", "x", `"x"`, `":x"`, `"a:"`, `"a: "`, `"a:b`, `"a:b" "c:d"`, `"a:b" AND`, `"a:b" and "c:d"`, `("a:b"`, `"a:b")`, `"a:\x"`, `"a b:c"`, `"é:c"`, "\"a:\xff\"",
		strings.Repeat("(", 40) + `"a:b"` + strings.Repeat(")", 40), `"a:` + strings.Repeat("x", maxSearch) + `"`,
	} {
		if s, err := parseSearch(in); err == nil {
			t.Errorf("%q reads as %s", in, s)
		} else if fault.As(err).Kind != fault.Invalid {
			t.Errorf("%q: %v", in, err)
		}
	}
}

// FuzzParseSearch holds that what is printed reads back as the same search.
func FuzzParseSearch(f *testing.F) {
	for _, s := range []string{`"displayName:ada"`, `"a:b" OR ("c:d" AND "e:\"f\\")`, `"displayName:İıßſ"`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) { searchReadsBack(t, text) })
}

// failer is a test or a property.
type failer interface{ Fatalf(string, ...any) }

func searchReadsBack(t failer, text string) {
	s, err := parseSearch(text)
	if err != nil {
		if fault.As(err).Kind != fault.Invalid {
			t.Fatalf("%q: %v", text, err)
		}
		return
	}
	printed := s.String()
	if len(printed) > maxSearch {
		return
	}
	again, err := parseSearch(printed)
	if err != nil || !reflect.DeepEqual(s, again) {
		t.Fatalf("%q printed as %q reads as %v, %v", text, printed, again, err)
	}
}

// TestTokenSoup gives the parsers what a fuzzer takes long to find: texts made of their own tokens, in no order.
func TestTokenSoup(t *testing.T) {
	soup := func(tokens ...string) *rapid.Generator[string] {
		return rapid.Map(rapid.SliceOfN(rapid.SampledFrom(tokens), 0, 24), func(parts []string) string { return strings.Join(parts, "") })
	}
	filters := soup(" ", " ", "(", ")", "not ", " and ", " or ", "a", "b eq 'c'", "a eq ", "'x'", "''", "'", "null", "true", "2026-03-01", "2026-03-01T12:00:00+14:00", " ne ", " ge ", " in ", ",",
		"startswith(a,'b')", "endswith(", "/any(x:x eq 'y')", "/any(", "İ", "\u212a", "é")
	searches := soup(" ", "(", ")", " AND ", " OR ", "AND", `"a:b"`, `"`, "a", ":", `\`, `\"`, "ß", "İ")
	queries := soup("&", "=", "$filter=", "$top=5", "$count=true", "$search=", "%22a:b%22", "$orderby=displayName", "+desc", "$expand=", "members", "(", "$select=id", ")", ",", "%2c", "%", "%zz", "$skiptoken=", "a eq 'b'", "+", "%20")
	// Some of the texts are clauses and nothing else, or a run might not read a single one.
	clauses := rapid.Map(rapid.SliceOfN(rapid.SampledFrom([]string{"b eq 'c'", "startswith(a,'b')", "a ne null", "not (a eq true)"}), 1, 4),
		func(parts []string) string { return strings.Join(parts, " and ") })
	read := 0
	rapid.Check(t, func(t *rapid.T) {
		f := rapid.OneOf(filters, filters, filters, clauses).Draw(t, "filter")
		if _, err := parseFilter(f); err == nil {
			read++
		}
		filterReadsBack(t, f)
		searchReadsBack(t, searches.Draw(t, "search"))
		optionsReadBack(t, queries.Draw(t, "query"))
	})
	if read == 0 {
		t.Error("no text was a filter: the tokens are wrong")
	}
}

// FuzzSearchNarrows holds that the words by which the store narrows a search are in every name that it finds.
func FuzzSearchNarrows(f *testing.F) {
	f.Add(`ada lovelace`, `Lovelace, Ada`)
	f.Add(`straße`, "STRAßE 5")
	f.Add("e\u0301", "caf\u0065\u0301")
	f.Fuzz(func(t *testing.T, text, name string) {
		if !utf8.ValidString(text) || !utf8.ValidString(name) || len(words(text)) == 0 {
			return
		}
		q := search{name: "displayName", text: text}
		s := schema[string]{props: []property[string]{{name: "displayName", value: func(s string) any { return s }, kind: filterText}}}
		if !s.found(&q, name) {
			return
		}
		for _, w := range q.mustHave() {
			if !strings.Contains(fold(name), w) {
				t.Fatalf("%q finds %q, which has no %q", text, name, w)
			}
		}
	})
}

func TestParseExpandAndOrder(t *testing.T) {
	for in, want := range map[string]expansion{
		"members": {"members", nil}, " members ": {"members", nil}, "members($select=id,displayName)": {"members", []string{"id", "displayName"}},
		"members( $select = id )": {"members", []string{"id"}}, "owners(select=*)": {"owners", nil},
	} {
		got, err := parseExpand(in)
		if err != nil || !reflect.DeepEqual(got, []expansion{want}) {
			t.Errorf("%q: %v, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "a,b", "a(", "a()", "a($select=b", "a($filter=b eq 'c')", "a($select=b;$top=1)", "a($select=b)x", "a/b", "a($select=b),c", "a(($select=b))", "'a'"} {
		if got, err := parseExpand(in); err == nil {
			t.Errorf("%q reads as %v", in, got)
		}
	}
	for in, want := range map[string]string{"displayName": "displayname", "displayName ASC": "displayname", " displayName  desc ": "displayname desc"} {
		if got, err := parseOrder(in); err != nil || got.String() != want {
			t.Errorf("%q: %v, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "a b", "a,b", "a desc, b", "a asc desc", "tolower(a)", "'a'"} {
		if got, err := parseOrder(in); err == nil {
			t.Errorf("%q reads as %v", in, got)
		}
	}
}

// FuzzParseOptions holds that what a client asked for is in the link to the next page, and reads back the same there.
func FuzzParseOptions(f *testing.F) {
	for _, s := range []string{
		`$filter=displayName%20eq%20'x'&$top=5&$count=true`, `$search="displayName:a"&$select=id,displayName`, `$orderby=displayName+desc&$expand=members($select=id)`,
		`$select=%2C*%20,id&top=1`, `a=b&a=c&$FILTER=a+eq+null`, `$filter=a%26b`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) { optionsReadBack(t, raw) })
}

func optionsReadBack(t failer, raw string) {
	q, err := parseOptions(raw)
	if err != nil {
		if k := fault.As(err).Kind; k != fault.Invalid {
			t.Fatalf("%q: %v", raw, err)
		}
		return
	}
	rq := &request{h: &Handler{BaseURL: base}, version: "v1.0", path: "/users", query: q}
	_, link, _ := strings.Cut(rq.nextLink(cursor("x")), "?")
	again, err := parseOptions(link)
	if err != nil {
		t.Fatalf("%q leads to %q: %v", raw, link, err)
	}
	again.skip, again.topText, q.topText, q.skip = nil, "", "", nil
	if !reflect.DeepEqual(q, again) {
		t.Fatalf("%q leads to %q:\n%+v\n%+v", raw, link, q, again)
	}
	o, err := parseOrder(q.orderBy.String())
	if q.orderText != "" && (err != nil || o != q.orderBy) {
		t.Fatalf("order %q reads as %v, %v", q.orderBy, o, err)
	}
}

func TestParseBatchRefuses(t *testing.T) {
	one := func(more string) string {
		return `{"requests":[{"id":"1","method":"GET","url":"/me"` + more + `}]}`
	}
	if steps, err := parseBatch([]byte(one(""))); err != nil || len(steps) != 1 {
		t.Fatal(steps, err)
	}
	many := strings.TrimSuffix(strings.Repeat(`{"id":"x","method":"GET","url":"/me"},`, 21), ",")
	for in, code := range map[string]string{
		"":                            "Request_BadRequest",
		"[]":                          "BadRequest",
		`{}`:                          "BadRequest",
		`{"requests":[]}`:             "BadRequest",
		`{"requests":{}}`:             "BadRequest",
		`{"requests":[null]}`:         "BadRequest",
		`{"requests":[` + many + `]}`: "MaximumValueExceeded",
		`{"requests":[{"id":"1","method":"GET","url":"/me"},{"id":"1","method":"GET","url":"/me"}]}`:                                   "BadRequest",
		`{"requests":[{"id":"1","method":"GET","url":"/a","dependsOn":["2"]},{"id":"2","method":"GET","url":"/a","dependsOn":["1"]}]}`: "BadRequest",
		one(`,"dependsOn":["1"]`):                                                  "BadRequest",
		one(`,"dependsOn":["9"]`):                                                  "BadRequest",
		`{"requests":[{"id":"1","method":"GET"}]}`:                                 "BadRequest",
		`{"requests":[{"method":"GET","url":"/me"}]}`:                              "BadRequest",
		`{"requests":[{"id":"1","method":"TRACE","url":"/me"}]}`:                   "BadRequest",
		`{"requests":[{"id":"1","method":"POST","url":"/$batch"}]}`:                "BadRequest",
		`{"requests":[{"id":"1","method":"GET","url":"https://elsewhere.test/"}]}`: "BadRequest",
		`{"requests":[{"id":"1","method":"GET","url":"//elsewhere.test/"}]}`:       "BadRequest",
		`{"requests":[{"id":"1","method":"GET","url":"/me x"}]}`:                   "BadRequest",
		`{"requests":[],"more":1}`:                                                 "BadRequest",
	} {
		if steps, err := parseBatch([]byte(in)); err == nil || fault.As(err).Code != code {
			t.Errorf("%s: %v, %v, want %s", in, steps, err, code)
		}
	}
}

// FuzzParseBatch holds that a batch that is taken is a run of known requests, each after those it depends on.
func FuzzParseBatch(f *testing.F) {
	f.Add([]byte(`{"requests":[{"id":"1","method":"GET","url":"/me","dependsOn":["2"]},{"id":"2","method":"post","url":"users","body":{},"headers":{"a":"b"}}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		steps, err := parseBatch(raw)
		if err != nil {
			if k := fault.As(err).Kind; k != fault.Invalid {
				t.Fatalf("%s: %v", raw, err)
			}
			return
		}
		if len(steps) == 0 || len(steps) > maxSteps {
			t.Fatalf("%d steps", len(steps))
		}
		seen := []string{}
		for _, s := range steps {
			if !strings.HasPrefix(s.URL, "/") || strings.HasPrefix(s.URL, "//") || slices.Contains(seen, s.ID) {
				t.Fatalf("%+v after %q", s, seen)
			}
			for _, d := range s.DependsOn {
				if !slices.Contains(seen, d) {
					t.Fatalf("%+v comes before what it depends on", s)
				}
			}
			seen = append(seen, s.ID)
		}
		again, err := json.Marshal(map[string]any{"requests": steps})
		if err != nil {
			t.Fatal(err)
		}
		twice, err := parseBatch(again)
		if diff := cmp.Diff(fmt.Sprint(steps), fmt.Sprint(twice)); err != nil || diff != "" {
			t.Fatalf("%s written again: %v %s", raw, err, diff)
		}
	})
}
