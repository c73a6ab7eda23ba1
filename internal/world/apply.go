package world

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/feed"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/keyring"
	"github.com/keyreeve/keyreeve/internal/managedcluster"
	"github.com/keyreeve/keyreeve/internal/pki"
	"github.com/keyreeve/keyreeve/internal/rbac"
	"github.com/keyreeve/keyreeve/internal/session"
)

// Apply applies a change: first a snapshot, in parts or whole, then each change that follows the world's revision.
// A change that does not follow, or cannot be read, breaks the world: it stays broken until it is built anew.
func (w *World) Apply(c feed.Change) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.broken != nil {
		return w.broken
	}
	if w.loaded && (c.Partial || c.Revision != w.revision+1) || w.loading && c.Revision != w.part {
		w.broken = fmt.Errorf("world: change %d does not follow %d", c.Revision, max(w.revision, w.part))
		return w.broken
	}
	for _, e := range c.Events {
		if err := w.apply(e); err != nil {
			w.broken = fmt.Errorf("world: change %d, %s %s %q: %w", c.Revision, e.Op, e.Kind, e.Key, err)
			return w.broken
		}
	}
	if c.Partial {
		w.loading, w.part = true, c.Revision
		return nil
	}
	w.loading, w.loaded, w.revision, w.at = false, true, c.Revision, c.At
	return nil
}

func (w *World) apply(e feed.Event) error {
	put := e.Op == feed.Put
	if !put && e.Op != feed.Delete {
		return fmt.Errorf("unknown operation")
	}
	switch e.Kind {
	case feed.Private, feed.ResourceGroup, feed.Operation:
		return nil // the world does not hold these
	case feed.Tenant:
		return w.applyTenant(e, put)
	case feed.User:
		return w.applyUser(e, put)
	case feed.ServicePrincipal:
		return w.applyServicePrincipal(e, put)
	case feed.Application:
		return w.applyApplication(e, put)
	case feed.Group:
		return w.applyGroup(e, put)
	case feed.Member:
		return w.applyMember(e, put)
	case feed.Memberships:
		return w.applyMemberships(e, put)
	case feed.DirectoryRole:
		return w.applyDirectoryRole(e, put)
	case feed.PermissionGrant:
		return w.consents.apply(e, put)
	case feed.AppRoleAssignment:
		return w.appRoles.apply(e, put)
	case feed.Subscription:
		return w.applySubscription(e, put)
	case feed.ManagementGroup:
		return w.applyManagementGroup(e, put)
	case feed.RoleDefinition:
		return w.applyRoleDefinition(e, put)
	case feed.RoleAssignment:
		return w.applyAssignment(e, put)
	case feed.DenyAssignment:
		return w.applyDenyAssignment(e, put)
	case feed.Cluster:
		return w.applyCluster(e, put)
	case feed.Certificate:
		return keep(w.certificates, e, put, text, func(*pki.Issued) error { return nil })
	case feed.Session:
		return keep(w.sessions, e, put, ident.Parse[ident.SessionID], func(*session.Session) error { return nil })
	case feed.SigningKey:
		return keep(w.keys, e, put, text, func(*keyring.Public) error { return nil })
	}
	return fmt.Errorf("unknown kind")
}

func text(s string) (string, error) { return s, nil }

// keep applies an event to a plain map of documents.
func keep[K comparable, V any](m map[K]V, e feed.Event, put bool, parse func(string) (K, error), check func(*V) error) error {
	k, err := parse(e.Key)
	if err != nil {
		return err
	}
	if !put {
		delete(m, k)
		return nil
	}
	var v V
	if err := json.Unmarshal(e.Value, &v); err != nil {
		return err
	}
	if err := check(&v); err != nil {
		return err
	}
	m[k] = v
	return nil
}

func (w *World) applyTenant(e feed.Event, put bool) error {
	id, err := ident.Parse[ident.TenantID](e.Key)
	if err != nil {
		return err
	}
	maps.DeleteFunc(w.domains, func(_ string, owner ident.TenantID) bool { return owner == id })
	return keep(w.tenants, e, put, ident.Parse[ident.TenantID], func(t *directory.Tenant) error {
		for _, d := range t.Domains {
			w.domains[directory.Fold(d)] = t.ID
		}
		return nil
	})
}

func (w *World) applyUser(e feed.Event, put bool) error {
	id, err := ident.Parse[ident.ObjectID](e.Key)
	if err != nil {
		return err
	}
	if !put {
		w.setPrincipal(id, nil)
		return nil
	}
	u, err := readUser(e.Value)
	if err != nil {
		return err
	}
	w.setPrincipal(id, &Principal{
		ID: id, Kind: User, Enabled: u.AccountEnabled, Tenant: u.Tenant, Name: u.UserPrincipalName,
		DisplayName: u.DisplayName, ValidFrom: u.SessionsValidFrom,
	})
	return nil
}

func (w *World) applyServicePrincipal(e feed.Event, put bool) error {
	id, err := ident.Parse[ident.ObjectID](e.Key)
	if err != nil {
		return err
	}
	if old := w.who(&id); old != nil {
		delete(w.apps, appKey{old.Tenant, old.AppID})
	}
	if !put {
		w.setPrincipal(id, nil)
		return nil
	}
	var p directory.ServicePrincipal
	if err := json.Unmarshal(e.Value, &p); err != nil {
		return err
	}
	w.setPrincipal(id, &Principal{
		ID: id, Kind: ServicePrincipal, Enabled: p.AccountEnabled, Tenant: p.Tenant, Name: id.String(),
		DisplayName: p.DisplayName, AppID: p.AppID, ValidFrom: p.SessionsValidFrom,
	})
	w.apps[appKey{p.Tenant, p.AppID}] = id
	return nil
}

func (w *World) applyApplication(e feed.Event, put bool) error {
	id, err := ident.Parse[ident.ObjectID](e.Key)
	if err != nil {
		return err
	}
	if old, ok := w.applications[id]; ok {
		delete(w.appsByID, old.AppID)
		for _, u := range old.IdentifierURIs {
			delete(w.appURIs, nameKey{old.Tenant, directory.Fold(u)})
		}
	}
	if !put {
		delete(w.applications, id)
		return nil
	}
	var a directory.Application
	if err := json.Unmarshal(e.Value, &a); err != nil {
		return err
	}
	w.applications[id] = a
	w.appsByID[a.AppID] = id
	for _, u := range a.IdentifierURIs {
		w.appURIs[nameKey{a.Tenant, directory.Fold(u)}] = id
	}
	return nil
}

func (w *World) applyGroup(e feed.Event, put bool) error {
	id, err := ident.Parse[ident.ObjectID](e.Key)
	if err != nil {
		return err
	}
	w.nodes.setGroup(id, put)
	return keep(w.groups, e, put, ident.Parse[ident.ObjectID], func(*directory.Group) error { return nil })
}

func (w *World) applyMember(e feed.Event, put bool) error {
	g, m, ok := strings.Cut(e.Key, "/")
	if !ok {
		return fmt.Errorf("key is not group/member")
	}
	group, err := ident.Parse[ident.ObjectID](g)
	if err != nil {
		return err
	}
	member, err := ident.Parse[ident.ObjectID](m)
	if err != nil {
		return err
	}
	if put {
		w.nodes.join(group, member)
	} else {
		w.nodes.leave(group, member)
	}
	return nil
}

func (w *World) applyMemberships(e feed.Event, put bool) error {
	member, err := ident.Parse[ident.ObjectID](e.Key)
	if err != nil {
		return err
	}
	if !put || w.loaded {
		return fmt.Errorf("memberships outside a snapshot")
	}
	if w.groupIDs, err = e.Groups(w.groupIDs[:0]); err != nil {
		return err
	}
	w.nodes.joinAll(w.groupIDs, member)
	return nil
}

func (w *World) applyDirectoryRole(e feed.Event, put bool) error {
	r, p, ok := strings.Cut(e.Key, "/")
	if !ok {
		return fmt.Errorf("key is not role/principal")
	}
	role, err := ident.Parse[ident.DirectoryRoleID](r)
	if err != nil {
		return err
	}
	principal, err := ident.Parse[ident.ObjectID](p)
	if err != nil {
		return err
	}
	if !put {
		delete(w.roles[role], principal)
		return nil
	}
	if w.roles[role] == nil {
		w.roles[role] = map[ident.ObjectID]struct{}{}
	}
	w.roles[role][principal] = struct{}{}
	return nil
}

func (w *World) applyRoleDefinition(e feed.Event, put bool) error {
	id, err := ident.Parse[ident.RoleDefinitionID](e.Key)
	if err != nil {
		return err
	}
	if put {
		var d rbac.RoleDefinition
		if err := json.Unmarshal(e.Value, &d); err != nil {
			return err
		}
		role, err := rbac.Compile(d)
		if err != nil {
			return err
		}
		w.definitions[id] = role
	} else {
		delete(w.definitions, id)
	}
	for a := range w.custom[id] {
		w.assign(rbac.Regrant(w.assignments[a], w.definitions[id]))
	}
	return nil
}

func (w *World) applyAssignment(e feed.Event, put bool) error {
	id, err := ident.Parse[ident.RoleAssignmentID](e.Key)
	if err != nil {
		return err
	}
	if !put {
		w.unassign(id)
		return nil
	}
	a, err := readAssignment(e.Value)
	if err != nil {
		return err
	}
	if a.ID != id {
		return fmt.Errorf("value is of assignment %s", a.ID)
	}
	w.unassign(id)
	w.assign(w.nodes.index.NewGrant(rbac.Assignment{
		ID: a.ID, Scope: a.Scope, RoleDefinitionID: a.RoleDefinitionID, PrincipalID: a.PrincipalID, PrincipalType: a.PrincipalType,
		Tenant: a.Tenant, Condition: a.Condition, ConditionVersion: a.ConditionVersion,
	}, w.definitions[a.RoleDefinitionID]))
	return nil
}

// assign puts down an assignment. One whose role is not defined grants nothing, until it is.
func (w *World) assign(g *rbac.Grant) {
	a := &g.Assignment
	w.assignments[a.ID] = g
	if g.Role == nil {
		w.nodes.release(g)
	} else {
		w.nodes.hold(g)
	}
	if g.Role == nil || g.Role.Definition.Type != rbac.BuiltInRole {
		if w.custom[a.RoleDefinitionID] == nil {
			w.custom[a.RoleDefinitionID] = map[ident.RoleAssignmentID]struct{}{}
		}
		w.custom[a.RoleDefinitionID][a.ID] = struct{}{}
	}
}

// unassign removes an assignment, if it is there.
func (w *World) unassign(id ident.RoleAssignmentID) {
	g, ok := w.assignments[id]
	if !ok {
		return
	}
	delete(w.assignments, id)
	w.nodes.release(g)
	if of := w.custom[g.Assignment.RoleDefinitionID]; of != nil {
		if delete(of, id); len(of) == 0 {
			delete(w.custom, g.Assignment.RoleDefinitionID)
		}
	}
}

func (w *World) applyCluster(e feed.Event, put bool) error {
	id, err := ident.Parse[ident.ClusterID](e.Key)
	if err != nil {
		return err
	}
	if old, ok := w.clusters[id]; ok {
		delete(w.clusterKeys, strings.ToLower(old.ResourceID()))
	}
	if !put {
		delete(w.clusters, id)
		delete(w.places, id)
		return nil
	}
	var c managedcluster.Cluster
	if err := json.Unmarshal(e.Value, &c); err != nil {
		return err
	}
	c.Body = nil // decisions need none of it
	w.clusters[id] = c
	w.places[id] = rbac.NewPlace(c.ResourceID())
	w.clusterKeys[strings.ToLower(c.ResourceID())] = id
	return nil
}
