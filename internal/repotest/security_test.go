package repotest

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestSecurityTestsExist reads the answers to RFC 9700: each row names tests, by room and function, and each is there.
func TestSecurityTestsExist(t *testing.T) {
	text, err := os.ReadFile("../../docs/security/rfc9700.md")
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile(`^[a-z/]+ (Test|Fuzz)[A-Z]\w*$`)
	check := func(name string) {
		room, function, _ := strings.Cut(name, " ")
		if !named.MatchString(name) {
			t.Errorf("%q is not a room and a test", name)
		} else if !hasTest(t, room, function) {
			t.Errorf("there is no %s", name)
		}
	}
	rows := 0
	for line := range strings.SplitSeq(string(text), "\n") {
		cells := strings.Split(strings.Trim(line, "| "), " | ")
		if !strings.HasPrefix(line, "| ") || cells[0] == "Section" || strings.HasPrefix(cells[0], "---") {
			continue
		}
		rows++
		if len(cells) != 4 {
			t.Errorf("%d cells in %q", len(cells), line)
			continue
		}
		for name := range strings.SplitSeq(cells[3], ", ") {
			check(name)
		}
	}
	if rows < 25 {
		t.Errorf("%d rows: is this the table?", rows)
	}
	_, beyond, _ := strings.Cut(string(text), "Beyond it:")
	inText := regexp.MustCompile(`[a-z]+ (?:Test|Fuzz)[A-Z]\w*`).FindAllString(strings.Join(strings.Fields(beyond), " "), -1)
	if len(inText) < 4 {
		t.Errorf("below the table only %q are named", inText)
	}
	for _, name := range inText {
		check(name)
	}
}

// hasTest reports whether a room, below internal or internal/oauth, has a test.
func hasTest(t *testing.T, room, function string) bool {
	t.Helper()
	declared := regexp.MustCompile(`(?m)^func ` + function + `\(\w+ \*testing\.[TF]\) \{`)
	for _, parent := range []string{"..", "../oauth"} {
		files, err := filepath.Glob(filepath.Join(parent, filepath.FromSlash(room), "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			if declared.Match(text) {
				return true
			}
		}
	}
	return false
}
