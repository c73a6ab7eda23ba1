package graph

import (
	"net/http"
	"slices"

	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/store"
)

// objectType is a type of directory object, by the name Graph gives it.
type objectType string

const (
	anyObject              objectType = ""
	userObject             objectType = "user"
	groupObject            objectType = "group"
	servicePrincipalObject objectType = "servicePrincipal"
	applicationObject      objectType = "application"
	roleObject             objectType = "directoryRole"
)

// set is the entity set of a type, for the context of an answer.
func (t objectType) set() string {
	if t == anyObject {
		return "directoryObjects"
	}
	return string(t) + "s"
}

// area is the part of the directory that a type belongs to.
func (t objectType) area() directory.Area {
	switch t {
	case userObject:
		return directory.Users
	case groupObject:
		return directory.Groups
	case roleObject:
		return directory.RoleManagement
	case servicePrincipalObject, applicationObject, anyObject:
	}
	return directory.Applications
}

// directoryObject is a user, a group, a service principal, an application or a directory role.
type directoryObject struct {
	kind        objectType
	user        directory.User
	group       directory.Group
	principal   principal
	application application
	role        tenantRole
}

func (o directoryObject) area() directory.Area { return o.kind.area() }

// directoryObject finds an object of the caller's tenant, whatever its type.
func (rq *request) directoryObject(tx *store.Tx, id ident.ObjectID) (directoryObject, error) {
	u, err := rq.user(tx, id.String())
	if !store.IsNotFound(err) {
		return directoryObject{kind: userObject, user: u}, err
	}
	g, err := rq.group(tx, id)
	if !store.IsNotFound(err) {
		return directoryObject{kind: groupObject, group: g}, err
	}
	p, err := rq.principal(tx, id.String())
	if !store.IsNotFound(err) {
		return directoryObject{kind: servicePrincipalObject, principal: p}, err
	}
	app, err := rq.application(tx, id.String())
	if !store.IsNotFound(err) {
		return directoryObject{kind: applicationObject, application: app}, err
	}
	for _, r := range tenantRoles(rq.caller.Tenant) {
		if r.id == id {
			return directoryObject{kind: roleObject, role: r}, nil
		}
	}
	return directoryObject{}, absent(id.String()).Because(store.ErrNotFound)
}

// render answers an object among others of several types: with its type first, and of a $select what its type has.
func (o directoryObject) render(selected []string) object {
	var out object
	switch o.kind {
	case userObject:
		out = userSchema().render(o.user, selected, true)
	case groupObject:
		out = groupSchema().render(o.group, selected, true)
	case applicationObject:
		out = applicationSchema().render(o.application, selected, true)
	case roleObject:
		out = roleSchema().render(o.role, selected, true)
	case servicePrincipalObject, anyObject:
		out = principalSchema().render(o.principal, selected, true)
	}
	return typed(string(o.kind), out)
}

// matches decides whether an object is in a filter's answer, by the properties its type has.
func (o directoryObject) matches(f *filter) bool {
	switch o.kind {
	case userObject:
		return userSchema().matches(f, o.user)
	case groupObject:
		return groupSchema().matches(f, o.group)
	case applicationObject:
		return applicationSchema().matches(f, o.application)
	case roleObject:
		return roleSchema().matches(f, o.role)
	case servicePrincipalObject, anyObject:
	}
	return principalSchema().matches(f, o.principal)
}

// checkObjectFilter refuses a filter that no type of object, or not the one of the cast, answers.
func checkObjectFilter(f *filter, cast objectType) error {
	checks := map[objectType]func(*filter) error{
		userObject: userSchema().checkFilter, groupObject: groupSchema().checkFilter, servicePrincipalObject: principalSchema().checkFilter,
		applicationObject: applicationSchema().checkFilter, roleObject: roleSchema().checkFilter,
	}
	if check, ok := checks[cast]; ok {
		return check(f)
	}
	// Every comparison must be one that some type answers.
	if f != nil && len(f.terms) > 0 {
		for i := range f.terms {
			if err := checkObjectFilter(&f.terms[i], cast); err != nil {
				return err
			}
		}
		return nil
	}
	err := userSchema().checkFilter(f)
	for _, t := range []objectType{groupObject, servicePrincipalObject, applicationObject, roleObject} {
		if err == nil {
			return nil
		}
		if checks[t](f) == nil {
			return nil
		}
	}
	return err
}

// checkObjectSelect refuses a $select that no type of object has.
func checkObjectSelect(names []string) error {
	for _, n := range names {
		_, user := userSchema().find(n)
		_, group := groupSchema().find(n)
		_, principal := principalSchema().find(n)
		_, application := applicationSchema().find(n)
		_, role := roleSchema().find(n)
		if !user && !group && !principal && !application && !role {
			return fault.New(fault.Invalid, "BadRequest",
				"Parsing OData Select and Expand failed: Could not find a property named '%s' on type 'microsoft.graph.directoryObject'.", printable(n))
		}
	}
	return nil
}

// maxObjects is how many objects one getByIds may name (Microsoft Graph, directoryObject: getByIds).
const maxObjects = 1000

// getByIDs answers the objects with some ids. Unknown ids are left out.
func getByIDs(rq *request) error {
	if err := checkObjectSelect(rq.query.selected); err != nil {
		return err
	}
	b, err := rq.body()
	if err != nil {
		return err
	}
	var ids, types []string
	sent, err := b.texts("ids", &ids)
	if err != nil {
		return err
	}
	if !sent || len(ids) > maxObjects {
		return badRequest("The property 'ids' must hold at most %d ids.", maxObjects)
	}
	if _, err := b.texts("types", &types); err != nil {
		return err
	}
	if err := b.rest("getByIds", nothing); err != nil {
		return err
	}
	parsed, err := guids(ids)
	if err != nil {
		return err
	}
	var items []object
	err = rq.read(func(tx *store.Tx, a directory.Actor) error {
		if err := mayReadAny(a); err != nil {
			return err
		}
		for _, id := range parsed {
			o, err := rq.directoryObject(tx, id)
			if store.IsNotFound(err) || err == nil && a.MayRead(o.area()) != nil {
				continue
			}
			if err != nil {
				return err
			}
			if len(types) == 0 || slices.ContainsFunc(types, func(t string) bool { return fold(t) == fold(string(o.kind)) || fold(t) == "directoryobject" }) {
				items = append(items, o.render(rq.query.selected))
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	rq.w.Header().Set("Location", rq.h.BaseURL)
	return rq.collection(collection{set: "directoryObjects", items: items, count: int64(len(items))})
}

// mayReadAny refuses an actor who may read no type of object.
func mayReadAny(a directory.Actor) error {
	for _, area := range []directory.Area{directory.Users, directory.Groups, directory.Applications} {
		if a.MayRead(area) == nil {
			return nil
		}
	}
	return directory.Denied()
}

// guids parses ids, each once.
func guids(ids []string) ([]ident.ObjectID, error) {
	out := make([]ident.ObjectID, 0, len(ids))
	seen := make(map[ident.ObjectID]bool, len(ids))
	for _, s := range ids {
		id, err := ident.Parse[ident.ObjectID](s)
		if err != nil {
			return nil, badRequest("Invalid GUID:%s", printable(s))
		}
		if !seen[id] {
			seen[id] = true
			out = append(out, id)
		}
	}
	return out, nil
}

func getDirectoryObject(rq *request) error {
	if err := checkObjectSelect(rq.query.selected); err != nil {
		return err
	}
	id, err := objectID(rq.args[0])
	if err != nil {
		return err
	}
	if err := rq.plain(); err != nil {
		return err
	}
	var o directoryObject
	err = rq.read(func(tx *store.Tx, a directory.Actor) error {
		if err := mayReadAny(a); err != nil {
			return err
		}
		if o, err = rq.directoryObject(tx, id); err != nil {
			return err
		}
		return a.MayRead(o.area())
	})
	if err != nil {
		return err
	}
	return rq.entity(http.StatusOK, "directoryObjects", o.render(rq.query.selected))
}

// subject finds the object whose memberships the path asks about, for an actor who may read it. Who may not learns
// nothing of what is there.
func (rq *request) subject(tx *store.Tx, a directory.Actor) (ident.ObjectID, error) {
	id, kind, err := rq.subjectID(tx)
	if denied := a.MayReadMemberships(kind.area(), id); denied != nil {
		return id, denied
	}
	return id, err
}

func (rq *request) subjectID(tx *store.Tx) (ident.ObjectID, objectType, error) {
	kind := firstSegment(rq.path)
	switch {
	case kind == "users" || rq.me:
		u, err := rq.user(tx, rq.args[0])
		return u.ID, userObject, err
	case kind == "serviceprincipals":
		p, err := rq.principal(tx, rq.args[0])
		return p.ID, servicePrincipalObject, err
	case kind == "applications":
		p, err := rq.application(tx, rq.args[0])
		return p.ID, applicationObject, err
	}
	id, err := objectID(rq.args[0])
	if err != nil {
		return id, groupObject, err
	}
	if kind == "groups" {
		g, err := rq.group(tx, id)
		return g.ID, groupObject, err
	}
	o, err := rq.directoryObject(tx, id)
	return id, o.kind, err
}

// groupsOf returns every group an object is in, by nesting too, sorted by id, as the world sees them.
func (rq *request) groupsOf(id ident.ObjectID, securityOnly bool) ([]ident.ObjectID, error) {
	if _, _, err := rq.h.World.Status(); err != nil {
		return nil, fault.New(fault.Unavailable, "ServiceUnavailable", "The memberships are not known at the moment.").Because(err)
	}
	all := rq.h.World.GroupsOf(id)
	out := make([]ident.ObjectID, 0, len(all))
	for _, g := range all {
		if group, ok := rq.h.World.Group(g); ok && group.Tenant == rq.caller.Tenant && (group.SecurityEnabled || !securityOnly) {
			out = append(out, g)
		}
	}
	return out, nil
}

// getMemberGroups answers the ids of every group an object is in; of everything, with its directory roles too.
func getMemberGroups(everything bool) func(*request) error {
	return func(rq *request) error { return rq.memberGroups(everything) }
}

func (rq *request) memberGroups(everything bool) error {
	b, err := rq.body()
	if err != nil {
		return err
	}
	securityOnly := false
	if _, err := b.boolean("securityEnabledOnly", &securityOnly); err != nil {
		return err
	}
	if err := b.rest("getMemberGroups", nothing); err != nil {
		return err
	}
	var groups []ident.ObjectID
	err = rq.read(func(tx *store.Tx, a directory.Actor) error {
		id, err := rq.subject(tx, a)
		if err != nil {
			return err
		}
		if groups, err = rq.groupsOf(id, securityOnly); err == nil && everything && !securityOnly {
			groups = append(groups, rq.roleObjects(id)...)
		}
		return err
	})
	if err != nil {
		return err
	}
	return rq.action("Collection(Edm.String)", groups)
}

// maxChecked is how many groups one check may name (Microsoft Graph, checkMemberGroups).
const maxChecked = 20

// checkMemberGroups answers those of some groups that an object is in. property is where the request names them.
func checkMemberGroups(property string) func(*request) error {
	return func(rq *request) error {
		b, err := rq.body()
		if err != nil {
			return err
		}
		var ids []string
		sent, err := b.texts(property, &ids)
		if err != nil {
			return err
		}
		if !sent || len(ids) > maxChecked {
			return badRequest("The property '%s' must hold at most %d ids.", property, maxChecked)
		}
		if err := b.rest("checkMemberGroups", nothing); err != nil {
			return err
		}
		asked, err := guids(ids)
		if err != nil {
			return err
		}
		found := []ident.ObjectID{}
		err = rq.read(func(tx *store.Tx, a directory.Actor) error {
			id, err := rq.subject(tx, a)
			if err != nil {
				return err
			}
			groups, err := rq.groupsOf(id, false)
			if property == "ids" {
				groups = append(groups, rq.roleObjects(id)...)
			}
			for _, g := range asked {
				if slices.Contains(groups, g) {
					found = append(found, g)
				}
			}
			return err
		})
		if err != nil {
			return err
		}
		return rq.action("Collection(Edm.String)", found)
	}
}
