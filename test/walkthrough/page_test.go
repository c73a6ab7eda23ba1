package walkthrough

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParsePage(t *testing.T) {
	got, err := ParsePage("# Title\n\n```sh\n$ not run\n```\n<!-- device sign-in: a@b PW -->\n```console\n$ one\n$ two \\\n    --flag\nout …\n[exit status 3]\n```\n\n```console\n$ three\n...\n```\n")
	if err != nil {
		t.Fatal(err)
	}
	who := &SignIn{User: "a@b", PasswordVariable: "PW"}
	want := []Step{
		{Line: 8, Command: "one", SignIn: who},
		{Line: 9, Command: "two \\\n    --flag", Want: []string{"out …"}, Status: 3, SignIn: who},
		{Line: 16, Command: "three", Want: []string{"..."}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, bad := range []string{"```console\nout\n```\n", "```console\n$ a\n", "```console\n$ a \\\n```\n"} {
		if _, err := ParsePage(bad); err == nil {
			t.Errorf("no error for %q", bad)
		}
	}
}

func TestMatch(t *testing.T) {
	for _, tc := range []struct {
		name string
		want []string
		got  string
		ok   bool
	}{
		{"equal", []string{"a", "b"}, "a\nb\n", true},
		{"nothing", nil, "\n", true},
		{"nothing wanted", nil, "a", false},
		{"missing line", []string{"a", "b"}, "a", false},
		{"part of a line", []string{"a … c"}, "a b c", true},
		{"part differs", []string{"a … d"}, "a b c", false},
		{"any lines", []string{"...", "b", "..."}, "x\nb\ny", true},
		{"any lines, none", []string{"...", "b"}, "b", true},
		{"any lines, no match", []string{"...", "z", "..."}, "x\nb\ny", false},
		{"regexp characters are plain", []string{"a.*"}, "abc", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if diff := Match(tc.want, tc.got); (diff == "") != tc.ok {
				t.Errorf("difference %q", diff)
			}
		})
	}
}
