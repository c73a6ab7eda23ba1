package arm

import (
	"fmt"
	"strings"

	"github.com/keyreeve/keyreeve/internal/fault"
)

// Clause is one condition of a $filter: Name eq 'Value', or a call Name() or Name('Value').
type Clause struct {
	Name string
	// Op is how ParseRanges says that the name is compared: eq, ge or le. ParseFilter leaves it empty, which is eq.
	Op string
	// Call says that it is a call; Arg that the call has a value in its parentheses.
	Call, Arg bool
	Value     string
}

// String writes the clause as ParseFilter reads it.
func (c Clause) String() string {
	quoted := "'" + strings.ReplaceAll(c.Value, "'", "''") + "'"
	switch {
	case c.Call && c.Arg:
		return c.Name + "(" + quoted + ")"
	case c.Call:
		return c.Name + "()"
	}
	op := c.Op
	if op == "" {
		op = "eq"
	}
	return c.Name + " " + op + " " + quoted
}

// Is reports whether the clause is a comparison with, or a call of, a name; letter case does not count.
func (c Clause) Is(name string, call bool) bool {
	return c.Call == call && strings.EqualFold(c.Name, name)
}

// maxFilter bounds a $filter in bytes.
const maxFilter = 2048

// ParseFilter reads a $filter: clauses joined by "and" (the part of OData that Resource Manager's lists take). Quotes in a
// value are doubled. Anything else is an InvalidFilterInQueryString fault.
func ParseFilter(text string) ([]Clause, error) { return parseFilter(text, false) }

// ParseRanges is ParseFilter for lists that also compare with ge and le; values may be without quotes there.
func ParseRanges(text string) ([]Clause, error) { return parseFilter(text, true) }

func parseFilter(text string, ranges bool) ([]Clause, error) {
	bad := fault.New(fault.Invalid, "InvalidFilterInQueryString", "Invalid $filter '%s' specified in the query string.", clip(text))
	if len(text) > maxFilter {
		return nil, bad
	}
	p := filterParser{rest: text, ranges: ranges}
	var out []Clause
	for {
		c, ok := p.clause()
		if !ok {
			return nil, bad
		}
		out = append(out, c)
		blank := p.blanks()
		if p.rest == "" {
			return out, nil
		}
		if word := p.word(); !blank || !strings.EqualFold(word, "and") || !p.blanks() {
			return nil, bad
		}
	}
}

// FormatFilter is the inverse of ParseFilter.
func FormatFilter(clauses []Clause) string {
	texts := make([]string, len(clauses))
	for i, c := range clauses {
		texts[i] = fmt.Sprint(c)
	}
	return strings.Join(texts, " and ")
}

type filterParser struct {
	rest   string
	ranges bool
}

// bare reads a value without quotes: up to a blank.
func (p *filterParser) bare() (string, bool) {
	i := strings.IndexByte(p.rest, ' ')
	if i < 0 {
		i = len(p.rest)
	}
	v := p.rest[:i]
	if v == "" || strings.ContainsAny(v, "'()") {
		return "", false
	}
	p.rest = p.rest[i:]
	return v, true
}

// blanks skips blanks and reports whether there were any.
func (p *filterParser) blanks() bool {
	before := len(p.rest)
	p.rest = strings.TrimLeft(p.rest, " ")
	return len(p.rest) < before
}

// word reads a name: ASCII letters, digits, '.', '/' and '_', beginning with a letter.
func (p *filterParser) word() string {
	i := 0
	for i < len(p.rest) {
		c := p.rest[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || (c < '0' || c > '9') && c != '.' && c != '/' && c != '_') {
			break
		}
		i++
	}
	w := p.rest[:i]
	p.rest = p.rest[i:]
	return w
}

// quoted reads a value in single quotes, in which a quote is doubled.
func (p *filterParser) quoted() (string, bool) {
	if !strings.HasPrefix(p.rest, "'") {
		return "", false
	}
	var b strings.Builder
	for i := 1; i < len(p.rest); i++ {
		if p.rest[i] != '\'' {
			b.WriteByte(p.rest[i])
			continue
		}
		if i+1 < len(p.rest) && p.rest[i+1] == '\'' {
			b.WriteByte('\'')
			i++
			continue
		}
		p.rest = p.rest[i+1:]
		return b.String(), true
	}
	return "", false
}

func (p *filterParser) clause() (Clause, bool) {
	p.blanks()
	c := Clause{Name: p.word()}
	if c.Name == "" {
		return c, false
	}
	if strings.HasPrefix(p.rest, "(") {
		p.rest = p.rest[1:]
		c.Call = true
		p.blanks()
		if v, ok := p.quoted(); ok {
			c.Arg, c.Value = true, v
			p.blanks()
		}
		ok := strings.HasPrefix(p.rest, ")")
		if ok {
			p.rest = p.rest[1:]
		}
		return c, ok
	}
	if !p.blanks() {
		return c, false
	}
	op := strings.ToLower(p.word())
	if op != "eq" && (!p.ranges || op != "ge" && op != "le") || !p.blanks() {
		return c, false
	}
	v, ok := p.quoted()
	if p.ranges {
		if c.Op = op; !ok {
			v, ok = p.bare()
		}
	}
	c.Value = v
	return c, ok
}
