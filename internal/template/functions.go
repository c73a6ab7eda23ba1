package template

import (
	"fmt"
	"maps"
	"strings"
)

// function is one of the template language.
type function struct {
	least, most int // arguments; most < 0 is any number
	do          func(in *input) (any, error)
	// borrows says that the result is part of what is there already.
	borrows bool
}

func (f function) arity() string {
	switch {
	case f.most < 0:
		return fmt.Sprintf("%d arguments or more", f.least)
	case f.least == f.most:
		return fmt.Sprintf("%d arguments", f.least)
	}
	return fmt.Sprintf("%d to %d arguments", f.least, f.most)
}

// input is one call of a function.
type input struct {
	scope

	name string
	args []any
}

func (in *input) bad(format string, args ...any) error {
	return &trouble{fmt.Sprintf("The template language function '%s' can't be evaluated: %s. Please see https://aka.ms/arm-functions for usage details.",
		in.name, fmt.Sprintf(format, args...))}
}

func (in *input) str(i int) (string, error) {
	if s, ok := in.args[i].(string); ok {
		return s, nil
	}
	return "", in.bad("argument %d has to be a string and is of type '%s'", i+1, kind(in.args[i]))
}

func (in *input) num(i int) (int64, error) {
	if n, ok := in.args[i].(int64); ok {
		return n, nil
	}
	return 0, in.bad("argument %d has to be an integer and is of type '%s'", i+1, kind(in.args[i]))
}

func (in *input) flag(i int) (bool, error) {
	if b, ok := in.args[i].(bool); ok {
		return b, nil
	}
	return false, in.bad("argument %d has to be a boolean and is of type '%s'", i+1, kind(in.args[i]))
}

func (in *input) array(i int) ([]any, error) {
	if a, ok := in.args[i].([]any); ok {
		return a, nil
	}
	return nil, in.bad("argument %d has to be an array and is of type '%s'", i+1, kind(in.args[i]))
}

// strs returns the arguments as strings.
func (in *input) strs() ([]string, error) {
	out := make([]string, 0, len(in.args))
	for i := range in.args {
		s, err := in.str(i)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

// refusedFunction says why a function of the real service is not here.
func refusedFunction(name string) (string, bool) {
	switch name {
	case "lambda", "lambdavariables", "map", "filter", "reduce", "sort", "toobject", "mapvalues", "groupby":
		return "lambda expressions are not offered", true
	case "references":
		return "references to a whole copy loop are not offered; use reference() of each", true
	case "picktzones", "pickzones", "tozone", "providers":
		return "there are no zones and no provider metadata to tell", true
	case "dataurI", "loadfilecontent", "cidrsubnet", "cidrhost", "parsecidr":
		return "it is not offered", true
	case "getsecret":
		return "there is no key vault", true
	}
	return "", false
}

func functions() map[string]function {
	all := map[string]function{}
	for _, group := range []map[string]function{
		textFunctions(), codeFunctions(), listFunctions(), numberFunctions(), logicFunctions(), deploymentFunctions(), idFunctions(), timeFunctions(),
	} {
		maps.Copy(all, group)
	}
	return all
}

// one, two and three make functions of strings.
func one(f func(string) (any, error)) function {
	return function{least: 1, most: 1, do: func(in *input) (any, error) {
		s, err := in.str(0)
		if err != nil {
			return nil, err
		}
		out, err := f(s)
		if err != nil {
			return nil, in.bad("%s", err)
		}
		return out, nil
	}}
}

func two(f func(a, b string) any) function {
	return function{least: 2, most: 2, do: func(in *input) (any, error) {
		s, err := in.strs()
		if err != nil {
			return nil, err
		}
		return f(s[0], s[1]), nil
	}}
}

func logicFunctions() map[string]function {
	compare := func(f func(order int) bool) function {
		return function{least: 2, most: 2, do: func(in *input) (any, error) {
			switch a := in.args[0].(type) {
			case int64:
				b, err := in.num(1)
				if err != nil {
					return nil, err
				}
				return f(order(a, b)), nil
			case string:
				b, err := in.str(1)
				if err != nil {
					return nil, err
				}
				return f(strings.Compare(a, b)), nil
			}
			return nil, in.bad("values of type '%s' have no order", kind(in.args[0]))
		}}
	}
	constant := func(v any) function {
		return function{do: func(*input) (any, error) { return v, nil }}
	}
	return map[string]function{
		"true": constant(true), "false": constant(false), "null": constant(nil),
		"less":            compare(func(o int) bool { return o < 0 }),
		"lessorequals":    compare(func(o int) bool { return o <= 0 }),
		"greater":         compare(func(o int) bool { return o > 0 }),
		"greaterorequals": compare(func(o int) bool { return o >= 0 }),
		"equals":          {least: 2, most: 2, do: func(in *input) (any, error) { return same(in.args[0], in.args[1]), nil }},
		"not": {least: 1, most: 1, do: func(in *input) (any, error) {
			b, err := in.flag(0)
			return !b, err
		}},
		"bool": {least: 1, most: 1, do: func(in *input) (any, error) {
			switch v := in.args[0].(type) {
			case bool:
				return v, nil
			case int64:
				return v != 0, nil
			case string:
				switch strings.ToLower(v) {
				case "true", "1":
					return true, nil
				case "false", "0":
					return false, nil
				}
			}
			return nil, in.bad("'%s' is no boolean", Write(in.args[0]))
		}},
		"coalesce": {least: 1, most: -1, borrows: true, do: func(in *input) (any, error) {
			for _, v := range in.args {
				if v != nil {
					return v, nil
				}
			}
			return nil, nil
		}},
	}
}

func order(a, b int64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
