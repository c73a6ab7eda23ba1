package repotest

import (
	"go/ast"
	"go/build/constraint"
	"slices"
	"strings"
	"testing"
)

// everywhere are the names of package syscall that Linux, macOS and Windows all have, of those that are used.
var everywhere = []string{"SIGTERM", "SIGINT", "SIGKILL", "SIGHUP", "Signal", "RawConn", "SysProcAttr", "Errno", "ENOENT", "ECONNREFUSED", "EPIPE", "ESRCH", "EINTR"}

// TestBuildsElsewhere holds that what people's machines run, on macOS and Windows too, uses nothing that Linux alone has:
// such code stands in files for one system. `make elsewhere` compiles both commands, which takes minutes.
func TestBuildsElsewhere(t *testing.T) {
	for _, f := range goFiles(t, repository()) {
		ours := strings.HasPrefix(f.path, "internal/") || strings.HasPrefix(f.path, "cmd/")
		if !ours || f.isTest() || strings.HasSuffix(f.dir(), "test") || forOneSystem(f) {
			continue
		}
		ast.Inspect(f.tree, func(n ast.Node) bool {
			s, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if x, ok := s.X.(*ast.Ident); ok && (x.Name == "syscall" || x.Name == "unix") && !slices.Contains(everywhere, s.Sel.Name) {
				t.Errorf("%s: %s.%s is not there on every system: put it into a file for the systems that have it", f.path, x.Name, s.Sel.Name)
			}
			return true
		})
	}
}

// forOneSystem says whether a file is compiled for some systems only, by its name or by a line at its beginning.
func forOneSystem(f file) bool {
	for _, system := range []string{"linux", "windows", "darwin", "unix"} {
		if strings.HasSuffix(f.path, "_"+system+".go") {
			return system != "unix" || tagged(f)
		}
	}
	return tagged(f)
}

func tagged(f file) bool {
	for _, group := range f.tree.Comments {
		for _, c := range group.List {
			if c.Pos() < f.tree.Package && constraint.IsGoBuild(c.Text) {
				return true
			}
		}
	}
	return false
}
