package template

import (
	"fmt"
	"slices"
	"strings"
)

type parameter struct {
	name     string
	kind     string // as typeName writes it
	raw      *Object
	nullable bool
}

func (p parameter) secure() bool { return strings.HasPrefix(p.kind, "Secure") }

func (t *Template) readParameters() error {
	o, err := t.section("parameters", maxParameters)
	if err != nil {
		return err
	}
	for name, v := range o.All() {
		raw, ok := v.(*Object)
		if !ok {
			return invalid("The template parameter '%s' has to be an object", name)
		}
		if _, ok := raw.Get("$ref"); ok {
			return invalid("The template parameter '%s' is of a type defined in the template, which is not supported here", name)
		}
		p := parameter{name: name, raw: raw}
		if p.kind, ok = typeName(raw.Text("type")); !ok {
			return invalid("The template parameter '%s' has the type '%s', which is not valid. Please see https://aka.ms/arm-syntax-parameters for usage details",
				name, raw.Text("type"))
		}
		if v, _ := raw.Get("nullable"); v == true {
			p.nullable = true
		}
		t.parameters = append(t.parameters, p)
	}
	return nil
}

// supplied refuses values for parameters that the template lacks.
func (t *Template) supplied(given *Object) error {
	var names, extra []string
	for _, p := range t.parameters {
		names = append(names, p.name)
	}
	for n := range given.All() {
		if !slices.ContainsFunc(names, func(x string) bool { return strings.EqualFold(x, n) }) {
			extra = append(extra, n)
		}
	}
	if len(extra) == 0 {
		return nil
	}
	return invalid("The following parameters were supplied, but do not correspond to any parameters defined in the template: '%s'. "+
		"The parameters defined in the template are: '%s'. Please see https://aka.ms/arm-pass-parameter-values for usage details",
		strings.Join(extra, ", "), strings.Join(names, ", "))
}

// parameter returns a parameter's value: the given one, or the default.
func (e *expansion) parameter(name string) (any, error) {
	key := strings.ToLower(name)
	if v, ok := e.parameters[key]; ok {
		return v, nil
	}
	i := slices.IndexFunc(e.template.parameters, func(p parameter) bool { return strings.EqualFold(p.name, name) })
	if i < 0 {
		return nil, &trouble{fmt.Sprintf("The template parameter '%s' is not found. Please see https://aka.ms/arm-syntax-parameters for usage details.", name)}
	}
	p := e.template.parameters[i]
	if err := e.enter("parameter", key); err != nil {
		return nil, err
	}
	defer e.leave("parameter", key)
	v, ok := e.inputs.Parameters.Get(p.name)
	if !ok || v == nil && !p.nullable {
		def, has := p.raw.Get("defaultValue")
		switch {
		case has:
			var err error
			if v, _, err = (scope{expansion: e, defaults: true, static: true}).value(def); err != nil {
				return nil, err
			}
		case p.nullable:
			v = nil
		default:
			return nil, &trouble{fmt.Sprintf("The value for the template parameter '%s' is not provided. "+
				"Please see https://aka.ms/arm-create-parameter-file for usage details.", p.name)}
		}
	}
	if err := p.check(v); err != nil {
		return nil, err
	}
	e.parameters[key] = v
	return v, nil
}

// check holds a value against a parameter's type and bounds. A secure value is not quoted.
func (p parameter) check(v any) error {
	if v == nil && p.nullable {
		return nil
	}
	ok := false
	size := 0
	switch x := v.(type) {
	case string:
		ok, size = p.kind == "String" || p.kind == "SecureString", len(units(x))
	case int64:
		ok = p.kind == "Int"
	case bool:
		ok = p.kind == "Bool"
	case *Object:
		ok = p.kind == "Object" || p.kind == "SecureObject"
	case []any:
		ok, size = p.kind == "Array", len(x)
	}
	if !ok {
		return &trouble{fmt.Sprintf("Template parameter JToken type is not valid for '%s'. Expected '%s'. Actual '%s'. "+
			"Please see https://aka.ms/resource-manager-parameter-files for usage details.", p.name, p.kind, kind(v))}
	}
	shown := "of '" + p.name + "'"
	if !p.secure() {
		shown = "'" + plain(v) + "'"
	}
	if err := p.allowed(v, shown); err != nil {
		return err
	}
	bound := func(name string, value int64, less bool, what string) error {
		raw, ok := p.raw.Get(name)
		n, isInt := raw.(int64)
		switch {
		case !ok:
			return nil
		case !isInt:
			return &trouble{fmt.Sprintf("The '%s' of the template parameter '%s' has to be an integer.", name, p.name)}
		case less && value < n, !less && value > n:
			word := "less than or equal to"
			if less {
				word = "greater than or equal to"
			}
			return &trouble{fmt.Sprintf("The provided value for the template parameter '%s' is not valid. %s of the value should be %s '%d'. "+
				"Please see https://aka.ms/arm-parameter-constraints for usage details.", p.name, what, word, n)}
		}
		return nil
	}
	switch n := v.(type) {
	case int64:
		if err := bound("minValue", n, true, "The size"); err != nil {
			return err
		}
		return bound("maxValue", n, false, "The size")
	case string, []any:
		if err := bound("minLength", int64(size), true, "Length"); err != nil {
			return err
		}
		return bound("maxLength", int64(size), false, "Length")
	}
	return nil
}

func (p parameter) allowed(v any, shown string) error {
	raw, ok := p.raw.Get("allowedValues")
	list, isList := raw.([]any)
	if !ok || !isList {
		return nil
	}
	in := func(x any) bool { return slices.ContainsFunc(list, func(y any) bool { return same(x, y) }) }
	if in(v) {
		return nil
	}
	if many, ok := v.([]any); ok && !slices.ContainsFunc(many, func(x any) bool { return !in(x) }) {
		return nil // an array may hold any of the allowed values
	}
	var names []string
	for _, x := range list {
		names = append(names, plain(x))
	}
	return &trouble{fmt.Sprintf("The provided value %s for the template parameter '%s' is not valid. The value %s is not part of the allowed value(s): '%s'.",
		shown, p.name, shown, strings.Join(names, ","))}
}

// enter and leave find what is defined by itself.
func (e *expansion) enter(what, key string) error {
	if e.busy[what+" "+key] || len(e.busy) > 4*maxDepth {
		return &trouble{fmt.Sprintf("The template %s '%s' is defined by itself, or through too many others.", what, key)}
	}
	e.busy[what+" "+key] = true
	return nil
}

func (e *expansion) leave(what, key string) { delete(e.busy, what+" "+key) }

func (e *expansion) variable(name string) (any, error) {
	key := strings.ToLower(name)
	if v, ok := e.variables[key]; ok {
		return v, nil
	}
	def, ok := e.template.variables[key]
	if !ok {
		return nil, &trouble{fmt.Sprintf("The template variable '%s' is not found. Please see https://aka.ms/arm-syntax-variables for usage details.", name)}
	}
	if err := e.enter("variable", key); err != nil {
		return nil, err
	}
	defer e.leave("variable", key)
	s := scope{expansion: e, static: true}
	var v any
	var err error
	if def.copy != nil {
		v, _, err = s.repeatAny(def)
	} else {
		v, _, err = s.value(def.value)
	}
	if err != nil {
		return nil, err
	}
	e.variables[key] = v
	return v, nil
}

func (s scope) repeatAny(def variable) (any, bool, error) {
	list, more, err := s.repeat(def.name, def.copy, def.value)
	return list, more, err
}
