package graph

import (
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/store"
)

func TestParseFilter(t *testing.T) {
	for in, want := range map[string]string{
		`displayName eq 'x'`:                               `displayName eq 'x'`,
		`  displayName   eq	'x' `:                          `displayName eq 'x'`,
		`(displayName eq 'x')`:                             `displayName eq 'x'`,
		`displayName eq 'O''Brien'`:                        `displayName eq 'O''Brien'`,
		`displayName eq ''`:                                `displayName eq ''`,
		`mail eq null or accountEnabled eq true`:           `mail eq null or accountEnabled eq true`,
		`startswith(displayName,'a')`:                      `startswith(displayName,'a')`,
		`StartsWith( displayName , 'a' )`:                  `startswith(displayName,'a')`,
		`servicePrincipalNames/any(c:c eq 'x')`:            `servicePrincipalNames/any(x:x eq 'x')`,
		`displayName ne 'x'`:                               `displayName ne 'x'`,
		`not(displayName eq 'x')`:                          `not displayName eq 'x'`,
		`not displayName eq 'x' and a eq true`:             `not displayName eq 'x' and a eq true`,
		`NOT (a eq 'b' or c eq 'd')`:                       `not (a eq 'b' or c eq 'd')`,
		`endswith(mail,'x')`:                               `endsWith(mail,'x')`,
		`displayName in ('x')`:                             `displayName eq 'x'`,
		`displayName in ( 'x' ,'y')`:                       `displayName eq 'x' or displayName eq 'y'`,
		`createdDateTime ge 2026-03-01`:                    `createdDateTime ge 2026-03-01T00:00:00Z`,
		`createdDateTime lt 2026-03-01T12:00:00.5+01:00`:   `createdDateTime lt 2026-03-01T11:00:00.5Z`,
		`a eq 'b' and c eq 'd' or e eq 'f'`:                `(a eq 'b' and c eq 'd') or e eq 'f'`,
		`a eq 'b' and (c eq 'd' or e eq 'f')`:              `a eq 'b' and (c eq 'd' or e eq 'f')`,
		`displayName eq 'x' and mailNickname eq 'y and z'`: `displayName eq 'x' and mailNickname eq 'y and z'`,
	} {
		f, err := parseFilter(in)
		if err != nil {
			t.Errorf("%s: %v", in, err)
		} else if f.String() != want {
			t.Errorf("%s: %s, want %s", in, f, want)
		}
	}
	for in, code := range map[string]string{
		``: "BadRequest", ` `: "BadRequest", `displayName`: "BadRequest", `displayName eq`: "BadRequest", `displayName eq x`: "BadRequest",
		`displayName eq 'x' and`: "BadRequest", `displayName eq 'x' 'y'`: "BadRequest", `displayName eq 'x`: "BadRequest",
		`(displayName eq 'x'`: "BadRequest", `displayName eq 'x')`: "BadRequest", `'x' eq displayName`: "BadRequest",
		`startswith(displayName,'a'`: "BadRequest", `startswith('a',displayName)`: "BadRequest", `startswith(displayName,null)`: "BadRequest",
		`names/any(c:d eq 'x')`: "BadRequest", `names/any()`: "BadRequest", `displayName eq 0x1`: "BadRequest", "a eq '\xff'": "BadRequest",
		strings.Repeat("(", 40) + `a eq 'b'` + strings.Repeat(")", 40): "BadRequest",
		`a eq '` + strings.Repeat("x", maxFilter) + `'`:                "BadRequest",
		`displayName in ()`: "BadRequest", `displayName in ('x'`: "BadRequest", `displayName in 'x'`: "BadRequest", `not`: "BadRequest", `not 'x'`: "BadRequest",
		`createdDateTime ge 2026-13-01`: "BadRequest", `createdDateTime ge 0000-01-01`: "BadRequest", `createdDateTime ge 2026-03-01T12:00:00`: "BadRequest",
		`contains(displayName,'x')`: "Request_UnsupportedQuery", `tolower(displayName) eq 'x'`: "Request_UnsupportedQuery", `displayName has 'x'`: "Request_UnsupportedQuery",
		strings.Repeat("not ", 40) + `a eq 'b'`: "BadRequest", `a eq 'b'` + strings.Repeat(` or a eq 'b'`, maxTerms): "Request_UnsupportedQuery",
		`a in ('b'` + strings.Repeat(`,'b'`, maxIn) + `)`: "Request_UnsupportedQuery",
		`names/all(c:c eq 'x')`:                           "Request_UnsupportedQuery", `names/any(c:c/id eq 'x')`: "Request_UnsupportedQuery", `names/any(c:c ne 'x')`: "Request_UnsupportedQuery",
		`members/$count eq 0`: "Request_UnsupportedQuery",
	} {
		f, err := parseFilter(in)
		if err == nil {
			t.Errorf("%s: read as %s", in, f)
		} else if fault.As(err).Code != code {
			t.Errorf("%s: %v, want %s", in, err, code)
		}
	}
}

// FuzzParseFilter holds that what is printed reads back as the same filter, and that reading is deterministic.
func FuzzParseFilter(f *testing.F) {
	for _, s := range []string{
		`displayName eq 'O''Brien' and mailNickname eq 'x'`, `servicePrincipalNames/any(c:c eq 'api://x')`, `startswith(displayName,'a') or (mail eq null)`,
		`(((a eq true)))`, `not not (a ne 'b' and endswith(c,'d'))`, `a in ('b','c') or d ge 2026-03-01T12:00:00Z`, `a eq 'b' and (c eq 'd' or e eq 'f') and startswith(g,'')`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) { filterReadsBack(t, s) })
}

func filterReadsBack(t failer, s string) {
	got, err := parseFilter(s)
	if err != nil {
		if k := fault.As(err).Kind; k != fault.Invalid {
			t.Fatalf("%q: %v is of kind %v", s, err, k)
		}
		return
	}
	printed := got.String()
	if len(printed) > maxFilter {
		return
	}
	again, err := parseFilter(printed)
	if err != nil || !reflect.DeepEqual(got, again) {
		t.Fatalf("%q printed as %q reads as %v, %v", s, printed, again, err)
	}
}

func FuzzSplitPath(f *testing.F) {
	for _, s := range []string{"/v1.0/users/a%40b", "/beta/groups('x')/members/$ref", "/v1.0/users('$a''b')", "/v1.0/servicePrincipals(appId='x')", "//", "/v1.0/a()/%2f", "/v1.0/users('')", "/v1.0/microsoft.graph."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		version, segments, err := splitPath(s)
		if err != nil {
			return
		}
		if version != "v1.0" && version != "beta" || slices.Contains(segments, "") {
			t.Fatalf("%q: %q %q", s, version, segments)
		}
		// A link made of the segments leads to the same segments, unless a key reads as a call once more.
		link := "/" + version + joinPath(segments)
		if strings.ContainsAny(strings.Join(segments, ""), "()") {
			return
		}
		_, again, err := splitPath(link)
		for i := range segments {
			segments[i] = withoutNamespace(segments[i])
		}
		if diff := cmp.Diff(segments, again); err != nil || diff != "" {
			t.Fatalf("%q leads to %q: %v %s", s, link, err, diff)
		}
	})
}

func FuzzCursor(f *testing.F) {
	f.Add("Mjo", "a", "b")
	f.Fuzz(func(t *testing.T, token, a, b string) {
		if got, err := parseCursor(cursor(a, b)); err != nil || !slices.Equal(got, []string{a, b}) {
			t.Fatalf("%q %q: %q, %v", a, b, got, err)
		}
		if parts, err := parseCursor(token); err == nil && cursor(parts...) != token {
			t.Fatalf("%q reads as %q, which is written %q", token, parts, cursor(parts...))
		}
	})
}

func FuzzParseBody(f *testing.F) {
	f.Add([]byte(newUser))
	f.Add([]byte(`{"displayName":null,"accountEnabled":true,"businessPhones":["1"],"passwordProfile":null}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		b, err := parseBody(raw)
		if err != nil {
			return
		}
		var u, again directory.User
		c, err1 := readUser(b.clone(), &u)
		d, err2 := readUser(b.clone(), &again)
		if (err1 == nil) != (err2 == nil) || !reflect.DeepEqual(u, again) || !reflect.DeepEqual(c, d) {
			t.Fatalf("%s reads as %+v and as %+v", raw, u, again)
		}
		if err1 != nil && fault.As(err1).Kind != fault.Invalid {
			t.Fatalf("%s: %v", raw, err1)
		}
	})
}

// TestListProperty compares lists with a filter, page by page, with all objects filtered one by one.
func TestListProperty(t *testing.T) {
	b := newBench(t)
	texts := []string{"a", "A", "ab", "b", "ß", "Σ", "K", "\u212a", "O'Brien", "a+b", "é", "\U0010ffff", "x y", "%"}
	var users []directory.User
	b.write(func(tx *store.Tx) error {
		for i := range 150 {
			u := directory.User{
				ID: ident.Derive[ident.ObjectID]("list", strconv.Itoa(i)), Tenant: b.tenant, UserPrincipalName: "u" + strconv.Itoa(i) + "@contoso.test",
				DisplayName: texts[i%len(texts)] + texts[(i/7)%len(texts)], MailNickname: "u", AccountEnabled: i%3 == 0, UserType: "Member",
			}
			if i%2 == 0 {
				u.GivenName = texts[i%5]
			}
			users = append(users, u)
			if err := tx.PutUser(u); err != nil {
				return err
			}
		}
		return nil
	})
	for _, name := range []string{"admin", "users", "groups", "alice"} {
		users = append(users, b.stored(oid(name).String()))
	}
	slices.SortFunc(users, func(a, b directory.User) int {
		if c := strings.Compare(fold(a.DisplayName), fold(b.DisplayName)); c != 0 {
			return c
		}
		return compareIDs(a.ID, b.ID)
	})
	s := userSchema()
	rapid.Check(t, func(rt *rapid.T) {
		f := genFilter(texts).Draw(rt, "filter")
		top := rapid.SampledFrom([]int{23, 100, 999}).Draw(rt, "top")
		sorted, by := slices.Clone(users), rapid.SampledFrom([]string{"", "displayName", "displayName desc", "userPrincipalName", "userPrincipalName desc"}).Draw(rt, "by")
		if strings.HasPrefix(by, "user") {
			slices.SortFunc(sorted, func(a, b directory.User) int { return strings.Compare(a.UserPrincipalName, b.UserPrincipalName) })
		}
		if strings.HasSuffix(by, "desc") {
			slices.Reverse(sorted)
		}
		var want []string
		for _, u := range sorted {
			if naive(&f, s, u) {
				want = append(want, u.ID.String())
			}
		}
		path := "/v1.0/users?$select=id&$count=true&$top=" + strconv.Itoa(top) + "&$filter=" + url.QueryEscape(f.String())
		if by != "" {
			path += "&$orderby=" + url.QueryEscape(by)
		}
		var got []string
		for path != "" {
			a := b.eventually("alice", path)
			if a.status != 200 {
				rt.Fatalf("%s: %d %s", f, a.status, a.body)
			}
			page := a.values(t, "id")
			if n, _ := a.json(t)["@odata.count"].(float64); int(n) != len(want) || len(page) > top {
				rt.Fatalf("%s: count %v, want %d; page of %d", f, n, len(want), len(page))
			}
			got = append(got, page...)
			next, _ := a.json(t)["@odata.nextLink"].(string)
			path = strings.TrimPrefix(next, base)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			rt.Fatalf("%s: %s", f, diff)
		}
	})
}

func genFilter(texts []string) *rapid.Generator[filter] {
	leaf := rapid.Custom(func(t *rapid.T) filter {
		value := literal{kind: textLiteral, text: rapid.SampledFrom(append(texts, "", "zz", "ü")).Draw(t, "text")}
		switch rapid.IntRange(0, 10).Draw(t, "kind") {
		case 0:
			return filter{op: opEq, name: "accountEnabled", value: literal{kind: boolLiteral, bool: rapid.Bool().Draw(t, "bool")}}
		case 1:
			return filter{op: opEq, name: "givenName", value: literal{kind: nullLiteral}}
		case 2:
			return filter{op: opEq, name: "givenName", value: value}
		case 3:
			value.text += rapid.SampledFrom(texts).Draw(t, "more")
			return filter{op: opEq, name: "displayName", value: value}
		case 4:
			value.text = "U" + strconv.Itoa(rapid.IntRange(0, 160).Draw(t, "n")) + "@contoso.test"
			return filter{op: opEq, name: "userPrincipalName", value: value}
		case 5:
			value.text = ident.Derive[ident.ObjectID]("list", strconv.Itoa(rapid.IntRange(0, 160).Draw(t, "n"))).String()
			return filter{op: opEq, name: "id", value: value}
		case 6:
			return filter{op: opNe, name: "givenName", value: value}
		case 7:
			return filter{op: opEndswith, name: "displayName", value: value}
		case 8:
			value.text = "u" + strconv.Itoa(rapid.IntRange(0, 20).Draw(t, "n"))
			return filter{op: opStartswith, name: "userPrincipalName", value: value}
		}
		return filter{op: opStartswith, name: "displayName", value: value}
	})
	plain := leaf
	leaf = rapid.Custom(func(t *rapid.T) filter {
		f := plain.Draw(t, "leaf")
		if rapid.IntRange(0, 4).Draw(t, "not") == 0 {
			return filter{op: opNot, terms: []filter{f}}
		}
		return f
	})
	return rapid.Custom(func(t *rapid.T) filter {
		join := func(op filterOp, terms []filter) filter {
			if len(terms) == 1 {
				return terms[0]
			}
			return filter{op: op, terms: terms}
		}
		var ors []filter
		for range rapid.IntRange(1, 2).Draw(t, "ors") {
			ors = append(ors, join(opAnd, rapid.SliceOfN(leaf, 1, 3).Draw(t, "ands")))
		}
		return join(opOr, ors)
	})
}

// naive is a second reading of what a filter means.
func naive(f *filter, s schema[directory.User], u directory.User) bool {
	if f.op == opAnd || f.op == opOr {
		n := 0
		for i := range f.terms {
			if naive(&f.terms[i], s, u) {
				n++
			}
		}
		return f.op == opAnd && n == len(f.terms) || f.op == opOr && n > 0
	}
	if f.op == opNot {
		return !naive(&f.terms[0], s, u)
	}
	if f.op == opNe {
		eq := *f
		eq.op = opEq
		return !naive(&eq, s, u)
	}
	text := map[string]string{"displayName": u.DisplayName, "givenName": u.GivenName, "userPrincipalName": u.UserPrincipalName, "id": u.ID.String()}[f.name]
	lower := func(s string) string {
		return strings.ReplaceAll(strings.ToLower(strings.ReplaceAll(s, "\u212a", "\x00")), "\x00", "\u212a")
	}
	switch {
	case f.name == "accountEnabled":
		return u.AccountEnabled == f.value.bool
	case f.value.kind == nullLiteral:
		return text == ""
	case text == "" && f.name == "givenName":
		return false
	case f.op == opStartswith:
		return strings.HasPrefix(lower(text), lower(f.value.text))
	case f.op == opEndswith:
		return strings.HasSuffix(lower(text), lower(f.value.text))
	}
	return lower(text) == lower(f.value.text)
}
