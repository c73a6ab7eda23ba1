package output

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const people = `[{"id":"1","name":"Ann","n":1795622823,"on":true,"tags":{"a":"b"},"list":[1,2],"none":null},{"id":"2","name":"Bö & Co","n":1.5,"on":false}]`

func TestPrint(t *testing.T) {
	for name, tc := range map[string]struct{ format, query, table, in, want string }{
		"json":                     {"json", "", "", `{"b":"<&> ","a":1795622823,"e":[],"o":{}}`, "{\n  \"a\": 1795622823,\n  \"b\": \"<&> \",\n  \"e\": [],\n  \"o\": {}\n}\n"},
		"nothing":                  {"json", "", "", `null`, ""},
		"query finds nothing":      {"json", "x", "", people, ""},
		"none":                     {"none", "", "", people, ""},
		"tsv sorts names":          {"tsv", "", "", people, "1\t2\t1795622823\tAnn\tNone\tTrue\t\n2\t1.5\tBö & Co\tFalse\n"},
		"tsv in the query's order": {"tsv", "[].{z:name, a:id}", "", people, "Ann\t1\nBö & Co\t2\n"},
		"tsv of one value":         {"tsv", "[0].name", "", people, "Ann\n"},
		"tsv of a boolean":         {"tsv", "", "", `true`, "true\n"},
		"tsv of lists":             {"tsv", "[].[name, on]", "", people, "Ann\tTrue\nBö & Co\tFalse\n"},
		"table of plain ones": {"table", "", "", people, strings.Join([]string{
			"N           Name     On", "----------  -------  -----", "1795622823  Ann      True", "1.5         Bö & Co  False", "",
		}, "\n")},
		"table in the query's order": {"table", "[].{z:name, id:id}", "", people, "Z        Id\n-------  ----\nAnn      1\nBö & Co  2\n"},
		"table of the command":       {"table", "", "[].{Who:name}", people, "Who\n-------\nAnn\nBö & Co\n"},
		"table of lists":             {"table", "[].[name, n]", "", people, "Column1    Column2\n---------  ----------\nAnn        1795622823\nBö & Co    1.5\n"},
		"yaml":                       {"yaml", "[0].tags", "", people, "a: b\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var v any
			if err := json.Unmarshal([]byte(tc.in), &v); err != nil {
				t.Fatal(err)
			}
			var b strings.Builder
			if err := (Printer{Format: tc.format, Query: tc.query, Table: tc.table}).Print(&b, v); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, b.String()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestCheck(t *testing.T) {
	if err := (&Printer{Format: "xml"}).Check(); err == nil {
		t.Error("no such format, and no error")
	}
	if err := (&Printer{Format: "json", Query: "[("}).Check(); err == nil {
		t.Error("no expression, and no error")
	}
}
