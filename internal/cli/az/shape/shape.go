// Package shape owns the form in which az prints what Resource Manager answers: the envelope's properties flattened into
// the object, names in az's own spelling, every property of the type there, null where the answer had none.
//
// It knows values alone. The names are in shapes.txt, one type after the other; each line of a type is the printed name,
// the path in the answer if it differs, and the type of what is there if it has properties of its own.
package shape

import (
	_ "embed"
	"fmt"
	"maps"
	"strings"
	"time"
)

//go:embed shapes.txt
var text string

type field struct {
	name string
	path []string
	kind string // a type's name, after [] or {} for a list or a map of it; "time"; or nothing
}

// types are the types by their names.
type types map[string][]field

// read reads shapes.txt: once for an object or a list, and only for a command that shapes something.
func read(text string) types {
	types := types{}
	name := ""
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if !strings.HasPrefix(line, " ") {
			name = line
			types[name] = nil
			continue
		}
		parts := strings.Fields(line)
		f := field{name: parts[0], path: []string{parts[0]}}
		if len(parts) > 1 {
			f.path = strings.Split(parts[1], ".")
		}
		if len(parts) > 2 {
			f.kind = parts[2]
		}
		types[name] = append(types[name], f)
	}
	return types
}

// Of returns v, an object that Resource Manager answered, as az prints an object of that type. What is no object is
// returned as it is.
func Of(kind string, v any) any { return read(text).object(kind, v) }

// List returns a list of objects of one type.
func List(kind string, v any) any { return read(text).list(kind, v) }

func (t types) object(kind string, v any) any {
	fields, ok := t[kind]
	if !ok {
		panic(fmt.Sprintf("shape: no type %q", kind)) // a mistake in a command's table, found by its test
	}
	in, ok := v.(map[string]any)
	if !ok {
		return v
	}
	out := make(map[string]any, len(fields))
	known := map[string]bool{}
	for _, f := range fields {
		known[strings.ToLower(f.path[0])] = true
		out[f.name] = t.convert(f.kind, lookup(in, f.path))
	}
	for key, value := range in {
		if !known[strings.ToLower(key)] {
			out[key] = value // a property that the type does not have
		}
	}
	return out
}

func (t types) list(kind string, v any) any {
	list, ok := v.([]any)
	if !ok {
		return v
	}
	out := make([]any, len(list))
	for i, x := range list {
		out[i] = t.object(kind, x)
	}
	return out
}

// lookup follows a path. Names match without case, as they do for az.
func lookup(in map[string]any, path []string) any {
	var v any = in
	for _, name := range path {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		next, ok := m[name]
		if !ok {
			for key, value := range m {
				if strings.EqualFold(key, name) {
					next = value
					break
				}
			}
		}
		v = next
	}
	return v
}

func (t types) convert(kind string, v any) any {
	if v == nil || kind == "" {
		return v
	}
	if kind == "time" {
		return Time(v)
	}
	if inner, ok := strings.CutPrefix(kind, "[]"); ok {
		return t.list(inner, v)
	}
	if inner, ok := strings.CutPrefix(kind, "{}"); ok {
		m, ok := v.(map[string]any)
		if !ok {
			return v
		}
		m = maps.Clone(m)
		for key, x := range m {
			m[key] = t.object(inner, x)
		}
		return m
	}
	return t.object(kind, v)
}

// Time returns a point in time as az prints it: with an offset in place of Z, and microseconds only if there are any.
func Time(v any) any {
	s, ok := v.(string)
	if !ok {
		return v
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return v
	}
	if t.Nanosecond()/1000 == 0 {
		return t.Format("2006-01-02T15:04:05-07:00")
	}
	return t.Format("2006-01-02T15:04:05.000000-07:00")
}

// AddResourceGroups adds the name of the resource group to every object that has a resource id in one and does not say
// it, and returns v.
func AddResourceGroups(v any) any {
	switch v := v.(type) {
	case []any:
		for _, x := range v {
			AddResourceGroups(x)
		}
	case map[string]any:
		if name := group(v); name != "" {
			v["resourceGroup"] = name
		}
		for _, x := range v {
			AddResourceGroups(x)
		}
	}
	return v
}

// group returns the resource group to be added to an object. az takes a resource of its own type only, not the group itself.
func group(m map[string]any) string {
	for key := range m {
		if strings.EqualFold(key, "resourceGroup") {
			return ""
		}
	}
	id, _ := m["id"].(string)
	parts := strings.Split(id, "/")
	if len(parts) < 9 || !strings.EqualFold(parts[3], "resourceGroups") {
		return ""
	}
	return parts[4]
}
