package rbac

import (
	"math/bits"
	"slices"
	"strings"

	"github.com/keyreeve/keyreeve/internal/ident"
)

// Request asks whether a principal may do an action at a scope.
type Request struct {
	Principal ident.ObjectID
	// Action is an action string, such as Microsoft.ContainerService/managedClusters/read.
	Action string
	// Data is true for a data action.
	Data bool
	// Scope is the id of what is acted upon: a resource, a resource group, a subscription, "/" or a namespace of a cluster.
	Scope string
	// Above are the management groups above the scope, by their ids in lower case: what is assigned there counts too.
	Above []string
	// AboveHashes are those of Above, by HashScopes. Without them they are worked out.
	AboveHashes []uint64
	// CustomGroup, CustomKind and Subresource are what conditions may ask of a request to Kubernetes:
	// …/managedClusters/customResources:group and :kind, and …/managedClusters/resources:subresource.
	CustomGroup, CustomKind, Subresource string
	// Delegation is what conditions may ask of a request to write or delete a role assignment; nil for all others.
	Delegation *Delegation
}

// Facts are what a decision is made from. All of it is in memory, and none of it may be changed.
type Facts interface {
	// Expect may have the memory fetched that Principal will look at; asked again a little later, it gets further.
	Expect(principal ident.ObjectID)
	// Principal returns what is assigned to a principal itself, and the groups that it is directly in.
	Principal(ident.ObjectID) (*Grants, []GroupRef)
	// Group returns a group and what is assigned to it; nil for one that is not there.
	Group(GroupRef) (*ident.ObjectID, *Grants)
	// Above returns all groups that a group is in, directly or by nesting, also when it is not there itself.
	Above(GroupRef) []GroupRef
	// Index leaves out groups that cannot matter; nil leaves out none.
	Index() *Index
	// Denials returns the deny assignments of the tenant that a principal is of; nil for none.
	Denials(principal ident.ObjectID) *Denials
}

// GroupRef is a group as the Facts number it.
type GroupRef uint32

// walk goes along a principal and the groups that it is in and that its sieve lets through; some may come twice.
type walk struct {
	facts         Facts
	sieve         sieve
	begun         bool
	own           *Grants // of the principal itself
	direct, above []GroupRef
	sifted        []GroupRef // the direct ones that come now, and which of them are to be looked at
	todo          uint64
}

// begin starts a walk, and has the memory fetched that comes first on it. Its sieve is to be set before next.
func begin(facts Facts, principal ident.ObjectID) walk {
	w := walk{facts: facts}
	w.own, w.direct = facts.Principal(principal)
	return w
}

// start is begin in its place.
func (w *walk) start(facts Facts, principal ident.ObjectID) {
	w.facts = facts
	w.own, w.direct = facts.Principal(principal)
}

// next returns the next holder: nil for the principal itself, which comes first.
func (w *walk) next() (group *ident.ObjectID, grants *Grants, ok bool) {
	if !w.begun {
		w.begun = true
		return nil, w.own, true
	}
	for {
		var r GroupRef
		switch {
		case len(w.above) > 0:
			r, w.above = w.above[0], w.above[1:]
		case w.todo != 0:
			r = w.sifted[bits.TrailingZeros64(w.todo)]
			w.todo &= w.todo - 1
			if x := w.sieve.index; x == nil || x.nested.has(r) {
				w.above = w.facts.Above(r)
			}
		case len(w.direct) > 0:
			w.sieve.expect()
			n := min(len(w.direct), sifts)
			w.sifted, w.direct = w.direct[:n], w.direct[n:]
			w.todo = w.sieve.sift(w.sifted)
			continue
		default:
			return nil, nil, false
		}
		if w.sieve.may(r) {
			if group, grants = w.facts.Group(r); group != nil {
				return group, grants, true
			}
		}
	}
}

// Verdict is the outcome of a decision. The zero Verdict is Unknown, so that a forgotten one allows nothing.
type Verdict uint8

// The verdicts.
const (
	Unknown Verdict = iota // it could not be decided; neither allow nor deny
	Allow                  // something grants it
	Deny                   // nothing grants it, or a deny assignment takes it away
)

// String returns the verdict's name.
func (v Verdict) String() string {
	switch v {
	case Allow:
		return "allow"
	case Deny:
		return "deny"
	case Unknown:
		return "unknown"
	}
	return "unknown"
}

// Decision is what was decided and why, as values.
type Decision struct {
	Verdict Verdict
	// Grants that allow, or would but for Denial: one from Decide when it allows, all from Explain. It must not be changed.
	Grants []*Grant
	// Denial is the deny assignment that takes the action away.
	Denial *Denial
}

// Decide decides by the first grant that allows, the principal's own before those of its groups. It takes no memory.
func Decide(req Request, facts Facts) Decision {
	p := PathOf(req.Scope)
	return DecideAt(&req, &p, facts)
}

// DecideAt is Decide with the path of the request's scope, which is raised.
//
// What is asked for is put into words, as roles have them, when the walk comes to a role: most groups have none there.
func DecideAt(req *Request, at *Path, facts Facts) Decision {
	if !strings.HasPrefix(req.Scope, "/") {
		return Decision{Verdict: Deny}
	}
	m := &at.marks
	m.raise(req.Above, req.AboveHashes)
	index := facts.Index()
	index.expect(m)
	facts.Expect(req.Principal)
	if facts.Denials(req.Principal).near(m) {
		return decide(req, m, facts, false)
	}
	var w walk
	w.sieve.set(index, m)
	w.start(facts, req.Principal)
	for {
		_, grants, ok := w.next()
		switch {
		case !ok:
			return Decision{Verdict: Deny}
		case grants.near(m):
			return decideOn(req, m, &w, grants)
		}
	}
}

// decideOn goes on from a holder of a role where the request is.
//
//go:noinline
func decideOn(req *Request, m *marks, w *walk, grants *Grants) Decision {
	var buf queryBuffers
	q := queryOf(&buf, req, m)
	for ok := true; ok; _, grants, ok = w.next() {
		if g, _ := grants.first(&q, 0); g != nil {
			return Decision{Verdict: Allow, Grants: g.self[:1:1]}
		}
	}
	return Decision{Verdict: Deny}
}

// Explain decides like Decide and names every grant that allows.
func Explain(req Request, facts Facts) Decision {
	if !strings.HasPrefix(req.Scope, "/") {
		return Decision{Verdict: Deny}
	}
	p := PathOf(req.Scope)
	p.marks.raise(req.Above, req.AboveHashes)
	return decide(&req, &p.marks, facts, true)
}

func decide(req *Request, m *marks, facts Facts, all bool) Decision {
	var buf queryBuffers
	q := queryOf(&buf, req, m)
	if d := denied(&q, req.Principal, facts); d != nil {
		out := Decision{Verdict: Deny, Denial: d}
		if all {
			out.Grants = look(&q, req.Principal, facts, true)
		}
		return out
	}
	grants := look(&q, req.Principal, facts, all)
	if len(grants) == 0 {
		return Decision{Verdict: Deny}
	}
	return Decision{Verdict: Allow, Grants: grants}
}

func queryOf(buf *queryBuffers, req *Request, m *marks) query {
	q := query{data: req.Data, scope: lowerScope(buf.scope[:0], req.Scope), marks: *m, above: req.Above, delegation: req.Delegation}
	q.own = lowerASCII(buf.names.own[:0], req.Action)
	q.group, q.kind, q.subresource = req.CustomGroup, req.CustomKind, req.Subresource
	return q
}

// query is a request made ready: all texts in lower case.
type query struct {
	names
	data  bool
	scope []byte
	marks marks
	above []string // the management groups above the scope, in lower case
	attributes
	delegation *Delegation
	// kube and own rules decide what the roles that follow Kubernetes' aggregation have.
	kube  *KubeRequest
	rules *ClusterRBAC
	// clusterAdmin is true for what only the built-in Cluster Admin may.
	clusterAdmin bool
}

// under reports whether the query's scope is at a key or below it.
func (q *query) under(key string) bool { return covers(key, q.scope) || slices.Contains(q.above, key) }

// look walks to the first grant that covers the query, or along all of them.
func look(q *query, principal ident.ObjectID, facts Facts, all bool) []*Grant {
	var found []*Grant
	w := begin(facts, principal)
	w.sieve.set(facts.Index(), &q.marks)
	for {
		_, grants, ok := w.next()
		if !ok {
			return found
		}
		for i := 0; ; i++ {
			var g *Grant
			if g, i = grants.first(q, i); g == nil {
				break
			}
			if !all {
				return g.self[:1:1]
			}
			found = addGrant(found, g)
		}
	}
}

// addGrant appends a grant that is not there yet: a walk may come to a group twice.
func addGrant(list []*Grant, g *Grant) []*Grant {
	if slices.Contains(list, g) {
		return list
	}
	return append(list, g)
}
