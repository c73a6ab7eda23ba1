package template

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// room refuses to make n bytes where there is no room for them, before they are made.
func (in *input) room(n int) error {
	if n < 0 || n > maxGrowth-in.cost.bytes {
		return &trouble{errTooMuch.Error()}
	}
	return nil
}

func total(list []string) int {
	n := 0
	for _, s := range list {
		n += len(s)
	}
	return n
}

func textFunctions() map[string]function {
	pure := func(f func(string) string) function { return one(func(s string) (any, error) { return f(s), nil }) }
	return map[string]function{
		"tolower": pure(strings.ToLower), "toupper": pure(strings.ToUpper), "trim": pure(strings.TrimSpace),
		"startswith":  two(func(a, b string) any { return strings.HasPrefix(strings.ToLower(a), strings.ToLower(b)) }),
		"endswith":    two(func(a, b string) any { return strings.HasSuffix(strings.ToLower(a), strings.ToLower(b)) }),
		"string":      {least: 1, most: 1, do: toString},
		"concat":      {least: 1, most: -1, do: concat},
		"format":      {least: 1, most: -1, do: format},
		"padleft":     {least: 2, most: 3, do: padLeft},
		"replace":     {least: 3, most: 3, do: replace},
		"split":       {least: 2, most: 2, do: split},
		"join":        {least: 2, most: 2, do: join},
		"substring":   {least: 2, most: 3, do: substring},
		"indexof":     {least: 2, most: 2, do: find(false)},
		"lastindexof": {least: 2, most: 2, do: find(true)},
	}
}

// plain returns a value as it stands in a text.
func plain(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case nil:
		return ""
	case bool:
		if v {
			return "True"
		}
		return "False"
	}
	return Write(v)
}

func toString(in *input) (any, error) {
	if b, ok := in.args[0].(bool); ok {
		return plain(b), nil
	}
	return plain(in.args[0]), nil
}

func concat(in *input) (any, error) {
	if _, ok := in.args[0].([]any); ok {
		var out []any
		for i := range in.args {
			a, err := in.array(i)
			if err != nil {
				return nil, err
			}
			if err := in.room(16 * (len(out) + len(a))); err != nil {
				return nil, err
			}
			out = append(out, a...)
		}
		return out, nil
	}
	var parts []string
	for i, v := range in.args {
		switch v.(type) {
		case []any, *Object, nil:
			return nil, in.bad("argument %d is of type '%s' and can't be part of a string", i+1, kind(v))
		}
		parts = append(parts, plain(v))
	}
	if err := in.room(total(parts)); err != nil {
		return nil, err
	}
	return strings.Join(parts, ""), nil
}

// format fills the places {0}, {1} … of a text. {0:D3} pads an integer, {0:X} writes it in hexadecimal.
func format(in *input) (any, error) {
	form, err := in.str(0)
	if err != nil {
		return nil, err
	}
	var b strings.Builder
	for i := 0; i < len(form); i++ {
		c := form[i]
		switch {
		case (c == '{' || c == '}') && i+1 < len(form) && form[i+1] == c:
			b.WriteByte(c)
			i++
		case c == '{':
			end := strings.IndexByte(form[i:], '}')
			if end < 0 {
				return nil, in.bad("the format string has a '{' without a '}'")
			}
			s, err := in.place(form[i+1 : i+end])
			if err != nil {
				return nil, err
			}
			if err := in.room(b.Len() + len(s)); err != nil {
				return nil, err
			}
			b.WriteString(s)
			i += end
		case c == '}':
			return nil, in.bad("the format string has a '}' without a '{'")
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), nil
}

func (in *input) place(spec string) (string, error) {
	at, how, formatted := strings.Cut(spec, ":")
	n, err := strconv.Atoi(at)
	if err != nil || n < 0 || n+1 >= len(in.args) {
		return "", in.bad("the format string has the place '{%s}' and %d values", spec, len(in.args)-1)
	}
	v := in.args[n+1]
	if !formatted {
		return plain(v), nil
	}
	i, ok := v.(int64)
	width, err := strconv.Atoi("0" + how[min(1, len(how)):])
	if ok && err == nil && width < 100 && how != "" {
		switch how[0] {
		case 'D', 'd':
			if i < 0 {
				width++
			}
			return fmt.Sprintf("%0*d", width, i), nil
		case 'X':
			return fmt.Sprintf("%0*X", width, uint64(i)), nil
		case 'x':
			return fmt.Sprintf("%0*x", width, uint64(i)), nil
		}
	}
	return "", in.bad("the format '%s' of a value of type '%s' is not offered", how, kind(v))
}

func padLeft(in *input) (any, error) {
	s := plain(in.args[0])
	width, err := in.num(1)
	if err != nil {
		return nil, err
	}
	pad := " "
	if len(in.args) == 3 {
		if pad, err = in.str(2); err != nil {
			return nil, err
		}
	}
	if utf8.RuneCountInString(pad) != 1 || width < 0 || width > maxGrowth {
		return nil, in.bad("the width or the padding character is out of range")
	}
	missing := int(width) - utf8.RuneCountInString(s)
	if missing <= 0 {
		return s, nil
	}
	if err := in.room(missing*len(pad) + len(s)); err != nil {
		return nil, err
	}
	return strings.Repeat(pad, missing) + s, nil
}

func replace(in *input) (any, error) {
	s, err := in.strs()
	if err != nil {
		return nil, err
	}
	if s[1] == "" {
		return nil, in.bad("the text to replace is empty")
	}
	if err := in.room(len(s[0]) + strings.Count(s[0], s[1])*len(s[2])); err != nil {
		return nil, err
	}
	return strings.ReplaceAll(s[0], s[1], s[2]), nil
}

func split(in *input) (any, error) {
	s, err := in.str(0)
	if err != nil {
		return nil, err
	}
	var seps []string
	switch v := in.args[1].(type) {
	case string:
		seps = []string{v}
	case []any:
		for _, x := range v {
			t, ok := x.(string)
			if !ok {
				return nil, in.bad("a delimiter is of type '%s'", kind(x))
			}
			seps = append(seps, t)
		}
	default:
		return nil, in.bad("the delimiter is of type '%s'", kind(v))
	}
	parts := []string{s}
	for _, sep := range seps {
		if sep == "" {
			continue
		}
		var next []string
		for _, p := range parts {
			if err := in.room(16 * (len(next) + strings.Count(p, sep) + 1)); err != nil {
				return nil, err
			}
			next = append(next, strings.Split(p, sep)...)
		}
		parts = next
		if err := in.scope.cost.step(); err != nil {
			return nil, err
		}
	}
	out := make([]any, len(parts))
	for i, p := range parts {
		out[i] = p
	}
	return out, nil
}

func join(in *input) (any, error) {
	list, err := in.array(0)
	if err != nil {
		return nil, err
	}
	sep, err := in.str(1)
	if err != nil {
		return nil, err
	}
	parts := make([]string, len(list))
	for i, v := range list {
		parts[i] = plain(v)
	}
	if err := in.room(total(parts) + len(sep)*len(parts)); err != nil {
		return nil, err
	}
	return strings.Join(parts, sep), nil
}

// units are a text's UTF-16 code units, in which the language counts.
func units(s string) []uint16 { return utf16.Encode([]rune(s)) }

func substring(in *input) (any, error) {
	s, err := in.str(0)
	if err != nil {
		return nil, err
	}
	start, err := in.num(1)
	if err != nil {
		return nil, err
	}
	u := units(s)
	length := int64(len(u)) - start
	if len(in.args) == 3 && in.args[2] != nil {
		if length, err = in.num(2); err != nil {
			return nil, err
		}
	}
	if start < 0 || start > int64(len(u)) || length < 0 || length > int64(len(u))-start {
		return nil, in.bad("the index and length must refer to a location within the string: the index is '%d', the length '%d', and the string has %d characters",
			start, length, len(u))
	}
	return string(utf16.Decode(u[start : start+length])), nil
}

// find returns where something stands, without case for texts; -1 is nowhere.
func find(last bool) func(in *input) (any, error) {
	return func(in *input) (any, error) {
		if list, ok := in.args[0].([]any); ok {
			at := int64(-1)
			for i, v := range list {
				if same(v, in.args[1]) {
					at = int64(i)
					if !last {
						break
					}
				}
			}
			return at, nil
		}
		s, err := in.strs()
		if err != nil {
			return nil, err
		}
		look := strings.Index
		if last {
			look = strings.LastIndex
		}
		low := strings.Map(unicode.ToLower, s[0])
		i := look(low, strings.Map(unicode.ToLower, s[1]))
		if i < 0 {
			return int64(-1), nil
		}
		return int64(len(units(low[:i]))), nil
	}
}
