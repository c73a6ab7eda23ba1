package template

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/keyreeve/keyreeve/internal/fault"
)

// Read reads the JSON that clients send with templates in it. Beyond JSON it takes what their files have: comments, names
// without quotes, single quotes, commas before a closing bracket, and line ends inside strings.
func Read(b []byte) (any, error) {
	r := &reader{b: b}
	if bytes.HasPrefix(b, []byte("\ufeff")) {
		r.at = len("\ufeff")
	}
	v, err := r.value(0)
	if err == nil {
		err = r.space()
	}
	if err == nil && r.at < len(b) {
		err = r.bad("there is more after the value")
	}
	if err != nil {
		return nil, err
	}
	return v, nil
}

type reader struct {
	b  []byte
	at int
}

func (r *reader) bad(format string, args ...any) error {
	before := string(r.b[:min(r.at, len(r.b))])
	line := strings.Count(before, "\n") + 1
	column := len(before) - strings.LastIndexByte(before, '\n')
	return fault.New(fault.Invalid, "InvalidRequestContent",
		"The request content was invalid and could not be deserialized: '%s, line %d, position %d.'.", fmt.Sprintf(format, args...), line, column)
}

// peek returns the next byte, or 0 at the end.
func (r *reader) peek() byte {
	if r.at < len(r.b) {
		return r.b[r.at]
	}
	return 0
}

// space skips white space and comments.
func (r *reader) space() error {
	for r.at < len(r.b) {
		switch c := r.b[r.at]; {
		case c == ' ' || c == '\t' || c == '\r' || c == '\n':
			r.at++
		case c == '/' && r.at+1 < len(r.b) && r.b[r.at+1] == '/':
			for r.at < len(r.b) && r.b[r.at] != '\n' {
				r.at++
			}
		case c == '/' && r.at+1 < len(r.b) && r.b[r.at+1] == '*':
			end := bytes.Index(r.b[r.at+2:], []byte("*/"))
			if end < 0 {
				return r.bad("a comment has no end")
			}
			r.at += end + 4
		default:
			return nil
		}
	}
	return nil
}

func (r *reader) value(depth int) (any, error) {
	if depth > maxDepth {
		return nil, r.bad("values are nested deeper than %d", maxDepth)
	}
	if err := r.space(); err != nil {
		return nil, err
	}
	switch c := r.peek(); {
	case c == '{':
		return r.object(depth)
	case c == '[':
		return r.array(depth)
	case c == '"' || c == '\'':
		return r.text()
	case c == '-' || c >= '0' && c <= '9':
		return r.number()
	}
	switch w := r.word(); w {
	case "true":
		return true, nil
	case "false":
		return false, nil
	case "null":
		return nil, nil
	default:
		return nil, r.bad("a value is expected")
	}
}

// word takes a run of letters, digits, '_' and '$'.
func (r *reader) word() string {
	start := r.at
	for r.at < len(r.b) {
		c := r.b[r.at]
		if c != '_' && c != '$' && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') {
			break
		}
		r.at++
	}
	return string(r.b[start:r.at])
}

func (r *reader) object(depth int) (any, error) {
	o := NewObject()
	r.at++
	for {
		if err := r.space(); err != nil {
			return nil, err
		}
		if r.peek() == '}' {
			r.at++
			return o, nil
		}
		name, err := r.name()
		if err != nil {
			return nil, err
		}
		if err := r.space(); err != nil {
			return nil, err
		}
		if r.peek() != ':' {
			return nil, r.bad("':' is expected after a name")
		}
		r.at++
		v, err := r.value(depth + 1)
		if err != nil {
			return nil, err
		}
		o.Set(name, v)
		if err := r.next('}'); err != nil {
			return nil, err
		}
	}
}

func (r *reader) name() (string, error) {
	if c := r.peek(); c == '"' || c == '\'' {
		return r.text()
	}
	if w := r.word(); w != "" {
		return w, nil
	}
	return "", r.bad("a name is expected")
}

func (r *reader) array(depth int) (any, error) {
	out := []any{}
	r.at++
	for {
		if err := r.space(); err != nil {
			return nil, err
		}
		if r.peek() == ']' {
			r.at++
			return out, nil
		}
		v, err := r.value(depth + 1)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
		if err := r.next(']'); err != nil {
			return nil, err
		}
	}
}

// next takes a comma, or stands before the closing bracket.
func (r *reader) next(closing byte) error {
	if err := r.space(); err != nil {
		return err
	}
	switch r.peek() {
	case ',':
		r.at++
		return nil
	case closing:
		return nil
	}
	return r.bad("',' or '%c' is expected", closing)
}

func (r *reader) number() (any, error) {
	start := r.at
	for r.at < len(r.b) && strings.IndexByte("+-.0123456789eE", r.b[r.at]) >= 0 {
		r.at++
	}
	s := string(r.b[start:r.at])
	if n, err := strconv.ParseInt(s, 10, 64); err == nil && json.Valid([]byte(s)) {
		return n, nil
	}
	if !json.Valid([]byte(s)) {
		return nil, r.bad("a number is malformed")
	}
	return json.Number(s), nil
}

func (r *reader) text() (string, error) {
	quote := r.b[r.at]
	r.at++
	var out []byte
	for r.at < len(r.b) {
		switch c := r.b[r.at]; c {
		case quote:
			r.at++
			if !utf8.Valid(out) {
				return "", r.bad("a string is not UTF-8")
			}
			return string(out), nil
		case '\\':
			var err error
			if out, err = r.escape(out); err != nil {
				return "", err
			}
		case 0:
			return "", r.bad("a string has a NUL in it")
		default:
			out = append(out, c)
			r.at++
		}
	}
	return "", r.bad("a string has no end")
}

func (r *reader) escape(out []byte) ([]byte, error) {
	if r.at+1 >= len(r.b) {
		return nil, r.bad("a string has no end")
	}
	c := r.b[r.at+1]
	if c == 'u' {
		u, ok := r.hex()
		if !ok {
			return nil, r.bad("an escape is malformed")
		}
		if utf16.IsSurrogate(u) {
			low, ok := r.hex()
			if u = utf16.DecodeRune(u, low); !ok || u == utf8.RuneError {
				return nil, r.bad("half of a surrogate pair stands alone")
			}
		}
		return utf8.AppendRune(out, u), nil
	}
	i := strings.IndexByte(`"\/'bfnrt`, c)
	if i < 0 {
		return nil, r.bad("an escape is unknown")
	}
	r.at += 2
	return append(out, "\"\\/'\b\f\n\r\t"[i]), nil
}

// hex takes one \uXXXX.
func (r *reader) hex() (rune, bool) {
	if r.at+6 > len(r.b) || r.b[r.at] != '\\' || r.b[r.at+1] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(string(r.b[r.at+2:r.at+6]), 16, 16)
	if err != nil || n == 0 {
		return 0, false
	}
	r.at += 6
	return rune(n), true
}
