package template

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func expand(t *testing.T, text string, parameters *Object) (*Plan, error) {
	t.Helper()
	v, err := Read([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	tpl, err := Parse(v)
	if err != nil {
		return nil, err
	}
	in := testInputs()
	in.Parameters = parameters
	return tpl.Expand(in)
}

func template(members ...string) string {
	return `{"$schema":"https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#","contentVersion":"1.0.0.0",` + strings.Join(members, ",") + `}`
}

func describe(p *Plan) string {
	var b strings.Builder
	for _, r := range p.Resources {
		fmt.Fprintf(&b, "%s", strings.TrimPrefix(r.ID, "/subscriptions/22222222-0000-4000-8000-000000000001"))
		for _, d := range r.DependsOn {
			b.WriteString(" <" + d.Name)
		}
		b.WriteString(" " + Write(r.Body) + "\n")
	}
	return b.String()
}

func TestExpand(t *testing.T) {
	const rg = "/resourceGroups/rg/providers/"
	for _, c := range []struct {
		name, template string
		parameters     *Object
		want           string // or ! and part of the error
	}{
		{"empty", template(`"resources":[]`), nil, ""},
		{
			"order by dependsOn, in its three spellings", template(`"resources":[
				{"type":"A/c","apiVersion":"1","name":"three","dependsOn":["[resourceId('A/b', 'two')]", "one"]},
				{"type":"A/b","apiVersion":"1","name":"two","dependsOn":["A/b/one"]},
				{"type":"A/b","apiVersion":"1","name":"one","location":"[resourceGroup().location]"}]`), nil,
			rg + "A/b/one {\"location\":\"westus2\"}\n" + rg + "A/b/two <one {}\n" + rg + "A/c/three <two <one {}\n",
		},
		{
			"order by reference", template(`"resources":[
				{"type":"A/b","apiVersion":"1","name":"two","properties":{"p":"[reference('one').x]","q":"[reference(resourceId('A/b', 'zero'), '1', 'Full').y]","r":"known"}},
				{"type":"A/b","apiVersion":"1","name":"one"}, {"type":"A/b","apiVersion":"1","name":"zero"}]`), nil,
			rg + "A/b/one {}\n" + rg + "A/b/zero {}\n" + rg + `A/b/two <one <zero {"properties":{"p":"[reference('one').x]","q":"[reference(resourceId('A/b', 'zero'), '1', 'Full').y]","r":"known"}}` + "\n",
		},
		{
			"copy of a resource, parallel, depended on by its name", template(`"resources":[
				{"type":"A/b","apiVersion":"1","name":"[concat('n', copyIndex(1))]","copy":{"name":"loop","count":2},"tags":{"i":"[string(copyIndex())]"}},
				{"type":"A/b","apiVersion":"1","name":"last","dependsOn":["loop"]}]`), nil,
			rg + `A/b/n1 {"tags":{"i":"0"}}` + "\n" + rg + `A/b/n2 {"tags":{"i":"1"}}` + "\n" + rg + "A/b/last <n1 <n2 {}\n",
		},
		{
			"serial copy", template(`"resources":[{"type":"A/b","apiVersion":"1","name":"[concat('n', copyIndex())]","copy":{"name":"loop","count":3,"mode":"serial","batchSize":2}}]`), nil,
			rg + "A/b/n0 {}\n" + rg + "A/b/n1 {}\n" + rg + "A/b/n2 <n0 <n1 {}\n",
		},
		{
			"copy of properties and variables", template(`"variables":{"copy":[{"name":"v","count":2,"input":"[copyIndex('v', 5)]"}]}`, `"resources":[
				{"type":"A/b","apiVersion":"1","name":"n","properties":{"v":"[variables('v')]","copy":[{"name":"pools","count":2,"input":{"name":"[format('p{0}', copyIndex('pools'))]"}}]}}]`), nil,
			rg + `A/b/n {"properties":{"v":[5,6],"pools":[{"name":"p0"},{"name":"p1"}]}}` + "\n",
		},
		{
			"conditions", template(`"parameters":{"on":{"type":"bool","defaultValue":false}}`, `"resources":[
				{"type":"A/b","apiVersion":"1","name":"off","condition":"[parameters('on')]"},
				{"type":"A/b","apiVersion":"1","name":"x","dependsOn":["off"]}]`), nil,
			rg + "A/b/x {}\n",
		},
		{
			"symbols, existing resources, and what Bicep writes", template(`"languageVersion":"2.0"`, `"resources":{
				"role":{"type":"Microsoft.Authorization/roleAssignments","apiVersion":"2022-04-01","scope":"[format('A/b/{0}', 'n')]","name":"g","properties":{"principalId":"[reference('id').principalId]"},"dependsOn":["id"]},
				"id":{"type":"A/id","apiVersion":"1","name":"i"},
				"old":{"existing":true,"type":"A/b","apiVersion":"1","name":"n"}}`), nil,
			rg + "A/id/i {}\n" + rg + `A/b/n/providers/Microsoft.Authorization/roleAssignments/g <i {"properties":{"principalId":"[reference('id').principalId]"}}` + "\n",
		},
		{
			"a resource in a resource", template(`"resources":[{"type":"A/b","apiVersion":"1","name":"n","resources":[{"type":"c","apiVersion":"1","name":"m"}]}]`), nil,
			rg + "A/b/n {}\n" + rg + "A/b/n/c/m <n {}\n",
		},
		{
			"an extension in the old spelling", template(`"resources":[{"type":"A/b/providers/roleAssignments","apiVersion":"1","name":"n/Microsoft.Authorization/g"}]`), nil,
			rg + "A/b/n/providers/Microsoft.Authorization/roleAssignments/g {}\n",
		},
		{
			"a nested deployment keeps its template", template(`"resources":[{"type":"Microsoft.Resources/deployments","apiVersion":"1","name":"d","resourceGroup":"other","properties":{
				"mode":"Incremental","expressionEvaluationOptions":{"scope":"inner"},"parameters":{"p":{"value":"[add(1,1)]"}},"template":{"x":"[parameters('p')]"}}}]`), nil,
			`/resourceGroups/other/providers/Microsoft.Resources/deployments/d {"properties":{"mode":"Incremental","expressionEvaluationOptions":{"scope":"inner"},"parameters":{"p":{"value":2}},"template":{"x":"[parameters('p')]"}}}` + "\n",
		},
		{"an escaped bracket", template(`"resources":[{"type":"A/b","apiVersion":"1","name":"n","tags":{"a":"[[x]"}}]`), nil, rg + `A/b/n {"tags":{"a":"[x]"}}` + "\n"},
		{
			"a value given is no expression", template(`"parameters":{"p":{"type":"string"}}`, `"resources":[{"type":"A/b","apiVersion":"1","name":"n","tags":{"a":"[parameters('p')]"}}]`),
			NewObject("P", "[nope()]"), rg + `A/b/n {"tags":{"a":"[nope()]"}}` + "\n",
		},

		{"outer expressions in a nested template", template(`"resources":[{"type":"Microsoft.Resources/deployments","apiVersion":"1","name":"d","properties":{"template":{"x":"[add(1,1)]"}}}]`), nil, "!set expressionEvaluationOptions.scope"},
		{"a linked template", template(`"resources":[{"type":"Microsoft.Resources/deployments","apiVersion":"1","name":"d","properties":{"templateLink":{"uri":"x"}}}]`), nil, "!templateLink, is not supported"},
		{"a cycle", template(`"resources":[{"type":"A/b","apiVersion":"1","name":"x","dependsOn":["y"]},{"type":"A/b","apiVersion":"1","name":"y","tags":{"a":"[reference('x').z]"}}]`), nil, "!Circular dependency"},
		{"a variable of itself", template(`"variables":{"a":"[variables('b')]","b":"[variables('a')]"}`, `"resources":[{"type":"A/b","apiVersion":"1","name":"[variables('a')]"}]`), nil, "!defined by itself"},
		{"a function of itself", template(`"functions":[{"namespace":"f","members":{"f":{"parameters":[],"output":{"value":"[f.f()]"}}}}]`, `"resources":[{"type":"A/b","apiVersion":"1","name":"[f.f()]"}]`), nil, "!deeper than"},
		{"twice", template(`"resources":[{"type":"A/b","apiVersion":"1","name":"x"},{"type":"a/B","apiVersion":"1","name":"X"}]`), nil, "!defined multiple times"},
		{"unknown dependency", template(`"resources":[{"type":"A/b","apiVersion":"1","name":"x","dependsOn":["zz"]}]`), nil, "!'zz' is not defined in the template"},
		{"wrong segments", template(`"resources":[{"type":"A/b/c","apiVersion":"1","name":"x"}]`), nil, "!incorrect segment lengths"},
		{"a name that is a path", template(`"resources":[{"type":"A/b","apiVersion":"1","name":".."}]`), nil, "!not valid"},
		{"a name with a query", template(`"resources":[{"type":"A/b","apiVersion":"1","name":"x?y=z"}]`), nil, "!not valid"},
		{"a reference in a name", template(`"resources":[{"type":"A/b","apiVersion":"1","name":"[reference('x').y]"}]`), nil, "!not expected at this location"},
		{"801 copies", template(`"resources":[{"type":"A/b","apiVersion":"1","name":"[string(copyIndex())]","copy":{"name":"l","count":801}}]`), nil, "!between 0 and 800"},
		{"too many resources", template(`"resources":[{"type":"A/b","apiVersion":"1","name":"[concat('a',copyIndex())]","copy":{"name":"l","count":500}},{"type":"A/b","apiVersion":"1","name":"[concat('b',copyIndex())]","copy":{"name":"m","count":500}}]`), nil, "!resources limit exceeded"},
		{"no apiVersion", template(`"resources":[{"type":"A/b","name":"x"}]`), nil, "!no 'apiVersion'"},
		{"an unknown member", template(`"resources":[]`, `"resource":[]`), nil, "!Could not find member 'resource'"},
		{"an output of the wrong type", template(`"resources":[]`, `"outputs":{"o":{"type":"int","value":"x"}}`), nil, "!output 'o' is not valid"},

		{"a parameter that is missing", template(`"parameters":{"p":{"type":"string"}}`, `"resources":[]`), nil, "!'p' is not provided"},
		{"a parameter that is not there", template(`"resources":[]`), NewObject("zz", 1), "!do not correspond to any parameters"},
		{"a parameter of the wrong type", template(`"parameters":{"p":{"type":"string"}}`, `"resources":[]`), NewObject("p", int64(1)), "!Expected 'String'. Actual 'Integer'"},
		{"not an allowed value", template(`"parameters":{"p":{"type":"string","allowedValues":["a","b"]}}`, `"resources":[]`), NewObject("p", "c"), "!not part of the allowed value(s): 'a,b'"},
		{"too long", template(`"parameters":{"p":{"type":"string","maxLength":2}}`, `"resources":[]`), NewObject("p", "abc"), "!less than or equal to '2'"},
		{"too small", template(`"parameters":{"p":{"type":"int","minValue":2}}`, `"resources":[]`), NewObject("p", int64(1)), "!greater than or equal to '2'"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := expand(t, c.template, c.parameters)
			if why, bad := strings.CutPrefix(c.want, "!"); bad {
				if err == nil || !strings.Contains(err.Error(), why) {
					t.Fatalf("error %v, want %q", err, why)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := describe(p); got != c.want {
				t.Fatalf("plan\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

// A template that doubles at each step ends at the budget, soon.
func TestBombs(t *testing.T) {
	var doubling []string
	doubling = append(doubling, `"v0":"xxxxxxxxxxxxxxxx"`)
	for i := range 60 {
		doubling = append(doubling, fmt.Sprintf(`"v%d":"[createArray(variables('v%d'), variables('v%d'))]"`, i+1, i, i))
	}
	texts := strings.ReplaceAll(strings.Join(doubling, ","), "createArray", "concat")
	plain := strings.NewReplacer(`"[createArray(`, `["[`, `), variables(`, `)]","[variables(`, `))]"`, `)]"]`).Replace(strings.Join(doubling, ","))
	for name, vars := range map[string]string{"arrays": strings.Join(doubling, ","), "texts": texts, "values": plain} {
		_, err := expand(t, template(`"variables":{`+vars+`}`, `"resources":[{"type":"A/b","apiVersion":"1","name":"n","tags":"[variables('v60')]"}]`), nil)
		if err == nil || !strings.Contains(err.Error(), errTooMuch.Error()) {
			t.Errorf("%s: %.300v", name, err)
		}
	}
}

type fake map[string]*Object

func (f fake) Reference(id, _ string) (*Object, error) {
	if o := f[id[strings.LastIndex(id, "/")+1:]]; o != nil {
		return o, nil
	}
	return nil, errors.New("gone")
}
func (f fake) List(id, action, _ string, _ any) (any, error) { return id + " " + action, nil }

func TestRunning(t *testing.T) {
	p, err := expand(t, template(`"parameters":{"s":{"type":"secureString","defaultValue":"[newGuid()]"},"at":{"type":"string","defaultValue":"[utcNow('yyyy')]"}}`, `"resources":[
		{"type":"A/b","apiVersion":"1","name":"one"},
		{"type":"A/b","apiVersion":"1","name":"two","properties":{"p":"[concat(reference('one').x, '-', parameters('at'))]","keys":"[listKeys('one', '1')]"}}]`,
		`"outputs":{"o":{"type":"string","value":"[reference('two', '1', 'Full').location]"},"s":{"type":"secureString","value":"[parameters('s')]"},"n":{"type":"array","copy":{"count":2,"input":"[copyIndex()]"}}}`), nil)
	if err != nil {
		t.Fatal(err)
	}
	rt := fake{"one": NewObject("properties", NewObject("x", "X")), "two": NewObject("location", "here")}
	body, err := p.BodyOf(p.Resources[1], rt)
	if err != nil || !strings.Contains(Write(body), `"p":"X-2025"`) || !strings.Contains(Write(body), "A/b/one listKeys") {
		t.Errorf("body %s %v", Write(body), err)
	}
	out, err := p.Outputs(rt)
	if want := `{"o":{"type":"String","value":"here"},"s":{"type":"SecureString"},"n":{"type":"Array","value":[0,1]}}`; err != nil || Write(out) != want {
		t.Errorf("outputs %s %v", Write(out), err)
	}
	if shown := Write(p.ShownParameters()); shown != `{"s":{"type":"SecureString"},"at":{"type":"String","value":"2025"}}` {
		t.Errorf("parameters %s", shown)
	}
	if _, err := p.BodyOf(p.Resources[1], fake{}); err == nil || err.Error() != "gone" {
		t.Errorf("error %v", err)
	}
}
