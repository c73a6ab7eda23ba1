package world

import (
	"encoding/binary"
	"hash/maphash"
	"math/bits"
	"slices"

	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/rbac"
)

// nodes numbers every object that is a principal, is in a group, is a group or holds an assignment, so that an edge between
// two of them takes four bytes and following it no search. Numbers are given once and kept.
//
// What decisions ask of groups first is in the index, close together; nodes are spread over the memory, one line each.
type nodes struct {
	seed    maphash.Seed // of names
	seeds   [2]uint64    // of ids
	numbers table
	chunks  []*[chunk]node
	index   rbac.Index
	length  int
	// epoch counts the changes after which what is above a group may be another: closures of an earlier one no longer count.
	epoch uint64
	room  []rbac.GroupRef // for the groups of one object, while they change
}

// node is an object as principals, memberships and assignments see it. It is two lines of a processor's cache, which are asked for
// together: most principals' groups are in them.
type node struct {
	id     ident.ObjectID
	grants *rbac.Grants
	// who is the user or service principal; nil for what is none. home is the tenant that it is of, as World.homes numbers them; 0 for
	// one of too high a number.
	who  *Principal
	home uint16
	// few are the first of the groups that it is directly in, sorted by number, also ones that are not there: length of them, or none
	// if there are more than fit, which are then all in many.
	length uint16
	few    [21]rbac.GroupRef
	many   *[]rbac.GroupRef
}

// in returns the groups that an object is directly in.
func (x *node) in() []rbac.GroupRef {
	if x.many != nil {
		return *x.many
	}
	return x.few[:x.length]
}

// put puts an object into groups, sorted by number, and into no others. Who reads the groups holds the lock.
func (x *node) put(in []rbac.GroupRef) {
	x.many, x.length = nil, 0
	if len(in) > len(x.few) {
		in = slices.Clone(in)
		x.many = &in
		return
	}
	x.length = uint16(copy(x.few[:], in))
}

const chunk = 1 << 12

func newNodes() nodes {
	seed := maphash.MakeSeed()
	return nodes{seed: seed, seeds: [2]uint64{maphash.String(seed, "0"), maphash.String(seed, "1")}}
}

func (n *nodes) at(r rbac.GroupRef) *node { return &n.chunks[r/chunk][r%chunk] }

// hash is of the seeds that the world drew for itself: who chooses ids cannot make them meet.
func (n *nodes) hash(id *ident.ObjectID) uint64 {
	high, low := bits.Mul64(binary.LittleEndian.Uint64(id[:8])^n.seeds[0], binary.LittleEndian.Uint64(id[8:])^n.seeds[1])
	return high ^ low
}

// search returns an object's number. It is table.find, written out for the hot path.
func (n *nodes) search(id *ident.ObjectID) (rbac.GroupRef, bool) {
	if n.length == 0 {
		return 0, false
	}
	h := uint32(n.hash(id))
	slots := n.numbers.slots
	for i := int(h); ; i++ {
		s := slots[i&(len(slots)-1)]
		if s == 0 {
			return 0, false
		}
		if uint32(s>>32) == h {
			if r := rbac.GroupRef(s) - 1; n.at(r).id == *id {
				return r, true
			}
		}
	}
}

// expect has the memory fetched where an object's number is looked up.
func (n *nodes) expect(id *ident.ObjectID) {
	if slots := n.numbers.slots; len(slots) > 0 {
		rbac.Fetch(&slots[int(uint32(n.hash(id)))&(len(slots)-1)])
	}
}

// expectNode goes on from there to the object's node.
func (n *nodes) expectNode(id *ident.ObjectID) {
	if n.length == 0 {
		return
	}
	h := uint32(n.hash(id))
	slots := n.numbers.slots
	for i := int(h); ; i++ {
		s := slots[i&(len(slots)-1)]
		if s == 0 {
			return
		}
		if uint32(s>>32) == h {
			x := n.at(rbac.GroupRef(s) - 1)
			rbac.Fetch(x)
			rbac.Fetch(&x.few[8])
			return
		}
	}
}

// find returns an object's node, or nil.
func (n *nodes) find(id *ident.ObjectID) *node {
	if r, ok := n.search(id); ok {
		return n.at(r)
	}
	return nil
}

// number returns an object's number, and gives it one if it has none.
func (n *nodes) number(id ident.ObjectID) rbac.GroupRef {
	if r, ok := n.search(&id); ok {
		return r
	}
	r := rbac.GroupRef(n.length)
	if n.length%chunk == 0 {
		n.chunks = append(n.chunks, new([chunk]node))
	}
	n.length++
	n.numbers.insert(n.hash(&id), uint32(r))
	n.index.Number(id)
	n.at(r).id = id
	return r
}

// hold puts down a grant, release takes it away again.
func (n *nodes) hold(g *rbac.Grant) {
	r := n.number(g.Assignment.PrincipalID)
	x := n.at(r)
	x.grants = x.grants.With(g)
	n.index.Hold(r, g)
}

func (n *nodes) release(g *rbac.Grant) {
	if r, ok := n.search(&g.Assignment.PrincipalID); ok {
		x := n.at(r)
		x.grants = x.grants.Without(g.Assignment.ID)
		n.index.Release(r, g, x.grants)
	}
}

// setGroup notes that a group is there, or no longer.
func (n *nodes) setGroup(id ident.ObjectID, there bool) {
	if r := n.number(id); n.index.IsGroup(r) != there {
		n.index.SetGroup(r, there)
		n.epoch++
	}
}

// join puts a member into a group, leave takes it out again.
func (n *nodes) join(group, member ident.ObjectID) {
	g, r := n.number(group), n.number(member)
	m := n.at(r)
	if i, there := slices.BinarySearch(m.in(), g); !there {
		n.room = slices.Insert(append(n.room[:0], m.in()...), i, g)
		m.put(n.room)
		n.index.SetNested(r, true)
		n.moved(r)
	}
}

// joinAll puts a member into groups.
func (n *nodes) joinAll(groups []ident.ObjectID, member ident.ObjectID) {
	n.expect(&member)
	for i := range groups {
		n.expect(&groups[i])
	}
	for i := range groups {
		n.expectNode(&groups[i])
	}
	r := n.number(member)
	n.room = append(n.room[:0], n.at(r).in()...)
	for i := range groups {
		n.room = append(n.room, n.number(groups[i]))
	}
	if len(n.room) == 0 {
		return
	}
	slices.Sort(n.room)
	n.at(r).put(slices.Compact(n.room))
	n.index.SetNested(r, true)
	n.moved(r)
}

func (n *nodes) leave(group, member ident.ObjectID) {
	r, in := n.search(&member)
	g, known := n.search(&group)
	if !in || !known {
		return
	}
	m := n.at(r)
	if i, there := slices.BinarySearch(m.in(), g); there {
		n.room = slices.Delete(append(n.room[:0], m.in()...), i, i+1)
		m.put(n.room)
		if len(n.room) == 0 {
			n.index.SetNested(r, false)
		}
		n.moved(r)
	}
}

// moved notes that a member is in other groups. The membership of what is no group changes nothing above any group; what is
// above it may have been asked for while it was one.
func (n *nodes) moved(r rbac.GroupRef) {
	if n.index.IsGroup(r) || n.index.Closure(r).Load() != nil {
		n.epoch++
	}
}

// over returns every group above a group, without itself. Two readers may make it at once, to the same effect.
func (n *nodes) over(r rbac.GroupRef) []rbac.GroupRef {
	if !n.index.IsNested(r) {
		return nil
	}
	kept := n.index.Closure(r)
	if c := kept.Load(); c != nil && c.Epoch == n.epoch {
		return c.Refs
	}
	seen := map[rbac.GroupRef]struct{}{r: {}}
	todo := []rbac.GroupRef{r}
	c := &rbac.Closure{Epoch: n.epoch}
	out := c.Room[:0]
	for len(todo) > 0 {
		last := len(todo) - 1
		at := todo[last]
		todo = todo[:last]
		for _, up := range n.at(at).in() {
			if _, ok := seen[up]; ok {
				continue
			}
			seen[up] = struct{}{}
			todo = append(todo, up)
			if n.index.IsGroup(up) {
				out = append(out, up)
			}
		}
	}
	c.Refs = out
	kept.Store(c)
	return out
}

// groupsOf returns every group that an object is in, without itself, sorted by id.
func (n *nodes) groupsOf(id ident.ObjectID) []ident.ObjectID {
	x := n.find(&id)
	if x == nil || len(x.in()) == 0 {
		return nil
	}
	out := make([]ident.ObjectID, 0, len(x.in()))
	add := func(r rbac.GroupRef) {
		if !n.index.IsGroup(r) {
			return
		}
		if g := n.at(r); g.id != id {
			out = append(out, g.id)
		}
	}
	for _, r := range x.in() {
		add(r)
		for _, up := range n.over(r) {
			add(up)
		}
	}
	slices.SortFunc(out, compareIDs)
	return slices.Compact(out)
}
