package repotest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// Every package says what it owns, in every module.
func TestPackageComments(t *testing.T) {
	report(t, checkPackageComments(goFiles(t, repository())))
}

func checkPackageComments(files []file) []string {
	comments := make(map[string]string) // of each folder with a package
	names := make(map[string]string)
	for _, f := range files {
		if f.isTest() {
			continue
		}
		names[f.dir()] = f.tree.Name.Name
		if f.tree.Doc != nil {
			comments[f.dir()] = f.tree.Doc.Text()
		}
	}
	var violations []string
	for _, dir := range slices.Sorted(maps.Keys(names)) {
		opening := "Package " + names[dir] + " "
		if names[dir] == "main" {
			opening = "Command "
		}
		if !strings.HasPrefix(comments[dir], opening) {
			violations = append(violations,
				fmt.Sprintf("%s: no package comment that begins with %q and says what the package owns", dir, opening))
		}
	}
	return violations
}

func TestPackageCommentsAreGuarded(t *testing.T) {
	for _, source := range []string{"package a\n", "// A remark.\npackage a\n", "// Package a is far away.\n\npackage a\n"} {
		files := goFiles(t, fstest.MapFS{"internal/a/a.go": {Data: []byte(source)}})
		wantOne(t, checkPackageComments(files), "internal/a: no package comment")
	}
}
