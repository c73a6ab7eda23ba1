package world

import (
	"slices"
	"sync/atomic"

	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/rbac"
)

// nodes numbers every object that is in a group, is a group or holds an assignment, so that an edge between two of them
// takes four bytes and following it no search. Numbers are given once and kept.
type nodes struct {
	numbers map[ident.ObjectID]rbac.GroupRef
	chunks  [][]node
	hints   []hint
	length  int
	// epoch counts the changes after which what is above a group may be another.
	epoch uint64
}

// hint is what decisions ask of a node first, kept close together.
type hint struct {
	mask          uint64 // of its grants
	group, nested bool   // is a group that is there; is in some group
}

// node is an object as memberships and assignments see it.
type node struct {
	id     ident.ObjectID
	group  bool // is a group that is there
	grants *rbac.Grants
	// in are the groups that it is directly in, sorted by number, also ones that are not there.
	in []rbac.GroupRef
	// above is what is above a group, made when it is first asked for; of an earlier epoch, it no longer counts.
	above atomic.Pointer[closure]
}

// closure is every group above a group, without itself.
type closure struct {
	epoch uint64
	refs  []rbac.GroupRef
}

const chunk = 1 << 12

func (n *nodes) at(r rbac.GroupRef) *node { return &n.chunks[r/chunk][r%chunk] }

// find returns an object's node, or nil.
func (n *nodes) find(id ident.ObjectID) *node {
	if r, ok := n.numbers[id]; ok {
		return n.at(r)
	}
	return nil
}

// number returns an object's number, and gives it one if it has none.
func (n *nodes) number(id ident.ObjectID) rbac.GroupRef {
	if r, ok := n.numbers[id]; ok {
		return r
	}
	r := rbac.GroupRef(n.length)
	if n.length%chunk == 0 {
		n.chunks = append(n.chunks, make([]node, chunk))
	}
	n.length++
	n.hints = append(n.hints, hint{})
	n.numbers[id] = r
	n.at(r).id = id
	return r
}

// hold puts down what is assigned to an object.
func (n *nodes) hold(id ident.ObjectID, change func(*rbac.Grants) *rbac.Grants) {
	r := n.number(id)
	x := n.at(r)
	x.grants = change(x.grants)
	n.hints[r].mask = x.grants.Mask()
}

// setGroup notes that a group is there, or no longer.
func (n *nodes) setGroup(id ident.ObjectID, there bool) {
	r := n.number(id)
	if x := n.at(r); x.group != there {
		x.group, n.hints[r].group = there, there
		n.epoch++
	}
}

// join puts a member into a group, leave takes it out again.
func (n *nodes) join(group, member ident.ObjectID) {
	g, r := n.number(group), n.number(member)
	m := n.at(r)
	if i, there := slices.BinarySearch(m.in, g); !there {
		m.in = slices.Insert(m.in, i, g)
		n.hints[r].nested = true
		n.moved(m)
	}
}

func (n *nodes) leave(group, member ident.ObjectID) {
	r, in := n.numbers[member]
	g, known := n.numbers[group]
	if !in || !known {
		return
	}
	m := n.at(r)
	if i, there := slices.BinarySearch(m.in, g); there {
		m.in = slices.Delete(m.in, i, i+1)
		if len(m.in) == 0 {
			m.in, n.hints[r].nested = nil, false
		}
		n.moved(m)
	}
}

// moved notes that a member is in other groups. The membership of what is no group changes nothing above any group; what is
// above it may have been asked for while it was one.
func (n *nodes) moved(m *node) {
	if m.group || m.above.Load() != nil {
		n.epoch++
	}
}

// over returns every group above a group, without itself. Two readers may make it at once, to the same effect.
func (n *nodes) over(r rbac.GroupRef) []rbac.GroupRef {
	x := n.at(r)
	if len(x.in) == 0 {
		return nil
	}
	if c := x.above.Load(); c != nil && c.epoch == n.epoch {
		return c.refs
	}
	seen := map[rbac.GroupRef]struct{}{r: {}}
	todo := []rbac.GroupRef{r}
	var out []rbac.GroupRef
	for len(todo) > 0 {
		last := len(todo) - 1
		at := todo[last]
		todo = todo[:last]
		for _, up := range n.at(at).in {
			if _, ok := seen[up]; ok {
				continue
			}
			seen[up] = struct{}{}
			todo = append(todo, up)
			if n.at(up).group {
				out = append(out, up)
			}
		}
	}
	x.above.Store(&closure{epoch: n.epoch, refs: out})
	return out
}

// groupsOf returns every group that an object is in, without itself, sorted by id.
func (n *nodes) groupsOf(id ident.ObjectID) []ident.ObjectID {
	x := n.find(id)
	if x == nil || len(x.in) == 0 {
		return nil
	}
	out := make([]ident.ObjectID, 0, len(x.in))
	add := func(r rbac.GroupRef) {
		if g := n.at(r); g.group && g.id != id {
			out = append(out, g.id)
		}
	}
	for _, r := range x.in {
		add(r)
		for _, up := range n.over(r) {
			add(up)
		}
	}
	slices.SortFunc(out, compareIDs)
	return slices.Compact(out)
}
