package world

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/keyreeve/keyreeve/internal/feed"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/rbac"
	"github.com/keyreeve/keyreeve/internal/resource"
)

// An assignment at a management group counts for all that is below it, though the scopes below do not begin with the
// group's id: decisions are given the groups above the scope.

// ManagementGroup returns a management group of a tenant by name, without case. The root group is always there.
func (w *World) ManagementGroup(tenant ident.TenantID, name string) (resource.ManagementGroup, bool) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.managementGroup(tenant, name)
}

func (w *World) managementGroup(tenant ident.TenantID, name string) (resource.ManagementGroup, bool) {
	g, ok := w.management[nameKey{tenant, strings.ToLower(name)}]
	if !ok {
		g = resource.RootManagementGroup(tenant)
		_, known := w.tenants[tenant]
		ok = known && strings.EqualFold(name, g.Name)
	}
	return g, ok
}

// ManagementGroups returns the management groups of a tenant with its root group, ordered by name.
func (w *World) ManagementGroups(tenant ident.TenantID) []resource.ManagementGroup {
	w.mu.RLock()
	defer w.mu.RUnlock()
	root, ok := w.managementGroup(tenant, tenant.String())
	if !ok {
		return nil
	}
	out := []resource.ManagementGroup{root}
	for k, g := range w.management {
		if k.tenant == tenant && !g.IsRoot() {
			out = append(out, g)
		}
	}
	slices.SortFunc(out, func(a, b resource.ManagementGroup) int {
		return strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name))
	})
	return out
}

// Subscriptions returns the subscriptions of a tenant, ordered by id.
func (w *World) Subscriptions(tenant ident.TenantID) []resource.Subscription {
	w.mu.RLock()
	defer w.mu.RUnlock()
	var out []resource.Subscription
	for _, s := range w.subscriptions {
		if s.Tenant == tenant {
			out = append(out, s)
		}
	}
	slices.SortFunc(out, func(a, b resource.Subscription) int { return slices.Compare(a.ID[:], b.ID[:]) })
	return out
}

// ManagementGroupsAbove returns the management groups above a scope of a tenant, the nearest first and the root group last:
// above a subscription and what is in it, or above a management group. The root scope has none.
func (w *World) ManagementGroupsAbove(tenant ident.TenantID, scope string) []resource.ManagementGroup {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.managementGroupsAbove(tenant, scope)
}

func (w *World) managementGroupsAbove(tenant ident.TenantID, scope string) []resource.ManagementGroup {
	var next string
	if name, ok := resource.ParseManagementGroupID(scope); ok {
		g, ok := w.managementGroup(tenant, name)
		if !ok || g.IsRoot() {
			return nil
		}
		next = g.Parent
	} else {
		p := strings.Split(scope, "/")
		if len(p) < 3 || !strings.EqualFold(p[1], "subscriptions") {
			return nil
		}
		id, err := ident.Parse[ident.SubscriptionID](p[2])
		s, ok := w.subscriptions[id]
		if err != nil || !ok || s.Tenant != tenant {
			return nil
		}
		next = s.ManagementGroup
	}
	var out []resource.ManagementGroup
	for len(out) <= len(w.management) { // a tree has no cycle; one that had would end here
		g, ok := w.managementGroup(tenant, orRoot(next, tenant))
		if !ok {
			return out
		}
		out = append(out, g)
		if g.IsRoot() {
			return out
		}
		next = g.Parent
	}
	return out
}

// Covers reports whether an assignment at one scope of a tenant applies at another: rbac.Covers, and what is in a management
// group.
func (w *World) Covers(tenant ident.TenantID, assigned, scope string) bool {
	if rbac.Covers(assigned, scope) {
		return true
	}
	name, ok := resource.ParseManagementGroupID(assigned)
	return ok && slices.ContainsFunc(w.ManagementGroupsAbove(tenant, scope), func(g resource.ManagementGroup) bool {
		return strings.EqualFold(g.Name, name)
	})
}

func orRoot(name string, tenant ident.TenantID) string {
	if name == "" {
		return tenant.String()
	}
	return name
}

// ladder is what is above a subscription: the management groups, in the form in which rbac compares scopes. home is its tenant's
// number.
type ladder struct {
	home   uint32
	keys   []string
	hashes []uint64 // of keys
	tenant ident.TenantID
}

// ladderAbove returns the management groups above a scope of a principal's tenant, in the form in which rbac compares scopes. foreign is
// true for a scope in a subscription of another tenant: nothing that the principal holds counts there, not even at the root, which is
// that of its own tenant. The lock is held.
func (w *World) ladderAbove(principal *ident.ObjectID, scope string) (above ladder, foreign bool) {
	const prefix, length = "/subscriptions/", 36
	if len(scope) >= len(prefix)+length && strings.EqualFold(scope[:len(prefix)], prefix) {
		id, err := ident.Parse[ident.SubscriptionID](scope[len(prefix) : len(prefix)+length])
		if err != nil {
			return ladder{}, false
		}
		l := w.above[id]
		if n := w.nodes.find(principal); n != nil && n.who != nil {
			if n.home != 0 && l.home == uint32(n.home) || n.home == 0 && l.home != 0 && l.tenant == n.who.Tenant {
				return l, false
			}
			return ladder{}, l.home != 0
		}
		return ladder{}, false
	}
	if p := w.who(principal); p != nil {
		return ladder{keys: keys(w.managementGroupsAbove(p.Tenant, scope))}, false
	}
	return ladder{}, false
}

func keys(groups []resource.ManagementGroup) []string {
	var out []string
	for _, g := range groups {
		out = append(out, strings.ToLower(g.ID()))
	}
	return out
}

func (w *World) ladderOf(id ident.SubscriptionID, tenant ident.TenantID) ladder {
	above := keys(w.managementGroupsAbove(tenant, "/subscriptions/"+id.String()))
	return ladder{w.homeOf(tenant), above, rbac.HashScopes(above), tenant}
}

// lift works out anew what is above a tenant's subscriptions. The lock is held.
func (w *World) lift(tenant ident.TenantID) {
	for id, s := range w.subscriptions {
		if s.Tenant == tenant {
			w.above[id] = w.ladderOf(id, tenant)
		}
	}
}

func (w *World) applySubscription(e feed.Event, put bool) error {
	id, err := ident.Parse[ident.SubscriptionID](e.Key)
	if err != nil {
		return err
	}
	if err := keep(w.subscriptions, e, put, ident.Parse[ident.SubscriptionID], func(*resource.Subscription) error { return nil }); err != nil {
		return err
	}
	delete(w.above, id)
	if s, ok := w.subscriptions[id]; ok {
		w.above[id] = w.ladderOf(id, s.Tenant)
	}
	return nil
}

func (w *World) applyManagementGroup(e feed.Event, put bool) error {
	t, name, ok := strings.Cut(e.Key, "/")
	if !ok {
		return fmt.Errorf("key is not tenant/name")
	}
	tenant, err := ident.Parse[ident.TenantID](t)
	if err != nil {
		return err
	}
	key := nameKey{tenant, name}
	if !put {
		delete(w.management, key)
	} else {
		var g resource.ManagementGroup
		if err := json.Unmarshal(e.Value, &g); err != nil {
			return err
		}
		w.management[key] = g
	}
	w.lift(tenant)
	return nil
}
