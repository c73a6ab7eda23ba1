package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// repository writes a module with one test file.
func repository(t *testing.T, test string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{
		"go.mod":               "module example.com/fuzzed\n\ngo 1.26\n",
		"parse/parse_test.go":  test,
		"parse/testdata/x.txt": "func FuzzNot(f *testing.F) {}",
	} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const fuzzTarget = `
func FuzzParse(f *testing.F) {
	f.Add("a")
	f.Fuzz(func(t *testing.T, s string) { _ = len(s) })
}
`

// Every way for `go test -fuzz` to succeed without fuzzing is a failure here.
func TestRun(t *testing.T) {
	for _, test := range []struct {
		name, source string
		fails        string // part of the output; none: succeeds
	}{
		{"runs", "package parse\n\nimport \"testing\"\n" + fuzzTarget, ""},
		{"has a corpus larger than its time", "package parse\n\nimport \"testing\"\n" + strings.Replace(
			fuzzTarget, "f.Add(\"a\")", "for i := range 60 {\nf.Add(string(rune('a' + i)))\n}", 1,
		), ""},
		{"none declared", "package parse\n", "no fuzz target is declared"},
		{"hidden by a build tag", "//go:build never\n\npackage parse\n\nimport \"testing\"\n" + fuzzTarget, "FAILED parse.FuzzParse"},
		{
			"TestMain ends early",
			"package parse\n\nimport (\n\"os\"\n\"testing\"\n)\n\nfunc TestMain(*testing.M) { os.Exit(0) }\n" + fuzzTarget,
			"succeeded without running it",
		},
		{
			"skips itself",
			"package parse\n\nimport \"testing\"\n\nfunc FuzzParse(f *testing.F) { f.Skip() }\n",
			"succeeded without running it",
		},
		{
			"finds a crash",
			"package parse\n\nimport \"testing\"\n\nfunc FuzzParse(f *testing.F) {\nf.Add(\"a\")\nf.Fuzz(func(t *testing.T, s string) { t.Error(s) })\n}\n",
			"FAILED parse.FuzzParse",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			err := run(t.Context(), repository(t, test.source), "50x", &out)
			if err != nil {
				out.WriteString(err.Error())
			}
			if test.fails == "" && err != nil {
				t.Fatalf("failed: %s", out.String())
			}
			if test.fails != "" && (err == nil || !strings.Contains(out.String(), test.fails)) {
				t.Fatalf("want a failure with %q, got error %v and\n%s", test.fails, err, out.String())
			}
		})
	}
}
