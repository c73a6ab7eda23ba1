package template

import (
	"fmt"
	"strings"

	"github.com/keyreeve/keyreeve/internal/fault"
)

// Template is a template that was read, and not yet evaluated.
type Template struct {
	raw        *Object
	parameters []parameter
	variables  map[string]variable // by lower-case name
	functions  map[string]*userFunction
	resources  []written
	outputs    *Object
	symbolic   bool
}

// written is a resource as it is written.
type written struct {
	symbol string
	raw    *Object
	// parent is the resource that this one stands in; nil outside of one.
	parent *Object
}

type variable struct {
	name  string
	value any
	copy  *Object // value is the input of this loop
}

type userFunction struct {
	parameters []string
	output     any
}

// Parse reads a template.
func Parse(v any) (*Template, error) {
	raw, ok := v.(*Object)
	if !ok {
		return nil, fault.New(fault.Invalid, "InvalidRequestContent",
			"The request content was invalid and could not be deserialized: 'The template is of type %s and has to be an object'.", kind(v))
	}
	t := &Template{raw: raw, variables: map[string]variable{}, functions: map[string]*userFunction{}}
	if err := t.header(); err != nil {
		return nil, err
	}
	for _, f := range []func() error{t.readParameters, t.readVariables, t.readFunctions, t.readResources, t.readOutputs} {
		if err := f(); err != nil {
			return nil, err
		}
	}
	return t, nil
}

func (t *Template) header() error {
	for name := range t.raw.All() {
		switch strings.ToLower(name) {
		case "$schema", "contentversion", "apiprofile", "metadata", "languageversion", "parameters", "variables", "functions", "resources", "outputs":
		case "definitions", "imports", "extensions", "asserts":
			if v, _ := t.raw.Get(name); !isEmpty(v) {
				return invalid("The member '%s' of the template is not supported here", name)
			}
		default:
			return invalid("Could not find member '%s' on object of type 'Template'", name)
		}
	}
	if t.raw.Text("$schema") == "" {
		return invalid("The template has no '$schema'")
	}
	if t.raw.Text("contentVersion") == "" {
		return invalid("Required property 'contentVersion' not found in JSON")
	}
	switch v := t.raw.Text("languageVersion"); v {
	case "", "1.0", "1.9-experimental":
	case "2.0", "2.1-experimental", "2.2-experimental":
		t.symbolic = true
	default:
		return invalid("The language version '%s' is not supported", v)
	}
	return nil
}

func isEmpty(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case *Object:
		return v.Len() == 0
	case []any:
		return len(v) == 0
	}
	return false
}

// section returns a member of the template that is an object, within a bound.
func (t *Template) section(name string, most int) (*Object, error) {
	v, ok := t.raw.Get(name)
	if !ok || v == nil {
		return NewObject(), nil
	}
	o, ok := v.(*Object)
	if !ok {
		return nil, invalid("The member '%s' of the template is of type '%s' and has to be an object", name, kind(v))
	}
	if o.Len() > most {
		return nil, invalid("The number of template %s limit exceeded. Limit: '%d' and actual: '%d'", name, most, o.Len())
	}
	return o, nil
}

func (t *Template) readVariables() error {
	o, err := t.section("variables", maxVariables)
	if err != nil {
		return err
	}
	for name, v := range o.All() {
		list, ok := v.([]any)
		if !strings.EqualFold(name, "copy") || !ok || !isCopies(list) {
			t.variables[strings.ToLower(name)] = variable{name: name, value: v}
			continue
		}
		for _, x := range list {
			c, _ := x.(*Object)
			in, _ := c.Get("input")
			t.variables[strings.ToLower(c.Text("name"))] = variable{name: c.Text("name"), value: in, copy: c}
		}
	}
	return nil
}

func (t *Template) readFunctions() error {
	v, _ := t.raw.Get("functions")
	list, ok := v.([]any)
	if !ok && v != nil {
		return invalid("The member 'functions' of the template has to be an array")
	}
	for _, x := range list {
		space, _ := x.(*Object)
		for name, m := range space.Child("members").All() {
			o, ok := m.(*Object)
			if !ok {
				return invalid("The function '%s' has to be an object", name)
			}
			f := &userFunction{}
			ps, _ := o.Get("parameters")
			if list, ok := ps.([]any); ok {
				for _, p := range list {
					po, _ := p.(*Object)
					f.parameters = append(f.parameters, po.Text("name"))
				}
			}
			f.output, ok = o.Child("output").Get("value")
			if !ok {
				return invalid("The function '%s' has no output", name)
			}
			t.functions[strings.ToLower(space.Text("namespace")+"."+name)] = f
		}
	}
	return nil
}

func (t *Template) readResources() error {
	v, ok := t.raw.Get("resources")
	if !ok {
		return invalid("Required property 'resources' not found in JSON")
	}
	return t.addResources(v, nil, 0)
}

func (t *Template) addResources(v any, parent *Object, depth int) error {
	add := func(symbol string, x any) error {
		o, ok := x.(*Object)
		if !ok {
			return invalid("A resource of the template is of type '%s' and has to be an object", kind(x))
		}
		if depth > 4 {
			return invalid("The resources of the template are nested deeper than 4")
		}
		if parent != nil {
			if _, ok := o.Get("copy"); ok {
				return invalid("A copy loop is not supported on a resource in another. Please see https://aka.ms/arm-copy for usage details")
			}
		}
		t.resources = append(t.resources, written{symbol: symbol, raw: o, parent: parent})
		if len(t.resources) > maxResources {
			return invalid("The number of template resources limit exceeded. Limit: '%d'", maxResources)
		}
		inner, ok := o.Get("resources")
		if !ok {
			return nil
		}
		return t.addResources(inner, o, depth+1)
	}
	switch v := v.(type) {
	case []any:
		for _, x := range v {
			if err := add("", x); err != nil {
				return err
			}
		}
		return nil
	case *Object:
		if t.symbolic {
			for n, x := range v.All() {
				if err := add(n, x); err != nil {
					return err
				}
			}
			return nil
		}
	}
	return invalid("The member 'resources' is of type '%s' and has to be an array, or an object where languageVersion is 2.0", kind(v))
}

func (t *Template) readOutputs() error {
	o, err := t.section("outputs", maxOutputs)
	if err != nil {
		return err
	}
	for name, v := range o.All() {
		out, ok := v.(*Object)
		if !ok {
			return invalid("The output '%s' has to be an object", name)
		}
		if _, ok := typeName(out.Text("type")); !ok {
			return invalid("The type '%s' of the output '%s' is not valid", out.Text("type"), name)
		}
	}
	t.outputs = o
	return nil
}

// typeName writes a type as answers do.
func typeName(s string) (string, bool) {
	switch strings.ToLower(s) {
	case "string":
		return "String", true
	case "securestring":
		return "SecureString", true
	case "int":
		return "Int", true
	case "bool":
		return "Bool", true
	case "object":
		return "Object", true
	case "secureobject":
		return "SecureObject", true
	case "array":
		return "Array", true
	}
	return "", false
}

func where(r written) string {
	if r.symbol != "" {
		return fmt.Sprintf("resource '%s'", r.symbol)
	}
	return fmt.Sprintf("resource '%s'", r.raw.Text("name"))
}
