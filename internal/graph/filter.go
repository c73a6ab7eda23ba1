package graph

import (
	"strings"
	"unicode/utf8"

	"github.com/keyreeve/keyreeve/internal/fault"
)

// filter is a parsed $filter (OData 4.01, part 2, 5.1.1), as far as the directory answers it:
//
//	expr  = all *( " or " all )
//	all   = term *( " and " term )
//	term  = "(" expr ")" / name " eq " literal / "startswith(" name "," text ")" / name "/any(" v ":" v " eq " text ")"
//
// literal is a text in quotes (” is one quote), true, false or null.
type filter struct {
	op filterOp
	// name and value are of eq, startswith and any.
	name  string
	value literal
	// terms are of and and or: two or more.
	terms []filter
}

type filterOp uint8

const (
	opEq filterOp = iota + 1
	opStartswith
	opAny
	opAnd
	opOr
)

type literal struct {
	kind literalKind
	text string
	bool bool
}

type literalKind uint8

const (
	textLiteral literalKind = iota + 1
	boolLiteral
	nullLiteral
)

// Bounds of a filter: its length in bytes, and how deep parentheses may go.
const (
	maxFilter = 8 << 10
	maxDepth  = 32
)

// String writes the filter in its canonical spelling.
func (f filter) String() string {
	var b strings.Builder
	f.write(&b)
	return b.String()
}

func (f filter) write(b *strings.Builder) {
	switch f.op {
	case opEq:
		b.WriteString(f.name + " eq " + f.value.String())
	case opStartswith:
		b.WriteString("startswith(" + f.name + "," + f.value.String() + ")")
	case opAny:
		b.WriteString(f.name + "/any(x:x eq " + f.value.String() + ")")
	case opAnd, opOr:
		for i, t := range f.terms {
			switch {
			case i > 0 && f.op == opAnd:
				b.WriteString(" and ")
			case i > 0:
				b.WriteString(" or ")
			}
			nested := len(t.terms) > 0
			if nested {
				b.WriteByte('(')
			}
			t.write(b)
			if nested {
				b.WriteByte(')')
			}
		}
	}
}

// String writes a literal as it stands in a filter.
func (l literal) String() string {
	switch {
	case l.kind == textLiteral:
		return "'" + strings.ReplaceAll(l.text, "'", "''") + "'"
	case l.kind == nullLiteral:
		return "null"
	case l.bool:
		return "true"
	}
	return "false"
}

// parseFilter reads the text of a $filter. Its errors are in Graph's words: BadRequest for what is no filter,
// Request_UnsupportedQuery for a filter the directory does not answer.
func parseFilter(text string) (*filter, error) {
	if len(text) > maxFilter || !utf8.ValidString(text) {
		return nil, fault.New(fault.Invalid, "BadRequest", "Invalid filter clause")
	}
	p := &filterParser{text: text}
	f, err := p.or(0)
	if err != nil {
		return nil, err
	}
	p.space()
	if p.at < len(p.text) {
		return nil, p.trouble()
	}
	return &f, nil
}

type filterParser struct {
	text string
	at   int
}

func (p *filterParser) trouble() error {
	return fault.New(fault.Invalid, "BadRequest", "Invalid filter clause: Syntax error at position %d in '%s'.", p.at, printable(p.text))
}

func (p *filterParser) space() {
	for p.at < len(p.text) && (p.text[p.at] == ' ' || p.text[p.at] == '\t') {
		p.at++
	}
}

// take skips space and one expected character.
func (p *filterParser) take(c byte) bool {
	p.space()
	if p.at < len(p.text) && p.text[p.at] == c {
		p.at++
		return true
	}
	return false
}

// word skips space and reads a name; it is empty if none stands there.
func (p *filterParser) word() string {
	p.space()
	start := p.at
	for p.at < len(p.text) {
		c := p.text[p.at]
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_' || c == '.'
		if !letter && (p.at == start || c < '0' || c > '9') {
			break
		}
		p.at++
	}
	return p.text[start:p.at]
}

// keyword takes a word if it is the one expected and ends there.
func (p *filterParser) keyword(want string) bool {
	was := p.at
	if fold(p.word()) == want {
		return true
	}
	p.at = was
	return false
}

func (p *filterParser) or(depth int) (filter, error) {
	return p.chain(opOr, "or", func() (filter, error) {
		return p.chain(opAnd, "and", func() (filter, error) { return p.term(depth) })
	})
}

func (p *filterParser) chain(op filterOp, keyword string, next func() (filter, error)) (filter, error) {
	first, err := next()
	if err != nil {
		return filter{}, err
	}
	terms := []filter{first}
	for p.keyword(keyword) {
		t, err := next()
		if err != nil {
			return filter{}, err
		}
		terms = append(terms, t)
	}
	if len(terms) == 1 {
		return first, nil
	}
	return filter{op: op, terms: terms}, nil
}

func (p *filterParser) term(depth int) (filter, error) {
	if p.take('(') {
		if depth == maxDepth {
			return filter{}, p.trouble()
		}
		f, err := p.or(depth + 1)
		if err != nil {
			return filter{}, err
		}
		if !p.take(')') {
			return filter{}, p.trouble()
		}
		return f, nil
	}
	name := p.word()
	if name == "" {
		return filter{}, p.trouble()
	}
	if fold(name) == "not" {
		return filter{}, unsupportedQuery("Unsupported property filter clause operator 'Not'.")
	}
	if p.at < len(p.text) {
		switch p.text[p.at] {
		case '(':
			return p.call(name)
		case '/':
			return p.any(name)
		}
	}
	if op := fold(p.word()); op != "eq" {
		switch op {
		case "ne", "gt", "ge", "lt", "le", "in", "has":
			return filter{}, unsupportedQuery("Unsupported property filter clause operator '%s'.", op)
		}
		return filter{}, p.trouble()
	}
	v, err := p.literal()
	if err != nil {
		return filter{}, err
	}
	return filter{op: opEq, name: name, value: v}, nil
}

// call reads the rest of startswith(name,'text').
func (p *filterParser) call(function string) (filter, error) {
	if fold(function) != "startswith" {
		return filter{}, unsupportedQuery("Unsupported query: function '%s' is not supported.", printable(function))
	}
	p.take('(')
	name := p.word()
	if name == "" || !p.take(',') {
		return filter{}, p.trouble()
	}
	v, err := p.literal()
	if err != nil {
		return filter{}, err
	}
	if v.kind != textLiteral || !p.take(')') {
		return filter{}, p.trouble()
	}
	return filter{op: opStartswith, name: name, value: v}, nil
}

// any reads the rest of name/any(v:v eq 'text').
func (p *filterParser) any(name string) (filter, error) {
	p.take('/')
	if !p.keyword("any") {
		return filter{}, unsupportedQuery("Complex query on property %s is not supported.", printable(name))
	}
	if !p.take('(') {
		return filter{}, p.trouble()
	}
	v := p.word()
	if v == "" || !p.take(':') || p.word() != v {
		return filter{}, p.trouble()
	}
	if p.at < len(p.text) && p.text[p.at] == '/' {
		return filter{}, unsupportedQuery("Complex query on property %s is not supported.", printable(name))
	}
	if op := p.word(); fold(op) != "eq" {
		return filter{}, unsupportedQuery("Complex query on property %s is not supported.", printable(name))
	}
	l, err := p.literal()
	if err != nil {
		return filter{}, err
	}
	if l.kind != textLiteral || !p.take(')') {
		return filter{}, p.trouble()
	}
	return filter{op: opAny, name: name, value: l}, nil
}

func (p *filterParser) literal() (literal, error) {
	p.space()
	if p.at < len(p.text) && p.text[p.at] == '\'' {
		return p.quoted()
	}
	switch p.word() {
	case "true":
		return literal{kind: boolLiteral, bool: true}, nil
	case "false":
		return literal{kind: boolLiteral}, nil
	case "null":
		return literal{kind: nullLiteral}, nil
	}
	return literal{}, p.trouble()
}

func (p *filterParser) quoted() (literal, error) {
	start := p.at
	p.at++
	var b strings.Builder
	for p.at < len(p.text) {
		c := p.text[p.at]
		p.at++
		if c != '\'' {
			b.WriteByte(c)
			continue
		}
		if p.at == len(p.text) || p.text[p.at] != '\'' {
			return literal{kind: textLiteral, text: b.String()}, nil
		}
		p.at++
		b.WriteByte('\'')
	}
	p.at = start
	return literal{}, fault.New(fault.Invalid, "BadRequest",
		"Invalid filter clause: There is an unterminated string literal at position %d in '%s'.", start, printable(p.text))
}
