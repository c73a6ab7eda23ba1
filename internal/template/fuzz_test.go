package template

import (
	"encoding/json"
	"strings"
	"testing"
)

// FuzzExpression: what is printed reads back as what was printed, and evaluating it stays within the budget.
func FuzzExpression(f *testing.F) {
	for _, s := range []string{
		"concat('a''b', variables('x')[0].?y)", "my.f(1, -2)", "if(equals(1,1),'a',null())", "resourceId('A/b','c')",
		"padLeft('', 999999999)", "range(0, 10000)", "x(", "[", "concat(concat(concat('a')))", "reference('x').y['z']", "format('{0:D9}', 1)",
		"replace(string(range(0,10000)),',',string(range(0,10000)))", "split(string(range(0,10000)), ',')",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		x, err := parseExpression(s)
		if err != nil {
			return
		}
		var b strings.Builder
		x.show(&b)
		y, err := parseExpression(b.String())
		if err != nil {
			t.Fatalf("%q is printed as %q, which is none: %v", s, b.String(), err)
		}
		var again strings.Builder
		y.show(&again)
		if again.String() != b.String() {
			t.Fatalf("%q reads back as %q", b.String(), again.String())
		}
		e := newExpansion(t, bare+`,"variables":{"x":["a",{"y":1}]}}`)
		out, err := scope{expansion: e}.eval(x)
		if e.cost.steps > maxSteps+1 || err == nil && len(Write(out)) > 8*maxGrowth {
			t.Fatalf("%q costs %d steps and %d bytes", s, e.cost.steps, e.cost.bytes)
		}
	})
}

// FuzzRead: whatever the standard library reads, Read reads as the same value; what Read reads can be written and read again.
func FuzzRead(f *testing.F) {
	for _, s := range []string{
		`{"a":[1,2.5e3,null,true,"x\u00e9\n"]}`, "{a: 'b', // c\n /* d */ \"e\": [1,],}", "\"multi\r\nline\"", `{"properties": {"mode": "Incremental", template:{}}}`,
		`"\ud83d\ude00"`, `[[[[]]]]`, `{"A":1,"a":2}`, `-0`, `01`, `1e999`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := Read(b)
		var std any
		if stdErr := json.Unmarshal(b, &std); stdErr == nil && err != nil && !tolerated(b) {
			t.Fatalf("%q is JSON and not read: %v", b, err)
		}
		if err != nil {
			return
		}
		again, err := Read([]byte(Write(v)))
		if err != nil || Write(again) != Write(v) {
			t.Fatalf("%q reads back as %q: %v", Write(v), Write(again), err)
		}
		if !json.Valid([]byte(Write(v))) {
			t.Fatalf("%q is written as no JSON: %q", b, Write(v))
		}
	})
}

// tolerated are texts that the standard library takes and Read refuses on purpose: deep ones, halves of surrogates, NUL,
// and bytes that are not UTF-8.
func tolerated(b []byte) bool {
	s := string(b)
	low := strings.ToLower(s)
	return strings.ToValidUTF8(s, "") != s || strings.Contains(low, `\ud`) || strings.Contains(low, `\u0000`) || strings.Count(s, "[")+strings.Count(s, "{") > maxDepth
}

// FuzzExpand: any template is expanded within the budget, or refused; a plan is in an order and has no doubles.
func FuzzExpand(f *testing.F) {
	f.Add(bare + `}`)
	f.Add(strings.Replace(bare, `[]`, `[{"type":"A/b","apiVersion":"1","name":"[format('n{0}', copyIndex())]","copy":{"name":"l","count":3,"mode":"serial"}}]`, 1) + `}`)
	f.Add(strings.Replace(bare, `[]`, `{"x":{"type":"A/b","apiVersion":"1","name":"n","dependsOn":["y"]},"y":{"type":"A/b","apiVersion":"1","name":"m","properties":{"p":"[reference('x').q]"}}}`, 1) + `,"languageVersion":"2.0"}`)
	f.Add(bare + `,"variables":{"a":["x","x"],"b":["[variables('a')]","[variables('a')]"],"c":["[variables('b')]","[variables('b')]"]},"outputs":{"o":{"type":"array","value":"[variables('c')]"}}}`)
	f.Fuzz(func(t *testing.T, s string) {
		v, err := Read([]byte(s))
		if err != nil {
			return
		}
		tpl, err := Parse(v)
		if err != nil {
			return
		}
		p, err := tpl.Expand(testInputs())
		if err != nil {
			return
		}
		seen := map[string]bool{}
		for _, r := range p.Resources {
			for _, d := range r.DependsOn {
				if !seen[strings.ToLower(d.ID)] {
					t.Fatalf("%s comes before %s", r.ID, d.ID)
				}
			}
			if key := strings.ToLower(r.ID); seen[key] {
				t.Fatalf("%s is there twice", r.ID)
			} else {
				seen[key] = true
			}
		}
	})
}
