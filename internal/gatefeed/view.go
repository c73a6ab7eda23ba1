package gatefeed

import (
	"encoding/json"

	"github.com/keyreeve/keyreeve/internal/feed"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/managedcluster"
	"github.com/keyreeve/keyreeve/internal/rbac"
)

// View is what the gates of one cluster see.
type View struct {
	cluster      ident.ClusterID
	subscription ident.SubscriptionID
	// people is the tenant that the cluster takes its people from, home that of its subscription.
	people, home ident.TenantID
	scope        string
}

// Of returns the view of a cluster's gates.
func Of(c managedcluster.Cluster) View {
	v := View{cluster: c.ID, subscription: c.Subscription, home: c.Tenant, scope: c.ResourceID()}
	if c.AAD != nil {
		if v.people = c.AAD.Tenant; v.people.IsZero() {
			v.people = c.Tenant
		}
	}
	return v
}

// Snapshot returns the events of a snapshot that make an empty world equal, in all that concerns the cluster, to the one
// that the whole snapshot makes.
func (v View) Snapshot(a Attributed) []feed.Event {
	var out []feed.Event
	for _, e := range a.events {
		if v.sees(e) && v.matters(e) {
			out = append(out, e.event)
		}
	}
	return out
}

// Change returns the events of a change that a gate must be told. anew says that what the gate has seen so far is not
// what this view shows any more: it must begin with a snapshot of the view that the cluster has now.
func (v View) Change(a Attributed) (events []feed.Event, anew bool) {
	for who := range a.moved {
		if who == v.people || who == v.home || who == v.cluster {
			return nil, true
		}
	}
	for _, e := range a.events {
		if !v.sees(e) {
			continue
		}
		if e.event.Kind == feed.Cluster && e.event.Op == feed.Put && v.differs(e.event) {
			return nil, true
		}
		if !v.matters(e) {
			// An assignment that is elsewhere now may have mattered before.
			events = append(events, feed.Event{Kind: e.event.Kind, Op: feed.Delete, Key: e.event.Key})
			continue
		}
		events = append(events, e.event)
	}
	return events, false
}

// differs reports whether the cluster is put as one with another view.
func (v View) differs(e feed.Event) bool {
	var c managedcluster.Cluster
	return json.Unmarshal(e.Value, &c) != nil || Of(c) != v
}

func (v View) sees(e attributed) bool {
	switch e.reach {
	case everyone:
		return true
	case ofTenant:
		return !v.people.IsZero() && e.tenant == v.people
	case ofHome:
		return e.tenant == v.home
	case ofEither:
		return e.tenant == v.home || !v.people.IsZero() && e.tenant == v.people
	case ofSubscription:
		return e.sub == v.subscription
	case ofCluster:
		return e.cluster == v.cluster
	case nobody:
	}
	return false
}

// matters reports whether a role or deny assignment is at the cluster, above it or below it. All else that is seen matters.
func (v View) matters(e attributed) bool {
	if e.event.Kind != feed.RoleAssignment && e.event.Kind != feed.DenyAssignment || e.event.Op != feed.Put {
		return true
	}
	const managementGroups = "/providers/Microsoft.Management/managementGroups"
	return rbac.Covers(e.scope, v.scope) || rbac.Covers(v.scope, e.scope) || rbac.Covers(managementGroups, e.scope)
}
