package template

import (
	"fmt"
	"strconv"
	"strings"
)

// expression is a parsed expression: text, number, call, member or index.
type expression interface{ show(b *strings.Builder) }

type (
	text   string
	number int64
	// call is a function's name with its namespace, if any, and its arguments.
	call struct {
		space, name string
		args        []expression
	}
	// member is X.name, or X.?name, which is null where there is no such member.
	member struct {
		of   expression
		name string
		safe bool
	}
	// index is X[Y], or X[?Y].
	index struct {
		of, at expression
		safe   bool
	}
)

func (x text) show(b *strings.Builder) {
	b.WriteString("'" + strings.ReplaceAll(string(x), "'", "''") + "'")
}
func (x number) show(b *strings.Builder) { b.WriteString(strconv.FormatInt(int64(x), 10)) }
func (x *call) show(b *strings.Builder) {
	if x.space != "" {
		b.WriteString(x.space + ".")
	}
	b.WriteString(x.name + "(")
	for i, a := range x.args {
		if i > 0 {
			b.WriteString(", ")
		}
		a.show(b)
	}
	b.WriteByte(')')
}

func (x *member) show(b *strings.Builder) {
	x.of.show(b)
	b.WriteByte('.')
	if x.safe {
		b.WriteByte('?')
	}
	b.WriteString(x.name)
}

func (x *index) show(b *strings.Builder) {
	x.of.show(b)
	b.WriteByte('[')
	if x.safe {
		b.WriteByte('?')
	}
	x.at.show(b)
	b.WriteByte(']')
}

// source tells an expression from a plain string: [x] is one, [[x] is the text [x].
func source(s string) (expr, plain string, isExpr bool) {
	switch {
	case len(s) < 2 || s[0] != '[' || s[len(s)-1] != ']':
		return "", s, false
	case s[1] == '[':
		return "", s[1:], false
	}
	return s[1 : len(s)-1], "", true
}

// parseExpression reads the inside of the outer brackets.
func parseExpression(s string) (expression, error) {
	if len(s) > maxExpression {
		return nil, &trouble{fmt.Sprintf("The template language expression has %d characters, over the limit of %d.", len(s), maxExpression)}
	}
	p := &parser{s: s}
	x, err := p.expression(0)
	if err != nil {
		return nil, err
	}
	if p.space(); p.at < len(s) {
		return nil, p.bad("the end")
	}
	return x, nil
}

type parser struct {
	s  string
	at int
}

func (p *parser) bad(expected string) error {
	got := "EndOfData"
	if p.at < len(p.s) {
		got = string([]rune(p.s[p.at:])[0])
	}
	return &trouble{fmt.Sprintf("The language expression is not valid: %s is expected at position %d, and there is '%s'. "+
		"Please see https://aka.ms/arm-template-expressions for usage details.", expected, p.at, got)}
}

func (p *parser) space() {
	for p.at < len(p.s) && strings.IndexByte(" \t\r\n", p.s[p.at]) >= 0 {
		p.at++
	}
}

// take skips white space and takes a byte if it is next.
func (p *parser) take(c byte) bool {
	p.space()
	if p.at < len(p.s) && p.s[p.at] == c {
		p.at++
		return true
	}
	return false
}

func (p *parser) expression(depth int) (expression, error) {
	if depth > maxDepth {
		return nil, &trouble{fmt.Sprintf("The template language expression is nested deeper than %d.", maxDepth)}
	}
	x, err := p.primary(depth)
	for n := 0; err == nil; n++ {
		switch {
		case n > maxDepth:
			return nil, &trouble{fmt.Sprintf("The template language expression has more than %d accesses in a row.", maxDepth)}
		case p.take('.'):
			m := &member{of: x, safe: p.take('?')}
			if m.name = p.word(); m.name == "" {
				return nil, p.bad("a name")
			}
			x = m
		case p.take('['):
			i := &index{of: x, safe: p.take('?')}
			if i.at, err = p.expression(depth + 1); err == nil && !p.take(']') {
				err = p.bad("']'")
			}
			x = i
		default:
			return x, nil
		}
	}
	return nil, err
}

func (p *parser) primary(depth int) (expression, error) {
	p.space()
	if p.at >= len(p.s) {
		return nil, p.bad("an expression")
	}
	switch c := p.s[p.at]; {
	case c == '\'':
		return p.text()
	case c == '-' || c == '+' || c >= '0' && c <= '9':
		return p.number()
	}
	name := p.word()
	if name == "" {
		return nil, p.bad("a function")
	}
	x := &call{name: name}
	if p.take('.') {
		x.space = name
		if x.name = p.word(); x.name == "" {
			return nil, p.bad("a function")
		}
	}
	if !p.take('(') {
		return nil, p.bad("'('")
	}
	if p.take(')') {
		return x, nil
	}
	for {
		a, err := p.expression(depth + 1)
		if err != nil {
			return nil, err
		}
		x.args = append(x.args, a)
		if p.take(')') {
			return x, nil
		}
		if !p.take(',') {
			return nil, p.bad("',' or ')'")
		}
	}
}

// word takes a name.
func (p *parser) word() string {
	p.space()
	start := p.at
	for p.at < len(p.s) {
		c := p.s[p.at]
		letter := c == '_' || c|0x20 >= 'a' && c|0x20 <= 'z'
		if !letter && (p.at == start || c < '0' || c > '9') {
			break
		}
		p.at++
	}
	return p.s[start:p.at]
}

func (p *parser) text() (expression, error) {
	var b strings.Builder
	for p.at++; p.at < len(p.s); p.at++ {
		c := p.s[p.at]
		if c != '\'' {
			b.WriteByte(c)
			continue
		}
		if p.at+1 < len(p.s) && p.s[p.at+1] == '\'' {
			b.WriteByte(c)
			p.at++
			continue
		}
		p.at++
		return text(b.String()), nil
	}
	return nil, p.bad("a closing quote")
}

func (p *parser) number() (expression, error) {
	start := p.at
	for p.at++; p.at < len(p.s) && p.s[p.at] >= '0' && p.s[p.at] <= '9'; {
		p.at++
	}
	n, err := strconv.ParseInt(p.s[start:p.at], 10, 64)
	if err != nil {
		p.at = start
		return nil, p.bad("a whole number of 64 bits")
	}
	return number(n), nil
}
