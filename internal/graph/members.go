package graph

import (
	"slices"
	"strings"

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
				if err := a.MayRead(); err != nil {
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
				var groups []ident.ObjectID
				if far == transitive {
					groups, err = rq.groupsOf(id, false)
				} else {
					groups, err = tx.MemberOf(id)
				}
				return func(after ident.ObjectID, limit int) ([]ident.ObjectID, error) {
					i, found := slices.BinarySearchFunc(groups, after, compareIDs)
					if found {
						i++
					}
					return groups[i:min(i+limit, len(groups))], nil
				}, err
			}
			return rq.related(cast, count, open)
		}
	}
}

func compareIDs(a, b ident.ObjectID) int { return slices.Compare(a[:], b[:]) }

// related answers a page of a collection of directory objects, or the number of them.
func (rq *request) related(cast objectType, count bool, open func(*store.Tx, directory.Actor) (idSource, error)) error {
	if rq.query.filter != nil {
		return unsupportedQuery("Query option '$filter' is not supported on this collection.")
	}
	if err := checkObjectSelect(rq.query.selected); err != nil {
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
			if err := rq.walk(tx, ids, ident.ObjectID{}, cast, func(directoryObject) bool { out.count++; return true }); err != nil || count {
				return err
			}
		}
		var last ident.ObjectID
		return rq.walk(tx, ids, after, cast, func(o directoryObject) bool {
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

// walk calls fn with the objects of a list of one type, until it returns false. Ids of objects that are gone are passed over.
func (rq *request) walk(tx *store.Tx, ids idSource, after ident.ObjectID, cast objectType, fn func(directoryObject) bool) error {
	for {
		part, err := ids(after, chunk)
		if err != nil {
			return err
		}
		for _, id := range part {
			after = id
			o, err := rq.directoryObject(tx, id)
			if store.IsNotFound(err) || err == nil && cast != anyObject && cast != o.kind {
				continue
			}
			if err != nil {
				return err
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

func (o directoryObject) id() ident.ObjectID {
	switch o.kind {
	case userObject:
		return o.user.ID
	case groupObject:
		return o.group.ID
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

// cutSegment returns the first segment of a path in lower case.
func cutSegment(path string) (first, rest string, found bool) {
	first, rest, found = strings.Cut(strings.TrimPrefix(path, "/"), "/")
	return fold(first), rest, found
}
