package gatefeed

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/feed"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/managedcluster"
	"github.com/keyreeve/keyreeve/internal/pki"
	"github.com/keyreeve/keyreeve/internal/rbac"
	"github.com/keyreeve/keyreeve/internal/resource"
	"github.com/keyreeve/keyreeve/internal/session"
)

// Index knows whose each object is, which the feed says when an object is made and not when it goes. An object never
// changes its owner; when one does all the same, those it concerns are told to begin anew.
type Index struct {
	tenants  map[key]ident.TenantID
	clusters map[string]ident.ClusterID // of certificates, by fingerprint
}

// key is an object of a kind; ids of different kinds may be equal.
type key struct {
	kind byte
	id   [16]byte
}

// NewIndex returns an empty index, for a snapshot to fill.
func NewIndex() *Index {
	return &Index{tenants: map[key]ident.TenantID{}, clusters: map[string]ident.ClusterID{}}
}

// Attributed is a change of which each event says whom it concerns. It does not change.
type Attributed struct {
	Revision feed.Revision
	At       time.Time
	events   []attributed
	// moved are the tenants and clusters that an object came to or went from.
	moved map[any]bool
}

type attributed struct {
	// event is cut to what a gate needs; its value has no other fields.
	event feed.Event
	reach reach
	// tenant and cluster are whose it is, as reach says.
	tenant  ident.TenantID
	cluster ident.ClusterID
	// scope is that of a role or deny assignment that was put, and empty for one that was deleted.
	scope string
	sub   ident.SubscriptionID
}

// reach says how widely an event is told.
type reach byte

const (
	nobody         reach = iota
	everyone             // each gate: what is public
	ofTenant             // gates of clusters whose people are of the tenant
	ofHome               // gates of clusters whose subscription is of the tenant
	ofEither             // both of these
	ofSubscription       // gates of clusters in the subscription
	ofCluster            // the gates of one cluster
)

// Attribute says whom a change concerns and takes it into the index. Changes come in order, a snapshot first.
func (x *Index) Attribute(c feed.Change) (Attributed, error) {
	a := &attribution{index: x, learn: true}
	return a.all(c)
}

// Recall is Attribute for a change that the index took in before. known is false when the index does not know any more
// whose an object was.
func (x *Index) Recall(c feed.Change) (out Attributed, known bool, err error) {
	a := &attribution{index: x}
	out, err = a.all(c)
	return out, !a.unknown, err
}

// attribution is the work on one change.
type attribution struct {
	index   *Index
	learn   bool
	unknown bool
	out     Attributed
	gone    map[key]struct{}
	lost    map[string]struct{} // fingerprints
}

func (a *attribution) all(c feed.Change) (Attributed, error) {
	a.out = Attributed{Revision: c.Revision, At: c.At, moved: map[any]bool{}}
	a.gone, a.lost = map[key]struct{}{}, map[string]struct{}{}
	for _, e := range c.Events {
		if err := a.add(e); err != nil {
			return Attributed{}, fmt.Errorf("gatefeed: change %d, %s %s %q: %w", c.Revision, e.Op, e.Kind, e.Key, err)
		}
	}
	// What goes is forgotten last: a change may speak of it again, as of the members of a group that goes.
	if a.learn {
		for k := range a.gone {
			delete(a.index.tenants, k)
		}
		for f := range a.lost {
			delete(a.index.clusters, f)
		}
	}
	return a.out, nil
}

// add attributes one event. A gate is told of each membership by itself: its groups may be of several tenants.
func (a *attribution) add(e feed.Event) error {
	if e.Kind == feed.Memberships {
		members, err := e.Members()
		if err != nil {
			return err
		}
		for _, m := range members {
			if err := a.add(m); err != nil {
				return err
			}
		}
		return nil
	}
	one, err := a.one(e)
	if err != nil || one.reach == nobody {
		return err
	}
	one.event.Kind, one.event.Op, one.event.Key = e.Kind, e.Op, e.Key
	a.out.events = append(a.out.events, one)
	return nil
}

// Kinds of objects in the index.
const (
	principalKey byte = iota + 1
	groupKey
	sessionKey
	definitionKey
	assignmentKey
	denialKey
)

func (a *attribution) one(e feed.Event) (attributed, error) {
	switch e.Kind {
	case feed.Private, feed.ResourceGroup, feed.Operation, feed.Application, feed.DirectoryRole, feed.PermissionGrant, feed.AppRoleAssignment:
		return attributed{}, nil // no decision at a cluster reads these
	case feed.SigningKey:
		return attributed{reach: everyone, event: feed.Event{Value: e.Value}}, nil // public keys
	case feed.Tenant:
		return a.tenantEvent(e)
	case feed.User:
		return owned(a, e, principalKey, ofTenant, trimUser, func(u directory.User) ident.TenantID { return u.Tenant })
	case feed.ServicePrincipal:
		return owned(a, e, principalKey, ofTenant, trimServicePrincipal, func(p directory.ServicePrincipal) ident.TenantID { return p.Tenant })
	case feed.Group:
		return owned(a, e, groupKey, ofTenant, trimGroup, func(g directory.Group) ident.TenantID { return g.Tenant })
	case feed.Session:
		return owned(a, e, sessionKey, ofTenant, trimSession, func(s session.Session) ident.TenantID { return s.Tenant })
	case feed.RoleDefinition:
		return owned(a, e, definitionKey, ofEither, trimDefinition, func(d rbac.RoleDefinition) ident.TenantID { return d.Tenant })
	case feed.RoleAssignment:
		out, err := owned(a, e, assignmentKey, ofHome, trimAssignment, func(v rbac.Assignment) ident.TenantID { return v.Tenant })
		return withScope(out, e, err)
	case feed.DenyAssignment:
		out, err := owned(a, e, denialKey, ofHome, trimDenyAssignment, func(v rbac.DenyAssignment) ident.TenantID { return v.Tenant })
		return withScope(out, e, err)
	case feed.Member:
		return a.memberEvent(e)
	case feed.Memberships: // see add
	case feed.Subscription:
		return a.subscriptionEvent(e)
	case feed.ManagementGroup:
		return managementGroupEvent(e)
	case feed.Cluster:
		return a.clusterEvent(e)
	case feed.Certificate:
		return a.certificateEvent(e)
	}
	return attributed{}, fmt.Errorf("unknown kind")
}

// owned attributes an event about an object that a tenant owns.
func owned[V any](a *attribution, e feed.Event, kind byte, r reach, trim func(V) V, tenantOf func(V) ident.TenantID) (attributed, error) {
	id, err := ident.Parse[ident.GUID](e.Key)
	if err != nil {
		return attributed{}, err
	}
	out := attributed{reach: r}
	if e.Op != feed.Put {
		out.tenant = a.forget(key{kind, id})
		if out.tenant.IsZero() {
			out.reach = nobody
		}
		return out, nil
	}
	var v V
	if err := json.Unmarshal(e.Value, &v); err != nil {
		return attributed{}, err
	}
	out.tenant = tenantOf(v)
	a.note(key{kind, id}, out.tenant)
	out.event.Value, err = json.Marshal(trim(v))
	return out, err
}

// note takes in whose an object is.
func (a *attribution) note(k key, t ident.TenantID) {
	was, known := a.index.tenants[k]
	if known && was != t {
		a.out.moved[was], a.out.moved[t] = true, true
	}
	if a.learn {
		a.index.tenants[k] = t
		delete(a.gone, k) // it is there again
	}
}

// forget returns whose an object was that is gone.
func (a *attribution) forget(k key) ident.TenantID {
	t, known := a.index.tenants[k]
	a.unknown = a.unknown || !known
	a.gone[k] = struct{}{}
	return t
}

func (a *attribution) tenantEvent(e feed.Event) (attributed, error) {
	id, err := ident.Parse[ident.TenantID](e.Key)
	if err != nil || e.Op != feed.Put {
		return attributed{reach: ofEither, tenant: id}, err
	}
	var t directory.Tenant
	if err := json.Unmarshal(e.Value, &t); err != nil {
		return attributed{}, err
	}
	raw, err := json.Marshal(directory.Tenant{ID: t.ID, Domains: t.Domains})
	return attributed{reach: ofEither, tenant: id, event: feed.Event{Value: raw}}, err
}

func (a *attribution) memberEvent(e feed.Event) (attributed, error) {
	g, _, ok := strings.Cut(e.Key, "/")
	if !ok {
		return attributed{}, fmt.Errorf("key is not group/member")
	}
	id, err := ident.Parse[ident.GUID](g)
	if err != nil {
		return attributed{}, err
	}
	t, known := a.index.tenants[key{groupKey, id}]
	if !known {
		a.unknown = true
		return attributed{}, nil
	}
	return attributed{reach: ofTenant, tenant: t}, nil
}

// withScope notes where a role or deny assignment is that is put.
func withScope(out attributed, e feed.Event, err error) (attributed, error) {
	if err != nil || e.Op != feed.Put {
		return out, err
	}
	var v struct {
		Scope string `json:"scope"`
	}
	err = json.Unmarshal(e.Value, &v)
	out.scope = v.Scope
	return out, err
}

// managementGroupEvent tells where a management group stands: assignments at those above a cluster's subscription count.
func managementGroupEvent(e feed.Event) (attributed, error) {
	t, _, ok := strings.Cut(e.Key, "/")
	if !ok {
		return attributed{}, fmt.Errorf("key is not tenant/name")
	}
	tenant, err := ident.Parse[ident.TenantID](t)
	if err != nil || e.Op != feed.Put {
		return attributed{reach: ofHome, tenant: tenant}, err
	}
	var g resource.ManagementGroup
	if err := json.Unmarshal(e.Value, &g); err != nil {
		return attributed{}, err
	}
	raw, err := json.Marshal(resource.ManagementGroup{Tenant: g.Tenant, Name: g.Name, Parent: g.Parent})
	return attributed{reach: ofHome, tenant: tenant, event: feed.Event{Value: raw}}, err
}

func (a *attribution) subscriptionEvent(e feed.Event) (attributed, error) {
	id, err := ident.Parse[ident.SubscriptionID](e.Key)
	if err != nil || e.Op != feed.Put {
		return attributed{reach: ofSubscription, sub: id}, err
	}
	var s resource.Subscription
	if err := json.Unmarshal(e.Value, &s); err != nil {
		return attributed{}, err
	}
	raw, err := json.Marshal(resource.Subscription{ID: s.ID, Tenant: s.Tenant, State: s.State, ManagementGroup: s.ManagementGroup})
	return attributed{reach: ofSubscription, sub: id, event: feed.Event{Value: raw}}, err
}

func (a *attribution) clusterEvent(e feed.Event) (attributed, error) {
	id, err := ident.Parse[ident.ClusterID](e.Key)
	if err != nil || e.Op != feed.Put {
		return attributed{reach: ofCluster, cluster: id}, err
	}
	var c managedcluster.Cluster
	if err := json.Unmarshal(e.Value, &c); err != nil {
		return attributed{}, err
	}
	raw, err := json.Marshal(trimCluster(c))
	return attributed{reach: ofCluster, cluster: id, event: feed.Event{Value: raw}}, err
}

func (a *attribution) certificateEvent(e feed.Event) (attributed, error) {
	was, known := a.index.clusters[e.Key]
	if e.Op != feed.Put {
		a.unknown = a.unknown || !known
		a.lost[e.Key] = struct{}{}
		if !known {
			return attributed{}, nil
		}
		return attributed{reach: ofCluster, cluster: was}, nil
	}
	var c pki.Issued
	if err := json.Unmarshal(e.Value, &c); err != nil {
		return attributed{}, err
	}
	if known && was != c.Cluster {
		a.out.moved[was], a.out.moved[c.Cluster] = true, true
	}
	if a.learn {
		a.index.clusters[e.Key] = c.Cluster
		delete(a.lost, e.Key)
	}
	return attributed{reach: ofCluster, cluster: c.Cluster, event: feed.Event{Value: e.Value}}, nil
}
