package walkthrough

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Session is a bash that runs the commands of one page, so that variables of one step are there in the next.
type Session struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	lines chan string
	done  chan error
}

// endMark separates the output of one command from the next; no client prints it.
const endMark = "--keyreeve-walkthrough-end--"

// StartSession starts a bash with exactly the given environment.
func StartSession(ctx context.Context, dir string, env []string) (*Session, error) {
	cmd := exec.CommandContext(ctx, "bash", "--noprofile", "--norc")
	cmd.Dir, cmd.Env = dir, env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd.Stdout, cmd.Stderr = w, w
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	_ = w.Close() // the child has its own
	s := &Session{cmd: cmd, stdin: stdin, lines: make(chan string, 1000), done: make(chan error, 1)}
	go func() {
		defer close(s.lines)
		defer func() { _ = r.Close() }()
		in := bufio.NewReader(r)
		for {
			line, err := in.ReadString('\n')
			if line != "" {
				s.lines <- strings.TrimRight(line, "\n")
			}
			if err != nil {
				return
			}
		}
	}()
	return s, nil
}

// Run runs one command and returns what it printed, errors included, and its exit status. onLine, if set, is called
// with each line as it is printed.
func (s *Session) Run(ctx context.Context, command string, limit time.Duration, onLine func(string)) (string, int, error) {
	// The command reads nothing from the session's own input.
	script := fmt.Sprintf("{ %s\n} </dev/null\nprintf '\\n%s %%d\\n' $?\n", command, endMark)
	if _, err := io.WriteString(s.stdin, script); err != nil {
		return "", 0, fmt.Errorf("bash ended: %w", err)
	}
	timeout := time.NewTimer(limit)
	defer timeout.Stop()
	var out []string
	for {
		select {
		case line, ok := <-s.lines:
			if !ok {
				return strings.Join(out, "\n"), 0, errors.New("bash ended")
			}
			if status, isEnd := strings.CutPrefix(line, endMark+" "); isEnd {
				n, err := strconv.Atoi(status)
				return strings.TrimSuffix(strings.Join(out, "\n"), "\n"), n, err
			}
			out = append(out, line)
			if onLine != nil {
				onLine(line)
			}
		case <-timeout.C:
			return strings.Join(out, "\n"), 0, fmt.Errorf("no end after %s", limit)
		case <-ctx.Done():
			return strings.Join(out, "\n"), 0, ctx.Err()
		}
	}
}

// Close ends the session and everything it started.
func (s *Session) Close() error {
	_ = s.stdin.Close()
	_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGTERM)
	err := s.cmd.Wait()
	if _, exited := errors.AsType[*exec.ExitError](err); exited {
		return nil
	}
	return err
}
