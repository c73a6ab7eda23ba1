package template

import (
	"bytes"
	"encoding/json"
	"iter"
	"slices"
	"strings"
)

// A value is nil, a bool, an int64, a json.Number that is no int64, a string, a []any or an *Object.

// Object is a JSON object. Its members keep their order; names are found as written, else without case.
type Object struct {
	names  []string
	values map[string]any
	folded map[string]string // lower case to the first such name
}

// NewObject returns an object of names and values in turn.
func NewObject(members ...any) *Object {
	o := &Object{values: map[string]any{}, folded: map[string]string{}}
	for i := 0; i+1 < len(members); i += 2 {
		if name, ok := members[i].(string); ok {
			o.Set(name, members[i+1])
		}
	}
	return o
}

// Len returns the number of members; a nil object has none.
func (o *Object) Len() int {
	if o == nil {
		return 0
	}
	return len(o.names)
}

// Get returns a member.
func (o *Object) Get(name string) (any, bool) {
	if o == nil {
		return nil, false
	}
	if v, ok := o.values[name]; ok {
		return v, true
	}
	if n, ok := o.folded[strings.ToLower(name)]; ok {
		return o.values[n], true
	}
	return nil, false
}

// Set adds a member, or replaces the one of that name, with case.
func (o *Object) Set(name string, v any) {
	if _, ok := o.values[name]; !ok {
		o.names = append(o.names, name)
		if low := strings.ToLower(name); o.folded[low] == "" {
			o.folded[low] = name
		}
	}
	o.values[name] = v
}

// All goes over the members in their order.
func (o *Object) All() iter.Seq2[string, any] {
	return func(yield func(string, any) bool) {
		if o == nil {
			return
		}
		for _, n := range o.names {
			if !yield(n, o.values[n]) {
				return
			}
		}
	}
}

// Text returns a member that is a string, or "".
func (o *Object) Text(name string) string {
	v, _ := o.Get(name)
	s, _ := v.(string)
	return s
}

// Child returns a member that is an object, or nil.
func (o *Object) Child(name string) *Object {
	v, _ := o.Get(name)
	c, _ := v.(*Object)
	return c
}

// Without returns a copy that lacks some members, without case.
func (o *Object) Without(names ...string) *Object {
	out := NewObject()
	for n, v := range o.All() {
		if !slices.ContainsFunc(names, func(x string) bool { return strings.EqualFold(x, n) }) {
			out.Set(n, v)
		}
	}
	return out
}

// MarshalJSON writes the members in their order.
func (o *Object) MarshalJSON() ([]byte, error) {
	if o == nil {
		return []byte("null"), nil
	}
	return []byte(Write(o)), nil
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (o *Object) UnmarshalJSON(b []byte) error {
	v, err := Read(b)
	if err != nil {
		return err
	}
	if p, ok := v.(*Object); ok {
		*o = *p
	} else {
		*o = *NewObject()
	}
	return nil
}

// Write returns a value as JSON, without white space.
func Write(v any) string {
	var b bytes.Buffer
	write(&b, v)
	return b.String()
}

func write(b *bytes.Buffer, v any) {
	switch v := v.(type) {
	case *Object:
		b.WriteByte('{')
		i := 0
		for n, x := range v.All() {
			if i++; i > 1 {
				b.WriteByte(',')
			}
			write(b, n)
			b.WriteByte(':')
			write(b, x)
		}
		b.WriteByte('}')
	case []any:
		b.WriteByte('[')
		for i, x := range v {
			if i > 0 {
				b.WriteByte(',')
			}
			write(b, x)
		}
		b.WriteByte(']')
	default:
		e := json.NewEncoder(b)
		e.SetEscapeHTML(false)
		if err := e.Encode(v); err != nil {
			b.WriteString("null") // of no type that a value has
			return
		}
		b.Truncate(b.Len() - 1) // the line end
	}
}

// same reports whether two values are equal; the order of an object's members does not count.
func same(a, b any) bool {
	switch a := a.(type) {
	case *Object:
		b, ok := b.(*Object)
		if !ok || a.Len() != b.Len() {
			return false
		}
		for n, v := range a.All() {
			if w, ok := b.Get(n); !ok || !same(v, w) {
				return false
			}
		}
		return true
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, same)
	}
	switch b.(type) {
	case *Object, []any:
		return false
	}
	return a == b
}

// Same reports whether two values are equal; the order of an object's members does not count.
func Same(a, b any) bool { return same(a, b) }

// kind names a value's type as error texts do.
func kind(v any) string {
	switch v.(type) {
	case nil:
		return "Null"
	case bool:
		return "Boolean"
	case int64:
		return "Integer"
	case json.Number:
		return "Float"
	case string:
		return "String"
	case []any:
		return "Array"
	case *Object:
		return "Object"
	}
	return "Undefined"
}
