package kubelet

import (
	"errors"
	"io"
)

// Control characters that a terminal's user sends.
const (
	interrupt = 0x03
	endOfText = 0x04
	backspace = 0x08
	erase     = 0x7f
)

// terminal is the part of a terminal's driver that the client, whose own is in raw mode, leaves to us: it shows what is typed,
// gathers lines, and turns line ends into what a terminal wants.
type terminal struct {
	in  io.Reader
	out io.Writer

	line  []byte // being typed
	ready []byte // typed, not read yet
	ended bool
}

func newTerminal(in io.Reader, out io.Writer) *terminal {
	if in == nil {
		in = eof{}
	}
	if out == nil {
		out = io.Discard
	}
	return &terminal{in: in, out: out}
}

// Write writes with the line ends of a terminal.
func (t *terminal) Write(p []byte) (int, error) {
	converted := make([]byte, 0, len(p)+8)
	for _, c := range p {
		if c == '\n' {
			converted = append(converted, '\r')
		}
		converted = append(converted, c)
	}
	if _, err := t.out.Write(converted); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Read returns what was typed, a line at a time.
func (t *terminal) Read(p []byte) (int, error) {
	var buf [1]byte
	for len(t.ready) == 0 {
		if t.ended {
			return 0, io.EOF
		}
		n, err := t.in.Read(buf[:])
		if n > 0 {
			t.typed(buf[0])
		}
		if err != nil {
			t.ended = true
			t.ready, t.line = append(t.ready, t.line...), nil
			if !errors.Is(err, io.EOF) {
				return 0, err
			}
		}
	}
	n := copy(p, t.ready)
	t.ready = t.ready[n:]
	return n, nil
}

// typed takes one character.
func (t *terminal) typed(c byte) {
	switch c {
	case '\r', '\n':
		t.show("\r\n")
		t.ready, t.line = append(append(t.ready, t.line...), '\n'), nil
	case interrupt:
		t.show("^C\r\n")
		t.ready, t.line = append(t.ready, '\n'), nil
	case endOfText:
		if len(t.line) == 0 {
			t.ended = true
			return
		}
		t.ready, t.line = append(t.ready, t.line...), nil
	case backspace, erase:
		if len(t.line) > 0 {
			t.line = t.line[:len(t.line)-1]
			t.show("\b \b")
		}
	default:
		if len(t.line) < maxLine-1 && c >= ' ' {
			t.line = append(t.line, c)
			t.show(string([]byte{c}))
		}
	}
}

func (t *terminal) show(s string) { _, _ = io.WriteString(t.out, s) }
