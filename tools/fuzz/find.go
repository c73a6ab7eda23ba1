package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"strings"
)

// target is a declared fuzz function.
type target struct {
	dir  string // folder of its package, relative to the repository
	name string // FuzzSomething
}

func (t target) String() string { return t.dir + "." + t.name }

// find lists the fuzz targets declared below a repository's root, in every module, whatever build tags their files
// carry.
func find(repository fs.FS) ([]target, error) {
	var targets []target
	err := fs.WalkDir(repository, ".", func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		if entry.IsDir() {
			if name == "testdata" || name == "bin" || (file != "." && strings.HasPrefix(name, ".")) {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, "_test.go") {
			return nil
		}
		source, err := fs.ReadFile(repository, file)
		if err != nil {
			return err
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, source, parser.SkipObjectResolution)
		if err != nil {
			return fmt.Errorf("reading %s: %w", file, err)
		}
		for _, declaration := range parsed.Decls {
			if f, ok := declaration.(*ast.FuncDecl); ok && isTarget(f) {
				targets = append(targets, target{dir: path.Dir(file), name: f.Name.Name})
			}
		}
		return nil
	})
	return targets, err
}

// isTarget reports whether a function has the form func FuzzXxx(f *testing.F).
func isTarget(f *ast.FuncDecl) bool {
	if f.Recv != nil || !strings.HasPrefix(f.Name.Name, "Fuzz") || f.Type.Params.NumFields() != 1 {
		return false
	}
	pointer, ok := f.Type.Params.List[0].Type.(*ast.StarExpr)
	if !ok {
		return false
	}
	selector, ok := pointer.X.(*ast.SelectorExpr)
	return ok && selector.Sel.Name == "F"
}
