package template

import "strings"

func listFunctions() map[string]function {
	return map[string]function{
		"length":       {least: 1, most: 1, do: length},
		"empty":        {least: 1, most: 1, do: empty},
		"contains":     {least: 2, most: 2, do: contains},
		"first":        {least: 1, most: 1, do: end(true), borrows: true},
		"last":         {least: 1, most: 1, do: end(false), borrows: true},
		"skip":         {least: 2, most: 2, do: cut(true)},
		"take":         {least: 2, most: 2, do: cut(false)},
		"range":        {least: 2, most: 2, do: span},
		"createarray":  {most: -1, do: func(in *input) (any, error) { return append([]any{}, in.args...), nil }},
		"createobject": {most: -1, do: createObject},
		"array":        {least: 1, most: 1, do: toArray},
		"union":        {least: 2, most: -1, do: union},
		"intersection": {least: 2, most: -1, do: intersection},
		"items":        {least: 1, most: 1, do: items},
		"objectkeys":   {least: 1, most: 1, do: objectKeys},
		"flatten":      {least: 1, most: 1, do: flatten},
		"shallowmerge": {least: 1, most: 1, do: shallowMerge},
		"tryget":       {least: 2, most: -1, do: tryGet, borrows: true},
	}
}

func length(in *input) (any, error) {
	switch v := in.args[0].(type) {
	case string:
		return int64(len(units(v))), nil
	case []any:
		return int64(len(v)), nil
	case *Object:
		return int64(v.Len()), nil
	}
	return nil, in.bad("a value of type '%s' has no length", kind(in.args[0]))
}

func empty(in *input) (any, error) {
	switch v := in.args[0].(type) {
	case nil:
		return true, nil
	case string:
		return v == "", nil
	case []any:
		return len(v) == 0, nil
	case *Object:
		return v.Len() == 0, nil
	}
	return nil, in.bad("a value of type '%s' can't be empty", kind(in.args[0]))
}

func contains(in *input) (any, error) {
	switch v := in.args[0].(type) {
	case []any:
		for _, x := range v {
			if same(x, in.args[1]) {
				return true, nil
			}
		}
		return false, nil
	case *Object:
		name, err := in.str(1)
		_, ok := v.Get(name)
		return ok, err
	case string:
		return strings.Contains(v, plain(in.args[1])), nil
	}
	return nil, in.bad("a value of type '%s' can't contain others", kind(in.args[0]))
}

func end(first bool) func(in *input) (any, error) {
	return func(in *input) (any, error) {
		switch v := in.args[0].(type) {
		case []any:
			switch {
			case len(v) == 0:
				return nil, nil
			case first:
				return v[0], nil
			}
			return v[len(v)-1], nil
		case string:
			r := []rune(v)
			switch {
			case len(r) == 0:
				return "", nil
			case first:
				return string(r[0]), nil
			}
			return string(r[len(r)-1]), nil
		}
		return nil, in.bad("a value of type '%s' has no elements", kind(in.args[0]))
	}
}

func cut(skip bool) func(in *input) (any, error) {
	return func(in *input) (any, error) {
		n, err := in.num(1)
		if err != nil {
			return nil, err
		}
		at := func(most int) int { return int(max(0, min(n, int64(most)))) }
		switch v := in.args[0].(type) {
		case []any:
			if skip {
				return v[at(len(v)):], nil
			}
			return v[:at(len(v)):at(len(v))], nil
		case string:
			r := []rune(v)
			if skip {
				return string(r[at(len(r)):]), nil
			}
			return string(r[:at(len(r))]), nil
		}
		return nil, in.bad("a value of type '%s' has no elements", kind(in.args[0]))
	}
}

func span(in *input) (any, error) {
	start, err := in.num(0)
	if err != nil {
		return nil, err
	}
	n, err := in.num(1)
	if err != nil {
		return nil, err
	}
	const most, highest = 10000, 1<<31 - 1
	if n < 0 || n > most || start > highest || start < -highest || start+n > highest {
		return nil, in.bad("the count has to be from 0 to %d, and no number above %d", most, highest)
	}
	if err := in.room(int(n) * 16); err != nil {
		return nil, err
	}
	out := make([]any, n)
	for i := range out {
		out[i] = start + int64(i)
	}
	return out, nil
}

func createObject(in *input) (any, error) {
	if len(in.args)%2 != 0 {
		return nil, in.bad("it takes names and values in turn")
	}
	o := NewObject()
	for i := 0; i < len(in.args); i += 2 {
		name, err := in.str(i)
		if err != nil {
			return nil, err
		}
		o.Set(name, in.args[i+1])
	}
	return o, nil
}

func toArray(in *input) (any, error) {
	if a, ok := in.args[0].([]any); ok {
		return a, nil
	}
	return []any{in.args[0]}, nil
}

// union joins arrays without doubles, or objects, member by member; the last wins, and objects in objects are joined too.
func union(in *input) (any, error) {
	if _, ok := in.args[0].(*Object); ok {
		out := NewObject()
		for i := range in.args {
			o, ok := in.args[i].(*Object)
			if !ok {
				return nil, in.bad("all arguments have to be objects, or all arrays")
			}
			var err error
			if out, err = in.merge(out, o, 0); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	out := []any{}
	for i := range in.args {
		list, err := in.array(i)
		if err != nil {
			return nil, err
		}
		for _, v := range list {
			there, err := in.among(out, v)
			if err != nil {
				return nil, err
			}
			if !there {
				out = append(out, v)
			}
		}
	}
	return out, nil
}

// among looks for a value in a list. Each look is a step: lists are compared with one another.
func (in *input) among(list []any, v any) (bool, error) {
	for _, x := range list {
		if err := in.cost.step(); err != nil {
			return false, err
		}
		if same(x, v) {
			return true, nil
		}
	}
	return false, nil
}

func (in *input) merge(a, b *Object, depth int) (*Object, error) {
	if depth > maxDepth {
		return nil, in.bad("objects are nested deeper than %d", maxDepth)
	}
	out := NewObject()
	for n, v := range a.All() {
		out.Set(n, v)
	}
	for n, v := range b.All() {
		if err := in.cost.step(); err != nil {
			return nil, err
		}
		if stored, ok := out.folded[strings.ToLower(n)]; ok {
			n = stored
		}
		old, _ := out.values[n].(*Object)
		add, ok := v.(*Object)
		if ok && old != nil {
			m, err := in.merge(old, add, depth+1)
			if err != nil {
				return nil, err
			}
			v = m
		}
		out.Set(n, v)
	}
	return out, nil
}

func intersection(in *input) (any, error) {
	if first, ok := in.args[0].(*Object); ok {
		out := NewObject()
		for n, v := range first.All() {
			all := true
			for _, other := range in.args[1:] {
				o, ok := other.(*Object)
				if !ok {
					return nil, in.bad("all arguments have to be objects, or all arrays")
				}
				w, there := o.Get(n)
				all = all && there && same(v, w)
			}
			if all {
				out.Set(n, v)
			}
		}
		return out, nil
	}
	first, err := in.array(0)
	if err != nil {
		return nil, err
	}
	out := []any{}
	for _, v := range first {
		all := true
		for i := 1; i < len(in.args) && all; i++ {
			list, err := in.array(i)
			if err != nil {
				return nil, err
			}
			if all, err = in.among(list, v); err != nil {
				return nil, err
			}
		}
		there, err := in.among(out, v)
		if err != nil {
			return nil, err
		}
		if all && !there {
			out = append(out, v)
		}
	}
	return out, nil
}

func (in *input) object(i int) (*Object, error) {
	if o, ok := in.args[i].(*Object); ok {
		return o, nil
	}
	return nil, in.bad("argument %d has to be an object and is of type '%s'", i+1, kind(in.args[i]))
}

func items(in *input) (any, error) {
	o, err := in.object(0)
	if err != nil {
		return nil, err
	}
	out := []any{}
	for _, n := range sortedNames(o) {
		v, _ := o.Get(n)
		out = append(out, NewObject("key", n, "value", v))
	}
	return out, nil
}

func objectKeys(in *input) (any, error) {
	o, err := in.object(0)
	if err != nil {
		return nil, err
	}
	out := []any{}
	for _, n := range sortedNames(o) {
		out = append(out, n)
	}
	return out, nil
}

func flatten(in *input) (any, error) {
	list, err := in.array(0)
	if err != nil {
		return nil, err
	}
	out := []any{}
	for _, v := range list {
		a, ok := v.([]any)
		if !ok {
			return nil, in.bad("an element is of type '%s' and has to be an array", kind(v))
		}
		if err := in.room(16 * (len(out) + len(a))); err != nil {
			return nil, err
		}
		out = append(out, a...)
	}
	return out, nil
}

func shallowMerge(in *input) (any, error) {
	list, err := in.array(0)
	if err != nil {
		return nil, err
	}
	out := NewObject()
	for _, v := range list {
		o, ok := v.(*Object)
		if !ok {
			return nil, in.bad("an element is of type '%s' and has to be an object", kind(v))
		}
		for n, x := range o.All() {
			if err := in.cost.step(); err != nil {
				return nil, err
			}
			out.Set(n, x)
		}
	}
	return out, nil
}

func tryGet(in *input) (any, error) {
	v := in.args[0]
	for _, at := range in.args[1:] {
		switch at := at.(type) {
		case string:
			o, _ := v.(*Object)
			v, _ = o.Get(at)
		case int64:
			list, _ := v.([]any)
			if at < 0 || at >= int64(len(list)) {
				return nil, nil
			}
			v = list[at]
		default:
			return nil, in.bad("a name or an index is of type '%s'", kind(at))
		}
	}
	return v, nil
}
