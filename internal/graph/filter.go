package graph

import (
	"strings"
	"time"
)

// filter is a parsed $filter (OData 4.01, part 2, 5.1.1), as far as the directory answers it:
//
//	expr  = all *( " or " all )
//	all   = term *( " and " term )
//	term  = "(" expr ")" / "not" term / name op literal / name " in (" literal *( "," literal ) ")"
//	      / ("startswith(" / "endswith(") name "," text ")" / name "/any(" v ":" v " eq " text ")"
//	op    = " eq " / " ne " / " gt " / " ge " / " lt " / " le "
//
// literal is a text in quotes (” is one quote), true, false, null or a time.
type filter struct {
	op filterOp
	// name and value are of comparisons.
	name  string
	value literal
	// terms are of and and or: two or more; of not: one. An in is written and kept as an or of eq.
	terms []filter
}

type filterOp uint8

const (
	opEq filterOp = iota + 1
	opNe
	opGt
	opGe
	opLt
	opLe
	opStartswith
	opEndswith
	opAny
	opAnd
	opOr
	opNot
)

// comparison is the operator of a name and a literal.
func comparison(word string) (filterOp, bool) {
	op, ok := map[string]filterOp{"eq": opEq, "ne": opNe, "gt": opGt, "ge": opGe, "lt": opLt, "le": opLe}[word]
	return op, ok
}

func (op filterOp) String() string {
	return [...]string{
		opEq: "eq", opNe: "ne", opGt: "gt", opGe: "ge", opLt: "lt", opLe: "le", opStartswith: "startswith", opEndswith: "endsWith",
		opAny: "any", opAnd: "and", opOr: "or", opNot: "not",
	}[op]
}

type literal struct {
	kind literalKind
	text string
	bool bool
	time time.Time
}

type literalKind uint8

const (
	textLiteral literalKind = iota + 1
	boolLiteral
	nullLiteral
	timeLiteral
)

// Bounds of a filter: its length in bytes, how deep parentheses may go, and how many comparisons it may have.
const (
	maxFilter = 8 << 10
	maxDepth  = 32
	maxTerms  = 256
)

// String writes the filter in its canonical spelling.
func (f filter) String() string {
	var b strings.Builder
	f.write(&b)
	return b.String()
}

func (f filter) write(b *strings.Builder) {
	switch f.op {
	case opEq, opNe, opGt, opGe, opLt, opLe:
		b.WriteString(f.name + " " + f.op.String() + " " + f.value.String())
	case opStartswith, opEndswith:
		b.WriteString(f.op.String() + "(" + f.name + "," + f.value.String() + ")")
	case opAny:
		b.WriteString(f.name + "/any(x:x eq " + f.value.String() + ")")
	case opNot:
		b.WriteString("not ")
		f.terms[0].writeTerm(b)
	case opAnd, opOr:
		for i, t := range f.terms {
			if i > 0 {
				b.WriteString(" " + f.op.String() + " ")
			}
			t.writeTerm(b)
		}
	}
}

// writeTerm writes a filter that stands in another one.
func (f filter) writeTerm(b *strings.Builder) {
	nested := f.op == opAnd || f.op == opOr
	if nested {
		b.WriteByte('(')
	}
	f.write(b)
	if nested {
		b.WriteByte(')')
	}
}

// advanced returns the first operator of a filter that the directory answers only for clients that said they know
// what they ask: with ConsistencyLevel: eventual and $count=true.
func (f *filter) advanced() (filterOp, bool) {
	if f == nil {
		return 0, false
	}
	if f.op == opNe || f.op == opNot || f.op == opEndswith {
		return f.op, true
	}
	for i := range f.terms {
		if op, ok := f.terms[i].advanced(); ok {
			return op, true
		}
	}
	return 0, false
}

// String writes a literal as it stands in a filter.
func (l literal) String() string {
	switch {
	case l.kind == textLiteral:
		return "'" + strings.ReplaceAll(l.text, "'", "''") + "'"
	case l.kind == nullLiteral:
		return "null"
	case l.kind == timeLiteral:
		return l.time.Format(time.RFC3339Nano)
	case l.bool:
		return "true"
	}
	return "false"
}
