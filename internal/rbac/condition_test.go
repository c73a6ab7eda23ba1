package rbac

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/keyreeve/keyreeve/internal/fault"
)

const (
	groupAttr = "@Request[Microsoft.ContainerService/managedClusters/customResources:group]"
	kindAttr  = "@Request[Microsoft.ContainerService/managedClusters/customResources:kind]"
	// published is the example of the public documentation.
	publishedCondition = `((!(ActionMatches{'Microsoft.ContainerService/managedClusters/customresources/read'}))
 OR (` + groupAttr + ` StringEqualsIgnoreCase 'example.com' AND ` + kindAttr + ` ForAnyOfAnyValues:StringEquals {'widgets', 'gadgets'}))`
)

// kubeQuery makes a query of a request in short.
func kubeQuery(t testing.TB, text string) *query {
	t.Helper()
	q, ok := kubeQueryOf(new(queryBuffers), &ClusterAsk{Request: kubeAsk(text)}, &ClusterRules{Place: NewPlace(testCluster)})
	if !ok {
		t.Fatalf("%s: no action", text)
	}
	return &q
}

const subresourceAttr = "@Request[Microsoft.ContainerService/managedClusters/resources:subresource]"

func TestCondition(t *testing.T) {
	for _, c := range []struct {
		condition, ask string
		want           bool
	}{
		{publishedCondition, "get example.com:widgets", true},
		{publishedCondition, "get EXAMPLE.com:widgets", false}, // no such API group: no action at all
		{publishedCondition, "get example.com:others", false},
		{publishedCondition, "get other.com:widgets", false},
		{publishedCondition, "create other.com:widgets", true}, // not targeted
		{publishedCondition, "get pods", true},
		{publishedCondition, "get *", false}, // asks for custom resources too
		{publishedCondition, "* pods", false},
		{groupAttr + " StringEquals 'example.com'", "get example.com:widgets", true},
		{groupAttr + " StringEquals 'Example.com'", "get example.com:widgets", false},
		{groupAttr + " StringEquals 'x'", "get pods", false},
		{groupAttr + " StringNotEquals 'x'", "get pods", false}, // not there is not "another"
		{"NOT " + groupAttr + " StringEquals 'x'", "get pods", false},
		{"Exists " + groupAttr, "get pods", false},
		{"NOT Exists " + groupAttr, "get pods", true},
		{"notexists " + groupAttr, "get example.com:widgets", false},
		{groupAttr + " StringLike '*.com'", "get example.com:widgets", true},
		{groupAttr + " StringLike 'e?ample.*'", "get example.com:widgets", true},
		{groupAttr + ` StringLike 'e\?ample.*'`, "get example.com:widgets", false},
		{groupAttr + " StringNotLike '*.org'", "get example.com:widgets", true},
		{groupAttr + " StringStartsWithIgnoreCase 'EXAMPLE'", "get example.com:widgets", true},
		{groupAttr + " StringNotStartsWith 'exa'", "get example.com:widgets", false},
		{kindAttr + " ForAnyOfAllValues:StringNotEquals {'widgets', 'x'}", "get example.com:widgets", false},
		{kindAttr + " ForAnyOfAnyValues:StringNotEquals {'widgets', 'x'}", "get example.com:widgets", true},
		{kindAttr + " ForAllOfAllValues:StringEquals {'widgets'}", "get example.com:widgets", true},
		{"ActionMatches{'*/pods/read'} && !ActionMatches{'*/secrets/*'} && (" + groupAttr + " StringEquals 'x' || SubOperationMatches{'x'} || ActionMatches{'*'})", "get pods", true},
		{"SubOperationMatches{'x'}", "get pods", false},
		{"@Resource[Microsoft.ContainerService/managedClusters/resources:subresource] StringEquals 'log'", "get pods/log", true},
		{"@Request[microsoft.containerservice/MANAGEDCLUSTERS/resources:Name] StringEquals 'web'", "get pods web", true},
		// A subresource is restricted with its parent.
		{"!(ActionMatches{'*/pods/read'}) OR " + groupAttr + " StringEquals 'x'", "get pods/log", false},
		{"!(ActionMatches{'*/nodes/read'}) OR " + groupAttr + " StringEquals 'x'", "get nodes/proxy", false},
		{"!(ActionMatches{'*/nodes/read'}) OR " + subresourceAttr + " StringEquals 'proxy'", "get nodes/proxy", true},
		// A condition that names what is allowed allows no subresource that the parent's action does not imply.
		{"ActionMatches{'*/managedClusters/pods/read'}", "get pods/log", true},
		{"ActionMatches{'*/managedClusters/nodes/read'}", "get nodes", true},
		{"ActionMatches{'*/managedClusters/nodes/read'}", "get nodes/proxy", false},
		{"ActionMatches{'*/managedClusters/pods/write'}", "update pods/ephemeralcontainers", false},
		{"ActionMatches{'*/customresources/read'}", "get example.com:widgets", true},
	} {
		parsed, err := ParseCondition(c.condition)
		if err != nil {
			t.Errorf("%s: %v", c.condition, err)
			continue
		}
		if strings.Contains(c.ask, "EXAMPLE") {
			if _, ok := ActionsOf(kubeAsk(c.ask)); ok {
				t.Error("upper case API group maps")
			}
			continue
		}
		if got := parsed.holds(kubeQuery(t, c.ask)); got != c.want {
			t.Errorf("%s\n%s: got %v", c.condition, c.ask, got)
		}
	}
}

func TestConditionRefused(t *testing.T) {
	for _, text := range []string{
		"", " ", "(", ")", "()", "true", "ActionMatches", "ActionMatches{}", "ActionMatches{'x'", "ActionMatches{'x'} y", "ActionMatches{''}",
		"ActionMatches{'x'} AND", "AND ActionMatches{'x'}", "ActionMatches{'a'} ActionMatches{'b'}",
		"ActionMatches{'a'} AND ActionMatches{'b'} OR ActionMatches{'c'}",
		groupAttr, groupAttr + " StringEquals", groupAttr + " StringEquals {'a','b'}", groupAttr + " StringEquals {}", groupAttr + " StringEquals x",
		groupAttr + " StringIs 'x'", groupAttr + " NumericEquals 1", groupAttr + " ForSome:StringEquals {'a'}", groupAttr + " StringEquals {'a',}",
		groupAttr + " StringEquals 'a", groupAttr + " Stringequalsnot 'a'", "@Principal[x] StringEquals 'a'", "@Request[x:y] StringEquals 'a'", "@Request[x StringEquals 'a'",
		"@Request[Microsoft.Storage/storageAccounts/blobServices/containers:name] StringEquals 'x'",
		strings.Repeat("(", 1000) + "ActionMatches{'x'}" + strings.Repeat(")", 1000), strings.Repeat("!", 5000) + "ActionMatches{'x'}",
		"ActionMatches{'" + strings.Repeat("x", 9000) + "'}",
	} {
		if _, err := ParseCondition(text); !fault.Is(err, fault.Invalid) || fault.As(err).Code != "InvalidCondition" || fault.As(err).Target != "properties.condition" {
			t.Errorf("%.60q: %v", text, err)
		}
	}
}

// slowCond is a condition as a tree of the tests' own, with its own evaluation: text is how it may be written.
type slowCond struct {
	text string
	eval func(own []string, attrs map[string]string) *bool
}

func genCond(depth int) *rapid.Generator[slowCond] {
	return rapid.Custom(func(t *rapid.T) slowCond {
		sp := func() string { return rapid.SampledFrom([]string{"", " ", "\n\t "}).Draw(t, "space") }
		pick := func(from ...string) string { return rapid.SampledFrom(from).Draw(t, "pick") }
		kind := rapid.IntRange(0, 7).Draw(t, "kind")
		if depth == 0 {
			kind = 4 + kind%4
		}
		switch kind {
		case 0, 1, 2:
			and := rapid.Bool().Draw(t, "and")
			word := pick("||", " OR ", " or ")
			if and {
				word = pick("&&", " AND ", " And ")
			}
			kids := rapid.SliceOfN(genCond(depth-1), 2, 3).Draw(t, "kids")
			var texts []string
			for _, k := range kids {
				texts = append(texts, "("+sp()+k.text+")")
			}
			return slowCond{strings.Join(texts, sp()+word+sp()), func(own []string, a map[string]string) *bool {
				unknown := false
				for _, k := range kids {
					v := k.eval(own, a)
					if v == nil {
						unknown = true
					} else if *v != and {
						return new(!and)
					}
				}
				if unknown {
					return nil
				}
				return new(and)
			}}
		case 3:
			k := genCond(depth-1).Draw(t, "kid")
			return slowCond{pick("!", "NOT ", "not") + sp() + "(" + k.text + ")", func(own []string, a map[string]string) *bool {
				if v := k.eval(own, a); v != nil {
					return new(!*v)
				}
				return nil
			}}
		case 4:
			p := pick("*", "*/read", "*/pods/read", "*/pods/write", "*/nodes/read", "*/customresources/*", "Microsoft.ContainerService/managedClusters/example.com/widgets/WRITE")
			return slowCond{pick("ActionMatches", "actionmatches") + sp() + "{" + sp() + "'" + p + "'" + sp() + "}", func(own []string, a map[string]string) *bool {
				if !slices.ContainsFunc(own, func(s string) bool { return slowMatch(p, s) }) && a["parent"] != "" && slowMatch(p, a["parent"]) {
					return nil // of the resource, not of the subresource that is asked for
				}
				return new(slices.ContainsFunc(own, func(s string) bool { return slowMatch(p, s) }))
			}}
		case 5:
			name := pick("group", "kind")
			return slowCond{"exists " + attrText(name), func(_ []string, a map[string]string) *bool { return new(a[name] != "") }}
		}
		name, not, fold := pick("group", "kind"), pick("", "Not"), pick("", "IgnoreCase")
		op, quantifier := pick("Equals", "StartsWith", "Like"), pick("ForAnyOfAnyValues", "ForAnyOfAllValues", "forallofanyvalues", "ForAllOfAllValues")
		values := rapid.SliceOfN(rapid.SampledFrom([]string{"example.com", "Example", "widgets", "*.com", "w?dgets", "*", ""}), 1, 3).Draw(t, "values")
		return slowCond{
			attrText(name) + sp() + " " + quantifier + sp() + ":" + sp() + "String" + not + op + fold + sp() + "{'" + strings.Join(values, "'"+sp()+","+sp()+"'") + "'}",
			func(_ []string, a map[string]string) *bool {
				v := a[name]
				if v == "" {
					return nil
				}
				n := 0
				for _, w := range values {
					re := regexp.QuoteMeta(w)
					if op == "Like" {
						re = strings.NewReplacer(`\*`, ".*", `\?`, ".").Replace(re)
					}
					re = `\A` + re
					if op != "StartsWith" {
						re += `\z`
					}
					if fold != "" {
						re = "(?i)" + re
					}
					if regexp.MustCompile(re).MatchString(v) == (not == "") {
						n++
					}
				}
				if strings.HasSuffix(strings.ToLower(quantifier), "ofallvalues") {
					return new(n == len(values))
				}
				return new(n > 0)
			},
		}
	})
}

func attrText(name string) string {
	return "@Request[Microsoft.ContainerService/managedClusters/customResources:" + name + "]"
}

func TestConditionAgainstSlow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := genCond(3).Draw(t, "condition")
		ask := rapid.SampledFrom([]string{"get pods", "get pods/log", "get pods/proxy", "update pods/ephemeralcontainers", "get nodes/proxy", "update example.com:widgets", "get example.com:gadgets", "list secrets", "get other.org:widgets"}).Draw(t, "ask")
		parsed, err := ParseCondition(c.text)
		if err != nil {
			if len(c.text) > maxCondition {
				t.Skip()
			}
			t.Fatalf("%s: %v", c.text, err)
		}
		req := kubeAsk(ask)
		names, _ := ActionsOf(req)
		attrs := map[string]string{}
		if names.Parent != "" && !names.Implied {
			attrs["parent"], names.Parent = names.Parent, ""
		}
		own := slices.DeleteFunc([]string{names.Own, names.Parent, names.Custom}, func(s string) bool { return s == "" })
		if names.Custom != "" {
			attrs["group"], attrs["kind"] = req.APIGroup, req.Resource
		}
		v := c.eval(own, attrs)
		q, _ := kubeQueryOf(new(queryBuffers), &ClusterAsk{Request: req}, &ClusterRules{Place: NewPlace(testCluster)})
		if got, want := parsed.holds(&q), v != nil && *v; got != want {
			t.Fatalf("%s\n%s: got %v, the slow way says %v", c.text, ask, got, want)
		}
	})
}

// FuzzParseCondition holds that reading never panics, that what is read does not depend on space around it, and that
// nothing with a parenthesis or quote too many is read.
func FuzzParseCondition(f *testing.F) {
	f.Add(publishedCondition)
	f.Add("!(ActionMatches{'a'}) && NotExists " + kindAttr)
	f.Add(groupAttr + ` StringLike 'a\'b*'`)
	f.Fuzz(func(t *testing.T, text string) {
		c, err := ParseCondition(text)
		if err != nil {
			if !fault.Is(err, fault.Invalid) {
				t.Fatal(err)
			}
			return
		}
		again, err := ParseCondition("( " + strings.TrimSpace(text) + "\n)")
		if len(text)+4 > maxCondition || strings.Count(text, "(")+strings.Count(text, "!") > maxCondDepth-2 || strings.Count(strings.ToLower(text), "not") > 8 {
			return
		}
		if err != nil {
			t.Fatalf("%q in parentheses: %v", text, err)
		}
		for _, bad := range []string{text + ")", "(" + text, text + "'", text + " AND", text + " " + text} {
			if _, err := ParseCondition(bad); err == nil {
				t.Fatalf("%q is read", bad)
			}
		}
		for _, ask := range []string{"get pods", "get pods/log", "get example.com:widgets", "* *:*"} {
			q := kubeQuery(t, ask)
			if c.holds(q) != again.holds(q) {
				t.Fatalf("%q and the same in parentheses differ for %s", text, ask)
			}
		}
	})
}
