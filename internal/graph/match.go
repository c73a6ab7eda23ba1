package graph

import (
	"slices"
	"strings"
	"time"

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
	if !ok || !f.fits(p.kind) {
		return unsupportedQuery("Unsupported or invalid query filter clause specified for property '%s' of resource '%s'.", printable(f.name), s.resource)
	}
	want := map[filterKind]literalKind{filterText: textLiteral, filterBool: boolLiteral, filterTexts: textLiteral, filterTime: timeLiteral}[p.kind]
	if f.value.kind != want && f.value.kind != nullLiteral {
		return fault.New(fault.Invalid, "BadRequest", "Invalid filter clause: A binary operator with incompatible types was detected for property '%s'.", p.name)
	}
	return nil
}

// fits reports whether a property of some kind is compared so.
func (f *filter) fits(kind filterKind) bool {
	switch f.op {
	case opAny:
		return kind == filterTexts
	case opStartswith, opEndswith:
		return kind == filterText
	case opEq, opNe:
		return kind == filterText || kind == filterBool || kind == filterTime
	case opGt, opGe, opLt, opLe:
		return kind == filterTime && f.value.kind != nullLiteral
	case opAnd, opOr, opNot:
	}
	return false
}

// matches decides whether v is in the filter's answer. Texts compare without case, as the store compares them.
func (s schema[T]) matches(f *filter, v T) bool { return s.compile(f)(v) }

// compile makes a filter into a function, for those who hold many rows against it: what a name means is looked up once.
func (s schema[T]) compile(f *filter) func(T) bool {
	if f == nil {
		return func(T) bool { return true }
	}
	terms := make([]func(T) bool, len(f.terms))
	for i := range f.terms {
		terms[i] = s.compile(&f.terms[i])
	}
	switch f.op {
	case opAnd:
		return func(v T) bool { return !slices.ContainsFunc(terms, func(t func(T) bool) bool { return !t(v) }) }
	case opOr:
		return func(v T) bool { return slices.ContainsFunc(terms, func(t func(T) bool) bool { return t(v) }) }
	case opNot:
		return func(v T) bool { return !terms[0](v) }
	case opEq, opNe, opGt, opGe, opLt, opLe, opStartswith, opEndswith, opAny:
	}
	p, ok := s.find(f.name)
	if !ok {
		return func(T) bool { return false }
	}
	one, not := *f, f.op == opNe
	if not {
		one.op = opEq
	}
	return func(v T) bool { return one.holds(p.value(v)) != not }
}

// holds decides one comparison but ne.
func (f *filter) holds(value any) bool {
	switch got := value.(type) {
	case nil:
		return f.op == opEq && f.value.kind == nullLiteral
	case bool:
		return f.op == opEq && f.value.kind == boolLiteral && got == f.value.bool
	case string:
		switch f.value.kind {
		case textLiteral:
			return f.holdsText(fold(got), fold(f.value.text))
		case timeLiteral:
			t, err := time.Parse(time.RFC3339, got)
			return err == nil && f.holdsTime(t.Compare(f.value.time))
		case boolLiteral, nullLiteral:
		}
	case []string:
		want := fold(f.value.text)
		return f.op == opAny && slices.ContainsFunc(got, func(g string) bool { return fold(g) == want })
	}
	return false
}

func (f *filter) holdsText(got, want string) bool {
	switch f.op {
	case opEq:
		return got == want
	case opStartswith:
		return strings.HasPrefix(got, want)
	case opEndswith:
		return strings.HasSuffix(got, want)
	case opNe, opGt, opGe, opLt, opLe, opAny, opAnd, opOr, opNot:
	}
	return false
}

// holdsTime decides a comparison of times; order says how the value stands to the literal.
func (f *filter) holdsTime(order int) bool {
	switch f.op {
	case opEq:
		return order == 0
	case opGt:
		return order > 0
	case opGe:
		return order >= 0
	case opLt:
		return order < 0
	case opLe:
		return order <= 0
	case opNe, opStartswith, opEndswith, opAny, opAnd, opOr, opNot:
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
