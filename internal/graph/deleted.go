package graph

import (
	"errors"
	"net/http"
	"slices"

	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/store"
)

// keepDeleted writes down an object that is about to be deleted, with its relations.
func (rq *request) keepDeleted(tx *store.Tx, d directory.Deleted) error {
	d.Tenant, d.DeletedAt = rq.caller.Tenant, rq.h.Now().UTC()
	var err error
	if d.MemberOf, err = tx.MemberOf(d.ID); err != nil {
		return err
	}
	if d.Owners, err = tx.Owners(d.ID); err != nil {
		return err
	}
	var last ident.ObjectID
	for {
		part, err := tx.OwnedBy(d.ID, last, chunk)
		if err != nil {
			return err
		}
		d.Owned = append(d.Owned, part...)
		if len(part) < chunk {
			break
		}
		last = part[len(part)-1]
	}
	if d.AppRoles, err = tx.AppRoleAssignments(d.ID); err != nil {
		return err
	}
	if d.Kind == directory.KindServicePrincipal {
		d.Consents, err = tx.PermissionGrantsOf(d.ID)
	} else {
		d.Consents, err = tx.PermissionGrantsBy(d.ID)
	}
	if err != nil {
		return err
	}
	return tx.PutDeleted(d)
}

func (rq *request) softDeleteUser(tx *store.Tx, u directory.User) error {
	hash, err := tx.Password(u.ID)
	if err != nil && !store.IsNotFound(err) {
		return err
	}
	if err := rq.keepDeleted(tx, directory.Deleted{ID: u.ID, Kind: directory.KindUser, User: &u, PasswordHash: hash}); err != nil {
		return err
	}
	return tx.DeleteUser(u.ID)
}

func (rq *request) softDeleteGroup(tx *store.Tx, g directory.Group) error {
	d := directory.Deleted{ID: g.ID, Kind: directory.KindGroup, Group: &g}
	var last ident.ObjectID
	for {
		part, err := tx.Members(g.ID, last, chunk)
		if err != nil {
			return err
		}
		d.Members = append(d.Members, part...)
		if len(part) < chunk {
			break
		}
		last = part[len(part)-1]
	}
	if err := rq.keepDeleted(tx, d); err != nil {
		return err
	}
	return tx.DeleteGroup(g.ID)
}

func (rq *request) softDeleteApplication(tx *store.Tx, a directory.Application) error {
	if err := rq.keepDeleted(tx, directory.Deleted{ID: a.ID, Kind: directory.KindApplication, Application: &a}); err != nil {
		return err
	}
	return tx.DeleteApplication(a.ID)
}

func (rq *request) softDeletePrincipal(tx *store.Tx, p directory.ServicePrincipal) error {
	if err := rq.keepDeleted(tx, directory.Deleted{ID: p.ID, Kind: directory.KindServicePrincipal, ServicePrincipal: &p}); err != nil {
		return err
	}
	return tx.DeleteServicePrincipal(p.ID)
}

// renderDeleted answers an object that was deleted.
func (rq *request) renderDeleted(d directory.Deleted, selected []string) object {
	var out object
	switch {
	case d.User != nil:
		// The time of the deletion is among what a list of deleted users answers.
		out = append(userSchema().render(*d.User, selected, true), field{"deletedDateTime", instant(d.DeletedAt)})
		out = slices.DeleteFunc(out, func(f field) bool { return f.name == "deletedDateTime" && f.value == nil })
	case d.Group != nil:
		out = groupSchema().render(*d.Group, selected, true)
	case d.Application != nil:
		out = applicationSchema().render(application{Application: *d.Application}, selected, true)
	case d.ServicePrincipal != nil:
		out = principalSchema().render(principal{ServicePrincipal: *d.ServicePrincipal}, selected, true)
	}
	for i := range out {
		if out[i].name == "deletedDateTime" {
			out[i].value = instant(d.DeletedAt)
		}
	}
	return out
}

func areaOf(kind directory.Kind) directory.Area {
	switch kind {
	case directory.KindUser:
		return directory.Users
	case directory.KindGroup:
		return directory.Groups
	case directory.KindApplication, directory.KindServicePrincipal:
	}
	return directory.Applications
}

// listDeleted answers the deleted objects of a kind.
func listDeleted(kind directory.Kind) func(*request) error {
	return func(rq *request) error {
		if err := checkObjectSelect(rq.query.selected); err != nil {
			return err
		}
		if err := checkObjectFilter(rq.query.filter, objectType(kind)); err != nil {
			return err
		}
		f := rq.query.filter
		q := rq.names(false, false)
		rq.query.filter = nil
		if err := rq.plain(); err != nil {
			return err
		}
		rq.query.filter = f
		after, err := nameCursor(rq.query.skip)
		if err != nil {
			return err
		}
		out := collection{set: objectType(kind).set()}
		err = rq.view(areaOf(kind), func(tx *store.Tx) error {
			src := source[directory.Deleted]{place: store.DeletedCursor, read: func(after store.NameCursor, limit int) ([]directory.Deleted, error) {
				q.After, q.Limit = after, limit
				return tx.DeletedObjects(kind, q)
			}}
			match := func(d directory.Deleted) bool { return asObject(d).matches(f) }
			rows, next, err := src.page(after, rq.query.top, f != nil, match)
			if err != nil {
				return err
			}
			for _, d := range rows {
				out.items = append(out.items, rq.renderDeleted(d, rq.query.selected))
			}
			if next != (store.NameCursor{}) {
				out.next = cursor(next.Key, next.ID)
			}
			if rq.query.count {
				out.count, err = src.count(true, match)
			}
			return err
		})
		if err != nil {
			return err
		}
		return rq.collection(out)
	}
}

// asObject is a deleted object as it was.
func asObject(d directory.Deleted) directoryObject {
	o := directoryObject{kind: objectType(d.Kind)}
	switch {
	case d.User != nil:
		o.user = *d.User
	case d.Group != nil:
		o.group = *d.Group
	case d.Application != nil:
		o.application = application{Application: *d.Application}
	case d.ServicePrincipal != nil:
		o.principal = principal{ServicePrincipal: *d.ServicePrincipal}
	}
	return o
}

// deleted finds the deleted object that the path names.
func (rq *request) deleted(tx *store.Tx) (directory.Deleted, error) {
	id, err := objectID(rq.args[0])
	if err != nil {
		return directory.Deleted{}, err
	}
	d, err := tx.Deleted(id)
	if store.IsNotFound(err) || err == nil && (d.Tenant != rq.caller.Tenant || rq.h.Now().Sub(d.DeletedAt) > directory.RestorableFor) {
		return d, absent(rq.args[0]).Because(store.ErrNotFound)
	}
	return d, err
}

func getDeleted(rq *request) error {
	if err := checkObjectSelect(rq.query.selected); err != nil {
		return err
	}
	if err := rq.plain(); err != nil {
		return err
	}
	var d directory.Deleted
	err := rq.read(func(tx *store.Tx, a directory.Actor) error {
		if err := mayReadAny(a); err != nil {
			return err
		}
		var err error
		if d, err = rq.deleted(tx); err != nil {
			return err
		}
		return a.MayRead(areaOf(d.Kind))
	})
	if err != nil {
		return err
	}
	return rq.entity(http.StatusOK, "directoryObjects", typed(string(d.Kind), rq.renderDeleted(d, rq.query.selected)))
}

// mayRestore decides who restores or purges a deleted object: who could have deleted it.
func mayRestore(a directory.Actor, d directory.Deleted) error {
	owner := slices.Contains(d.Owners, a.ID)
	switch d.Kind {
	case directory.KindUser:
		return a.MayManageUser(d.ID, false)
	case directory.KindGroup:
		return a.MayManageGroup(d.Group.IsAssignableToRole, owner)
	case directory.KindApplication, directory.KindServicePrincipal:
	}
	return a.MayManageApplication(owner, false)
}

// purge removes a deleted object for good.
func purge(rq *request) error {
	err := rq.update(func(tx *store.Tx, a directory.Actor) error {
		d, err := rq.deleted(tx)
		if err != nil && !store.IsNotFound(err) {
			return err
		}
		if err != nil {
			if denied := mayReadAny(a); denied != nil {
				return denied
			}
			return err
		}
		if err := mayRestore(a, d); err != nil {
			return err
		}
		if err := errors.Join(tx.DropDeleted(d.ID), tx.ForgetCredentials(d.ID)); err != nil {
			return err
		}
		return rq.audit(tx, audit.ObjectPurged, d.ID, map[string]string{"displayName": d.DisplayName(), "kind": string(d.Kind)})
	})
	if err != nil {
		return err
	}
	return rq.noContent()
}

// restore puts a deleted object back.
func restore(rq *request) error {
	var d directory.Deleted
	err := rq.update(func(tx *store.Tx, a directory.Actor) error {
		var err error
		if d, err = rq.deleted(tx); err != nil {
			if denied := mayReadAny(a); denied != nil {
				return denied
			}
			return err
		}
		if err := mayRestore(a, d); err != nil {
			return err
		}
		if err := rq.putBack(tx, d); err != nil {
			return err
		}
		if d.Kind != directory.KindApplication {
			return nil
		}
		return rq.putBackPrincipal(tx, d.Application.AppID)
	})
	if err != nil {
		return err
	}
	rq.w.Header().Set("Location", rq.h.BaseURL)
	out := asObject(d).render(rq.query.selected)
	return rq.write(http.StatusOK, append(object{rq.context("directoryObjects/$entity")}, out...))
}

// putBackPrincipal restores the service principal that was deleted with its application.
func (rq *request) putBackPrincipal(tx *store.Tx, app ident.ClientID) error {
	if _, err := tx.ServicePrincipalByAppID(rq.caller.Tenant, app); !store.IsNotFound(err) {
		return err // there is another one by now
	}
	q := store.NameQuery{Tenant: rq.caller.Tenant, Limit: chunk}
	for {
		part, err := tx.DeletedObjects(directory.KindServicePrincipal, q)
		if err != nil {
			return err
		}
		for _, d := range part {
			if d.ServicePrincipal.AppID == app {
				return rq.putBack(tx, d)
			}
			q.After = store.DeletedCursor(d)
		}
		if len(part) < chunk {
			return nil
		}
	}
}

func (rq *request) putBack(tx *store.Tx, d directory.Deleted) error {
	var err error
	switch {
	case d.User != nil:
		// What was begun before the deletion stays ended.
		u := *d.User
		u.SessionsValidFrom = rq.h.Now().UTC()
		if err = rq.putUser(tx, u); err == nil && d.PasswordHash != "" {
			err = tx.PutPassword(u.ID, d.PasswordHash)
		}
	case d.Group != nil:
		err = tx.PutGroup(*d.Group)
	case d.Application != nil:
		err = rq.putApplication(tx, *d.Application)
	case d.ServicePrincipal != nil:
		p := *d.ServicePrincipal
		p.SessionsValidFrom = rq.h.Now().UTC()
		err = tx.PutServicePrincipal(p)
	}
	if store.IsExists(err) {
		return fault.New(fault.Conflict, "Request_MultipleObjectsWithSameKeyValue",
			"The object cannot be restored because another object has its name or application.").At("id").Because(err)
	}
	if err != nil {
		return err
	}
	if err := rq.relateAgain(tx, d); err != nil {
		return err
	}
	if err := tx.DropDeleted(d.ID); err != nil {
		return err
	}
	return rq.audit(tx, audit.ObjectRestored, d.ID, map[string]string{"displayName": d.DisplayName(), "kind": string(d.Kind)})
}

// relateAgain restores the relations of an object to those that are still there. What leads to directory roles is not
// restored: it is given anew by who may.
func (rq *request) relateAgain(tx *store.Tx, d directory.Deleted) error {
	for _, id := range d.MemberOf {
		g, err := rq.group(tx, id)
		if err == nil && !g.IsAssignableToRole {
			err = tx.AddMember(id, d.ID)
		}
		if err != nil && !store.IsNotFound(err) && !store.IsExists(err) {
			return err
		}
	}
	if d.Group != nil && !d.Group.IsAssignableToRole {
		if err := rq.relate(tx, d.Members, func(id ident.ObjectID) error { return tx.AddMember(d.ID, id) }); err != nil {
			return err
		}
	}
	if err := rq.relate(tx, d.Owners, func(id ident.ObjectID) error { return tx.AddOwner(d.ID, id) }); err != nil {
		return err
	}
	if err := rq.relate(tx, d.Owned, func(id ident.ObjectID) error { return tx.AddOwner(id, d.ID) }); err != nil {
		return err
	}
	for _, g := range d.Consents {
		there := []ident.ObjectID{g.Client, g.Resource}
		if !g.Principal.IsZero() {
			there = append(there, g.Principal)
		}
		if err := rq.ifAll(tx, there, func() error { return tx.PutPermissionGrant(g) }); err != nil {
			return err
		}
	}
	graph, _ := rq.h.World.ServicePrincipalOf(rq.caller.Tenant, directory.MicrosoftGraph())
	for _, r := range d.AppRoles {
		if r.Resource == graph.ID {
			continue
		}
		if err := rq.ifAll(tx, []ident.ObjectID{r.Principal, r.Resource}, func() error { return tx.PutAppRoleAssignment(r) }); err != nil {
			return err
		}
	}
	return nil
}

// relate calls add for those objects that are still there.
func (rq *request) relate(tx *store.Tx, ids []ident.ObjectID, add func(ident.ObjectID) error) error {
	for _, id := range ids {
		if err := rq.ifAll(tx, []ident.ObjectID{id}, func() error { return add(id) }); err != nil {
			return err
		}
	}
	return nil
}

// ifAll calls put if all objects are there. What is there already is no error.
func (rq *request) ifAll(tx *store.Tx, ids []ident.ObjectID, put func() error) error {
	for _, id := range ids {
		_, err := rq.directoryObject(tx, id)
		if store.IsNotFound(err) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	if err := put(); err != nil && !store.IsExists(err) {
		return err
	}
	return nil
}
