package kubelet

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

func noon() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

// run runs a command and returns what it wrote and its exit code.
func run(t *testing.T, in string, tty bool, cmd ...string) (out, errOut string, code int) {
	t.Helper()
	var o, e bytes.Buffer
	s := &shell{
		now: noon, env: []string{"PATH=/bin", "GREETING=hello there"}, host: "web-0", files: &files{of: map[string][]byte{"/tmp/a/b": []byte("copied\n")}}, in: strings.NewReader(in), out: &o, err: &e,
		projected: projected{"/var/run/t": func() (string, error) { return "token", nil }, "/var/run/bad": func() (string, error) { return "", errors.New("refused") }},
	}
	if tty {
		term := newTerminal(s.in, s.out)
		s.in, s.out, s.err, s.prompt = term, term, term, "$ "
	}
	code = s.run(t.Context(), cmd)
	return o.String(), e.String(), code
}

func TestShell(t *testing.T) {
	for name, tt := range map[string]struct {
		in   string
		cmd  []string
		out  string
		err  string // part of it
		code int
	}{
		"echo":                    {cmd: []string{"echo", "a", "b"}, out: "a b\n"},
		"echo without a line end": {cmd: []string{"/bin/echo", "-n", "a"}, out: "a"},
		"cat":                     {in: "x\ny", cmd: []string{"cat"}, out: "x\ny"},
		"cat of a file":           {cmd: []string{"cat", "/etc/passwd"}, err: "has no files but", code: 1},
		"cat of what was copied":  {in: "x", cmd: []string{"cat", "tmp/../tmp/a/b", "-"}, out: "copied\nx"},
		"ls":                      {cmd: []string{"ls", "-l", "/tmp"}, out: "/tmp/a/b\n"},
		"ls of nothing":           {cmd: []string{"ls", "/etc"}, err: "no such file", code: 1},
		"cat of a token":          {cmd: []string{"cat", "/var/run/../run/t"}, out: "token"},
		"cat of no token":         {cmd: []string{"cat", "/var/run/bad"}, err: "/var/run/bad: refused", code: 1},
		"ls of tokens":            {cmd: []string{"ls", "/var/run"}, out: "/var/run/bad\n/var/run/t\n"},
		"test of a token":         {cmd: []string{"sh", "-c", "test -f /var/run/t && test -d /var"}},
		"test of a directory":     {cmd: []string{"test", "-d", "/tmp/a"}},
		"test of a file":          {cmd: []string{"test", "-d", "/tmp/a/b"}, code: 1},
		"tar of nothing":          {cmd: []string{"tar", "cf", "-", "/etc"}, err: "no such file", code: 2},
		"tar of nonsense":         {in: strings.Repeat("x", 1024), cmd: []string{"tar", "-xmf", "-", "-C", "/tmp"}, err: "not an archive", code: 2},
		"tar to a file":           {cmd: []string{"tar", "tf", "-"}, err: "knows", code: 2},
		"env":                     {cmd: []string{"env"}, out: "PATH=/bin\nGREETING=hello there\n"},
		"printenv":                {cmd: []string{"printenv", "GREETING"}, out: "hello there\n"},
		"printenv of nothing":     {cmd: []string{"printenv", "NOPE"}, code: 1},
		"true":                    {cmd: []string{"true"}},
		"false":                   {cmd: []string{"false"}, code: 1},
		"hostname":                {cmd: []string{"hostname"}, out: "web-0\n"},
		"date":                    {cmd: []string{"date"}, out: "Sun Mar  1 12:00:00 UTC 2026\n"},
		"sleep":                   {cmd: []string{"sleep", "0.001"}},
		"sleep too long":          {cmd: []string{"sleep", "1e9"}, err: "not a time", code: 2},
		"sleep of nonsense":       {cmd: []string{"sleep", "NaN"}, err: "not a time", code: 2},
		"unknown":                 {cmd: []string{"/usr/bin/id", "-u"}, err: `"/usr/bin/id" is not run`, code: 127},
		"script":                  {cmd: []string{"sh", "-c", "echo one; false; echo $?; exit 7; echo never"}, out: "one\n1\n", code: 7},
		"and, or":                 {cmd: []string{"sh", "-c", "true && echo yes; false && echo no || echo or; true || echo no"}, out: "yes\nor\n"},
		"last code":               {cmd: []string{"sh", "-c", "echo a\nfalse"}, out: "a\n", code: 1},
		"variables":               {cmd: []string{"sh", "-c", `echo "$GREETING" ${GREETING}! '$GREETING' $NOPE\$ $`}, out: "hello there hello there! $GREETING $ $\n"},
		"input":                   {in: "echo a\ncat\nb\nc", cmd: []string{"sh"}, out: "a\nb\nc"},
		"exit in the middle":      {in: "exit 3\necho no\n", cmd: []string{"bash"}, code: 3},
		"a script file":           {cmd: []string{"sh", "/run.sh"}, err: "runs no scripts", code: 127},
		"pipe":                    {cmd: []string{"sh", "-c", "echo a; echo b | cat"}, err: `does not know '|'`, code: 2},
		"redirection":             {cmd: []string{"sh", "-c", "echo b >/tmp/x"}, err: `does not know '>'`, code: 2},
		"substitution":            {cmd: []string{"sh", "-c", "echo $(date)"}, err: `does not know $(`, code: 2},
		"background":              {cmd: []string{"sh", "-c", "sleep 1 &"}, err: `does not know '&'`, code: 2},
		"open quote":              {cmd: []string{"sh", "-c", "echo 'a"}, err: "not closed", code: 2},
		"nothing before and":      {cmd: []string{"sh", "-c", "&& echo a"}, err: "missing", code: 2},
		"nothing after or":        {cmd: []string{"sh", "-c", "false ||"}, err: "missing", code: 2},
		"comment":                 {cmd: []string{"sh", "-c", "echo a#b # c | d"}, out: "a#b\n"},
		"a long line":             {in: strings.Repeat("a", maxLine+1), cmd: []string{"sh"}, err: "too long", code: 2},
	} {
		out, errOut, code := run(t, tt.in, false, tt.cmd...)
		if out != tt.out || code != tt.code || (tt.err == "") != (errOut == "") || !strings.Contains(errOut, tt.err) {
			t.Errorf("%s: %q %q, exit code %d; want %q, %q, %d", name, out, errOut, code, tt.out, tt.err, tt.code)
		}
	}
}

// TestTerminal: what is typed is shown, corrected and gathered into lines.
func TestTerminal(t *testing.T) {
	out, _, code := run(t, "ecko\x7f\x7fho hi\rnonsense\x03exit 4\r", true, "sh")
	for _, want := range []string{"a pretended shell", "$ ecko\b \b\b \bho hi\r\nhi\r\n$ ", "nonsense^C\r\n$ ", "exit 4\r\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("the terminal shows %q, without %q", out, want)
		}
	}
	if strings.Contains(strings.ReplaceAll(out, "\r\n", ""), "\n") || code != 4 {
		t.Errorf("%q, exit code %d", out, code)
	}
	if out, _, code := run(t, "false\r\x04echo no\r", true, "sh"); code != 1 || strings.Contains(out, "echo no") {
		t.Errorf("after the end of input: %q, exit code %d", out, code)
	}
}

// TestStopped: a command ends with its connection.
func TestStopped(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := &shell{now: noon, files: &files{}, in: eof{}, out: &bytes.Buffer{}, err: &bytes.Buffer{}}
	cancel()
	if code := s.run(ctx, []string{"sleep", "3600"}); code != stoppedBy {
		t.Errorf("exit code %d", code)
	}
}

// FuzzParse: a line is understood or refused; words that are quoted come back as they were.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"echo a b", `a "b c" 'd'`, "a && b || c ; d", "$x ${x} $?", "a | b", "\\", "''", "#", "!", "a;;b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		_ = check(text)
		quoted := "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
		p := newParser("echo "+quoted+" end", func(string) string { return "" })
		c, ok, err := p.next()
		if err != nil || !ok || len(c.words) != 3 || c.words[1] != text || c.words[2] != "end" {
			t.Fatalf("%q became %q (%v)", quoted, c.words, err)
		}
		if _, ok, err := p.next(); ok || err != nil {
			t.Fatalf("%q is more than one command (%v)", quoted, err)
		}
	})
}
