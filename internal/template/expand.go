package template

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Inputs are what a template is expanded with.
type Inputs struct {
	// Name is that of the deployment, Mode Incremental or Complete, Location that of a deployment of a subscription.
	Name, Mode, Location string
	SubscriptionID       string
	// GroupName is that of the resource group; empty for a deployment of a subscription.
	GroupName string
	// What resourceGroup(), subscription(), tenant(), environment() and deployer() return.
	Group, Subscription, Tenant, Environment, Deployer *Object
	// Parameters are the given values by name.
	Parameters *Object
	Now        time.Time
	NewGUID    func() string
}

// Plan is an expanded template.
type Plan struct {
	// Resources are those to deploy: each after all that it depends on.
	Resources []*Resource
	// Parameters are the values of all parameters, defaults filled in. Expanding the template with them gives the same plan.
	Parameters *Object

	mu      sync.Mutex // evaluation shares what is parsed and computed already
	from    *expansion
	ids     map[string]*Resource   // by lower-case id
	names   map[string][]*Resource // by lower-case name
	symbols map[string]*Resource
	loops   map[string][]*Resource // by lower-case name of the loop, or symbol
}

// Resource is one to deploy.
type Resource struct {
	ID, Type, Name, APIVersion, Symbol string
	// DependsOn are the resources that come first.
	DependsOn []*Resource
	// Body is what to send, as far as it is known. What only running resources can tell stands as an expression, and Open
	// is true.
	Body *Object
	Open bool

	raw     *Object
	scope   scope
	skip    bool // it is there already, or its condition is false
	refs    []string
	wants   []string
	index   int // in its loop
	serial  int // batch size of its loop; 0 deploys all at once
	loop    string
	visited int
	known   map[*Resource]bool // DependsOn
}

// expansion is one evaluation of a template.
type expansion struct {
	template   *Template
	inputs     Inputs
	cost       *budget
	parsed     map[string]expression
	functions  map[string]function
	parameters map[string]any
	variables  map[string]any
	busy       map[string]bool
	runtime    Runtime
	refs       *[]string
	plan       *Plan
}

// Expand evaluates a template as far as it can be without running resources.
func (t *Template) Expand(in Inputs) (*Plan, error) {
	if in.Parameters == nil {
		in.Parameters = NewObject()
	}
	if err := t.supplied(in.Parameters); err != nil {
		return nil, err
	}
	e := &expansion{
		template: t, inputs: in, cost: &budget{}, parsed: map[string]expression{}, functions: functions(), parameters: map[string]any{},
		variables: map[string]any{}, busy: map[string]bool{}, refs: new([]string),
	}
	p := &Plan{Parameters: NewObject(), from: e, ids: map[string]*Resource{}, names: map[string][]*Resource{}, symbols: map[string]*Resource{}, loops: map[string][]*Resource{}}
	for _, x := range t.parameters {
		v, err := e.parameter(x.name)
		if err != nil {
			return nil, invalid("%s", strings.TrimSuffix(err.Error(), "."))
		}
		p.Parameters.Set(x.name, v)
	}
	var all []*Resource
	for _, s := range t.resources {
		made, err := e.instances(s)
		if err != nil {
			return nil, err
		}
		if all = append(all, made...); len(all) > maxResources {
			return nil, invalid("The number of template resources limit exceeded. Limit: '%d'", maxResources)
		}
	}
	e.plan = p
	if err := p.register(all); err != nil {
		return nil, err
	}
	for _, r := range all {
		if err := r.evaluate(); err != nil {
			return nil, err
		}
	}
	if err := p.connect(all); err != nil {
		return nil, err
	}
	if _, err := p.outputs(e); err != nil {
		return nil, err
	}
	return p, nil
}

// instances makes the resources that one of the template stands for.
func (e *expansion) instances(s written) ([]*Resource, error) {
	base := scope{expansion: e}
	raw, ok := s.raw.Get("copy")
	if !ok || raw == nil {
		r, err := e.instance(s, base)
		if err != nil {
			return nil, err
		}
		return []*Resource{r}, nil
	}
	c, _ := raw.(*Object)
	name := c.Text("name")
	if name == "" {
		return nil, invalid("The copy loop of the %s has no name. Please see https://aka.ms/arm-copy for usage details", where(s))
	}
	base.static = true
	n, err := base.count(c)
	base.static = false
	if err != nil {
		return nil, expressionError(where(s), err)
	}
	batch := 0
	if strings.EqualFold(c.Text("mode"), "serial") {
		batch = 1
		if v, ok := c.Get("batchSize"); ok {
			size, isInt := v.(int64)
			if !isInt || size < 1 || size > maxCopies {
				return nil, invalid("The batchSize of the copy loop '%s' has to be a positive integer", name)
			}
			batch = int(size)
		}
	}
	var out []*Resource
	for i := range n {
		r, err := e.instance(s, base.with(name, i))
		if err != nil {
			return nil, err
		}
		r.loop, r.index, r.serial = name, i, batch
		out = append(out, r)
	}
	return out, nil
}

// known evaluates a member of a resource that has to be a string known before the deployment.
func (s scope) known(raw *Object, name string, required bool) (string, error) {
	v, ok := raw.Get(name)
	if !ok || v == nil {
		if required {
			return "", &trouble{fmt.Sprintf("The resource has no '%s'.", name)}
		}
		return "", nil
	}
	s.static = true
	out, _, err := s.value(v)
	if err != nil {
		return "", err
	}
	text, ok := out.(string)
	if !ok || required && text == "" {
		return "", &trouble{fmt.Sprintf("The '%s' of a resource has to be a string and is of type '%s'.", name, kind(out))}
	}
	return text, nil
}

func (e *expansion) instance(src written, s scope) (*Resource, error) {
	r := &Resource{raw: src.raw, scope: s, Symbol: src.symbol}
	fail := func(err error) (*Resource, error) { return nil, expressionError(where(src), err) }
	var err error
	existing, _ := src.raw.Get("existing")
	if r.skip = existing == true; !r.skip {
		if r.skip, err = s.skipped(src.raw); err != nil {
			return fail(err)
		}
	}
	if r.Type, err = s.known(src.raw, "type", true); err != nil {
		return fail(err)
	}
	if r.Name, err = s.known(src.raw, "name", true); err != nil {
		return fail(err)
	}
	if r.APIVersion, err = s.known(src.raw, "apiVersion", true); err != nil {
		return fail(err)
	}
	if src.parent != nil {
		above, err := e.instance(written{raw: src.parent, parent: e.template.parentOf(src.parent)}, s)
		if err != nil {
			return nil, err
		}
		if !strings.HasPrefix(strings.ToLower(r.Type), strings.ToLower(above.Type)+"/") {
			r.Type, r.Name = above.Type+"/"+r.Type, above.Name+"/"+r.Name
		}
		r.skip = r.skip || above.skip
		r.wants = append(r.wants, above.ID)
	}
	base, err := s.baseOf(r)
	if err != nil {
		return fail(err)
	}
	if r.ID, err = idOf(base, r.Type, r.Name); err != nil {
		return nil, err
	}
	return r, nil
}

func (t *Template) parentOf(raw *Object) *Object {
	for _, s := range t.resources {
		if s.raw == raw {
			return s.parent
		}
	}
	return nil
}

func (s scope) skipped(raw *Object) (bool, error) {
	c, ok := raw.Get("condition")
	if !ok {
		return false, nil
	}
	s.static = true
	v, _, err := s.value(c)
	if err != nil {
		return false, err
	}
	if t, ok := v.(string); ok {
		switch strings.ToLower(t) {
		case "true":
			v = true
		case "false":
			v = false
		}
	}
	b, ok := v.(bool)
	if !ok {
		return false, &trouble{fmt.Sprintf("The condition has to be a boolean and is of type '%s'.", kind(v))}
	}
	return !b, nil
}

// base is the id of what the deployment deploys into.
func (e *expansion) base() string {
	id := "/subscriptions/" + e.inputs.SubscriptionID
	if e.inputs.GroupName != "" {
		id += "/resourceGroups/" + e.inputs.GroupName
	}
	return id
}

// baseOf returns the id of the scope that a resource is in.
func (s scope) baseOf(r *Resource) (string, error) {
	in, err := s.known(r.raw, "scope", false)
	if err != nil {
		return "", err
	}
	switch {
	case in == "/":
		return "", nil
	case strings.HasPrefix(in, "/"):
		return strings.TrimSuffix(in, "/"), nil
	case in != "":
		types := strings.Split(in, "/")
		if len(types) < 3 || len(types)%2 == 0 {
			return "", &trouble{fmt.Sprintf("The scope '%s' is no id of a resource.", in)}
		}
		return s.base() + "/providers/" + in, nil
	}
	sub, err := s.known(r.raw, "subscriptionId", false)
	if err != nil {
		return "", err
	}
	group, err := s.known(r.raw, "resourceGroup", false)
	if err != nil {
		return "", err
	}
	if sub == "" && group == "" {
		return s.base(), nil
	}
	id := "/subscriptions/" + sub
	if sub == "" {
		id = "/subscriptions/" + s.inputs.SubscriptionID
	}
	if group != "" {
		id += "/resourceGroups/" + group
	}
	return id, nil
}

const (
	groupType      = "Microsoft.Resources/resourceGroups"
	deploymentType = "Microsoft.Resources/deployments"
)

// idOf makes a resource's id of its type and name.
func idOf(base, kind, name string) (string, error) {
	names := strings.Split(name, "/")
	for _, n := range append(slices.Clone(names), strings.Split(kind, "/")...) {
		if n == "" || n == "." || n == ".." || len(n) > 260 || strings.ContainsAny(n, "\\?#%\x00\r\n\t") {
			return "", invalid("The template resource '%s' of type '%s' has a name or a type that is not valid", clip(name), clip(kind))
		}
	}
	if strings.EqualFold(kind, groupType) && len(names) == 1 {
		if strings.Count(base, "/") != 2 {
			return "", invalid("The resource group '%s' can be deployed at the scope of a subscription only", clip(name))
		}
		return base + "/resourceGroups/" + name, nil
	}
	id, ok := weave(base, kind, names)
	if !ok {
		return "", invalid("The template resource '%s' for type '%s' has incorrect segment lengths. A nested resource type must have identical number "+
			"of segments as its resource name. A root resource type must have segment length one greater than its resource name. "+
			"Please see https://aka.ms/arm-syntax-resources for usage details", clip(name), clip(kind))
	}
	return id, nil
}

func clip(s string) string {
	if len(s) > 256 {
		return strings.ToValidUTF8(s[:256], "") + "…"
	}
	return s
}

// evaluate fills in what a resource is sent with, and what it refers to.
func (r *Resource) evaluate() error {
	e := *r.scope.expansion
	e.refs = &r.refs
	s := r.scope
	s.expansion = &e
	where := where(written{symbol: r.Symbol, raw: NewObject("name", r.Name)})
	if r.skip {
		return nil
	}
	body, open, err := s.body(r)
	if err != nil {
		return expressionError(where, err)
	}
	r.Body, r.Open = body, open
	raw, _ := r.raw.Get("dependsOn")
	list, ok := raw.([]any)
	if raw != nil && !ok {
		return invalid("The 'dependsOn' of the %s has to be an array", where)
	}
	s.static = true
	for _, x := range list {
		v, _, err := s.value(x)
		if err != nil {
			return expressionError(where, err)
		}
		switch v := v.(type) {
		case nil:
		case string:
			r.wants = append(r.wants, v)
		default:
			return invalid("An element of 'dependsOn' of the %s is of type '%s' and has to be a string", where, kind(v))
		}
	}
	return nil
}

// bodyless are the members of a resource that speak to the deployment, not to the resource.
func bodyless(name string) bool {
	return slices.Contains([]string{
		"name", "type", "apiversion", "dependson", "condition", "copy", "scope", "resources", "comments", "existing", "metadata", "asserts",
		"subscriptionid", "resourcegroup", "import",
	}, strings.ToLower(name))
}

// body evaluates what a resource is sent with.
func (s scope) body(r *Resource) (*Object, bool, error) {
	out, open := NewObject(), false
	nested := strings.EqualFold(r.Type, deploymentType)
	for n, v := range r.raw.All() {
		if bodyless(n) {
			continue
		}
		if nested && strings.EqualFold(n, "properties") {
			p, more, err := s.nested(v)
			if err != nil {
				return nil, false, err
			}
			out.Set(n, p)
			open = open || more
			continue
		}
		x, more, err := s.value(v)
		if err != nil {
			return nil, false, err
		}
		out.Set(n, x)
		open = open || more
	}
	return out, open, nil
}

// nested evaluates the properties of a deployment in the template. Its own template is left as it is: the expressions in it
// are its own.
func (s scope) nested(v any) (any, bool, error) {
	p, ok := v.(*Object)
	if !ok {
		return nil, false, &trouble{"A nested deployment has no properties."}
	}
	inner, ok := p.Get("template")
	if !ok {
		return nil, false, &trouble{"A nested deployment without its template, such as one with a templateLink, is not supported here."}
	}
	if !strings.EqualFold(p.Child("expressionEvaluationOptions").Text("scope"), "inner") && hasExpression(inner, 0) {
		return nil, false, &trouble{"A nested template whose expressions are evaluated outside of it is not supported here: " +
			"set expressionEvaluationOptions.scope to 'inner' and hand it what it needs as parameters."}
	}
	out, more, err := s.value(p.Without("template"))
	if err != nil {
		return nil, false, err
	}
	o, _ := out.(*Object)
	o.Set("template", inner)
	return o, more, nil
}

func hasExpression(v any, depth int) bool {
	switch v := v.(type) {
	case string:
		_, _, is := source(v)
		return is
	case []any:
		return slices.ContainsFunc(v, func(x any) bool { return hasExpression(x, depth+1) })
	case *Object:
		for _, x := range v.All() {
			if hasExpression(x, depth+1) {
				return true
			}
		}
	}
	return false
}
