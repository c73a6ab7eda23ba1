package world

import (
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/rbac"
)

// asMember are the facts of somebody who is in one group and holds nothing else.
type asMember struct {
	*facts
	group  rbac.GroupRef
	tenant ident.TenantID
}

func (m *asMember) Principal(ident.ObjectID) (*rbac.Grants, []rbac.GroupRef) {
	return nil, []rbac.GroupRef{m.group}
}

func (m *asMember) Denials(ident.ObjectID) *rbac.Denials { return m.denials[m.tenant] }

// GroupsThatCan returns those of some groups whose members may do something in a cluster because they are members.
func (w *World) GroupsThatCan(req rbac.KubeRequest, rules *rbac.ClusterRules, ids []ident.ObjectID) []ident.ObjectID {
	w.mu.RLock()
	defer w.mu.RUnlock()
	var out []ident.ObjectID
	for _, id := range ids {
		ref, known := w.nodes.search(&id)
		g, there := w.groups[id]
		if !known || !there {
			continue
		}
		m := asMember{facts: (*facts)(w), group: ref, tenant: g.Tenant}
		d := rbac.DecideCluster(&rbac.ClusterAsk{Request: req}, rules, &m)
		if d.Verdict == rbac.Allow && !d.Way.Holder.IsZero() {
			out = append(out, id)
		}
	}
	return out
}

// Groups returns the ids of every group of a tenant, in no order.
func (w *World) Groups(tenant ident.TenantID) []ident.ObjectID {
	w.mu.RLock()
	defer w.mu.RUnlock()
	var out []ident.ObjectID
	for id, g := range w.groups {
		if g.Tenant == tenant {
			out = append(out, id)
		}
	}
	return out
}
