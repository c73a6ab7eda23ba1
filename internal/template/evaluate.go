package template

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// Runtime answers what only running resources can tell.
type Runtime interface {
	// Reference returns what a GET of the id answers.
	Reference(id, apiVersion string) (*Object, error)
	// List returns what a POST of the id with an action, such as listClusterUserCredential, answers.
	List(id, action, apiVersion string, body any) (any, error)
}

// unknown is the value of what only a Runtime can tell, while there is none. Whatever is made of it is unknown too.
type unknown struct{}

// budget is what one template may cost.
type budget struct{ steps, bytes int }

var errTooMuch = errors.New("evaluating the template takes more work than is allowed")

func (b *budget) step() error {
	if b.steps++; b.steps > maxSteps {
		return &trouble{errTooMuch.Error()}
	}
	return nil
}

// charge counts a value that was made, with all that is in it: that one part stands in it many times makes it no smaller.
func (b *budget) charge(v any) error {
	b.bytes += 16
	switch v := v.(type) {
	case string:
		b.bytes += len(v)
	case json.Number:
		b.bytes += len(v)
	case []any:
		for _, x := range v {
			if err := b.charge(x); err != nil {
				return err
			}
		}
	case *Object:
		for n, x := range v.All() {
			b.bytes += len(n)
			if err := b.charge(x); err != nil {
				return err
			}
		}
	}
	if b.bytes > maxGrowth {
		return &trouble{errTooMuch.Error()}
	}
	return nil
}

// scope is where an expression stands: it decides which functions there are.
type scope struct {
	*expansion
	// loops are the copy loops around, innermost last.
	loops []loop
	// arguments are those of the user's function that is evaluated; nil outside of one.
	arguments map[string]any
	inside    int // user functions that are being called
	// defaults: newGuid and utcNow may be used. static: reference and list* may not.
	defaults, static bool
}

type loop struct {
	name  string
	index int64
}

func (s scope) with(name string, i int) scope {
	s.loops = append(append([]loop{}, s.loops...), loop{name, int64(i)})
	return s
}

// value evaluates a value of the template: every string in it that is an expression, names of members too. Strings that
// cannot be told yet stay as they are, and more is true.
func (s scope) value(v any) (out any, more bool, err error) {
	if err := s.cost.step(); err != nil {
		return nil, false, err
	}
	switch v := v.(type) {
	case string:
		out, err = s.text(v)
		if _, ok := out.(unknown); ok {
			return v, true, err
		}
		return out, false, err
	case []any:
		list := make([]any, 0, len(v))
		for _, x := range v {
			y, later, err := s.value(x)
			if err != nil {
				return nil, false, err
			}
			more = more || later
			list = append(list, y)
		}
		return list, more, nil
	case *Object:
		return s.object(v)
	}
	return v, false, nil
}

func (s scope) object(o *Object) (out any, more bool, err error) {
	made := NewObject()
	for n, x := range o.All() {
		if strings.EqualFold(n, "copy") {
			if list, ok := x.([]any); ok && isCopies(list) {
				later, err := s.copies(made, list)
				if err != nil {
					return nil, false, err
				}
				more = more || later
				continue
			}
		}
		name, err := s.text(n)
		if err != nil {
			return nil, false, err
		}
		key, ok := name.(string)
		if !ok {
			return nil, false, &trouble{fmt.Sprintf("The name '%s' of a member has to be a string that is known before the deployment.", n)}
		}
		y, later, err := s.value(x)
		if err != nil {
			return nil, false, err
		}
		more = more || later
		made.Set(key, y)
	}
	return made, more, nil
}

// isCopies tells the copy loops of a value from a member that is named copy.
func isCopies(list []any) bool {
	for _, x := range list {
		o, ok := x.(*Object)
		if !ok {
			return false
		}
		_, input := o.Get("input")
		_, count := o.Get("count")
		if !input || !count {
			return false
		}
	}
	return len(list) > 0
}

// copies makes the members that copy loops describe.
func (s scope) copies(into *Object, list []any) (more bool, err error) {
	for _, x := range list {
		o, _ := x.(*Object)
		name := o.Text("name")
		input, _ := o.Get("input")
		made, later, err := s.repeat(name, o, input)
		if err != nil {
			return false, err
		}
		more = more || later
		into.Set(name, made)
	}
	return more, nil
}

func (s scope) repeat(name string, o *Object, input any) (made []any, more bool, err error) {
	if name == "" {
		return nil, false, &trouble{"A copy loop has no name."}
	}
	n, err := s.count(o)
	if err != nil {
		return nil, false, err
	}
	made = make([]any, 0, n)
	for i := range n {
		v, later, err := s.with(name, i).value(input)
		if err != nil {
			return nil, false, err
		}
		more = more || later
		made = append(made, v)
	}
	return made, more, nil
}

// count evaluates the count of a copy loop.
func (s scope) count(o *Object) (int, error) {
	raw, ok := o.Get("count")
	if !ok {
		return 0, &trouble{"A copy loop has no count."}
	}
	v, more, err := s.value(raw)
	if err != nil {
		return 0, err
	}
	n, ok := v.(int64)
	switch {
	case more || !ok:
		return 0, &trouble{"The count of a copy loop has to be an integer that is known before the deployment."}
	case n < 0 || n > maxCopies:
		return 0, &trouble{fmt.Sprintf("The copy count '%d' must be between 0 and %d.", n, maxCopies)}
	}
	return int(n), nil
}

// text evaluates a string of the template.
func (s scope) text(v string) (any, error) {
	expr, plain, ok := source(v)
	if !ok {
		return plain, nil
	}
	x, known := s.parsed[v]
	if !known {
		var err error
		if x, err = parseExpression(expr); err != nil {
			return nil, err
		}
		s.parsed[v] = x
	}
	out, err := s.eval(x)
	if err != nil {
		return nil, err
	}
	return out, s.cost.charge(out)
}

func (s scope) eval(x expression) (any, error) {
	if err := s.cost.step(); err != nil {
		return nil, err
	}
	switch x := x.(type) {
	case text:
		return string(x), nil
	case number:
		return int64(x), nil
	case *member:
		of, err := s.eval(x.of)
		if err != nil {
			return nil, err
		}
		return s.property(of, x.name, x.safe)
	case *index:
		return s.element(x)
	case *call:
		return s.call(x)
	}
	return nil, &trouble{"The expression is of no kind that there is."}
}

func (s scope) property(of any, name string, safe bool) (any, error) {
	switch of := of.(type) {
	case unknown:
		return of, nil
	case nil:
		if safe {
			return nil, nil
		}
	case *Object:
		v, ok := of.Get(name)
		if ok || safe {
			return v, nil
		}
		return nil, &trouble{fmt.Sprintf("The language expression property '%s' doesn't exist, available properties are '%s'.",
			name, strings.Join(of.names, ", "))}
	}
	return nil, &trouble{fmt.Sprintf("The language expression property '%s' can't be evaluated, since it is of a value of type '%s'.", name, kind(of))}
}

func (s scope) element(x *index) (any, error) {
	of, err := s.eval(x.of)
	if err != nil {
		return nil, err
	}
	at, err := s.eval(x.at)
	if err != nil {
		return nil, err
	}
	if _, ok := at.(unknown); ok {
		return at, nil
	}
	switch at := at.(type) {
	case string:
		return s.property(of, at, x.safe)
	case int64:
		switch of := of.(type) {
		case unknown:
			return of, nil
		case []any:
			if at >= 0 && at < int64(len(of)) {
				return of[at], nil
			}
			if x.safe {
				return nil, nil
			}
			return nil, &trouble{fmt.Sprintf("The language expression property array index '%d' is out of bounds.", at)}
		case nil:
			if x.safe {
				return nil, nil
			}
		}
	}
	return nil, &trouble{fmt.Sprintf("The language expression property can't be evaluated: a value of type '%s' has no element '%s'.", kind(of), Write(at))}
}

// call evaluates a function call. The arguments of if, and, or and coalesce are evaluated only as far as they count.
func (s scope) call(x *call) (any, error) {
	if x.space != "" {
		return s.userFunction(x)
	}
	name := strings.ToLower(x.name)
	switch name {
	case "if":
		return s.choose(x)
	case "and", "or":
		return s.logic(x, name == "or")
	}
	if why, ok := refusedFunction(name); ok {
		return nil, &trouble{fmt.Sprintf("The template function '%s' is not supported here: %s.", x.name, why)}
	}
	f, ok := s.functions[name]
	isList := !ok && strings.HasPrefix(name, "list")
	if !ok && !isList {
		return nil, &trouble{fmt.Sprintf("The template function '%s' is not valid. Please see https://aka.ms/arm-functions for usage details.", x.name)}
	}
	args := make([]any, 0, len(x.args))
	blurred := false
	for _, a := range x.args {
		v, err := s.eval(a)
		if err != nil {
			return nil, err
		}
		if _, ok := v.(unknown); ok {
			blurred = true
		}
		args = append(args, v)
	}
	in := &input{scope: s, name: x.name, args: args}
	if isList {
		return in.list(blurred)
	}
	if len(args) < f.least || f.most >= 0 && len(args) > f.most {
		return nil, in.bad("it takes %s, and there are %d", f.arity(), len(args))
	}
	if blurred {
		return unknown{}, nil
	}
	out, err := f.do(in)
	if err != nil {
		return nil, err
	}
	if f.borrows {
		return out, nil
	}
	return out, s.cost.charge(out)
}

func (s scope) choose(x *call) (any, error) {
	in := &input{scope: s, name: x.name}
	if len(x.args) != 3 {
		return nil, in.bad("it takes 3 arguments, and there are %d", len(x.args))
	}
	v, err := s.eval(x.args[0])
	if err != nil {
		return nil, err
	}
	switch v := v.(type) {
	case unknown:
		// Both are looked at, for what they refer to; what fails in the branch not taken is no error.
		for _, a := range x.args[1:] {
			if _, err := s.eval(a); err != nil && isTooMuch(err) {
				return nil, err
			}
		}
		return v, nil
	case bool:
		if v {
			return s.eval(x.args[1])
		}
		return s.eval(x.args[2])
	}
	return nil, in.bad("its condition is of type '%s'", kind(v))
}

func isTooMuch(err error) bool {
	t, ok := errors.AsType[*trouble](err)
	return ok && t.text == errTooMuch.Error()
}

func (s scope) logic(x *call, or bool) (any, error) {
	in := &input{scope: s, name: x.name}
	if len(x.args) < 2 {
		return nil, in.bad("it takes 2 arguments or more, and there are %d", len(x.args))
	}
	var blurred bool
	for _, a := range x.args {
		v, err := s.eval(a)
		if err != nil {
			return nil, err
		}
		switch v := v.(type) {
		case unknown:
			blurred = true
		case bool:
			if v == or && !blurred {
				return v, nil
			}
		default:
			return nil, in.bad("an argument is of type '%s'", kind(v))
		}
	}
	if blurred {
		return unknown{}, nil
	}
	return !or, nil
}

// userFunction calls a function that the template itself defines.
func (s scope) userFunction(x *call) (any, error) {
	f := s.template.functions[strings.ToLower(x.space+"."+x.name)]
	if f == nil {
		return nil, &trouble{fmt.Sprintf("The template function '%s.%s' is not valid. Please see https://aka.ms/arm-functions for usage details.", x.space, x.name)}
	}
	if s.inside >= maxDepth {
		return nil, &trouble{fmt.Sprintf("The functions of the template call one another deeper than %d.", maxDepth)}
	}
	if len(x.args) != len(f.parameters) {
		return nil, &trouble{fmt.Sprintf("The template function '%s.%s' takes %d arguments, and there are %d.", x.space, x.name, len(f.parameters), len(x.args))}
	}
	inner := scope{expansion: s.expansion, arguments: map[string]any{}, inside: s.inside + 1, static: true}
	for i, a := range x.args {
		v, err := s.eval(a)
		if err != nil {
			return nil, err
		}
		if _, ok := v.(unknown); ok {
			return v, nil
		}
		inner.arguments[strings.ToLower(f.parameters[i])] = v
	}
	out, more, err := inner.value(f.output)
	if err == nil && more {
		err = &trouble{"A function of the template can't use what only running resources tell."}
	}
	return out, err
}
