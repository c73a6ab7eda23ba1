package rbac

import (
	"bytes"
	"strings"
)

// pattern is an action string in which '*' stands for any run of characters, cut at its stars and in lower case.
type pattern struct {
	first  string   // before the first star; all of it when there is none
	middle [][]byte // between stars; empty pieces left out
	last   string   // after the last star
	star   bool
}

func compilePattern(s string) pattern {
	parts := strings.Split(string(lowerASCII(nil, s)), "*")
	p := pattern{first: parts[0]}
	if len(parts) == 1 {
		return p
	}
	p.star, p.last = true, parts[len(parts)-1]
	for _, m := range parts[1 : len(parts)-1] {
		if m != "" {
			p.middle = append(p.middle, []byte(m))
		}
	}
	return p
}

// match reports whether the pattern covers an action in lower case.
func (p *pattern) match(s []byte) bool {
	if !p.star {
		return string(s) == p.first
	}
	if len(s) < len(p.first)+len(p.last) || string(s[:len(p.first)]) != p.first || string(s[len(s)-len(p.last):]) != p.last {
		return false
	}
	s = s[len(p.first) : len(s)-len(p.last)]
	// The leftmost place for each piece leaves the most room for the next.
	for _, m := range p.middle {
		i := bytes.Index(s, m)
		if i < 0 {
			return false
		}
		s = s[i+len(m):]
	}
	return true
}

func matchAny(ps []pattern, s []byte) bool {
	for i := range ps {
		if ps[i].match(s) {
			return true
		}
	}
	return false
}

// Sizes of the buffers that live on the stack; longer texts take memory from the heap.
const (
	stackAction = 256
	stackScope  = 512
)

// lowerASCII appends s to b with the letters A to Z in lower case. Action strings are ASCII (see badPattern), so no other
// letter can match one.
func lowerASCII(b []byte, s string) []byte {
	n := len(b)
	b = append(b, s...)
	for i := n; i < len(b); i++ {
		if c := b[i]; 'A' <= c && c <= 'Z' {
			b[i] = c + ('a' - 'A')
		}
	}
	return b
}
