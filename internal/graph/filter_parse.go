package graph

import (
	"strings"
	"time"
	"unicode/utf8"

	"github.com/keyreeve/keyreeve/internal/fault"
)

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
	text  string
	at    int
	terms int
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
	if p.terms++; p.terms > maxTerms {
		return filter{}, unsupportedQuery("The filter has too many clauses: the limit is %d.", maxTerms)
	}
	if p.keyword("not") {
		if depth == maxDepth {
			return filter{}, p.trouble()
		}
		f, err := p.term(depth + 1)
		if err != nil {
			return filter{}, err
		}
		return filter{op: opNot, terms: []filter{f}}, nil
	}
	name := p.word()
	if name == "" {
		return filter{}, p.trouble()
	}
	if p.at < len(p.text) {
		switch p.text[p.at] {
		case '(':
			return p.call(name)
		case '/':
			return p.any(name)
		}
	}
	return p.compare(name)
}

// compare reads the rest of name op literal, and of name in (literal, …).
func (p *filterParser) compare(name string) (filter, error) {
	word := fold(p.word())
	if word == "in" {
		return p.in(name)
	}
	op, ok := comparison(word)
	if !ok {
		if word == "has" {
			return filter{}, unsupportedQuery("Unsupported property filter clause operator '%s'.", word)
		}
		return filter{}, p.trouble()
	}
	v, err := p.literal()
	if err != nil {
		return filter{}, err
	}
	return filter{op: op, name: name, value: v}, nil
}

// maxIn is how many values an in may have (Microsoft Graph, $filter).
const maxIn = 15

func (p *filterParser) in(name string) (filter, error) {
	if !p.take('(') {
		return filter{}, p.trouble()
	}
	var terms []filter
	for {
		v, err := p.literal()
		if err != nil {
			return filter{}, err
		}
		terms = append(terms, filter{op: opEq, name: name, value: v})
		if p.terms++; p.terms > maxTerms {
			return filter{}, unsupportedQuery("The filter has too many clauses: the limit is %d.", maxTerms)
		}
		if len(terms) > maxIn {
			return filter{}, unsupportedQuery("Too many values in the 'in' clause for property '%s': the limit is %d.", printable(name), maxIn)
		}
		if p.take(')') {
			break
		}
		if !p.take(',') {
			return filter{}, p.trouble()
		}
	}
	if len(terms) == 1 {
		return terms[0], nil
	}
	return filter{op: opOr, terms: terms}, nil
}

// call reads the rest of startswith(name,'text') and endswith(name,'text').
func (p *filterParser) call(function string) (filter, error) {
	op, ok := map[string]filterOp{"startswith": opStartswith, "endswith": opEndswith}[fold(function)]
	if !ok {
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
	return filter{op: op, name: name, value: v}, nil
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
	if p.at < len(p.text) && '0' <= p.text[p.at] && p.text[p.at] <= '9' {
		return p.instant()
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

// instant reads a time: 2026-03-01T12:00:00Z, or a day.
func (p *filterParser) instant() (literal, error) {
	start := p.at
	for p.at < len(p.text) && strings.IndexByte(" \t(),", p.text[p.at]) < 0 {
		p.at++
	}
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
		// In UTC and between the years 1 and 9999, so that it can be written again.
		if t, err := time.Parse(layout, p.text[start:p.at]); err == nil && t.UTC().Year() > 0 && t.UTC().Year() < 10000 {
			return literal{kind: timeLiteral, time: t.UTC()}, nil
		}
	}
	p.at = start
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
