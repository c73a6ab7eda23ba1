package rbac

import (
	"slices"
	"strings"

	"github.com/keyreeve/keyreeve/internal/ident"
)

// ClusterRules are what access to one cluster is decided from, beside the directory and its assignments.
type ClusterRules struct {
	Place *Place
	// Above are the management groups above the cluster, by their ids in lower case.
	Above []string
	// AboveHashes are those of Above, by HashScopes. Without them they are worked out.
	AboveHashes []uint64
	// AdminGroups' members are cluster admins (aadProfile.adminGroupObjectIDs).
	AdminGroups []ident.ObjectID
	// AzureRoles is true when role assignments count (aadProfile.enableAzureRBAC).
	AzureRoles bool
	// Own are the cluster's own roles and bindings; nil when they are not known.
	Own *ClusterRBAC
	// Protected are groups, beside system:masters, that only cluster admins may impersonate.
	Protected []string
}

// ClusterAsk asks whether someone of the directory may do something in a cluster.
type ClusterAsk struct {
	Principal ident.ObjectID
	// Name is the user name that the cluster's own bindings know the principal by.
	Name    string
	Request KubeRequest
}

// Authenticated is the group that everybody who signed in belongs to.
const Authenticated = "system:authenticated"

// WayKind says where a right comes from.
type WayKind uint8

// The kinds of way.
const (
	ByAdminGroup WayKind = iota + 1
	ByRole               // an Azure role assignment
	ByBinding            // the cluster's own RBAC
)

// Way is one way in which a principal holds a right in a cluster.
type Way struct {
	Kind WayKind
	// Holder is the principal itself or a group that it is in; zero for a group that is not of the directory.
	Holder ident.ObjectID
	// Grant is set by ByRole, Binding and Subject by ByBinding. They must not be changed.
	Grant   *Grant
	Binding *Binding
	Subject Subject
}

// ClusterDecision is what was decided of a request to a cluster, and why.
type ClusterDecision struct {
	Verdict Verdict
	// Way is the first that allows.
	Way Way
	// Denial is the deny assignment without which roles would have been looked at.
	Denial *Denial
	// Why says why it is denied whatever is granted; empty otherwise. It may be shown to who asks.
	Why string
}

// The reasons of ClusterDecision.Why.
const (
	whyConstrained = "constrained impersonation is not offered"
	whyProtected   = "impersonating this is for cluster admins"
)

// DecideCluster decides a request to a cluster. No single source denies: admin groups, Azure roles and the cluster's own RBAC
// are asked in this order until one allows, for the principal itself and then for its groups. When none does and the
// cluster's own rules are not known, neither is the verdict. It takes no memory.
func DecideCluster(ask *ClusterAsk, rules *ClusterRules, facts Facts) ClusterDecision {
	req := &ask.Request
	if req.Constrained() {
		return ClusterDecision{Verdict: Deny, Why: whyConstrained}
	}
	c := clusterWalk{ask: ask, rules: rules, own: rules.Own}
	rules.Place.mark(&c.marks, req)
	c.marks.raise(rules.Above, rules.AboveHashes)
	index := facts.Index()
	index.expect(&c.marks)
	facts.Expect(ask.Principal)
	if !req.wellFormed() {
		return ClusterDecision{Verdict: Deny, Why: whyMalformed}
	}
	c.azure = rules.AzureRoles && (req.everywhere() || rules.Place.key != nowhere)
	if c.clusterAdmin = protected(req, rules.Protected); c.clusterAdmin {
		c.own = nil // no binding lets anybody be more than cluster admin
	}
	if c.azure && facts.Denials(ask.Principal).near(&c.marks) {
		if c.denial = c.denied(facts); c.denial != nil {
			c.azure = false
		}
	}
	c.sift(index)
	c.walk.start(facts, ask.Principal)
	if d, decided := c.run(nil); decided {
		return d
	}
	return c.named()
}

// clusterWalk is a decision under way. What a request asks for is put into words, as roles have them, when the walk comes to a role:
// most groups have none where the request is, and most requests come to none at all.
type clusterWalk struct {
	ask          *ClusterAsk
	rules        *ClusterRules
	own          *ClusterRBAC // nil when no binding counts
	azure        bool         // role assignments count
	clusterAdmin bool
	denial       *Denial
	marks        marks
	walk         walk
	group        *ident.ObjectID // the holder where the walk stands, if waiting
	grants       *Grants
	waiting      bool
	bound        Way // by the cluster's own bindings, in case nothing else allows
}

// run goes on to the decision. Without a query it stops, undecided, at the first holder of a role where the request is.
func (c *clusterWalk) run(q *query) (d ClusterDecision, decided bool) {
	for {
		if !c.waiting {
			var ok bool
			if c.group, c.grants, ok = c.walk.next(); !ok {
				return c.end(), true
			}
			if c.group != nil && len(c.rules.AdminGroups) > 0 && slices.Contains(c.rules.AdminGroups, *c.group) {
				return ClusterDecision{Verdict: Allow, Way: Way{Kind: ByAdminGroup, Holder: *c.group}}, true
			}
		}
		if c.waiting = false; c.azure && c.grants.near(&c.marks) {
			if q == nil {
				c.waiting = true
				return d, false
			}
			if g, _ := c.grants.first(q, 0); g != nil {
				return ClusterDecision{Verdict: Allow, Way: Way{Kind: ByRole, Holder: g.Assignment.PrincipalID, Grant: g}}, true
			}
		}
		if c.own != nil && c.bound.Kind == 0 {
			c.bound = c.own.way(c.ask, c.group)
		}
	}
}

// end is the decision when no group of admins and no role allows.
func (c *clusterWalk) end() ClusterDecision {
	out := ClusterDecision{Verdict: Deny, Denial: c.denial}
	switch {
	case c.clusterAdmin:
		out.Why = whyProtected
	case c.own == nil:
		out.Verdict = Unknown
	case c.bound.Kind == 0:
		c.bound = c.own.everybody(c.ask)
	}
	if c.bound.Kind != 0 {
		return ClusterDecision{Verdict: Allow, Way: c.bound}
	}
	return out
}

// named goes on with what is asked for put into words. These lie on its stack.
//
//go:noinline
func (c *clusterWalk) named() ClusterDecision {
	var buf queryBuffers
	q, _ := kubeQueryOf(&buf, c.ask, c.rules)
	q.clusterAdmin = c.clusterAdmin
	d, _ := c.run(&q)
	return d
}

// denied is the deny assignment that applies, if any.
//
//go:noinline
func (c *clusterWalk) denied(facts Facts) *Denial {
	var buf queryBuffers
	q, _ := kubeQueryOf(&buf, c.ask, c.rules)
	q.clusterAdmin = c.clusterAdmin
	return denied(&q, c.ask.Principal, facts)
}

// sift lets through groups that hold a grant where the request is, that a binding names, and admin groups.
func (c *clusterWalk) sift(x *Index) {
	s := &c.walk.sieve
	if x == nil || c.azure && c.marks.deep {
		return
	}
	if s.index = x; c.azure {
		s.set(x, &c.marks)
	}
	if s.admins = c.rules.AdminGroups; c.own != nil && c.own.byID > 0 {
		s.own, s.space = c.own, spaceOf(c.ask.Request.Namespace)
	}
}

// ExplainCluster decides like DecideCluster and names every way.
func ExplainCluster(ask *ClusterAsk, rules *ClusterRules, facts Facts) (ClusterDecision, []Way) {
	d := DecideCluster(ask, rules, facts)
	if d.Verdict != Allow {
		return d, nil
	}
	var buf queryBuffers
	q, azure := kubeQueryOf(&buf, ask, rules)
	azure = azure && rules.AzureRoles
	q.clusterAdmin = protected(&ask.Request, rules.Protected)
	if azure && denied(&q, ask.Principal, facts) != nil {
		azure = false
	}
	var ways []Way
	seen := map[ident.ObjectID]bool{}
	for w := begin(facts, ask.Principal); ; {
		group, grants, ok := w.next()
		if !ok {
			break
		}
		id := ask.Principal
		if group != nil {
			id = *group
		}
		if seen[id] {
			continue
		}
		seen[id] = true
		if group != nil && slices.Contains(rules.AdminGroups, id) {
			ways = append(ways, Way{Kind: ByAdminGroup, Holder: id})
		}
		for i := 0; azure; i++ {
			var g *Grant
			if g, i = grants.first(&q, i); g == nil {
				break
			}
			ways = append(ways, Way{Kind: ByRole, Holder: id, Grant: g})
		}
		if rules.Own != nil && !q.clusterAdmin {
			ways = rules.Own.ways(ways, ask, id)
		}
	}
	if rules.Own != nil && !q.clusterAdmin {
		ways = rules.Own.named(ways, ask)
	}
	return d, ways
}

// queryBuffers are the texts of a query, on the stack of who decides.
type queryBuffers struct {
	names nameBuffers
	scope [stackScope]byte
}

// kubernetes makes a request to a cluster ready; it is false when no role can cover it.
//
// It returns the query instead of filling it in: what is stored through a pointer would go to the heap.
func kubeQueryOf(buf *queryBuffers, ask *ClusterAsk, rules *ClusterRules) (q query, ok bool) {
	req := &ask.Request
	n, ok := namesOf(&buf.names, req)
	if !ok {
		return q, false
	}
	if n.glob {
		n = widened(n, &buf.names, req)
	}
	q.names, q.data = n, true
	lowerInPlace(q.own)
	lowerInPlace(q.parent)
	lowerInPlace(q.custom)
	p := rules.Place
	if req.everywhere() {
		q.scope = append(buf.scope[:0], p.key[:p.length]...)
	} else {
		if !goodNamespace(req.Namespace) || p.key == nowhere {
			return q, false
		}
		q.scope = append(append(buf.scope[:0], p.key...), req.Namespace...)
	}
	p.mark(&q.marks, req)
	q.above = rules.Above
	q.marks.raise(rules.Above, rules.AboveHashes)
	if !req.NonResource {
		q.subresource, q.name = req.Subresource, req.Name
		if len(q.custom) > 0 && !q.maybe {
			q.group, q.kind = req.APIGroup, req.Resource
		}
	}
	q.kube, q.rules = req, rules.Own
	return q, true
}

// everywhere reports whether a request is of the whole cluster.
func (r *KubeRequest) everywhere() bool { return r.NonResource || r.Namespace == "" }

// Constrained reports whether a request is of constrained impersonation. The API server remembers its success for 10 s
// before it asks any authorizer, which would outlive a revocation; without it, it falls back to plain impersonation.
func (r *KubeRequest) Constrained() bool {
	return strings.HasPrefix(r.Verb, "impersonate:") || strings.HasPrefix(r.Verb, "impersonate-on:")
}

// What is more than any role: the group that precedes every authorizer, and the mark of a client certificate.
const (
	masters      = "system:masters"
	credentialID = "authentication.kubernetes.io/credential-id"
)

// protected reports whether a request would make someone more than any role can.
func protected(r *KubeRequest, groups []string) bool {
	if r.Verb != "impersonate" || r.NonResource {
		return false
	}
	switch r.Resource {
	case "groups":
		return r.Name == masters || slices.Contains(groups, r.Name)
	case "userextras":
		return strings.EqualFold(r.Subresource, credentialID)
	}
	return false
}

// way is the first way by bindings to one holder: the principal itself (nil) or a group. Without one, its kind is 0.
func (c *ClusterRBAC) way(ask *ClusterAsk, group *ident.ObjectID) Way {
	if group == nil {
		if b := c.allows(&ask.Request, c.names.get(nameKey{kind: userSubject, name: ask.Name})); b != nil {
			return Way{Kind: ByBinding, Holder: ask.Principal, Binding: b, Subject: subjectOfUser(b, ask.Name)}
		}
		return Way{}
	}
	if b := c.allows(&ask.Request, c.ids.get(*group)); b != nil {
		return Way{Kind: ByBinding, Holder: *group, Binding: b, Subject: Subject{Kind: KindGroup, Name: group.String()}}
	}
	return Way{}
}

// everybody is the first way by bindings to all who signed in.
func (c *ClusterRBAC) everybody(ask *ClusterAsk) Way {
	if b := c.allows(&ask.Request, c.everyone); b != nil {
		return Way{Kind: ByBinding, Binding: b, Subject: Subject{Kind: KindGroup, Name: Authenticated}}
	}
	return Way{}
}

// ways appends every way by the bindings of one holder.
func (c *ClusterRBAC) ways(ways []Way, ask *ClusterAsk, holder ident.ObjectID) []Way {
	if holder == ask.Principal {
		for _, b := range c.allowing(&ask.Request, c.names.get(nameKey{kind: userSubject, name: ask.Name})) {
			ways = append(ways, Way{Kind: ByBinding, Holder: holder, Binding: b, Subject: subjectOfUser(b, ask.Name)})
		}
		return ways
	}
	for _, b := range c.allowing(&ask.Request, c.ids.get(holder)) {
		ways = append(ways, Way{Kind: ByBinding, Holder: holder, Binding: b, Subject: Subject{Kind: KindGroup, Name: holder.String()}})
	}
	return ways
}

// named appends every way by bindings to everybody.
func (c *ClusterRBAC) named(ways []Way, ask *ClusterAsk) []Way {
	for _, b := range c.allowing(&ask.Request, c.everyone) {
		ways = append(ways, Way{Kind: ByBinding, Binding: b, Subject: Subject{Kind: KindGroup, Name: Authenticated}})
	}
	return ways
}

// allowing returns every binding of a subject whose role covers the request.
func (c *ClusterRBAC) allowing(req *KubeRequest, s *subject) []*Binding {
	if s == nil {
		return nil
	}
	var out []*Binding
	lists := [][]*Binding{s.cluster}
	if !req.NonResource && req.Namespace != "" {
		lists = append(lists, s.namespaces[req.Namespace])
	}
	for _, list := range lists {
		for i := range list {
			if b := c.first(req, list[i:i+1]); b != nil {
				out = append(out, b)
			}
		}
	}
	return out
}

// aggregated reports whether a ClusterRole that is aggregated to one of the named roles covers a request.
func (c *ClusterRBAC) aggregated(to Aggregate, req *KubeRequest) bool {
	for _, r := range c.follow {
		if r.AggregateTo&to == 0 {
			continue
		}
		for i := range r.Rules {
			if r.Rules[i].covers(req) {
				return true
			}
		}
	}
	return false
}
