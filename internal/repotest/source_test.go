package repotest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"strings"
	"testing"
)

const modulePath = "github.com/keyreeve/keyreeve"

// file is one Go file of the repository, in any of its modules.
type file struct {
	path  string // from the repository's root
	tree  *ast.File
	fset  *token.FileSet
	lines int
}

func (f file) dir() string     { return path.Dir(f.path) }
func (f file) isTest() bool    { return strings.HasSuffix(f.path, "_test.go") }
func (f file) generated() bool { return ast.IsGenerated(f.tree) }

// imports lists the import paths of the file.
func (f file) imports() []string {
	var paths []string
	for _, spec := range f.tree.Imports {
		paths = append(paths, strings.Trim(spec.Path.Value, `"`))
	}
	return paths
}

// repository is the checkout that the tests run in.
func repository() fs.FS { return os.DirFS("../..") }

// goFiles reads every Go file of a repository, whatever its build tags.
func goFiles(t *testing.T, root fs.FS) []file {
	t.Helper()
	var files []file
	err := fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			base := entry.Name()
			if base == "testdata" || name == "bin" || name == "data" || (name != "." && strings.HasPrefix(base, ".")) {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		source, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		fset := token.NewFileSet()
		tree, err := parser.ParseFile(fset, name, source, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		lines := strings.Count(string(source), "\n")
		files = append(files, file{path: name, tree: tree, fset: fset, lines: lines})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// report fails the test with every violation.
func report(t *testing.T, violations []string) {
	t.Helper()
	for _, violation := range violations {
		t.Error(violation)
	}
}

// wantOne checks that a rule, shown something that breaks it, says so once and with the words given.
func wantOne(t *testing.T, violations []string, words string) {
	t.Helper()
	if len(violations) != 1 || !strings.Contains(violations[0], words) {
		t.Errorf("got %q, want one violation with %q", violations, words)
	}
}
