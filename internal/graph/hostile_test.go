package graph

import (
	"net/url"
	"strings"
	"testing"
)

// TestHostileQueries sends queries that are as large as they may be, and some that are larger: each is answered or refused, none is
// the server's fault.
func TestHostileQueries(t *testing.T) {
	b := newBench(t)
	terms := func(n int, term, joint string) string {
		return strings.TrimSuffix(strings.Repeat(term+joint, n), joint)
	}
	for name, row := range map[string]struct {
		option, text string
		status       int
	}{
		"many words":          {"$search", `"displayName:` + strings.Repeat("a ", 1015) + `"`, 200},
		"many words too many": {"$search", `"displayName:` + strings.Repeat("a ", 1100) + `"`, 400},
		"many marks":          {"$search", `"displayName:%!_` + strings.Repeat("\u0301", 900) + `"`, 200},
		"wild cards":          {"$search", `"displayName:` + strings.Repeat("%_!'", 400) + `a"`, 200},
		"many clauses":        {"$filter", terms(255, "displayName eq 'a'", " or "), 200},
		"too many clauses":    {"$filter", terms(257, "displayName eq 'a'", " or "), 400},
		"deep":                {"$filter", strings.Repeat("(", 32) + "displayName eq 'a'" + strings.Repeat(")", 32), 200},
		"too deep":            {"$filter", strings.Repeat("(", 4000) + "displayName eq 'a'" + strings.Repeat(")", 4000), 400},
		"many nots":           {"$filter", strings.Repeat("not ", 2000) + "displayName eq 'a'", 400},
		"a long text":         {"$filter", "displayName eq '" + strings.Repeat("x", 8000) + "'", 200},
		"a last letter":       {"$filter", "startswith(displayName,'" + strings.Repeat("\U0010ffff", 500) + "')", 200},
		"a NUL":               {"$filter", "displayName eq '\x00'", 200},
		"quotes":              {"$filter", "displayName eq '''; DROP TABLE users; --'", 200},
		"no text":             {"$filter", "displayName eq '\xff'", 400},
		"one property often":  {"$select", strings.Repeat("id,", 10_000) + "displayName", 200},
		"an expansion":        {"$expand", "memberOf($select=" + strings.Repeat("id,", 2000) + "id)", 200},
		"expansions":          {"$expand", terms(20, "memberOf", ","), 400},
		"nested expansion":    {"$expand", "memberOf($expand=members($expand=memberOf))", 400},
	} {
		for _, set := range []string{"users", "groups", "servicePrincipals", "applications"} {
			if set == "applications" && row.option == "$expand" {
				continue
			}
			a := b.send("alice", "GET", "/v1.0/"+set+"?$count=true&"+row.option+"="+url.QueryEscape(row.text), "", map[string]string{"ConsistencyLevel": "eventual"})
			if strings.Contains(a.body, "(id,id") {
				t.Errorf("%s, %s: a property counts twice: %.100s", set, name, a.body)
			}
			if a.status != row.status || len(a.body) > 64<<10 {
				t.Errorf("%s, %s: %d %.300s, want %d", set, name, a.status, a.body, row.status)
			}
		}
	}
}
