package graph

import (
	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/store"
)

// maxOwners is how many owners an object may have (Microsoft Graph).
const maxOwners = 100

// holder is an object that has owners: a group, an application or a service principal.
type holder struct {
	id   ident.ObjectID
	name string
	kind objectType
	// may decides who changes it.
	may func(a directory.Actor, owner bool) error
	// app is of an application or a service principal.
	app ident.ClientID
}

// holder finds the object of a kind that the path names. What it returns says who may change it also when there is none.
func (rq *request) holder(tx *store.Tx, kind objectType) (holder, error) {
	h := holder{kind: kind}
	if kind == groupObject {
		id, err := objectID(rq.args[0])
		if err != nil {
			return h, err
		}
		g, err := rq.group(tx, id)
		h.id, h.name = g.ID, g.DisplayName
		h.may = func(a directory.Actor, owner bool) error { return a.MayManageGroup(g.IsAssignableToRole, owner) }
		return h, err
	}
	privileged := false
	h.may = func(a directory.Actor, owner bool) error { return a.MayManageApplication(owner, privileged) }
	var principal ident.ObjectID
	if kind == applicationObject {
		app, err := rq.application(tx, rq.args[0])
		if err != nil {
			return h, err
		}
		h.id, h.name, h.app = app.ID, app.DisplayName, app.AppID
		sp, err := tx.ServicePrincipalByAppID(app.Tenant, app.AppID)
		if err != nil && !store.IsNotFound(err) {
			return h, err
		}
		principal = sp.ID
	} else {
		p, err := rq.principal(tx, rq.args[0])
		if err != nil {
			return h, err
		}
		h.id, h.name, h.app, principal = p.ID, p.DisplayName, p.AppID, p.ID
	}
	var err error
	privileged, err = rq.privileged(tx, principal)
	return h, err
}

// changeable finds the object of a kind that the path names, for an actor who may change it. Who may not learns nothing
// of what is there.
func (rq *request) changeable(tx *store.Tx, a directory.Actor, kind objectType) (holder, error) {
	h, err := rq.holder(tx, kind)
	if h.may == nil || err != nil && !store.IsNotFound(err) {
		return h, err
	}
	owner := false
	if err == nil {
		var failed error
		if owner, failed = tx.Owns(a.ID, h.id); failed != nil {
			return h, failed
		}
	}
	if denied := h.may(a, owner); denied != nil {
		return h, denied
	}
	return h, err
}

// owners answers the owners of an object.
func owners(kind objectType) func(objectType, bool) func(*request) error {
	return func(cast objectType, count bool) func(*request) error {
		return func(rq *request) error {
			return rq.related(cast, count, func(tx *store.Tx, a directory.Actor) (idSource, error) {
				if err := a.MayRead(kind.area()); err != nil {
					return nil, err
				}
				h, err := rq.holder(tx, kind)
				if err != nil {
					return nil, err
				}
				ids, err := tx.Owners(h.id)
				return listed(ids), err
			})
		}
	}
}

// ownedObjects answers what a user or a service principal owns.
func ownedObjects(cast objectType, count bool) func(*request) error {
	return func(rq *request) error {
		return rq.related(cast, count, func(tx *store.Tx, a directory.Actor) (idSource, error) {
			id, err := rq.subject(tx, a)
			return func(after ident.ObjectID, limit int) ([]ident.ObjectID, error) { return tx.OwnedBy(id, after, limit) }, err
		})
	}
}

// firstOwners gives a new object its owners: those asked for, with who made it. maker is zero for who has a role that
// gives the right: administrators do not own the groups they make (Microsoft Graph, group: owners).
func (rq *request) firstOwners(tx *store.Tx, maker, id ident.ObjectID, asked []ident.ObjectID) error {
	seen := map[ident.ObjectID]bool{{}: true}
	for _, o := range append([]ident.ObjectID{maker}, asked...) {
		if seen[o] {
			continue
		}
		seen[o] = true
		if err := rq.addOwner(tx, id, "", o); err != nil {
			return err
		}
	}
	return nil
}

// addOwner makes a user or a service principal an owner.
func (rq *request) addOwner(tx *store.Tx, id ident.ObjectID, name string, owner ident.ObjectID) error {
	o, err := rq.directoryObject(tx, owner)
	if err != nil {
		return err
	}
	if o.kind != userObject && o.kind != servicePrincipalObject {
		return badRequest("The specified object reference cannot be added as an owner: owners are users and service principals.").At("owners")
	}
	there, err := tx.Owners(id)
	if err != nil {
		return err
	}
	if len(there) >= maxOwners {
		return badRequest("The object has the maximum of %d owners.", maxOwners).At("owners")
	}
	err = tx.AddOwner(id, owner)
	if store.IsExists(err) {
		return badRequest("One or more added object references already exist for the following modified properties: 'owners'.")
	}
	if err != nil {
		return err
	}
	return rq.audit(tx, audit.OwnerAdded, id, map[string]string{"displayName": name, "owner": owner.String()})
}

func addOwner(kind objectType) func(*request) error {
	return func(rq *request) error {
		b, err := rq.body()
		if err != nil {
			return err
		}
		ref, err := b.reference()
		if err != nil {
			return err
		}
		err = rq.update(func(tx *store.Tx, a directory.Actor) error {
			h, err := rq.changeable(tx, a, kind)
			if err != nil {
				return err
			}
			id, err := reference(ref)
			if err != nil {
				return err
			}
			return rq.addOwner(tx, h.id, h.name, id)
		})
		if err != nil {
			return err
		}
		return rq.noContent()
	}
}

func removeOwner(kind objectType) func(*request) error {
	return func(rq *request) error {
		err := rq.update(func(tx *store.Tx, a directory.Actor) error {
			h, err := rq.changeable(tx, a, kind)
			if err != nil {
				return err
			}
			id, err := objectID(rq.args[1])
			if err != nil {
				return err
			}
			err = tx.RemoveOwner(h.id, id)
			if store.IsNotFound(err) {
				return absent(id.String())
			}
			if err != nil {
				return err
			}
			if kind == groupObject {
				// A group that had owners keeps one, as at Microsoft Graph.
				left, err := tx.Owners(h.id)
				if err != nil {
					return err
				}
				if len(left) == 0 {
					return badRequest("The group must have at least one owner, hence this owner cannot be removed.").At("owners")
				}
			}
			return rq.audit(tx, audit.OwnerRemoved, h.id, map[string]string{"displayName": h.name, "owner": id.String()})
		})
		if err != nil {
			return err
		}
		return rq.noContent()
	}
}
