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
	if ask.Request.Constrained() {
		return ClusterDecision{Verdict: Deny, Why: whyConstrained}
	}
	var buf queryBuffers
	q, azure := kubeQueryOf(&buf, ask, rules)
	if !azure && ask.Request.Malformed() {
		return ClusterDecision{Verdict: Deny, Why: whyMalformed}
	}
	azure = azure && rules.AzureRoles
	facts.Index().expect(&q.marks)
	facts.Expect(ask.Principal)
	q.clusterAdmin = protected(&ask.Request, rules.Protected)
	out := ClusterDecision{Verdict: Deny}
	if azure {
		if out.Denial = denied(&q, ask.Principal, facts); out.Denial != nil {
			azure = false
		}
	}
	own := rules.Own
	if q.clusterAdmin {
		own = nil // no binding lets anybody be more than cluster admin
	}
	w := begin(facts, ask.Principal)
	w.sieve = clusterSieve(facts.Index(), &q, azure, own, ask.Request.Namespace, rules.AdminGroups)
	var bound Way // by the cluster's own bindings, in case nothing else allows
	for {
		group, grants, ok := w.next()
		if !ok {
			break
		}
		if group != nil && len(rules.AdminGroups) > 0 && slices.Contains(rules.AdminGroups, *group) {
			return ClusterDecision{Verdict: Allow, Way: Way{Kind: ByAdminGroup, Holder: *group}}
		}
		if azure {
			if g, _ := grants.first(&q, 0); g != nil {
				return ClusterDecision{Verdict: Allow, Way: Way{Kind: ByRole, Holder: g.Assignment.PrincipalID, Grant: g}}
			}
		}
		if own != nil && bound.Kind == 0 {
			bound = own.way(ask, group)
		}
	}
	switch {
	case q.clusterAdmin:
		out.Why = whyProtected
	case own == nil:
		out.Verdict = Unknown
	case bound.Kind == 0:
		bound = own.everybody(ask)
	}
	if bound.Kind != 0 {
		return ClusterDecision{Verdict: Allow, Way: bound}
	}
	return out
}

// clusterSieve lets through groups that hold a grant where the request is, that a binding names, and admin groups.
func clusterSieve(x *Index, q *query, azure bool, own *ClusterRBAC, namespace string, admins []ident.ObjectID) (s sieve) {
	if x == nil || azure && q.marks.deep {
		return s
	}
	if s.index = x; azure {
		s = sieveOf(x, &q.marks)
	}
	if s.admins = admins; own != nil && own.byID > 0 {
		s.own, s.space = own, spaceOf(namespace)
	}
	return s
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
	q.marks = p.marks
	if req.NonResource || req.Namespace == "" {
		q.scope = append(buf.scope[:0], p.key[:p.length]...)
	} else {
		if !goodNamespace(req.Namespace) || p.key == nowhere {
			return q, false
		}
		q.scope = append(append(buf.scope[:0], p.key...), req.Namespace...)
		q.marks.down(q.scope[p.length:])
	}
	q.raise(rules.Above)
	if !req.NonResource {
		q.subresource, q.name = req.Subresource, req.Name
		if len(q.custom) > 0 && !q.maybe {
			q.group, q.kind = req.APIGroup, req.Resource
		}
	}
	q.kube, q.rules = req, rules.Own
	return q, true
}

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
	if b := c.allows(&ask.Request, c.names.get(nameKey{kind: groupSubject, name: Authenticated})); b != nil {
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
	for _, b := range c.allowing(&ask.Request, c.names.get(nameKey{kind: groupSubject, name: Authenticated})) {
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
