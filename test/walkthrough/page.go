// Package walkthrough executes the pages of the documentation: every console block of README.md and docs/ is run with
// the real clients against a real Keyreeve, and what it prints is compared with what the page shows.
//
// A console block holds commands after "$ " (a command goes on while a line ends in "\"), each followed by the output
// expected of it:
//
//	…               any text within a line
//	...             alone on a line: any number of lines
//	[exit status N] the command must end with N; without it, with 0
//
// A comment before a block says who signs in when a command of it asks for a device sign-in:
//
//	<!-- device sign-in: USER PASSWORD-VARIABLE -->
package walkthrough

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Step is one command of a page.
type Step struct {
	Line    int // in the page, from 1
	Command string
	Want    []string
	Status  int
	SignIn  *SignIn
}

// SignIn says who approves the device sign-ins of a block.
type SignIn struct {
	User string
	// PasswordVariable is the shell variable that holds the password.
	PasswordVariable string
}

// ParsePage reads the steps of a page.
func ParsePage(text string) ([]Step, error) {
	signIn := regexp.MustCompile(`^<!-- device sign-in: (\S+) (\w+) -->$`)
	exit := regexp.MustCompile(`^\[exit status (\d+)\]$`)
	var steps []Step
	var who *SignIn
	in, goesOn := false, false
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimRight(line, " \r\n")
		if !in {
			if m := signIn.FindStringSubmatch(line); m != nil {
				who = &SignIn{User: m[1], PasswordVariable: m[2]}
			}
			in = line == "```console"
			continue
		}
		if line == "```" {
			if goesOn {
				return nil, fmt.Errorf("line %d: the block ends within a command", number)
			}
			in, who = false, nil
			continue
		}
		switch {
		case goesOn:
			last := &steps[len(steps)-1]
			last.Command += "\n" + strings.TrimPrefix(line, "> ")
			goesOn = strings.HasSuffix(line, `\`)
		case strings.HasPrefix(line, "$ "):
			steps = append(steps, Step{Line: number, Command: line[2:], SignIn: who})
			goesOn = strings.HasSuffix(line, `\`)
		case len(steps) == 0:
			return nil, fmt.Errorf("line %d: output before any command", number)
		default:
			last := &steps[len(steps)-1]
			if m := exit.FindStringSubmatch(line); m != nil {
				last.Status, _ = strconv.Atoi(m[1]) // digits
				continue
			}
			last.Want = append(last.Want, line)
		}
	}
	if in {
		return nil, fmt.Errorf("line %d: a console block does not end", number)
	}
	return steps, nil
}

// Match compares output with what a page shows, and returns what differs, or "".
func Match(want []string, got string) string {
	lines := strings.Split(strings.TrimRight(got, " \r\n"), "\n")
	if got = strings.TrimSpace(got); got == "" {
		lines = nil
	}
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " \r")
	}
	for len(want) > 0 && want[len(want)-1] == "" {
		want = want[:len(want)-1]
	}
	furthest, ok := matchLines(want, lines)
	if ok {
		return ""
	}
	expected := "the end of the output"
	if furthest < len(want) {
		expected = want[furthest]
	}
	return fmt.Sprintf("no match from this line of the page on: %s\nwhat was printed:\n%s", expected, got)
}

// matchLines returns whether all lines match, and the index of the first wanted line that never did.
func matchLines(want, got []string) (int, bool) {
	if len(want) == 0 {
		return 0, len(got) == 0
	}
	if want[0] == "..." {
		best := 0
		for skip := 0; skip <= len(got); skip++ {
			at, ok := matchLines(want[1:], got[skip:])
			if ok {
				return 0, true
			}
			best = max(best, at)
		}
		return best + 1, false
	}
	if len(got) == 0 || !matchLine(want[0], got[0]) {
		return 0, false
	}
	at, ok := matchLines(want[1:], got[1:])
	return at + 1, ok
}

func matchLine(want, got string) bool {
	parts := strings.Split(want, "…")
	if len(parts) == 1 {
		return want == got
	}
	for i := range parts {
		parts[i] = regexp.QuoteMeta(parts[i])
	}
	return regexp.MustCompile("^" + strings.Join(parts, ".*") + "$").MatchString(got)
}
