package rbac

import (
	"bytes"
	"encoding/binary"
	"strings"
	"unicode/utf8"
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

// patterns is a list of patterns as tables: what is asked of a role is mostly one of many plain action strings.
type patterns struct {
	all   bool                // one of them is "*"
	exact map[string]struct{} // without a star
	below map[string]struct{} // "X/*", as "X/"
	other []pattern
	texts []string // all, in lower case
}

func newPatterns(in []string) patterns {
	var p patterns
	for _, s := range in {
		s = string(lowerASCII(nil, s))
		p.texts = append(p.texts, s)
		switch stars := strings.Count(s, "*"); {
		case s == "*":
			p.all = true
		case stars == 0:
			p.exact = putText(p.exact, s)
		case stars == 1 && strings.HasSuffix(s, "/*"):
			p.below = putText(p.below, strings.TrimSuffix(s, "*"))
		default:
			p.other = append(p.other, compilePattern(s))
		}
	}
	return p
}

func putText(m map[string]struct{}, s string) map[string]struct{} {
	if m == nil {
		m = map[string]struct{}{}
	}
	m[s] = struct{}{}
	return m
}

// match reports whether some pattern covers an action in lower case. A star in the action is a character like others, which
// only a pattern's star covers: so an action that stands for many is covered when all of them are.
func (p *patterns) match(s []byte) bool {
	if p.all {
		return true
	}
	if len(p.exact) > 0 {
		if _, ok := p.exact[string(s)]; ok {
			return true
		}
	}
	if len(p.below) > 0 {
		for i := len(s); i > 0; i = bytes.LastIndexByte(s[:i-1], '/') + 1 {
			if s[i-1] != '/' {
				continue
			}
			if _, ok := p.below[string(s[:i])]; ok {
				return true
			}
		}
	}
	for i := range p.other {
		if p.other[i].match(s) {
			return true
		}
	}
	return false
}

// meets reports whether some action that s stands for is covered; s has stars.
func (p *patterns) meets(s []byte) bool {
	for _, t := range p.texts {
		if meet(t, string(s)) {
			return true
		}
	}
	return false
}

// meet reports whether two patterns have an action in common.
func meet(a, b string) bool {
	// row[j] says whether a[i:] and b[j:] have something in common, from the ends back.
	row := make([]bool, len(b)+1)
	for i := len(a); i >= 0; i-- {
		diagonal := false // row[j+1] of the row before
		for j := len(b); j >= 0; j-- {
			was := row[j]
			right := j < len(b) && row[j+1]
			switch {
			case i == len(a) && j == len(b):
				row[j] = true
			case i < len(a) && a[i] == '*':
				row[j] = was || right
			case j < len(b) && b[j] == '*':
				row[j] = right || i < len(a) && was
			default:
				row[j] = i < len(a) && j < len(b) && a[i] == b[j] && diagonal
			}
			diagonal = was
		}
	}
	return row[0]
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
	lowerInPlace(b[n:])
	return b
}

// One byte of each of eight.
const (
	ones = 0x0101010101010101
	tops = 0x8080808080808080
)

// lowerWord lowers the letters A to Z among eight bytes: adding carries into a byte's top bit when the rest of it is at least A, or
// beyond Z.
func lowerWord(w uint64) uint64 {
	rest := w &^ tops
	letters := (rest + (0x80-'A')*ones) &^ (rest + (0x7f-'Z')*ones) &^ w & tops
	return w | letters>>2
}

// lowerInPlace lowers the letters A to Z of b itself, eight bytes at a time.
func lowerInPlace(b []byte) {
	for ; len(b) >= 8; b = b[8:] {
		binary.LittleEndian.PutUint64(b, lowerWord(binary.LittleEndian.Uint64(b)))
	}
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + ('a' - 'A')
		}
	}
}

func isASCII(b []byte) bool {
	for ; len(b) >= 8; b = b[8:] {
		if binary.LittleEndian.Uint64(b)&tops != 0 {
			return false
		}
	}
	for _, c := range b {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
