package arm

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// Self as a Route's Action says that the handler itself decides who may: nothing but the caller's tenant was checked, and
// the path's resource group was not looked for.
const Self = "-"

// ErrorForm is the form in which a route's own errors are written. What the core refuses is always in gateway form.
type ErrorForm uint8

// The error forms.
const (
	// Wrapped is {"error":{"code","message"}}, the form of most resource providers.
	Wrapped ErrorForm = iota
	// Gateway is Wrapped with the header x-ms-failure-cause: gateway, for what Resource Manager itself does.
	FromGateway
	// Bare is {"code","details","message","subcode"} without the wrap: the cluster service's own habit.
	Bare
	// Status is {"statusCode","message"}, the form of the access decision point.
	Status
)

// HandlerFunc serves one request. After it has written, it must return nil.
type HandlerFunc func(w http.ResponseWriter, r *Request) error

// Route is one operation of the face.
type Route struct {
	// Method is an HTTP method. A GET route serves HEAD too, unless HEAD has a route of its own.
	Method string
	// Pattern is a path whose literal segments match without case and whose {name} segments match any one segment.
	// It may begin with {scope...}, which matches any number of segments, also none.
	Pattern string
	// Action is the control action checked at Request.Scope before Handle runs, or Self.
	Action string
	// Conditional says that Handle checks Action again with RequireDelegated: before it runs, a role whose condition speaks of
	// what is in the request is enough.
	Conditional bool
	// Errors is the form of what Handle returns.
	Errors ErrorForm
	// Public routes are served to anyone, without a token and an api-version. They have no Action.
	Public bool
	Handle HandlerFunc

	params []string // names of the parameters by segment; "" for a literal
	rest   bool     // begins with {scope...}
}

const scopeParam = "{scope...}"

// table finds routes. Literal segments win over parameters, earlier ones first; whole patterns win over {scope...}.
type table struct {
	root  node
	tails []*tail // patterns that begin with {scope...}; longest first
}

type node struct {
	literal map[string]*node
	param   *node
	leaf    methods
}

type tail struct {
	segments []string // lower case; "" for a parameter
	leaf     methods
}

type methods map[string]*Route

// add compiles a route. A route that cannot be is a mistake of the program: it panics, as http.ServeMux does.
func (t *table) add(r Route) {
	if r.Handle == nil || r.Method == "" || !strings.HasPrefix(r.Pattern, "/") || r.Public != (r.Action == "") {
		panic(fmt.Sprintf("arm: route %s %s is not whole", r.Method, r.Pattern))
	}
	segments := strings.Split(r.Pattern[1:], "/")
	if segments[0] == scopeParam {
		r.rest = true
		segments = segments[1:]
	}
	keys := make([]string, len(segments))
	r.params = make([]string, len(segments))
	for i, s := range segments {
		if name, ok := strings.CutPrefix(s, "{"); ok {
			r.params[i] = strings.TrimSuffix(name, "}")
		} else {
			keys[i] = strings.ToLower(s)
		}
	}
	leaf := t.leaf(r.rest, keys)
	if _, ok := leaf[r.Method]; ok {
		panic(fmt.Sprintf("arm: route %s %s is there twice", r.Method, r.Pattern))
	}
	leaf[r.Method] = &r
}

func (t *table) leaf(rest bool, keys []string) methods {
	if rest {
		for _, x := range t.tails {
			if slices.Equal(x.segments, keys) {
				return x.leaf
			}
		}
		x := &tail{segments: keys, leaf: methods{}}
		t.tails = append(t.tails, x)
		slices.SortStableFunc(t.tails, func(a, b *tail) int { return len(b.segments) - len(a.segments) })
		return x.leaf
	}
	n := &t.root
	for _, k := range keys {
		n = n.child(k)
	}
	if n.leaf == nil {
		n.leaf = methods{}
	}
	return n.leaf
}

func (n *node) child(key string) *node {
	if key == "" {
		if n.param == nil {
			n.param = &node{}
		}
		return n.param
	}
	if n.literal == nil {
		n.literal = map[string]*node{}
	}
	if n.literal[key] == nil {
		n.literal[key] = &node{}
	}
	return n.literal[key]
}

// find returns the methods served at a path, or nil.
func (t *table) find(segments []string) methods {
	lower := make([]string, len(segments))
	for i, s := range segments {
		lower[i] = strings.ToLower(s)
	}
	if m := t.root.find(lower); m != nil {
		return m
	}
	for _, x := range t.tails {
		if len(lower) < len(x.segments) {
			continue
		}
		if matchSegments(x.segments, lower[len(lower)-len(x.segments):]) {
			return x.leaf
		}
	}
	return nil
}

func (n *node) find(lower []string) methods {
	if len(lower) == 0 {
		return n.leaf
	}
	if c := n.literal[lower[0]]; c != nil {
		if m := c.find(lower[1:]); m != nil {
			return m
		}
	}
	if n.param != nil {
		return n.param.find(lower[1:])
	}
	return nil
}

func matchSegments(pattern, lower []string) bool {
	for i, p := range pattern {
		if p != "" && p != lower[i] {
			return false
		}
	}
	return true
}

// route returns the route for a method, and the methods allowed when there is none.
func (m methods) route(method string) (*Route, []string) {
	if r, ok := m[method]; ok {
		return r, nil
	}
	if method == http.MethodHead {
		if r, ok := m[http.MethodGet]; ok {
			return r, nil
		}
	}
	var allowed []string
	for k := range m {
		allowed = append(allowed, k)
	}
	slices.Sort(allowed)
	return nil, allowed
}

// scope returns what a path that matched r acts on. The split between {scope...} and the rest is the route's, so that what is
// checked is what the handler sees.
func (r *Route) scope(segments []string) string {
	if !r.rest {
		return scopeOf(segments)
	}
	cut := len(segments) - len(r.params)
	prefix, own := joinPath(segments[:cut]), scopeOf(segments[cut:])
	switch {
	case own == "/":
		return prefix
	case prefix == "/":
		return own
	}
	return prefix + own
}

// param returns a named segment of a path that matched r.
func (r *Route) param(segments []string, name string) (string, bool) {
	first := len(segments) - len(r.params)
	for i, p := range r.params {
		if p != "" && p == name {
			return segments[first+i], true
		}
	}
	return "", false
}

// Routes returns every route that is registered, in no order: for whoever checks that none is open.
func (f *Face) Routes() []Route {
	f.own.Do(f.mountOwn)
	var out []Route
	take := func(m methods) {
		for _, r := range m {
			out = append(out, *r)
		}
	}
	for _, x := range f.routes.tails {
		take(x.leaf)
	}
	for todo := []*node{&f.routes.root}; len(todo) > 0; todo = todo[1:] {
		n := todo[0]
		take(n.leaf)
		if n.param != nil {
			todo = append(todo, n.param)
		}
		for _, c := range n.literal {
			todo = append(todo, c)
		}
	}
	return out
}
