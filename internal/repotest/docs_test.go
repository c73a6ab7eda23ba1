package repotest

import (
	"go/ast"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// functions are the test functions of the repository, by name: the folders that they are in.
func functions(t *testing.T) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	for _, f := range goFiles(t, repository()) {
		if !f.isTest() && !strings.HasPrefix(f.dir(), "internal/store/storetest") {
			continue
		}
		for _, d := range f.tree.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil {
				found[fn.Name.Name] = append(found[fn.Name.Name], f.dir())
			}
		}
	}
	return found
}

// named is a test that a page names, with the room before it if there is one.
var named = regexp.MustCompile("(?:`([a-z0-9./-]+)` )?\\b((?:Test|Fuzz|Benchmark)[A-Z][A-Za-z0-9]*)\\b(…?)")

// missing says of each test that a text names that it is not there, or not in the room that the text says. After a room come
// several names with commas between; a name without one may be anywhere.
func missing(text string, tests map[string][]string) []string {
	var out []string
	for line := range strings.SplitSeq(text, "\n") {
		for _, m := range named.FindAllStringSubmatch(line, -1) {
			room, name := m[1], m[2]
			if m[3] != "" {
				out = append(out, name+"… names no test: say which")
				continue
			}
			dirs := tests[name]
			if len(dirs) == 0 {
				out = append(out, name+" is nowhere")
				continue
			}
			if room != "" && !slices.ContainsFunc(dirs, func(d string) bool { return d == room || strings.HasSuffix(d, "/"+room) }) {
				out = append(out, name+" is in "+strings.Join(dirs, ", ")+" and not in "+room)
			}
		}
	}
	return out
}

// TestPagesNameTestsThatExist holds that every test which a page gives as proof is there.
func TestPagesNameTestsThatExist(t *testing.T) {
	tests := functions(t)
	err := fs.WalkDir(repository(), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if base := entry.Name(); name == "bin" || name == "data" || base == "testdata" || name != "." && strings.HasPrefix(base, ".") {
				return fs.SkipDir
			}
			return nil
		}
		if path.Ext(name) != ".md" {
			return nil
		}
		text, err := fs.ReadFile(repository(), name)
		for _, what := range missing(string(text), tests) {
			t.Errorf("%s: %s", name, what)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestMissing holds that the check sees what it is for.
func TestMissing(t *testing.T) {
	tests := map[string][]string{"TestA": {"internal/a"}, "TestB": {"test/e2e", "internal/b"}}
	for text, want := range map[string]int{
		"`internal/a` TestA, TestB": 0, "| TestB |": 0, "`b` TestB": 0, "`test/e2e` TestA": 1, "TestC": 1, "TestAll…": 1, "`internal/a` TestA/sub": 0,
	} {
		if got := missing(text, tests); len(got) != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}

// matrix reads the rows of the table of clients: client, version, flow, tests.
func matrix(t *testing.T) [][]string {
	t.Helper()
	text, err := os.ReadFile("../../docs/compatibility.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(text), "\n## Clients\n")
	if !ok {
		t.Fatal("docs/compatibility.md has no section Clients")
	}
	rest, _, _ = strings.Cut(rest, "\n## ")
	var rows [][]string
	for line := range strings.SplitSeq(rest, "\n") {
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| ---") || strings.HasPrefix(line, "| Client") {
			continue
		}
		var cells []string
		for c := range strings.SplitSeq(strings.Trim(line, "|"), "|") {
			cells = append(cells, strings.TrimSpace(c))
		}
		rows = append(rows, cells)
	}
	return rows
}

var page = regexp.MustCompile(`\]\((walkthroughs/[a-z0-9-]+\.md)\)`)

// TestClientMatrix holds that every row of the table of clients has a test or an executed page, and names the version that the
// tests run with.
func TestClientMatrix(t *testing.T) {
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join("../..", name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	pins := read("scripts/clients.sh") + read("go.mod")
	rows := matrix(t)
	clients := map[string]bool{}
	for _, row := range rows {
		if len(row) != 4 {
			t.Errorf("%q has not client, version, flow and test", row)
			continue
		}
		client, version, flow, tests := row[0], row[1], row[2], row[3]
		clients[client] = true
		pages := page.FindAllStringSubmatch(tests, -1)
		for _, p := range pages {
			if _, err := os.Stat(filepath.Join("../../docs", p[1])); err != nil {
				t.Errorf("%s, %s: %v", client, flow, err)
			}
		}
		if len(pages) == 0 && !named.MatchString(tests) {
			t.Errorf("%s, %s: nothing shows it", client, flow)
		}
		if version[0] >= '0' && version[0] <= '9' && !strings.Contains(pins, "v"+version) && !strings.Contains(pins, version+"-") {
			t.Errorf("%s %s: neither scripts/clients.sh nor go.mod has this version", client, version)
		}
	}
	for _, want := range []string{
		"az", "kubectl", "kubelogin (Azure's)", "kubelogin (ours)", "Helm", "azidentity", "MSAL Go", "coreos/go-oidc", "Chromium", "keyreeve",
	} {
		if !clients[want] {
			t.Errorf("the table of clients has no %s", want)
		}
	}
}
