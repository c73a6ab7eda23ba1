package graph

import (
	"net/http"
	"slices"

	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/store"
)

// chunk is how many rows are read at a time when rows are passed over.
const chunk = 256

// source is an ordered list of T in the store, read a part at a time.
type source[T any] struct {
	// read returns at most limit rows after a place.
	read func(after store.NameCursor, limit int) ([]T, error)
	// place is where a row stands.
	place func(T) store.NameCursor
	// all counts the rows without reading them; nil if it cannot.
	all func() (int64, error)
}

// one makes a source of the row that get finds, if any.
func (s source[T]) one(get func() (T, error)) source[T] {
	s.all = nil
	s.read = func(after store.NameCursor, limit int) ([]T, error) {
		if limit == 0 {
			return nil, nil
		}
		v, err := get()
		if store.IsNotFound(err) || err == nil && !after.Before(s.place(v)) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		return []T{v}, nil
	}
	return s
}

// page returns the next top rows that match, and the place of the last one if more follow.
func (s source[T]) page(after store.NameCursor, top int, filtered bool, match func(T) bool) (rows []T, next store.NameCursor, err error) {
	size := top + 1
	if filtered {
		size = max(size, chunk)
	}
	for {
		part, err := s.read(after, size)
		if err != nil {
			return nil, next, err
		}
		for _, v := range part {
			after = s.place(v)
			if !match(v) {
				continue
			}
			if len(rows) == top {
				return rows, s.place(rows[top-1]), nil
			}
			rows = append(rows, v)
		}
		if len(part) < size {
			return rows, store.NameCursor{}, nil
		}
	}
}

// count returns how many rows match. It reads them a part at a time if they must be looked at.
func (s source[T]) count(filtered bool, match func(T) bool) (int64, error) {
	if !filtered && s.all != nil {
		return s.all()
	}
	var n int64
	var after store.NameCursor
	for {
		part, err := s.read(after, chunk)
		if err != nil {
			return 0, err
		}
		for _, v := range part {
			after = s.place(v)
			if match(v) {
				n++
			}
		}
		if len(part) < chunk {
			return n, nil
		}
	}
}

// checkQuery refuses query options that the type does not answer.
func checkQuery[T any](rq *request, s schema[T]) error {
	q := rq.query
	if err := s.checkSelect(q.selected); err != nil {
		return err
	}
	if err := s.checkFilter(q.filter); err != nil {
		return err
	}
	if err := s.checkSearch(q.search); err != nil {
		return err
	}
	if err := rq.checkExpand(s.kind); err != nil {
		return err
	}
	if o := q.orderBy.property; o != "" && !slices.Contains(s.orders, o) {
		return unsupportedQuery("Sorting by property '%s' of resource '%s' is not supported.", printable(o), s.resource)
	}
	return q.checkAdvanced()
}

// listEntities answers a list of one entity type.
func listEntities[T any](rq *request, s schema[T], open func(tx *store.Tx) source[T]) error {
	if err := checkQuery(rq, s); err != nil {
		return err
	}
	after, err := nameCursor(rq.query.skip)
	if err != nil {
		return err
	}
	out := collection{set: s.set}
	err = rq.read(func(tx *store.Tx, a directory.Actor) error {
		if err := a.MayRead(s.area); err != nil {
			return err
		}
		src := open(tx)
		filtered := rq.query.filter != nil || rq.query.search != nil
		match := matching(s, rq.query)
		rows, next, err := src.page(after, rq.query.top, filtered, match)
		if err != nil {
			return err
		}
		for _, v := range rows {
			o, err := rq.expanded(tx, a, s.kind, s.id(v), s.render(v, rq.query.selected, false))
			if err != nil {
				return err
			}
			out.items = append(out.items, o)
		}
		if next != (store.NameCursor{}) {
			out.next = cursor(next.Key, next.ID)
		}
		if rq.query.count {
			out.count, err = src.count(filtered, match)
		}
		return err
	})
	if err != nil {
		return err
	}
	return rq.collection(out)
}

// matching decides whether an object is in the answer of a query.
func matching[T any](s schema[T], q options) func(T) bool {
	filter := s.compile(q.filter)
	return func(v T) bool { return filter(v) && s.found(q.search, v) }
}

// countEntities answers the number of objects of a list.
func countEntities[T any](rq *request, s schema[T], open func(tx *store.Tx) source[T]) error {
	rq.query.count = true // that is what it asks for
	if err := checkQuery(rq, s); err != nil {
		return err
	}
	var n int64
	err := rq.view(s.area, func(tx *store.Tx) error {
		var err error
		n, err = open(tx).count(rq.query.filter != nil || rq.query.search != nil, matching(s, rq.query))
		return err
	})
	if err != nil {
		return err
	}
	return rq.number(n)
}

// getEntity answers one object, which find looks for on behalf of an actor who may see it.
func getEntity[T any](rq *request, s schema[T], find func(tx *store.Tx, a directory.Actor) (T, error)) error {
	if err := s.checkSelect(rq.query.selected); err != nil {
		return err
	}
	if err := rq.checkExpand(s.kind); err != nil {
		return err
	}
	if err := rq.noListOptions(); err != nil {
		return err
	}
	var o object
	err := rq.read(func(tx *store.Tx, a directory.Actor) error {
		v, err := find(tx, a)
		if err != nil {
			return err
		}
		o, err = rq.expanded(tx, a, s.kind, s.id(v), s.render(v, rq.query.selected, false))
		return err
	})
	if err != nil {
		return err
	}
	return rq.entity(http.StatusOK, s.set, o)
}

// noListOptions refuses the options that mean something for a list only.
func (rq *request) noListOptions() error {
	q := rq.query
	for name, sent := range map[string]bool{"filter": q.filter != nil, "search": q.search != nil, "orderby": q.orderText != ""} {
		if sent {
			return unsupportedQuery("Query option '$%s' is not supported on this resource.", name)
		}
	}
	return nil
}

// plain refuses the options that a collection does not answer: all but $select, $top, $count and its pages.
func (rq *request) plain() error {
	if len(rq.query.expand) > 0 {
		return unsupportedQuery("Query option '$expand' is not supported on this collection.")
	}
	return rq.noListOptions()
}

func nameCursor(parts []string) (store.NameCursor, error) {
	switch {
	case parts == nil:
		return store.NameCursor{}, nil
	case len(parts) != 2 || !ident.IsGUID(parts[1]):
		return store.NameCursor{}, badRequest("The specified page token value is not valid.")
	}
	return store.NameCursor{Key: parts[0], ID: parts[1]}, nil
}

// maxNarrowing is how many words of a search narrow what the store reads; every word is held against what it read. The databases
// take no query of any length.
const maxNarrowing = 8

// names makes the store's query of what a filter says about names.
func (rq *request) names(withNickname, withUPN bool) store.NameQuery {
	q := store.NameQuery{Tenant: rq.caller.Tenant}
	f := rq.query.filter
	q.DisplayName, _ = f.must(opEq, "displayName")
	q.DisplayPrefix, _ = f.must(opStartswith, "displayName")
	q.DisplayParts = rq.query.search.mustHave()
	q.DisplayParts = q.DisplayParts[:min(len(q.DisplayParts), maxNarrowing)]
	q.Descending = rq.query.orderBy.descending
	if withNickname {
		q.MailNickname, _ = f.must(opEq, "mailNickname")
	}
	if withUPN {
		q.UPN, _ = f.must(opEq, "userPrincipalName")
		q.UPNPrefix, _ = f.must(opStartswith, "userPrincipalName")
		q.ByUPN = rq.query.orderBy.property == "userprincipalname"
	}
	return q
}
