package graph

import (
	"slices"
	"strings"

	"github.com/keyreeve/keyreeve/internal/caller"
	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/store"
)

// reach says how far a membership goes.
type reach bool

const (
	direct     reach = false
	transitive reach = true
)

// idSource reads a list of object ids in their order, a part at a time.
type idSource func(after ident.ObjectID, limit int) ([]ident.ObjectID, error)

// members answers the members of a group, cast to a type if asked.
func members(far reach) func(objectType, bool) func(*request) error {
	return func(cast objectType, count bool) func(*request) error {
		return func(rq *request) error {
			id, err := objectID(rq.args[0])
			if err != nil {
				return err
			}
			open := func(tx *store.Tx, a directory.Actor) (idSource, error) {
				if err := a.MayRead(directory.Groups); err != nil {
					return nil, err
				}
				read := tx.Members
				if far == transitive {
					read = tx.MembersBelow
				}
				_, err := rq.group(tx, id)
				return func(after ident.ObjectID, limit int) ([]ident.ObjectID, error) { return read(id, after, limit) }, err
			}
			return rq.related(cast, count, open)
		}
	}
}

// memberOf answers the groups that an object is in.
func memberOf(far reach) func(objectType, bool) func(*request) error {
	return func(cast objectType, count bool) func(*request) error {
		return func(rq *request) error {
			open := func(tx *store.Tx, a directory.Actor) (idSource, error) {
				id, err := rq.subject(tx, a)
				if err != nil {
					return nil, err
				}
				in, err := rq.containers(tx, id, far)
				return listed(in), err
			}
			return rq.related(cast, count, open)
		}
	}
}

// containers returns the groups and directory roles that an object is in, in the order of their ids.
func (rq *request) containers(tx *store.Tx, id ident.ObjectID, far reach) ([]ident.ObjectID, error) {
	var in []ident.ObjectID
	var err error
	if far == transitive {
		in, err = rq.groupsOf(id, false)
		in = append(in, rq.roleObjects(id)...)
	} else {
		if in, err = tx.MemberOf(id); err != nil {
			return nil, err
		}
		var held []ident.DirectoryRoleID
		held, err = tx.DirectoryRoles(id)
		for _, r := range held {
			in = append(in, directory.RoleObject(rq.caller.Tenant, r))
		}
	}
	slices.SortFunc(in, compareIDs)
	return in, err
}

// roleObjects are the directory roles that an object holds, itself or by a group, as objects.
func (rq *request) roleObjects(id ident.ObjectID) []ident.ObjectID {
	var out []ident.ObjectID
	for _, r := range caller.Roles(rq.h.World, id) {
		out = append(out, directory.RoleObject(rq.caller.Tenant, r))
	}
	return out
}

// listed reads a list of ids that is in memory, in its order.
func listed(ids []ident.ObjectID) idSource {
	return func(after ident.ObjectID, limit int) ([]ident.ObjectID, error) {
		i, found := slices.BinarySearchFunc(ids, after, compareIDs)
		if found {
			i++
		}
		return ids[i:min(i+limit, len(ids))], nil
	}
}

func compareIDs(a, b ident.ObjectID) int { return slices.Compare(a[:], b[:]) }

// related answers a page of a collection of directory objects, or the number of them.
func (rq *request) related(cast objectType, count bool, open func(*store.Tx, directory.Actor) (idSource, error)) error {
	if err := rq.checkRelated(cast); err != nil {
		return err
	}
	after, err := idCursor(rq.query.skip)
	if err != nil {
		return err
	}
	out := collection{set: cast.set()}
	err = rq.read(func(tx *store.Tx, a directory.Actor) error {
		ids, err := open(tx, a)
		if err != nil {
			return err
		}
		if count || rq.query.count {
			if err := rq.walk(tx, a, ids, ident.ObjectID{}, cast, func(directoryObject) bool { out.count++; return true }); err != nil || count {
				return err
			}
		}
		var last ident.ObjectID
		return rq.walk(tx, a, ids, after, cast, func(o directoryObject) bool {
			if len(out.items) == rq.query.top {
				out.next = cursor(last.String())
				return false
			}
			item := o.render(rq.query.selected)
			if cast != anyObject {
				item = item[1:] // the cast says the type
			}
			out.items, last = append(out.items, item), o.id()
			return true
		})
	})
	if err != nil {
		return err
	}
	if count {
		return rq.number(out.count)
	}
	return rq.collection(out)
}

// checkRelated refuses query options that a collection of directory objects does not answer. A filter is answered for
// clients that ask as Graph wants it.
func (rq *request) checkRelated(cast objectType) error {
	q := rq.query
	if q.filter != nil {
		if !q.eventual || !q.count {
			return unsupportedQuery("Query option '$filter' is not supported on this collection without $count=true and the header ConsistencyLevel: eventual.")
		}
		if err := checkObjectFilter(q.filter, cast); err != nil {
			return err
		}
		rq.query.filter = nil
		if err := rq.plain(); err != nil {
			return err
		}
		rq.query.filter = q.filter
	} else if err := rq.plain(); err != nil {
		return err
	}
	return checkObjectSelect(q.selected)
}

// walk calls fn with the objects of a list, of one type if asked, that the actor may read and the filter lets through,
// until it returns false. Ids of objects that are gone are passed over.
func (rq *request) walk(tx *store.Tx, a directory.Actor, ids idSource, after ident.ObjectID, cast objectType, fn func(directoryObject) bool) error {
	for {
		part, err := ids(after, chunk)
		if err != nil {
			return err
		}
		for _, id := range part {
			after = id
			o, err := rq.directoryObject(tx, id)
			if store.IsNotFound(err) {
				continue
			}
			if err != nil {
				return err
			}
			if cast != anyObject && cast != o.kind || !rq.mayList(a, o) || rq.query.filter != nil && !o.matches(rq.query.filter) {
				continue
			}
			if !fn(o) {
				return nil
			}
		}
		if len(part) < chunk {
			return nil
		}
	}
}

// mayList reports whether an actor may see an object in a list: whose area it may read, and in answers about itself, all.
func (rq *request) mayList(a directory.Actor, o directoryObject) bool {
	return rq.me || a.MayRead(o.area()) == nil
}

func (o directoryObject) id() ident.ObjectID {
	switch o.kind {
	case userObject:
		return o.user.ID
	case groupObject:
		return o.group.ID
	case applicationObject:
		return o.application.ID
	case roleObject:
		return o.role.id
	case servicePrincipalObject, anyObject:
	}
	return o.principal.ID
}

func idCursor(parts []string) (ident.ObjectID, error) {
	if parts == nil {
		return ident.ObjectID{}, nil
	}
	id, err := ident.Parse[ident.ObjectID](parts[0])
	if len(parts) != 1 || err != nil {
		return id, badRequest("The specified page token value is not valid.")
	}
	return id, nil
}

// firstSegment returns the first segment of a path in lower case.
func firstSegment(path string) string {
	first, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	return fold(first)
}
