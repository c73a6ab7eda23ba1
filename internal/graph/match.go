package graph

import (
	"strings"

	"github.com/keyreeve/keyreeve/internal/fault"
)

// checkFilter refuses a filter on what the entity does not have or what is not compared so.
func (s schema[T]) checkFilter(f *filter) error {
	if f == nil {
		return nil
	}
	for i := range f.terms {
		if err := s.checkFilter(&f.terms[i]); err != nil {
			return err
		}
	}
	if len(f.terms) > 0 {
		return nil
	}
	p, ok := s.find(f.name)
	fine := false
	switch f.op {
	case opAny:
		fine = p.kind == filterTexts
	case opStartswith:
		fine = p.kind == filterText
	case opEq:
		fine = p.kind == filterText || p.kind == filterBool
	case opAnd, opOr:
	}
	if !ok || !fine {
		return unsupportedQuery("Unsupported or invalid query filter clause specified for property '%s' of resource '%s'.", printable(f.name), s.resource)
	}
	mixed := p.kind == filterText && f.value.kind == boolLiteral || p.kind == filterBool && f.value.kind == textLiteral
	if mixed {
		return fault.New(fault.Invalid, "BadRequest", "Invalid filter clause: A binary operator with incompatible types was detected for property '%s'.", p.name)
	}
	return nil
}

// matches decides whether v is in the filter's answer. Texts compare without case, as the store compares them.
func (s schema[T]) matches(f *filter, v T) bool {
	if f == nil {
		return true
	}
	switch f.op {
	case opAnd:
		for i := range f.terms {
			if !s.matches(&f.terms[i], v) {
				return false
			}
		}
		return true
	case opOr:
		for i := range f.terms {
			if s.matches(&f.terms[i], v) {
				return true
			}
		}
		return false
	case opEq, opStartswith, opAny:
	}
	p, ok := s.find(f.name)
	if !ok {
		return false
	}
	return f.holds(p.value(v))
}

// holds decides one comparison.
func (f *filter) holds(value any) bool {
	want := fold(f.value.text)
	switch got := value.(type) {
	case nil:
		return f.op == opEq && f.value.kind == nullLiteral
	case bool:
		return f.op == opEq && f.value.kind == boolLiteral && got == f.value.bool
	case string:
		switch {
		case f.value.kind != textLiteral:
			return false
		case f.op == opEq:
			return fold(got) == want
		}
		return f.op == opStartswith && strings.HasPrefix(fold(got), want)
	case []string:
		for _, g := range got {
			if f.op == opAny && fold(g) == want {
				return true
			}
		}
	}
	return false
}

// must returns the text that a property must equal, or begin with, for the filter to hold; false if nothing of the kind
// follows from it. It serves to narrow what is read, never to decide.
func (f *filter) must(op filterOp, name string) (string, bool) {
	if f == nil {
		return "", false
	}
	if f.op == opAnd {
		for i := range f.terms {
			if text, ok := f.terms[i].must(op, name); ok {
				return text, true
			}
		}
		return "", false
	}
	if f.op != op || fold(f.name) != fold(name) || f.value.kind != textLiteral || f.value.text == "" {
		return "", false
	}
	return f.value.text, true
}
