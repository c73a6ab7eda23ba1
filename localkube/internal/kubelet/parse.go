package kubelet

import (
	"errors"
	"fmt"
	"strings"
)

// command is one command of a line: its words, and what stands before it.
type command struct {
	after string // "", ";", "&&" or "||"
	words []string
}

// newParser takes a line of a shell apart: words, quotes, variables, and the marks between commands. What it does not know,
// such as pipes and redirections, is an error and not something else. value says what a variable is.
func newParser(text string, value func(name string) string) *parser {
	return &parser{rest: text, value: value}
}

// next is the line's next command. Variables are read now, so that $? is that of the command before.
func (p *parser) next() (command, bool, error) {
	for len(p.out) == 0 && p.rest != "" {
		if err := p.step(); err != nil {
			return command{}, false, err
		}
	}
	if len(p.out) == 0 {
		p.endWord()
		if err := p.endCommand(""); err != nil {
			return command{}, false, err
		}
	}
	if len(p.out) == 0 {
		return command{}, false, nil
	}
	c := p.out[0]
	p.out = p.out[1:]
	return c, true, nil
}

// check says what is wrong with a line.
func check(text string) error {
	p := newParser(text, func(string) string { return "x" })
	for {
		if _, ok, err := p.next(); !ok || err != nil {
			return err
		}
	}
}

type parser struct {
	rest  string
	value func(string) string
	out   []command
	now   command
	word  strings.Builder
	// begun says that there is a word, if an empty one.
	begun bool
}

func (p *parser) step() error {
	c := p.rest[0]
	switch {
	case c == ' ' || c == '\t' || c == '\r' || c == '\n':
		p.rest = p.rest[1:]
		p.endWord()
		return nil
	case c == '#' && !p.begun:
		p.rest = ""
		return nil
	case strings.HasPrefix(p.rest, "&&"), strings.HasPrefix(p.rest, "||"):
		mark := p.rest[:2]
		p.rest = p.rest[2:]
		p.endWord()
		return p.endCommand(mark)
	case c == ';':
		p.rest = p.rest[1:]
		p.endWord()
		return p.endCommand(";")
	case strings.IndexByte("|&<>()`*?{}[]~!", c) >= 0 && (c != '?' && c != '!' && c != '~' || !p.begun):
		return fmt.Errorf("a pretended shell does not know %q", c)
	case c == '\'':
		end := strings.IndexByte(p.rest[1:], '\'')
		if end < 0 {
			return errors.New("a quote is not closed")
		}
		p.add(p.rest[1 : 1+end])
		p.rest = p.rest[end+2:]
		return nil
	case c == '"':
		p.rest = p.rest[1:]
		return p.double()
	}
	return p.char()
}

// double reads to the closing double quote.
func (p *parser) double() error {
	p.begun = true
	for p.rest != "" {
		if p.rest[0] == '"' {
			p.rest = p.rest[1:]
			return nil
		}
		if p.rest[0] == '`' {
			return errors.New("a pretended shell does not know '`'")
		}
		if err := p.char(); err != nil {
			return err
		}
	}
	return errors.New("a quote is not closed")
}

// char reads one character, or a variable.
func (p *parser) char() error {
	switch c := p.rest[0]; c {
	case '\\':
		if len(p.rest) < 2 {
			return errors.New("a line ends in a backslash")
		}
		p.add(p.rest[1:2])
		p.rest = p.rest[2:]
	case '$':
		return p.variable()
	default:
		p.add(p.rest[:1])
		p.rest = p.rest[1:]
	}
	return nil
}

func (p *parser) variable() error {
	name := p.rest[1:]
	switch {
	case strings.HasPrefix(name, "?"):
		p.add(p.value("?"))
		p.rest = name[1:]
		return nil
	case strings.HasPrefix(name, "{"):
		end := strings.IndexByte(name, '}')
		if end < 0 || nameLength(name[1:end]) != end-1 || end == 1 {
			return errors.New("a pretended shell knows ${NAME} only")
		}
		p.add(p.value(name[1:end]))
		p.rest = name[end+1:]
		return nil
	}
	n := nameLength(name)
	if n == 0 {
		if strings.HasPrefix(name, "(") {
			return errors.New("a pretended shell does not know $(")
		}
		p.add("$")
	} else {
		p.add(p.value(name[:n]))
	}
	p.rest = name[n:]
	return nil
}

func nameLength(s string) int {
	for i := range len(s) {
		c := s[i]
		letter := c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return i
		}
	}
	return len(s)
}

func (p *parser) add(s string) {
	p.word.WriteString(s)
	p.begun = true
}

func (p *parser) endWord() {
	if p.begun {
		p.now.words = append(p.now.words, p.word.String())
	}
	p.word.Reset()
	p.begun = false
}

// endCommand ends a command; next is what stands before the one that follows.
func (p *parser) endCommand(next string) error {
	if len(p.now.words) > 0 {
		p.out = append(p.out, p.now)
	} else if p.now.after == "&&" || p.now.after == "||" || next == "&&" || next == "||" {
		return errors.New("a command is missing")
	}
	p.now = command{after: next}
	return nil
}
