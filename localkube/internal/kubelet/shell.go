package kubelet

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Exit codes, as shells have them.
const (
	failed    = 1
	misused   = 2
	notFound  = 127
	stoppedBy = 130
)

const (
	// maxSleep bounds how long one command holds its connection.
	maxSleep = time.Hour
	// maxLine bounds what is read as one line.
	maxLine = 64 << 10
)

// shell runs built-in commands. It starts no process, opens no connection, and knows no files but those that were copied in and the
// tokens that are projected into its container.
type shell struct {
	now       func() time.Time
	env       []string
	host      string
	files     *files
	projected projected
	in        io.Reader
	out       io.Writer
	err       io.Writer
	prompt    string

	// last is the exit code of the last command, and done says that the shell was told to exit.
	last int
	done bool
}

// known names the commands, for people.
const known = "cat date echo env exit false hostname ls printenv pwd sh sleep tar test true"

// run runs one command and returns its exit code.
func (s *shell) run(ctx context.Context, cmd []string) int {
	if ctx.Err() != nil {
		return stoppedBy
	}
	if len(cmd) == 0 {
		return s.last
	}
	name, args := cmd[0][strings.LastIndexByte(cmd[0], '/')+1:], cmd[1:]
	switch name {
	case "true", ":":
		return 0
	case "false":
		return failed
	case "echo":
		return s.echo(args)
	case "cat":
		return s.cat(args)
	case "ls":
		return s.ls(args)
	case "tar":
		return s.tar(args)
	case "test":
		return s.test(args)
	case "env":
		return s.printenv(nil)
	case "printenv":
		return s.printenv(args)
	case "hostname":
		return s.say(s.host + "\n")
	case "pwd":
		return s.say("/\n")
	case "date":
		return s.say(s.now().UTC().Format(time.UnixDate) + "\n")
	case "sleep":
		return s.sleep(ctx, args)
	case "exit":
		return s.exit(args)
	case "sh", "bash", "ash":
		return s.shell(ctx, args)
	}
	s.complain("%q is not run: nothing runs in a pretended container; it knows %s", cmd[0], known)
	return notFound
}

func (s *shell) complain(format string, args ...any) {
	_, _ = fmt.Fprintf(s.err, "keyreeve: "+format+"\n", args...)
}

func (s *shell) say(text string) int {
	if _, err := io.WriteString(s.out, text); err != nil {
		return failed
	}
	return 0
}

func (s *shell) echo(args []string) int {
	end := "\n"
	if len(args) > 0 && args[0] == "-n" {
		args, end = args[1:], ""
	}
	return s.say(strings.Join(args, " ") + end)
}

func (s *shell) printenv(names []string) int {
	if len(names) == 0 {
		return s.say(strings.Join(s.env, "\n") + "\n")
	}
	code := 0
	for _, n := range names {
		i := slices.IndexFunc(s.env, func(v string) bool { return strings.HasPrefix(v, n+"=") })
		if i < 0 {
			code = failed
			continue
		}
		if s.say(s.env[i][len(n)+1:]+"\n") != 0 {
			return failed
		}
	}
	return code
}

func (s *shell) sleep(ctx context.Context, args []string) int {
	if len(args) != 1 {
		s.complain("sleep: say how many seconds")
		return misused
	}
	d, err := time.ParseDuration(args[0])
	if seconds, perr := strconv.ParseFloat(args[0], 64); perr == nil && seconds >= 0 && seconds <= maxSleep.Seconds() {
		d, err = time.Duration(seconds*float64(time.Second)), nil
	}
	if err != nil || d < 0 || d > maxSleep {
		s.complain("sleep: %q is not a time up to %s", args[0], maxSleep)
		return misused
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return 0
	case <-ctx.Done():
		return stoppedBy
	}
}

func (s *shell) exit(args []string) int {
	s.done = true
	if len(args) == 0 {
		return s.last
	}
	code, err := strconv.ParseUint(args[0], 10, 8)
	if err != nil {
		s.complain("exit: %q is not a number from 0 to 255", args[0])
		return misused
	}
	return int(code)
}

// shell runs a script, or what its input says line by line.
func (s *shell) shell(ctx context.Context, args []string) int {
	inner := *s
	inner.last, inner.done = 0, false
	switch {
	case len(args) >= 2 && args[0] == "-c":
		for line := range strings.Lines(args[1]) {
			inner.line(ctx, line)
			if inner.done {
				break
			}
		}
		return inner.last
	case len(args) > 0 && args[0] != "-" && args[0] != "-i" && args[0] != "-l":
		s.complain("a pretended container runs no scripts of files")
		return notFound
	}
	if inner.prompt != "" {
		inner.complain("a pretended shell: nothing runs here. It knows %s", known)
	}
	// Commands read the same input as their shell, so that `cat` takes what follows it.
	in := bufio.NewReaderSize(s.in, maxLine)
	inner.in = in
	for !inner.done && ctx.Err() == nil {
		if inner.prompt != "" {
			_ = inner.say(inner.prompt)
		}
		line, err := in.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			inner.complain("a line is too long")
			return misused
		}
		inner.line(ctx, string(line))
		if err != nil {
			break
		}
	}
	return inner.last
}

// line runs the commands of a line, those after && and || only if they are to.
func (s *shell) line(ctx context.Context, text string) {
	if err := check(text); err != nil {
		s.complain("%v", err)
		s.last = misused
		return
	}
	p := newParser(text, s.value)
	for !s.done {
		c, ok, err := p.next()
		if !ok || err != nil {
			return
		}
		if c.after == "&&" && s.last != 0 || c.after == "||" && s.last == 0 {
			continue
		}
		s.last = s.run(ctx, c.words)
	}
}

// value is what a variable is.
func (s *shell) value(name string) string {
	if name == "?" {
		return strconv.Itoa(s.last)
	}
	for _, v := range s.env {
		if rest, ok := strings.CutPrefix(v, name+"="); ok {
			return rest
		}
	}
	return ""
}
