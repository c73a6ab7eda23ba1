package rbac

import (
	"fmt"
	"slices"
	"strings"

	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
)

// Bounds of a condition: bytes, and how deep it may be nested.
const (
	maxCondition = 8 << 10
	maxCondDepth = 64
)

// ParseCondition reads a condition of version 2.0. What it cannot read is an Invalid fault that says where.
//
//	expression = term { AND term } | term { OR term }          not mixed without parentheses
//	term       = [ NOT ] ( "(" expression ")" | ActionMatches{'…'} | SubOperationMatches{'…'} | [Not]Exists attribute
//	             | attribute [ quantifier: ] operator ( value | {value, …} ) )
//	attribute  = @Request[ Provider/type:Name ] or @Resource[…]
//	operator   = String[Not](Equals | StartsWith | Like)[IgnoreCase] | Guid[Not]Equals
//	value      = 'text', or of a Guid operator also a GUID without quotes
//
// AND, OR and NOT are also &&, || and !. Words are read without case. Attributes that no request here ever has are
// refused: such a condition could never do what it says.
func ParseCondition(text string) (*Condition, error) {
	if len(text) > maxCondition {
		return nil, badCondition("it is longer than %d bytes", maxCondition)
	}
	p := condParser{text: text}
	root, err := p.expression(0)
	if err != nil {
		return nil, err
	}
	if p.space(); p.at < len(text) {
		return nil, p.fail("there is more than one expression")
	}
	return &Condition{text: text, root: root}, nil
}

func badCondition(format string, args ...any) *fault.Error {
	return fault.New(fault.Invalid, "InvalidCondition", "The condition is not valid: %s.", fmt.Sprintf(format, args...)).At("properties.condition")
}

type condParser struct {
	text string
	at   int
}

func (p *condParser) fail(format string, args ...any) error {
	return badCondition("%s, at character %d", fmt.Sprintf(format, args...), p.at+1)
}

func (p *condParser) space() {
	for p.at < len(p.text) && strings.IndexByte(" \t\r\n", p.text[p.at]) >= 0 {
		p.at++
	}
}

// take takes a piece of punctuation, if it is next.
func (p *condParser) take(s string) bool {
	p.space()
	if !strings.HasPrefix(p.text[p.at:], s) {
		return false
	}
	p.at += len(s)
	return true
}

// word takes the letters and digits that are next.
func (p *condParser) word() string {
	p.space()
	start := p.at
	for p.at < len(p.text) {
		c := p.text[p.at]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9') {
			break
		}
		p.at++
	}
	return p.text[start:p.at]
}

// keyword takes a word, if it is next.
func (p *condParser) keyword(w string) bool {
	before := p.at
	if strings.EqualFold(p.word(), w) {
		return true
	}
	p.at = before
	return false
}

func (p *condParser) and() bool { return p.take("&&") || p.keyword("AND") }
func (p *condParser) or() bool  { return p.take("||") || p.keyword("OR") }

func (p *condParser) expression(depth int) (*condNode, error) {
	if depth > maxCondDepth {
		return nil, p.fail("it is nested too deep")
	}
	first, err := p.term(depth)
	if err != nil {
		return nil, err
	}
	var out *condNode
	for {
		var op condOp
		switch {
		case p.and():
			op = opAnd
		case p.or():
			op = opOr
		default:
			if out == nil {
				return first, nil
			}
			return out, nil
		}
		if out == nil {
			out = &condNode{op: op, kids: []*condNode{first}}
		}
		if out.op != op {
			return nil, p.fail("AND and OR stand side by side without parentheses")
		}
		next, err := p.term(depth)
		if err != nil {
			return nil, err
		}
		out.kids = append(out.kids, next)
	}
}

func (p *condParser) term(depth int) (*condNode, error) {
	if p.take("!") || p.keyword("NOT") {
		if depth++; depth > maxCondDepth {
			return nil, p.fail("it is nested too deep")
		}
		kid, err := p.term(depth)
		if err != nil {
			return nil, err
		}
		return &condNode{op: opNot, kids: []*condNode{kid}}, nil
	}
	if p.take("(") {
		kid, err := p.expression(depth + 1)
		if err != nil {
			return nil, err
		}
		if !p.take(")") {
			return nil, p.fail("')' is missing")
		}
		return kid, nil
	}
	if p.space(); p.at < len(p.text) && p.text[p.at] == '@' {
		return p.comparison()
	}
	switch w := p.word(); strings.ToLower(w) {
	case "actionmatches":
		return p.matches(opAction)
	case "suboperationmatches":
		return p.matches(opSubAction)
	case "exists":
		attr, err := p.attribute()
		return &condNode{op: opExists, attr: attr}, err
	case "notexists":
		attr, err := p.attribute()
		return &condNode{op: opNot, kids: []*condNode{{op: opExists, attr: attr}}}, err
	case "":
		return nil, p.fail("an expression is missing")
	default:
		return nil, p.fail("%q is not known", w)
	}
}

func (p *condParser) matches(op condOp) (*condNode, error) {
	if !p.take("{") {
		return nil, p.fail("'{' is missing")
	}
	text, err := p.quoted()
	if err != nil {
		return nil, err
	}
	if !p.take("}") {
		return nil, p.fail("'}' is missing")
	}
	if why := badPattern(text); why != "" && op == opAction {
		return nil, p.fail("the action string %s", why)
	}
	return &condNode{op: op, pattern: compilePattern(text)}, nil
}

// attribute takes @Request[…] or @Resource[…].
func (p *condParser) attribute() (attribute, error) {
	if !p.take("@") {
		return attrNone, p.fail("an attribute of @Request or @Resource is missing")
	}
	resource := p.keyword("Resource")
	if !resource && !p.keyword("Request") {
		return attrNone, p.fail("an attribute of @Request or @Resource is missing")
	}
	if !p.take("[") {
		return attrNone, p.fail("'[' is missing")
	}
	end := strings.IndexByte(p.text[p.at:], ']')
	if end < 0 {
		return attrNone, p.fail("']' is missing")
	}
	name := strings.TrimSpace(p.text[p.at : p.at+end])
	a := attributeOf(string(lowerASCII(nil, name)), resource)
	if a == attrNone {
		return a, p.fail("the attribute %q is not one of Kubernetes requests or of role assignments", name)
	}
	p.at += end + 1
	return a, nil
}

func (p *condParser) comparison() (*condNode, error) {
	attr, err := p.attribute()
	if err != nil {
		return nil, err
	}
	n := &condNode{op: opCompare, attr: attr}
	w := p.word()
	quantified := p.take(":")
	if quantified {
		switch strings.ToLower(w) {
		case "foranyofanyvalues", "forallofanyvalues":
		case "foranyofallvalues", "forallofallvalues":
			n.compare.all = true
		default:
			return nil, p.fail("the quantifier %q is not known", w)
		}
		w = p.word()
	}
	value := p.quoted
	if attr.guid() {
		value = p.guid
		if n.compare.not = strings.EqualFold(w, "GuidNotEquals"); !n.compare.not && !strings.EqualFold(w, "GuidEquals") {
			return nil, p.fail("the operator %q is not known for a GUID", w)
		}
	} else if !n.compare.named(w) {
		return nil, p.fail("the operator %q is not known for a text", w)
	}
	if !p.take("{") {
		v, err := value()
		n.compare.values = []string{v}
		return n, err
	}
	for {
		v, err := value()
		if err != nil {
			return nil, err
		}
		n.compare.values = append(n.compare.values, v)
		if p.take("}") {
			break
		}
		if !p.take(",") {
			return nil, p.fail("'}' is missing")
		}
	}
	if !quantified && len(n.compare.values) > 1 {
		return nil, p.fail("several values need a quantifier such as ForAnyOfAnyValues")
	}
	return n, nil
}

// named sets the operator by its name.
func (c *comparison) named(name string) bool {
	s, ok := strings.CutPrefix(strings.ToLower(name), "string")
	if !ok {
		return false
	}
	s, c.fold = strings.CutSuffix(s, "ignorecase")
	s, c.not = strings.CutPrefix(s, "not")
	i := slices.Index([]string{cmpEquals: "equals", cmpStartsWith: "startswith", cmpLike: "like"}, s)
	c.op = compareOp(max(i, 0))
	return i >= 0
}

// guid takes a GUID, with or without quotes, hyphens and capitals, and returns it in the form of ids.
func (p *condParser) guid() (string, error) {
	p.space()
	text := ""
	if p.at < len(p.text) && p.text[p.at] == '\'' {
		var err error
		if text, err = p.quoted(); err != nil {
			return "", err
		}
	} else {
		start := p.at
		for p.at < len(p.text) && strings.IndexByte("0123456789abcdefABCDEF-", p.text[p.at]) >= 0 {
			p.at++
		}
		text = p.text[start:p.at]
	}
	if len(text) == 32 {
		text = text[:8] + "-" + text[8:12] + "-" + text[12:16] + "-" + text[16:20] + "-" + text[20:]
	}
	id, err := ident.Parse[ident.GUID](text)
	if err != nil {
		return "", p.fail("%q is not a GUID", text)
	}
	return id.String(), nil
}

// quoted takes a text in single quotes. \' stands for a quote; every other character, also another \, for itself.
func (p *condParser) quoted() (string, error) {
	if !p.take("'") {
		return "", p.fail("a text in single quotes is missing")
	}
	var b strings.Builder
	for p.at < len(p.text) {
		c := p.text[p.at]
		p.at++
		switch {
		case c == '\'':
			return b.String(), nil
		case c == '\\' && p.at < len(p.text) && p.text[p.at] == '\'':
			c = '\''
			p.at++
		}
		b.WriteByte(c)
	}
	return "", p.fail("a quote is missing")
}
