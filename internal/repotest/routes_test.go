package repotest

import (
	"go/ast"
	"slices"
	"strings"
	"testing"
)

// TestEveryRoomOfARMIsAsked: a room that answers at Resource Manager is among those whose every route is asked for the right that it
// needs, and is served.
func TestEveryRoomOfARMIsAsked(t *testing.T) {
	var rooms []string
	asked, served := map[string]bool{}, map[string]bool{}
	for _, f := range goFiles(t, repository()) {
		note := func(in map[string]bool) {
			for _, i := range f.imports() {
				in[strings.TrimPrefix(i, "github.com/keyreeve/keyreeve/")] = true
			}
		}
		switch {
		case f.path == "internal/arm/everyroute_test.go":
			note(asked)
		case f.dir() == "internal/server" && !f.isTest():
			note(served)
		case strings.HasPrefix(f.dir(), "internal/arm/") && !f.isTest() && mounts(f) && !slices.Contains(rooms, f.dir()):
			rooms = append(rooms, f.dir())
		}
	}
	if len(rooms) < 8 {
		t.Fatalf("rooms %v: looked for in the wrong way", rooms)
	}
	for _, room := range rooms {
		if !asked[room] || !served[room] {
			t.Errorf("%s: in internal/arm/everyroute_test.go %v, served %v", room, asked[room], served[room])
		}
	}
}

// mounts reports whether a file has a method Mount.
func mounts(f file) bool {
	return slices.ContainsFunc(f.tree.Decls, func(d ast.Decl) bool {
		fn, ok := d.(*ast.FuncDecl)
		return ok && fn.Recv != nil && fn.Name.Name == "Mount"
	})
}
