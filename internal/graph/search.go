package graph

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/keyreeve/keyreeve/internal/fault"
)

// search is a parsed $search (Microsoft Graph, advanced queries on directory objects):
//
//	expr   = all *( " OR " all )
//	all    = term *( " AND " term )
//	term   = "(" expr ")" / DQUOTE name ":" text DQUOTE
//
// A name stands for a property; its text is looked for word by word, each of which must begin a word of the property. In
// the text, \" is a quote and \\ a backslash.
type search struct {
	// terms are of an expression with AND or OR: two or more, joined by any if it is OR.
	terms []search
	or    bool
	name  string
	text  string
}

// maxSearch bounds a $search in bytes.
const maxSearch = 2 << 10

// parseSearch reads the text of a $search.
func parseSearch(text string) (*search, error) {
	p := &searchParser{text: text}
	if len(text) > maxSearch || !utf8.ValidString(text) {
		return nil, p.trouble()
	}
	s, err := p.or(0)
	if err != nil {
		return nil, err
	}
	if p.space(); p.at < len(p.text) {
		return nil, p.trouble()
	}
	return &s, nil
}

type searchParser struct {
	text string
	at   int
}

func (p *searchParser) trouble() error {
	return fault.New(fault.Invalid, "Request_BadRequest",
		"Syntax error: character at position %d is not valid in '%s'. The expected form is $search=\"property:value\", with AND and OR between such clauses.", p.at, printable(p.text))
}

func (p *searchParser) space() {
	for p.at < len(p.text) && p.text[p.at] == ' ' {
		p.at++
	}
}

func (p *searchParser) take(text string) bool {
	was := p.at
	p.space()
	if strings.HasPrefix(p.text[p.at:], text) {
		p.at += len(text)
		return true
	}
	p.at = was
	return false
}

func (p *searchParser) or(depth int) (search, error) {
	return p.chain("OR", func() (search, error) {
		return p.chain("AND", func() (search, error) { return p.term(depth) })
	})
}

func (p *searchParser) chain(word string, next func() (search, error)) (search, error) {
	first, err := next()
	if err != nil {
		return search{}, err
	}
	terms := []search{first}
	for p.take(word) {
		t, err := next()
		if err != nil {
			return search{}, err
		}
		terms = append(terms, t)
	}
	if len(terms) == 1 {
		return first, nil
	}
	return search{terms: terms, or: word == "OR"}, nil
}

func (p *searchParser) term(depth int) (search, error) {
	if p.take("(") {
		if depth == maxDepth {
			return search{}, p.trouble()
		}
		s, err := p.or(depth + 1)
		if err != nil {
			return search{}, err
		}
		if !p.take(")") {
			return search{}, p.trouble()
		}
		return s, nil
	}
	if !p.take(`"`) {
		return search{}, p.trouble()
	}
	var b strings.Builder
	for p.at < len(p.text) {
		c := p.text[p.at]
		p.at++
		switch c {
		case '"':
			name, text, ok := strings.Cut(b.String(), ":")
			if !ok || name == "" || strings.ContainsFunc(name, func(r rune) bool { return r >= utf8.RuneSelf || !unicode.IsLetter(r) }) || len(words(text)) == 0 {
				return search{}, p.trouble()
			}
			return search{name: name, text: text}, nil
		case '\\':
			if p.at == len(p.text) || p.text[p.at] != '"' && p.text[p.at] != '\\' {
				return search{}, p.trouble()
			}
			c = p.text[p.at]
			p.at++
		}
		b.WriteByte(c)
	}
	return search{}, p.trouble()
}

// String writes the search in its canonical spelling.
func (s *search) String() string {
	if len(s.terms) == 0 {
		return `"` + s.name + ":" + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s.text) + `"`
	}
	parts := make([]string, len(s.terms))
	for i, t := range s.terms {
		if parts[i] = t.String(); len(t.terms) > 0 {
			parts[i] = "(" + parts[i] + ")"
		}
	}
	if s.or {
		return strings.Join(parts, " OR ")
	}
	return strings.Join(parts, " AND ")
}

// words are the words of a text, in the form in which names are compared: runs of letters and digits, with the marks
// that belong to them.
func words(text string) []string {
	return strings.FieldsFunc(fold(text), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r) })
}

// checkSearch refuses a search in what is not searched.
func (s schema[T]) checkSearch(q *search) error {
	if q == nil {
		return nil
	}
	for i := range q.terms {
		if err := s.checkSearch(&q.terms[i]); err != nil {
			return err
		}
	}
	if len(q.terms) > 0 {
		return nil
	}
	if p, ok := s.find(q.name); !ok || p.kind != filterText {
		return unsupportedQuery("Unsupported or invalid property '%s' in $search for resource '%s'.", printable(q.name), s.resource)
	}
	return nil
}

// found decides whether v is in the answer of a search.
func (s schema[T]) found(q *search, v T) bool {
	if q == nil {
		return true
	}
	if len(q.terms) > 0 {
		if q.or {
			return slices.ContainsFunc(q.terms, func(t search) bool { return s.found(&t, v) })
		}
		return !slices.ContainsFunc(q.terms, func(t search) bool { return !s.found(&t, v) })
	}
	p, ok := s.find(q.name)
	if !ok {
		return false
	}
	value, _ := p.value(v).(string)
	there := words(value)
	return !slices.ContainsFunc(words(q.text), func(w string) bool {
		return !slices.ContainsFunc(there, func(t string) bool { return strings.HasPrefix(t, w) })
	})
}

// mustHave returns words that the display name must have for the search to hold; it serves to narrow what is read.
func (s *search) mustHave() []string {
	switch {
	case s == nil || s.or:
		return nil
	case len(s.terms) == 0 && fold(s.name) == "displayname":
		return words(s.text)
	}
	var out []string
	for i := range s.terms {
		out = append(out, s.terms[i].mustHave()...)
	}
	return out
}
