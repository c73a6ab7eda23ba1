package repotest

import (
	"fmt"
	"go/ast"
	"strings"
	"testing"
	"testing/fstest"
)

// A file over 600 lines or a function over 80 is a question in review; over these it is a failure.
const (
	maxFile     = 900
	maxFunction = 120
)

// oversized lists what may be longer, as path or path.Function, each with its reason.
var oversized = map[string]string{}

func TestSizes(t *testing.T) {
	report(t, checkSizes(goFiles(t, repository()), oversized))
}

func checkSizes(files []file, allowed map[string]string) []string {
	used := make(map[string]bool)
	var violations []string
	check := func(name string, lines, limit int) {
		if lines <= limit {
			return
		}
		if used[name] = true; allowed[name] == "" {
			violations = append(violations, fmt.Sprintf("%s: %d lines, more than %d: split it by what it knows", name, lines, limit))
		}
	}
	for _, f := range files {
		if f.generated() {
			continue
		}
		check(f.path, f.lines, maxFile)
		for _, declaration := range f.tree.Decls {
			if function, ok := declaration.(*ast.FuncDecl); ok && !f.isTest() {
				lines := f.fset.Position(function.End()).Line - f.fset.Position(function.Pos()).Line + 1
				check(f.path+"."+function.Name.Name, lines, maxFunction)
			}
		}
	}
	for name := range allowed {
		if !used[name] {
			violations = append(violations, name+": no longer too long: take it off the list")
		}
	}
	return violations
}

func TestSizesAreGuarded(t *testing.T) {
	long := "// Package a is.\npackage a\n\nfunc F() {\n" + strings.Repeat("\t_ = 1\n", maxFunction) + "}\n"
	files := goFiles(t, fstest.MapFS{"internal/a/a.go": {Data: []byte(long)}})
	wantOne(t, checkSizes(files, nil), "internal/a/a.go.F: 122 lines")
	if violations := checkSizes(files, map[string]string{"internal/a/a.go.F": "a table"}); len(violations) > 0 {
		t.Errorf("allowed, yet %q", violations)
	}

	long = "// Package a is.\npackage a\n" + strings.Repeat("\n", maxFile)
	files = goFiles(t, fstest.MapFS{"internal/a/a.go": {Data: []byte(long)}})
	wantOne(t, checkSizes(files, nil), "internal/a/a.go: 902 lines")

	wantOne(t, checkSizes(nil, map[string]string{"internal/a/a.go": "gone"}), "take it off the list")
}
