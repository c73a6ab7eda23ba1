package rbac

import (
	"cmp"
	"iter"
	"slices"
	"strings"

	"github.com/keyreeve/keyreeve/internal/ident"
)

// Holding is something that a principal holds in a cluster, wherever it is asked from.
type Holding struct {
	Way
	// Namespace is where it holds; empty for everywhere in the cluster.
	Namespace string
	// Role is the ClusterRole or Role of a binding; nil when it is missing, and then the binding grants nothing.
	Role *KubeRole
}

// Access lists all that a principal holds in a cluster, most far-reaching first: what Kubernetes' own list of rules cannot
// show. Of Azure roles, those with data actions of managed clusters count.
func Access(principal ident.ObjectID, name string, rules *ClusterRules, facts Facts) []Holding {
	var out []Holding
	seen := map[ident.ObjectID]bool{}
	for w := begin(facts, principal); ; {
		group, grants, ok := w.next()
		if !ok {
			break
		}
		id := principal
		if group != nil {
			id = *group
		}
		if seen[id] {
			continue
		}
		seen[id] = true
		if group != nil && slices.Contains(rules.AdminGroups, id) {
			out = append(out, Holding{Way: Way{Kind: ByAdminGroup, Holder: id}})
		}
		if rules.AzureRoles {
			out = rules.grants(out, id, grants)
		}
		if rules.Own == nil {
			continue
		}
		if group == nil {
			out = rules.Own.holdings(out, id, rules.Own.names.get(nameKey{kind: userSubject, name: name}), Subject{Kind: KindUser, Name: name})
		} else {
			out = rules.Own.holdings(out, id, rules.Own.ids.get(id), Subject{Kind: KindGroup, Name: id.String()})
		}
	}
	if rules.Own != nil {
		everybody := Subject{Kind: KindGroup, Name: Authenticated}
		out = rules.Own.holdings(out, ident.ObjectID{}, rules.Own.names.get(nameKey{kind: groupSubject, name: Authenticated}), everybody)
	}
	slices.SortStableFunc(out, func(a, b Holding) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Kind, b.Kind))
	})
	return out
}

// grants appends the role assignments of one holder that count somewhere in the cluster.
func (r *ClusterRules) grants(out []Holding, holder ident.ObjectID, grants *Grants) []Holding {
	for _, g := range grants.List() {
		if g.void || !g.Role.ofKubernetes() {
			continue
		}
		h := Holding{Way: Way{Kind: ByRole, Holder: holder, Grant: g}}
		if covers(g.key, []byte(r.Place.Scope())) || slices.Contains(r.Above, g.key) {
			out = append(out, h)
			continue
		}
		if ns, ok := strings.CutPrefix(g.key, r.Place.key); ok && goodNamespace(ns) {
			h.Namespace = ns
			out = append(out, h)
		}
	}
	return out
}

// ofKubernetes reports whether a role has data actions of managed clusters: roles for machines, fleets and clusters elsewhere have others.
func (r *Role) ofKubernetes() bool { return slices.ContainsFunc(r.blocks, block.ofKubernetes) }

func (b block) ofKubernetes() bool { return b.data.allow.meets([]byte(anyOfKubernetes)) }

const anyOfKubernetes = "microsoft.containerservice/managedclusters/*"

func (c *ClusterRBAC) holdings(out []Holding, holder ident.ObjectID, s *subject, by Subject) []Holding {
	if s == nil {
		return out
	}
	add := func(namespace string, list []*Binding) {
		for _, b := range list {
			as := by
			if by.Kind == KindUser {
				as = subjectOfUser(b, by.Name)
			}
			out = append(out, Holding{Way: Way{Kind: ByBinding, Holder: holder, Binding: b, Subject: as}, Namespace: namespace, Role: c.roleOf(b)})
		}
	}
	add("", s.cluster)
	for ns, list := range s.namespaces {
		add(ns, list)
	}
	return out
}

// right names what a holding gives, whoever holds it and however: two people with the same one can do the same by it.
func (h *Holding) right() string {
	switch h.Kind {
	case ByRole:
		return h.Namespace + "\x00role\x00" + h.Grant.Role.Definition.ID.String() + "\x00" + h.Grant.Assignment.Condition
	case ByBinding:
		ref := h.Binding.RoleRef
		in := ""
		if ref.Kind == KindRole {
			in = h.Binding.Namespace
		}
		return h.Namespace + "\x00binding\x00" + ref.Kind + "\x00" + in + "\x00" + ref.Name
	case ByAdminGroup:
	}
	return "\x00admin"
}

// AccessDiff returns what only the first holds and what only the second holds. The same role at the same place counts as the
// same, by whatever way it is held.
func AccessDiff(first, second []Holding) (onlyFirst, onlySecond []Holding) {
	without := func(list, other []Holding) []Holding {
		has := map[string]bool{}
		for i := range other {
			has[other[i].right()] = true
		}
		return slices.DeleteFunc(slices.Clone(list), func(h Holding) bool { return has[h.right()] })
	}
	return without(first, second), without(second, first)
}

// Who is somebody who may, and every way.
type Who struct {
	Principal ident.ObjectID
	Ways      []Way
}

// WhoCan asks for each of some principals, with the name by which the cluster's bindings know it, and returns those who may.
// unknown is true when for some of them it cannot be said.
func WhoCan(req KubeRequest, rules *ClusterRules, facts Facts, principals iter.Seq2[ident.ObjectID, string]) (who []Who, unknown bool) {
	for id, name := range principals {
		ask := ClusterAsk{Principal: id, Name: name, Request: req}
		d := DecideCluster(&ask, rules, facts)
		switch d.Verdict {
		case Allow:
			_, ways := ExplainCluster(&ask, rules, facts)
			who = append(who, Who{Principal: id, Ways: ways})
		case Unknown:
			unknown = true
		case Deny:
		}
	}
	return who, unknown
}

// WouldGrant returns the roles among some that would allow a request if one were assigned, without a condition, at the
// scope it is decided at.
func WouldGrant(req KubeRequest, rules *ClusterRules, roles []*Role) []*Role {
	ask := ClusterAsk{Request: req}
	var buf queryBuffers
	q, ok := kubeQueryOf(&buf, &ask, rules)
	if !ok || !rules.AzureRoles || req.Constrained() {
		return nil
	}
	q.clusterAdmin = protected(&req, rules.Protected)
	var out []*Role
	for _, r := range roles {
		if (!q.clusterAdmin || r.clusterAdmin()) && r.covers(&q) {
			out = append(out, r)
		}
	}
	return out
}
