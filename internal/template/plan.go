package template

import (
	"fmt"
	"strings"
)

func (p *Plan) register(all []*Resource) error {
	for _, r := range all {
		key := strings.ToLower(r.ID)
		name := strings.ToLower(r.Name)
		old := p.ids[key]
		switch {
		case old == nil || old.skip:
			p.ids[key] = r // of two with opposite conditions, the one that is deployed
		case !r.skip:
			return invalid("The resource '%s' is defined multiple times in a template. Please see https://aka.ms/arm-syntax-resources for usage details", r.ID)
		}
		if p.ids[key] == r && (old == nil || old.skip) {
			p.names[name] = append(p.names[name], r)
		}
		if r.loop != "" {
			p.loops[strings.ToLower(r.loop)] = append(p.loops[strings.ToLower(r.loop)], r)
		}
		switch {
		case r.Symbol == "":
		case r.loop == "":
			p.symbols[r.Symbol] = r
		default:
			p.symbols[fmt.Sprintf("%s[%d]", r.Symbol, r.index)] = r
			if !strings.EqualFold(r.Symbol, r.loop) {
				p.loops[strings.ToLower(r.Symbol)] = append(p.loops[strings.ToLower(r.Symbol)], r)
			}
		}
	}
	return nil
}

// connect finds what each resource depends on, and puts them into an order.
func (p *Plan) connect(all []*Resource) error {
	for i, r := range all {
		if r.skip {
			continue
		}
		for _, w := range r.wants {
			if loop := p.loops[strings.ToLower(w)]; loop != nil {
				r.after(loop...)
				continue
			}
			d := p.from.resource(w)
			if d == nil {
				return invalid("The resource '%s' is not defined in the template. Please see https://aka.ms/arm-syntax for usage details", clip(w))
			}
			r.after(d)
		}
		for _, id := range r.refs {
			r.after(p.from.resource(id))
		}
		if r.serial > 0 {
			first := i - r.index // of its loop, whose resources stand together
			batch := r.index / r.serial * r.serial
			r.after(all[first+max(0, batch-r.serial) : first+batch]...)
		}
		if err := p.from.cost.spend(len(r.DependsOn)); err != nil {
			return invalid("%s", err)
		}
	}
	for _, r := range all {
		if err := p.visit(r); err != nil {
			return err
		}
	}
	return nil
}

func (b *budget) spend(steps int) error {
	b.steps += steps
	return b.step()
}

func (r *Resource) after(list ...*Resource) {
	for _, d := range list {
		if d == nil || d.skip {
			continue
		}
		if !r.known[d] {
			if r.known == nil {
				r.known = map[*Resource]bool{}
			}
			r.known[d] = true
			r.DependsOn = append(r.DependsOn, d)
		}
	}
}

// visit appends a resource after all that it depends on.
func (p *Plan) visit(r *Resource) error {
	const begun, done = 1, 2
	switch {
	case r.skip || r.visited == done:
		return nil
	case r.visited == begun:
		return invalid("Circular dependency detected on resource: '%s'. Please see https://aka.ms/arm-syntax-resources for usage details", r.ID)
	}
	r.visited = begun
	for _, d := range r.DependsOn {
		if err := p.visit(d); err != nil {
			return err
		}
	}
	r.visited = done
	p.Resources = append(p.Resources, r)
	return nil
}

// running is the expansion with running resources to ask, and a budget of its own.
func (p *Plan) running(rt Runtime) *expansion {
	e := *p.from
	e.runtime, e.cost, e.refs = rt, &budget{}, new([]string)
	return &e
}

// BodyOf evaluates what a resource is sent with, when all that it depends on is there.
func (p *Plan) BodyOf(r *Resource, rt Runtime) (*Object, error) {
	if !r.Open {
		return r.Body, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	s := r.scope
	s.expansion = p.running(rt)
	body, _, err := s.body(r)
	if err != nil {
		return nil, asked(err, fmt.Sprintf("resource '%s'", r.Name))
	}
	return body, nil
}

// asked keeps the errors of a runtime, and says where those of the language stand.
func asked(err error, where string) error {
	if t, ok := err.(*trouble); ok { //nolint:errorlint // made by this package, never wrapped
		return expressionError(where, t)
	}
	return err
}

// Outputs evaluates the outputs, when all resources are there.
func (p *Plan) Outputs(rt Runtime) (*Object, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.outputs(p.running(rt))
}

// HasOutputs reports whether the template has outputs.
func (p *Plan) HasOutputs() bool { return p.from.template.outputs.Len() > 0 }

func (p *Plan) outputs(e *expansion) (*Object, error) {
	out := NewObject()
	for name, v := range e.template.outputs.All() {
		o, _ := v.(*Object)
		where := fmt.Sprintf("output '%s'", name)
		s := scope{expansion: e}
		off, err := s.skipped(o)
		if err != nil {
			return nil, asked(err, where)
		}
		if off {
			continue
		}
		kindName, _ := typeName(o.Text("type"))
		made, open, err := s.output(o)
		if err != nil {
			return nil, asked(err, where)
		}
		if nullable, _ := o.Get("nullable"); made == nil && nullable == true {
			continue
		}
		if !open {
			if err := (parameter{name: name, kind: kindName, raw: NewObject()}).check(made); err != nil {
				return nil, wrongOutput(name, kindName, made)
			}
		}
		shown := NewObject("type", kindName)
		if !strings.HasPrefix(kindName, "Secure") {
			shown.Set("value", made)
		}
		out.Set(name, shown)
	}
	return out, nil
}

func (s scope) output(o *Object) (any, bool, error) {
	if c := o.Child("copy"); c != nil {
		input, ok := c.Get("input")
		if !ok {
			return nil, false, &trouble{"The copy loop has no input."}
		}
		return s.repeatAny(variable{name: "output", value: input, copy: c})
	}
	v, ok := o.Get("value")
	if !ok {
		return nil, false, &trouble{"The output has no value."}
	}
	return s.value(v)
}

func wrongOutput(name, want string, v any) error {
	return invalid("The template output '%s' is not valid: it is of type '%s' and has to be of type '%s'. "+
		"Please see https://aka.ms/arm-syntax-outputs for usage details", name, kind(v), want)
}

// ShownParameters are the parameters as answers tell of them: the values of secure ones are left out.
func (p *Plan) ShownParameters() *Object {
	out := NewObject()
	for _, x := range p.from.template.parameters {
		shown := NewObject("type", x.kind)
		if !x.secure() {
			v, _ := p.Parameters.Get(x.name)
			shown.Set("value", v)
		}
		out.Set(x.name, shown)
	}
	return out
}
