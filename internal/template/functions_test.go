package template

import (
	"strings"
	"testing"
	"time"
)

func testInputs() Inputs {
	return Inputs{
		Name: "d1", Mode: "Incremental", SubscriptionID: "22222222-0000-4000-8000-000000000001", GroupName: "rg",
		Group:        NewObject("id", "/subscriptions/22222222-0000-4000-8000-000000000001/resourceGroups/rg", "name", "rg", "location", "westus2"),
		Subscription: NewObject("id", "/subscriptions/22222222-0000-4000-8000-000000000001", "subscriptionId", "22222222-0000-4000-8000-000000000001"),
		Tenant:       NewObject("tenantId", "11111111-0000-4000-8000-000000000001"),
		Environment:  NewObject("name", "Keyreeve"),
		Deployer:     NewObject("objectId", "33333333-0000-4000-8000-000000000001"),
		Now:          time.Date(2025, 5, 16, 6, 50, 42, 199160700, time.UTC),
		NewGUID:      func() string { return "aaaaaaaa-0000-4000-8000-000000000001" },
	}
}

func newExpansion(t testing.TB, text string) *expansion {
	t.Helper()
	v, err := Read([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	tpl, err := Parse(v)
	if err != nil {
		t.Fatal(err)
	}
	return &expansion{
		template: tpl, inputs: testInputs(), cost: &budget{}, parsed: map[string]expression{}, functions: functions(), parameters: map[string]any{},
		variables: map[string]any{}, busy: map[string]bool{}, refs: new([]string), plan: &Plan{},
	}
}

const bare = `{"$schema":"https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#","contentVersion":"1.0.0.0","resources":[]`

func TestFunctions(t *testing.T) {
	vars := bare + `,"variables":{"o":{"a":1,"B":{"c":[10,20]}},"list":[3,1,2],"text":"héllo","secret":"x"},
		"functions":[{"namespace":"my","members":{"greet":{"parameters":[{"name":"who","type":"string"}],"output":{"type":"string","value":"[concat('hi ', parameters('who'))]"}}}}]}`
	const sub = "/subscriptions/22222222-0000-4000-8000-000000000001"
	for expr, want := range map[string]string{
		"concat('a', 'b', 1)":                       `"ab1"`,
		"concat(createArray(1), createArray(2))":    `[1,2]`,
		"concat('a', variables('o'))":               "!of type 'Object'",
		"format('{0}-{1:D3}-{{x}}', 'a', 7)":        `"a-007-{x}"`,
		"format('{0:X}', 255)":                      `"FF"`,
		"format('{1}', 'a')":                        "!place",
		"format('{0:N2}', 3)":                       "!not offered",
		"toLower('ABC')":                            `"abc"`,
		"toUpper('abc')":                            `"ABC"`,
		"toUpper(1)":                                "!has to be a string",
		"substring('hello', 1, 3)":                  `"ell"`,
		"substring('hello', 2)":                     `"llo"`,
		"substring('hello', 4, 2)":                  "!within the string",
		"substring('hello', 5, 0)":                  `""`,
		"replace('a-b-c', '-', '')":                 `"abc"`,
		"replace('a', '', 'b')":                     "!empty",
		"split('a,b;c', createArray(',', ';'))":     `["a","b","c"]`,
		"split('a,b', ',')":                         `["a","b"]`,
		"join(createArray('a','b'), '-')":           `"a-b"`,
		"join(variables('list'), ',')":              `"3,1,2"`,
		"length(variables('text'))":                 `5`,
		"length(variables('o'))":                    `2`,
		"length(1)":                                 "!no length",
		"contains('abc', 'b')":                      `true`,
		"contains(variables('o'), 'b')":             `true`,
		"contains(variables('list'), 4)":            `false`,
		"empty('')":                                 `true`,
		"empty(variables('list'))":                  `false`,
		"empty(null())":                             `true`,
		"equals('a', 'A')":                          `false`,
		"equals(createArray(1), createArray(1))":    `true`,
		"equals(variables('o'), variables('o'))":    `true`,
		"not(true())":                               `false`,
		"and(true(), false())":                      `false`,
		"or(false(), true())":                       `true`,
		"or(true(), concat(1))":                     `true`,
		"and(true(), 1)":                            "!of type 'Integer'",
		"if(true(), 'a', div(1, 0))":                `"a"`,
		"if(equals(1, 2), 'a', 'b')":                `"b"`,
		"if('yes', 1, 2)":                           "!its condition",
		"union(createArray(1,2), createArray(2,3))": `[1,2,3]`,
		"union(createObject('a', createObject('x', 1)), json('{\"a\":{\"y\":2}}'))": `{"a":{"x":1,"y":2}}`,
		"intersection(createArray(1,2,3), createArray(3,2))":                        `[2,3]`,
		"intersection(createObject('a',1,'b',2), createObject('b',2,'a',9))":        `{"b":2}`,
		"first('abc')":                        `"a"`,
		"last(variables('list'))":             `2`,
		"first(createArray())":                `null`,
		"skip(variables('list'), 1)":          `[1,2]`,
		"take('abc', 2)":                      `"ab"`,
		"take(variables('list'), 99)":         `[3,1,2]`,
		"skip('abc', -4)":                     `"abc"`,
		"range(5, 3)":                         `[5,6,7]`,
		"range(0, 10001)":                     "!the count",
		"createObject('a', 1, 'b', 'x')":      `{"a":1,"b":"x"}`,
		"createObject('a')":                   "!in turn",
		"array('x')":                          `["x"]`,
		"string(variables('o'))":              `"{\"a\":1,\"B\":{\"c\":[10,20]}}"`,
		"string(true())":                      `"True"`,
		"int('42')":                           `42`,
		"int('4.2')":                          "!no integer",
		"bool('TRUE')":                        `true`,
		"json('{\"a\": [1, null]}').a[0]":     `1`,
		"base64('héllo')":                     `"aMOpbGxv"`,
		"base64ToString('aMOpbGxv')":          `"héllo"`,
		"base64ToString('*')":                 "!no base64",
		"base64ToJson(base64('{\"a\":1}')).a": `1`,
		"uriComponent('a b/c')":               `"a%20b%2Fc"`,
		"uriComponentToString('a%20b')":       `"a b"`,
		"uri('http://a.test/x/', 'y/z')":      `"http://a.test/x/y/z"`,
		"min(3, 1, 2)":                        `1`,
		"max(variables('list'))":              `3`,
		"add(1, 2)":                           `3`,
		"add(9223372036854775807, 1)":         "!out of range",
		"sub(1, 2)":                           `-1`,
		"mul(3, 4)":                           `12`,
		"mul(9223372036854775807, 2)":         "!out of range",
		"div(7, 2)":                           `3`,
		"div(7, 0)":                           "!zero",
		"mod(7, 4)":                           `3`,
		"less(1, 2)":                          `true`,
		"greater('b', 'a')":                   `true`,
		"lessOrEquals(2, 2)":                  `true`,
		"greaterOrEquals(1, 2)":               `false`,
		"coalesce(null(), 'a', 'b')":          `"a"`,
		"indexOf('Hello', 'L')":               `2`,
		"lastIndexOf('hello', 'l')":           `3`,
		"indexOf(variables('list'), 2)":       `2`,
		"startsWith('Hello', 'he')":           `true`,
		"endsWith('Hello', 'LO')":             `true`,
		"trim('  x ')":                        `"x"`,
		"padLeft(12, 5, '0')":                 `"00012"`,
		"padLeft('a', 2000000000)":            "!out of range",
		"items(createObject('b', 1, 'a', 2))": `[{"key":"a","value":2},{"key":"b","value":1}]`,
		"objectKeys(variables('o'))":          `["a","B"]`,
		"flatten(createArray(createArray(1), createArray(2, 3)))":             `[1,2,3]`,
		"shallowMerge(createArray(createObject('a',1), createObject('a',2)))": `{"a":2}`,
		"tryGet(variables('o'), 'B', 'c', 1)":                                 `20`,
		"tryGet(variables('o'), 'zz')":                                        `null`,
		"variables('o').b.c[1]":                                               `20`,
		"variables('o')['a']":                                                 `1`,
		"variables('o').zz":                                                   "!doesn't exist, available properties are 'a, B'",
		"variables('o').?zz":                                                  `null`,
		"variables('o').?zz.?y":                                               `null`,
		"variables('list')[3]":                                                "!out of bounds",
		"variables('list')[?3]":                                               `null`,
		"variables('nope')":                                                   "!'nope' is not found",
		"parameters('nope')":                                                  "!'nope' is not found",
		"my.greet('you')":                                                     `"hi you"`,
		"my.greet()":                                                          "!takes 1 arguments",
		"my.other()":                                                          "!is not valid",
		"nope()":                                                              "!'nope' is not valid",
		"map(variables('list'), 1)":                                           "!lambda expressions are not offered",
		"utcNow()":                                                            "!default value",
		"newGuid()":                                                           "!default value",
		"dateTimeAdd('2025-01-31T00:00:00Z', 'P1DT2H', 'yyyy-MM-dd HH:mm')":             `"2025-02-01 02:00"`,
		"dateTimeAdd('2025-01-31T00:00:00Z', '-PT90M')":                                 `"2025-01-30T22:30:00Z"`,
		"dateTimeToEpoch('1970-01-02T00:00:00Z')":                                       `86400`,
		"dateTimeFromEpoch(86400)":                                                      `"1970-01-02T00:00:00Z"`,
		"resourceId('Microsoft.X/a', 'n')":                                              `"` + sub + `/resourceGroups/rg/providers/Microsoft.X/a/n"`,
		"resourceId('other', 'Microsoft.X/a/b', 'n', 'm')":                              `"` + sub + `/resourceGroups/other/providers/Microsoft.X/a/n/b/m"`,
		"resourceId('99999999-0000-4000-8000-000000000001', 'g', 'Microsoft.X/a', 'n')": `"/subscriptions/99999999-0000-4000-8000-000000000001/resourceGroups/g/providers/Microsoft.X/a/n"`,
		"resourceId('Microsoft.X/a', 'n', 'm')":                                         "!requires '1' resource name",
		"subscriptionResourceId('Microsoft.Authorization/roleDefinitions', 'r')":        `"` + sub + `/providers/Microsoft.Authorization/roleDefinitions/r"`,
		"tenantResourceId('Microsoft.X/a', 'n')":                                        `"/providers/Microsoft.X/a/n"`,
		"extensionResourceId('/subscriptions/s', 'Microsoft.X/a', 'n')":                 `"/subscriptions/s/providers/Microsoft.X/a/n"`,
		"managementGroupResourceId('mg', 'Microsoft.X/a', 'n')":                         `"/providers/Microsoft.Management/managementGroups/mg/providers/Microsoft.X/a/n"`,
		"resourceGroup().location":                                                      `"westus2"`,
		"subscription().subscriptionId":                                                 `"22222222-0000-4000-8000-000000000001"`,
		"tenant().tenantId":                                                             `"11111111-0000-4000-8000-000000000001"`,
		"deployment().name":                                                             `"d1"`,
		"deployment().properties.template.contentVersion":                               `"1.0.0.0"`,
		"environment().name":                                                            `"Keyreeve"`,
		"copyIndex()":                                                                   "!not in a copy loop",
		// guid is held to its documented rule (a version 5 UUID of the texts joined by '-'), uniqueString to a value that the
		// real library gave.
		"guid('a', 'b')": `"2d796349-8c7e-55ec-9624-54ece82ed031"`,
		"uniqueString('/subscriptions/31e9f9a0-9fd2-4294-a0a3-0101246d9700/resourceGroups/rg-modm201-20230913120256/providers/Microsoft.Compute/virtualMachines/bobjacmodm201')": `"yvjxno3je5on2"`,
	} {
		t.Run(expr, func(t *testing.T) {
			got, err := (scope{expansion: newExpansion(t, vars)}).text("[" + expr + "]")
			if why, bad := strings.CutPrefix(want, "!"); bad {
				if err == nil || !strings.Contains(err.Error(), why) {
					t.Fatalf("%s is %v, %v; want an error with %q", expr, Write(got), err, why)
				}
				return
			}
			if err != nil || Write(got) != want {
				t.Fatalf("%s is %s, %v; want %s", expr, Write(got), err, want)
			}
		})
	}
}
