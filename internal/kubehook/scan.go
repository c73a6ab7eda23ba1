package kubehook

import (
	"errors"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// scanner reads one JSON text, without reflection and without building what nobody asked for. Its grammar is that of
// encoding/json: bad UTF-8 and lone surrogates become U+FFFD, nesting ends at maxDepth.
type scanner struct {
	text  string
	at    int
	depth int
}

// maxDepth is how deep encoding/json reads.
const maxDepth = 10000

var errSyntax = errors.New("not a JSON text")

// fail is an error that says where.
func (s *scanner) fail(what string) error {
	return &scanError{what: what, at: s.at}
}

type scanError struct {
	what string
	at   int
}

func (e *scanError) Error() string { return "JSON at byte " + strconv.Itoa(e.at) + ": " + e.what }

func (e *scanError) Unwrap() error { return errSyntax }

// peek skips space and returns the next byte, 0 at the end.
func (s *scanner) peek() byte {
	for s.at < len(s.text) {
		switch c := s.text[s.at]; c {
		case ' ', '\t', '\r', '\n':
			s.at++
		default:
			return c
		}
	}
	return 0
}

// take skips space and takes one byte if it is next.
func (s *scanner) take(c byte) bool {
	if s.peek() != c {
		return false
	}
	s.at++
	return true
}

// end makes sure that nothing follows.
func (s *scanner) end() error {
	if s.peek() != 0 || s.at != len(s.text) {
		return s.fail("more than one value")
	}
	return nil
}

// null takes a null if it is next.
func (s *scanner) null() bool {
	if s.peek() != 'n' || !s.word("null") {
		return false
	}
	return true
}

func (s *scanner) word(w string) bool {
	if len(s.text)-s.at < len(w) || s.text[s.at:s.at+len(w)] != w {
		return false
	}
	s.at += len(w)
	return true
}

// object reads an object and calls field for each of its members, which must read the value. null is an object without any.
func (s *scanner) object(field func(key string) error) error {
	if s.null() {
		return nil
	}
	if err := s.open('{', "an object"); err != nil {
		return err
	}
	if s.take('}') {
		s.depth--
		return nil
	}
	for {
		key, err := s.str()
		if err != nil {
			return err
		}
		if !s.take(':') {
			return s.fail("a colon is missing")
		}
		if err := field(key); err != nil {
			return err
		}
		if s.take(',') {
			continue
		}
		if !s.take('}') {
			return s.fail("an object does not end")
		}
		s.depth--
		return nil
	}
}

// array reads an array and calls element for each of its values, which must read it. null is one without any.
func (s *scanner) array(element func() error) error {
	if s.null() {
		return nil
	}
	if err := s.open('[', "a list"); err != nil {
		return err
	}
	if s.take(']') {
		s.depth--
		return nil
	}
	for {
		if err := element(); err != nil {
			return err
		}
		if s.take(',') {
			continue
		}
		if !s.take(']') {
			return s.fail("a list does not end")
		}
		s.depth--
		return nil
	}
}

func (s *scanner) open(bracket byte, what string) error {
	if !s.take(bracket) {
		return s.fail(what + " is needed")
	}
	if s.depth++; s.depth > maxDepth {
		return s.fail("too deep")
	}
	return nil
}

// skip reads any value.
func (s *scanner) skip() error {
	switch c := s.peek(); c {
	case '{':
		return s.object(func(string) error { return s.skip() })
	case '[':
		return s.array(s.skip)
	case '"':
		_, err := s.raw()
		return err
	case 't', 'f', 'n':
		if s.word("true") || s.word("false") || s.word("null") {
			return nil
		}
		return s.fail("no value")
	default:
		return s.number()
	}
}

// number reads a number and forgets it.
func (s *scanner) number() error {
	digits := func() bool {
		from := s.at
		for s.at < len(s.text) && '0' <= s.text[s.at] && s.text[s.at] <= '9' {
			s.at++
		}
		return s.at > from
	}
	next := func(either string) bool {
		if s.at < len(s.text) && (s.text[s.at] == either[0] || s.text[s.at] == either[len(either)-1]) {
			s.at++
			return true
		}
		return false
	}
	next("-")
	if !next("0") && !digits() {
		return s.fail("no value")
	}
	if next(".") && !digits() {
		return s.fail("a number does not end")
	}
	if next("eE") {
		next("+-")
		if !digits() {
			return s.fail("a number does not end")
		}
	}
	return nil
}

// optional reads a string; null is the empty one.
func (s *scanner) optional() (string, error) {
	if s.null() {
		return "", nil
	}
	return s.str()
}

// str reads a string. What needs no unescaping is a part of the text, not a copy.
func (s *scanner) str() (string, error) {
	raw, err := s.raw()
	if err != nil {
		return "", err
	}
	for i := range len(raw) {
		if raw[i] == '\\' || raw[i] >= utf8.RuneSelf {
			return unescape(raw), nil
		}
	}
	return raw, nil
}

// raw reads a string and returns what is between its quotes, which is well-formed.
func (s *scanner) raw() (string, error) {
	if !s.take('"') {
		return "", s.fail("a string is needed")
	}
	from := s.at
	for s.at < len(s.text) {
		switch c := s.text[s.at]; {
		case c == '"':
			s.at++
			return s.text[from : s.at-1], nil
		case c < ' ':
			return "", s.fail("a control character in a string")
		case c == '\\':
			if err := s.escape(); err != nil {
				return "", err
			}
		default:
			s.at++
		}
	}
	return "", s.fail("a string does not end")
}

// escape passes over one escape.
func (s *scanner) escape() error {
	s.at++
	if s.at >= len(s.text) {
		return s.fail("a string does not end")
	}
	switch s.text[s.at] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		s.at++
		return nil
	case 'u':
		if _, ok := hex4(s.text[s.at+1:]); ok {
			s.at += 5
			return nil
		}
	}
	return s.fail("no such escape")
}

func hex4(s string) (rune, bool) {
	if len(s) < 4 {
		return 0, false
	}
	var r rune
	for i := range 4 {
		c := s[i]
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// unescape turns what raw returned into what it means.
func unescape(raw string) string {
	b := make([]byte, 0, len(raw)+2*utf8.UTFMax)
	for i := 0; i < len(raw); {
		c := raw[i]
		switch {
		case c != '\\' && c < utf8.RuneSelf:
			b = append(b, c)
			i++
		case c != '\\':
			r, n := utf8.DecodeRuneInString(raw[i:])
			b = utf8.AppendRune(b, r)
			i += n
		case raw[i+1] != 'u':
			b = append(b, unletter(raw[i+1]))
			i += 2
		default:
			r, _ := hex4(raw[i+2:])
			i += 6
			if utf16.IsSurrogate(r) {
				low := rune(-1)
				if i+1 < len(raw) && raw[i] == '\\' && raw[i+1] == 'u' {
					low, _ = hex4(raw[i+2:])
				}
				if r = utf16.DecodeRune(r, low); r != utf8.RuneError {
					i += 6
				}
			}
			b = utf8.AppendRune(b, r)
		}
	}
	return string(b)
}

// unletter is what a one-letter escape stands for.
func unletter(c byte) byte {
	switch c {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return c // quote, backslash, slash
}

// appendString appends a JSON string.
func appendString(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < ' ' || c == 0x7f:
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		case c < utf8.RuneSelf:
			b = append(b, c)
		default:
			r, n := utf8.DecodeRuneInString(s[i:])
			b = utf8.AppendRune(b, r)
			i += n
			continue
		}
		i++
	}
	return append(b, '"')
}
