package world

import (
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/managedcluster"
	"github.com/keyreeve/keyreeve/internal/pki"
	"github.com/keyreeve/keyreeve/internal/rbac"
)

// facts are the world as decisions see it. The lock is held.
type facts World

func (f *facts) Expect(principal ident.ObjectID) { f.nodes.expectNode(&principal) }

func (f *facts) Principal(id ident.ObjectID) (*rbac.Grants, []rbac.GroupRef) {
	if r, ok := f.nodes.search(&id); ok {
		n := f.nodes.at(r)
		return n.grants, n.in()
	}
	return nil, nil
}

func (f *facts) Group(r rbac.GroupRef) (*ident.ObjectID, *rbac.Grants) {
	if !f.nodes.index.IsGroup(r) {
		return nil, nil
	}
	n := f.nodes.at(r)
	return &n.id, n.grants
}

func (f *facts) Above(r rbac.GroupRef) []rbac.GroupRef { return f.nodes.over(r) }

func (f *facts) Index() *rbac.Index { return &f.nodes.index }

func (f *facts) Denials(principal ident.ObjectID) *rbac.Denials {
	if len(f.denials) == 0 {
		return nil
	}
	if p := (*World)(f).who(&principal); p != nil {
		return f.denials[p.Tenant]
	}
	return nil
}

// raise puts the management groups above its scope into a request, and reports whether the scope can be of the principal's tenant. The
// lock is held.
func (w *World) raise(req *rbac.Request) bool {
	above, foreign := w.ladderAbove(&req.Principal, req.Scope)
	req.Above, req.AboveHashes = above.keys, above.hashes
	return !foreign
}

// Decide decides whether a principal may do an action.
func (w *World) Decide(req rbac.Request) rbac.Decision {
	w.mu.RLock()
	defer w.mu.RUnlock()
	w.nodes.expect(&req.Principal)
	at := rbac.PathOf(req.Scope)
	w.nodes.expectNode(&req.Principal)
	if !w.raise(&req) {
		return rbac.Decision{Verdict: rbac.Deny}
	}
	return rbac.DecideAt(&req, &at, (*facts)(w))
}

// Explain decides like Decide and names every grant, also those that a deny assignment takes away.
func (w *World) Explain(req rbac.Request) rbac.Decision {
	w.mu.RLock()
	defer w.mu.RUnlock()
	if !w.raise(&req) {
		return rbac.Decision{Verdict: rbac.Deny}
	}
	return rbac.Explain(req, (*facts)(w))
}

// DecideCluster decides a request to a cluster. Rules without a place get that of the cluster.
func (w *World) DecideCluster(ask *rbac.ClusterAsk, rules *rbac.ClusterRules) rbac.ClusterDecision {
	rules.Place.Expect()
	w.mu.RLock()
	defer w.mu.RUnlock()
	w.nodes.expect(&ask.Principal)
	return rbac.DecideCluster(ask, rules, (*facts)(w))
}

// ExplainCluster decides a request to a cluster and names every way.
func (w *World) ExplainCluster(ask *rbac.ClusterAsk, rules *rbac.ClusterRules) (rbac.ClusterDecision, []rbac.Way) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return rbac.ExplainCluster(ask, rules, (*facts)(w))
}

// Access lists what a principal holds in a cluster.
func (w *World) Access(principal ident.ObjectID, name string, rules *rbac.ClusterRules) []rbac.Holding {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return rbac.Access(principal, name, rules, (*facts)(w))
}

// DenialsAbout lists the deny assignments that take something away from a principal in a cluster.
func (w *World) DenialsAbout(principal ident.ObjectID, rules *rbac.ClusterRules) []*rbac.Denial {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return rbac.DenialsAbout(principal, rules, (*facts)(w))
}

// WhoCan returns those of some principals that are enabled and may; unknown is true when of some it cannot be said.
func (w *World) WhoCan(req rbac.KubeRequest, rules *rbac.ClusterRules, ids []ident.ObjectID) (who []rbac.Who, unknown bool) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return rbac.WhoCan(req, rules, (*facts)(w), func(yield func(ident.ObjectID, string) bool) {
		for _, id := range ids {
			if p := w.who(&id); p != nil && p.Enabled && !yield(id, p.Name) {
				return
			}
		}
	})
}

// ClusterRules returns what access to a cluster is decided from, with the cluster's own rules, which may be nil for not
// known.
func (w *World) ClusterRules(c *managedcluster.Cluster, own *rbac.ClusterRBAC) rbac.ClusterRules {
	r := rbac.ClusterRules{Own: own, Protected: []string{pki.AdminGroup}}
	if c.AAD != nil {
		r.AdminGroups = c.AAD.AdminGroups
		// Roles are those of the subscription's tenant, and count for its own people only.
		r.AzureRoles = c.AAD.EnableAzureRBAC != nil && *c.AAD.EnableAzureRBAC && (c.AAD.Tenant.IsZero() || c.AAD.Tenant == c.Tenant)
	}
	w.mu.RLock()
	r.Place = w.places[c.ID]
	r.Above, r.AboveHashes = w.above[c.Subscription].keys, w.above[c.Subscription].hashes
	w.mu.RUnlock()
	if r.Place == nil {
		r.Place = rbac.NewPlace(c.ResourceID())
	}
	return r
}

// Principals returns the ids of every user and service principal of a tenant, in no order.
func (w *World) Principals(tenant ident.TenantID) []ident.ObjectID {
	w.mu.RLock()
	defer w.mu.RUnlock()
	var out []ident.ObjectID
	for r := range w.nodes.length {
		if n := w.nodes.at(rbac.GroupRef(r)); n.who != nil && n.who.Tenant == tenant {
			out = append(out, n.id)
		}
	}
	return out
}
