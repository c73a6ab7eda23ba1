package template

import (
	"strings"

	"github.com/keyreeve/keyreeve/internal/ident"
)

func idFunctions() map[string]function {
	return map[string]function{
		"resourceid": {least: 2, most: -1, do: func(in *input) (any, error) { return in.resourceID() }},
		"subscriptionresourceid": {least: 2, most: -1, do: func(in *input) (any, error) {
			s, err := in.strs()
			if err != nil {
				return nil, err
			}
			sub := in.inputs.SubscriptionID
			if !strings.Contains(s[0], "/") {
				sub, s = s[0], s[1:]
			}
			return in.idBelow("/subscriptions/"+sub, s)
		}},
		"tenantresourceid": {least: 2, most: -1, do: func(in *input) (any, error) {
			s, err := in.strs()
			if err != nil {
				return nil, err
			}
			return in.idBelow("", s)
		}},
		"extensionresourceid": {least: 3, most: -1, do: func(in *input) (any, error) {
			s, err := in.strs()
			if err != nil {
				return nil, err
			}
			return in.idBelow(strings.TrimSuffix(s[0], "/"), s[1:])
		}},
		"managementgroupresourceid": {least: 3, most: -1, do: func(in *input) (any, error) {
			s, err := in.strs()
			if err != nil {
				return nil, err
			}
			if strings.Contains(s[0], "/") {
				return nil, in.bad("the first argument has to be the name of a management group")
			}
			return in.idBelow("/providers/Microsoft.Management/managementGroups/"+s[0], s[1:])
		}},
	}
}

// idBelow makes an id of a base, a type and as many names as the type has.
func (in *input) idBelow(base string, s []string) (any, error) {
	if len(s) < 2 {
		return nil, in.bad("it takes a resource type and names")
	}
	id, ok := weave(base, s[0], s[1:])
	if !ok {
		return nil, in.bad("the type '%s' requires '%d' resource name argument(s), and there are '%d'", s[0], strings.Count(s[0], "/"), len(s)-1)
	}
	if err := in.room(len(id)); err != nil {
		return nil, err
	}
	return id, nil
}

// weave weaves a type A/b/c and the names x, y into BASE/providers/A/b/x/c/y.
func weave(base, kind string, names []string) (string, bool) {
	types := strings.Split(kind, "/")
	if len(types) < 2 || len(types)-1 != len(names) {
		return "", false
	}
	var b strings.Builder
	b.WriteString(base + "/providers/" + types[0])
	for i, n := range names {
		b.WriteString("/" + types[i+1] + "/" + n)
	}
	return b.String(), true
}

func (in *input) resourceID() (any, error) {
	s, err := in.strs()
	if err != nil {
		return nil, err
	}
	at := 0
	for at < len(s) && !strings.Contains(s[at], "/") {
		at++
	}
	sub, group := in.inputs.SubscriptionID, in.inputs.GroupName
	switch {
	case at == len(s) || at > 2:
		return nil, in.bad("it requires a fully qualified resource type as one of the first arguments")
	case at == 2:
		sub, group = s[0], s[1]
	case at == 1 && ident.IsGUID(s[0]):
		sub = s[0]
	case at == 1:
		group = s[0]
	}
	base := "/subscriptions/" + sub
	if group != "" {
		base += "/resourceGroups/" + group
	}
	return in.idBelow(base, s[at:])
}

func deploymentFunctions() map[string]function {
	return map[string]function{
		"parameters": {least: 1, most: 1, borrows: true, do: func(in *input) (any, error) {
			name, err := in.str(0)
			if err != nil {
				return nil, err
			}
			if in.arguments != nil {
				if v, ok := in.arguments[strings.ToLower(name)]; ok {
					return v, nil
				}
				return nil, in.bad("the function has no parameter '%s'", name)
			}
			return in.parameter(name)
		}},
		"variables": {least: 1, most: 1, borrows: true, do: func(in *input) (any, error) {
			name, err := in.str(0)
			if err != nil {
				return nil, err
			}
			if in.arguments != nil {
				return nil, in.bad("a function of the template can't use variables")
			}
			return in.variable(name)
		}},
		"copyindex": {most: 2, do: copyIndex},
		"resourcegroup": {most: 0, do: func(in *input) (any, error) {
			if in.inputs.Group == nil {
				return nil, in.bad("the deployment is not in a resource group")
			}
			return in.inputs.Group, nil
		}},
		"subscription": {most: 0, do: func(in *input) (any, error) { return in.inputs.Subscription, nil }},
		"tenant":       {most: 0, do: func(in *input) (any, error) { return in.inputs.Tenant, nil }},
		"environment":  {most: 0, do: func(in *input) (any, error) { return in.inputs.Environment, nil }},
		"deployer":     {most: 0, do: func(in *input) (any, error) { return in.inputs.Deployer, nil }},
		"deployment": {most: 0, borrows: true, do: func(in *input) (any, error) {
			given := NewObject()
			for n, v := range in.inputs.Parameters.All() {
				given.Set(n, NewObject("value", v))
			}
			d := NewObject("name", in.inputs.Name, "properties", NewObject(
				"template", in.template.raw, "parameters", given, "mode", in.inputs.Mode, "provisioningState", "Accepted"))
			if in.inputs.Location != "" {
				d.Set("location", in.inputs.Location)
			}
			return d, nil
		}},
		"reference":    {least: 1, most: 3, do: reference},
		"resourceinfo": {least: 1, most: 1, do: resourceInfo},
	}
}

func copyIndex(in *input) (any, error) {
	name, offset := "", int64(0)
	var err error
	for i, a := range in.args {
		switch a := a.(type) {
		case string:
			if i > 0 {
				return nil, in.bad("the name of the loop comes first")
			}
			name = a
		case int64:
			offset = a
		default:
			return nil, in.bad("an argument is of type '%s'", kind(a))
		}
	}
	for _, l := range in.loops {
		if name == "" || strings.EqualFold(name, l.name) {
			n, bad := plus(l.index, offset)
			if bad != nil {
				err = in.bad("%s", bad)
			}
			return n, err
		}
	}
	if name == "" {
		return nil, in.bad("it is not in a copy loop")
	}
	return nil, in.bad("there is no copy loop '%s' around", name)
}

// resource finds a resource of the template by symbol, id, or name.
func (e *expansion) resource(text string) *Resource {
	if e.plan == nil {
		return nil
	}
	if r := e.plan.symbols[text]; r != nil {
		return r
	}
	low := strings.ToLower(text)
	if r := e.plan.ids[low]; r != nil {
		return r
	}
	if r := e.plan.ids[strings.ToLower(e.base()+"/providers/"+text)]; r != nil {
		return r
	}
	var found *Resource
	for _, r := range e.plan.names[low] {
		if found != nil && found.ID != r.ID {
			return nil // two types have one of that name
		}
		found = r
	}
	return found
}

func reference(in *input) (any, error) {
	s, err := in.strs()
	if err != nil {
		return nil, err
	}
	if in.static {
		return nil, in.bad("it is not expected at this location")
	}
	full := false
	if len(s) > 1 && strings.EqualFold(s[len(s)-1], "full") {
		full, s = true, s[:len(s)-1]
	}
	id, version := s[0], ""
	if r := in.resource(id); r != nil {
		id, version = r.ID, r.APIVersion
	}
	if len(s) > 1 && s[1] != "" {
		version = s[1]
	}
	*in.refs = append(*in.refs, id)
	if in.runtime == nil {
		return unknown{}, nil
	}
	switch {
	case !strings.HasPrefix(id, "/"):
		return nil, in.bad("the resource '%s' is not defined in the template", id)
	case version == "":
		return nil, in.bad("the API version has to be given for '%s', which is not in the template", id)
	}
	answer, err := in.runtime.Reference(id, version)
	if err != nil {
		return nil, err
	}
	if !full {
		p, _ := answer.Get("properties")
		return p, nil
	}
	out := NewObject("apiVersion", version)
	for n, v := range answer.All() {
		if n != "id" && n != "name" && n != "type" {
			out.Set(n, v)
		}
	}
	out.Set("resourceId", id)
	return out, nil
}

func resourceInfo(in *input) (any, error) {
	s, err := in.str(0)
	if err != nil {
		return nil, err
	}
	r := in.resource(s)
	if r == nil {
		return nil, in.bad("the resource '%s' is not defined in the template", s)
	}
	return NewObject("id", r.ID, "name", r.Name, "type", r.Type, "apiVersion", r.APIVersion), nil
}

// list is a function whose name begins with list: a POST to a resource.
func (in *input) list(blurred bool) (any, error) {
	if blurred {
		return unknown{}, nil
	}
	if len(in.args) < 2 || len(in.args) > 3 {
		return nil, in.bad("it takes 2 to 3 arguments, and there are %d", len(in.args))
	}
	s, err := in.strs()
	if len(in.args) == 3 {
		in2 := *in
		in2.args = in.args[:2]
		s, err = in2.strs()
	}
	if err != nil {
		return nil, err
	}
	if in.static {
		return nil, in.bad("it is not expected at this location")
	}
	id := s[0]
	if r := in.resource(id); r != nil {
		id = r.ID
	}
	*in.refs = append(*in.refs, id)
	if in.runtime == nil {
		return unknown{}, nil
	}
	var body any
	if len(in.args) == 3 {
		body = in.args[2]
	}
	out, err := in.runtime.List(id, in.name, s[1], body)
	if err != nil {
		return nil, err
	}
	return out, in.cost.charge(out)
}
