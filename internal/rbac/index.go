package rbac

import (
	"math/bits"
	"sync/atomic"

	"github.com/keyreeve/keyreeve/internal/ident"
)

// Index is what a decision asks of a principal's groups before it looks at any of them: is the group there, is it in
// another, does it hold anything at one of the request's scopes. Of twenty groups it leaves the few that can matter; the rest
// of what is known of groups is spread over the memory and is not touched.
//
// It is kept by who keeps the Facts, and leaves out no group that matters. It may let one through that does not.
type Index struct {
	there, nested bitmap
	tags          []uint32 // parts of the groups' ids
	places        places
	odd           int // how many of the places are not of the usual depth
	// closures are what is above references that are in groups, made when it is first asked for.
	closures []*[chunk]atomic.Pointer[Closure]
}

// chunk is how many closures are kept in one piece.
const chunk = 1 << 12

// Closure is every group above a reference, without itself, as it was in some epoch. Few of them lie with it, in one line of memory.
type Closure struct {
	Epoch uint64
	Refs  []GroupRef
	Room  [8]GroupRef
}

// Closure returns where the closure of a reference is kept. The world keeps it, the walk has the memory fetched.
func (x *Index) Closure(r GroupRef) *atomic.Pointer[Closure] { return &x.closures[r/chunk][r%chunk] }

// Number takes in the next number: references are numbered from 0.
func (x *Index) Number(id ident.ObjectID) {
	if len(x.tags)%chunk == 0 {
		x.closures = append(x.closures, new([chunk]atomic.Pointer[Closure]))
	}
	x.tags = append(x.tags, tagOf(id))
	if len(x.tags) > 64*len(x.there) {
		x.there, x.nested = append(x.there, 0), append(x.nested, 0)
	}
}

// SetGroup notes whether a reference is a group that is there.
func (x *Index) SetGroup(r GroupRef, is bool) { x.there.set(r, is) }

// SetNested notes whether a reference is in some group.
func (x *Index) SetNested(r GroupRef, is bool) { x.nested.set(r, is) }

// IsGroup reports what SetGroup noted.
func (x *Index) IsGroup(r GroupRef) bool { return x.there.has(r) }

// IsNested reports what SetNested noted.
func (x *Index) IsNested(r GroupRef) bool { return x.nested.has(r) }

// NewGrant is NewGrant for a grant that will be held: its texts are those of the others at its scope, for a million assignments
// are at some thousands of scopes.
func (x *Index) NewGrant(a Assignment, r *Role) *Grant {
	at := PathOf(a.Scope)
	if p := x.places.get(at.marks.hash); p != nil && p.first.Assignment.Scope == a.Scope {
		a.Scope = p.first.Assignment.Scope
		return newGrant(a, r, p.first.key)
	}
	g := NewGrant(a, r)
	if p := x.places.get(g.hash); p != nil && p.first.key == g.key {
		g.key = p.first.key
	}
	return g
}

// Hold takes in that a reference holds a grant.
func (x *Index) Hold(r GroupRef, g *Grant) {
	p := x.places.get(g.hash)
	if p == nil {
		p = x.places.put(g)
		if p.odd() {
			x.odd++
		}
	}
	p.add(r)
}

// Release takes in that a reference does not hold a grant any more. rest is what it still holds.
func (x *Index) Release(r GroupRef, g *Grant, rest *Grants) {
	p := x.places.get(g.hash)
	if p == nil || rest.at(g.hash) {
		return
	}
	p.remove(r)
	if p.n > 0 {
		return
	}
	if p.odd() {
		x.odd--
	}
	x.places.drop(g.hash)
}

// places finds the holders at a scope by its hash. They lie in the table themselves: one line of memory for each scope that is
// looked up, whether there is something or not, and no other where few hold anything.
type places struct {
	slots []holders // a power of two, at most half full
	n     int
}

const leastPlaces = 8

func (p *places) home(hash uint64) int { return int(hash) & (len(p.slots) - 1) }

// find returns the slot of a hash, or the free one where it belongs.
func (p *places) find(hash uint64) int {
	i := p.home(hash)
	for p.slots[i].first != nil && p.slots[i].hash != hash {
		i = (i + 1) & (len(p.slots) - 1)
	}
	return i
}

// get returns the holders of a hash, until the next put or drop; nil for none.
func (p *places) get(hash uint64) *holders {
	if p.n == 0 {
		return nil
	}
	if h := &p.slots[p.find(hash)]; h.first != nil {
		return h
	}
	return nil
}

// put makes room for the holders of the first grant at a scope.
func (p *places) put(g *Grant) *holders {
	if 2*(p.n+1) > len(p.slots) {
		old := p.slots
		p.slots = make([]holders, max(leastPlaces, 2*len(old)))
		for i := range old {
			if old[i].first != nil {
				p.slots[p.find(old[i].hash)] = old[i]
			}
		}
	}
	p.n++
	h := &p.slots[p.find(g.hash)]
	*h = holders{hash: g.hash, first: g}
	return h
}

// drop takes out a hash that is there, and closes the gap.
func (p *places) drop(hash uint64) {
	mask := len(p.slots) - 1
	i := p.find(hash)
	for j := (i + 1) & mask; p.slots[j].first != nil; j = (j + 1) & mask {
		// What is at j may move to i unless its own place is after i.
		if (j-p.home(p.slots[j].hash))&mask >= (j-i)&mask {
			p.slots[i] = p.slots[j]
			i = j
		}
	}
	p.slots[i] = holders{}
	p.n--
}

// bitmap is a set of references.
type bitmap []uint64

func (b bitmap) has(r GroupRef) bool {
	i := int(r >> 6)
	return i < len(b) && b[i]>>(r&63)&1 != 0
}

func (b bitmap) set(r GroupRef, is bool) {
	if is {
		b[r>>6] |= 1 << (r & 63)
	} else {
		b[r>>6] &^= 1 << (r & 63)
	}
}

// holders are the references that hold something at one scope. It fits into one line of a processor's cache.
type holders struct {
	hash uint64 // of the scope
	// few is a filter of the references, while they are few.
	few [fewWords]uint64
	// table is a filter, once they are not few, and then the references by hash, each plus one, two in a word. There are a power of two
	// places for them, at most half full.
	table []uint64
	n     uint32
	stale uint32 // how many have gone that the filter still has
	// first is the first grant at the scope, with whose texts others share theirs. It may be gone.
	first *Grant
}

// A filter has a word for eight places; a table of more than fewTable words has it in itself, a fifth of all.
const (
	leastSlots = 4
	fewWords   = 2
	fewTable   = 4 * fewWords
)

func (h *holders) odd() bool { return !h.first.usual }

func spread(v uint32) uint64 { return uint64(v) * 0x9e3779b97f4a7c15 }

// bits returns the filter: no word of it while there was never anything.
func (h *holders) bits() bloom {
	switch words := len(h.table); {
	case words > fewTable:
		return h.table[:words/5]
	case words > 0:
		return h.few[:]
	}
	return nil
}

// slots are the references by hash.
func (h *holders) slots() slots {
	if words := len(h.table); words > fewTable {
		return h.table[words/5:]
	}
	return slots(h.table)
}

type slots []uint64

func (s slots) len() int { return 2 * len(s) }

func (s slots) home(hash uint64) int { return int(hash>>40) & (2*len(s) - 1) }

func (s slots) at(i int) GroupRef { return GroupRef(s[i>>1] >> (i & 1 * 32)) }

func (s slots) set(i int, to GroupRef) {
	shift := i & 1 * 32
	s[i>>1] = s[i>>1]&^(0xffffffff<<shift) | uint64(to)<<shift
}

// put puts down a reference that is not there.
func (s slots) put(r GroupRef) {
	i := s.home(spread(uint32(r)))
	for s.at(i) != 0 {
		i = (i + 1) & (s.len() - 1)
	}
	s.set(i, r+1)
}

// has reports whether a reference, whose hash is given, is among them.
func (h *holders) has(r GroupRef, hash uint64) bool {
	if h.n == 0 || !h.bits().has(hash) {
		return false
	}
	s := h.slots()
	for i := s.home(hash); ; i = (i + 1) & (s.len() - 1) {
		switch s.at(i) {
		case r + 1:
			return true
		case 0:
			return false
		}
	}
}

func (h *holders) add(r GroupRef) {
	if h.has(r, spread(uint32(r))) {
		return
	}
	if 2*(int(h.n)+1) > h.slots().len() {
		h.grow()
	}
	h.slots().put(r)
	h.bits().add(uint32(r))
	h.n++
}

func (h *holders) grow() {
	old := h.slots()
	words := max(leastSlots, 2*old.len()) / 2
	if words > fewTable {
		words += words / 4
	}
	h.table = make([]uint64, words)
	next := h.slots()
	for i := range old.len() {
		if r := old.at(i); r != 0 {
			next.put(r - 1)
		}
	}
	h.refill()
}

// refill makes the filter anew.
func (h *holders) refill() {
	bits, s := h.bits(), h.slots()
	clear(bits)
	h.stale = 0
	for i := range s.len() {
		if r := s.at(i); r != 0 {
			bits.add(uint32(r - 1))
		}
	}
}

// remove closes the gap that a reference leaves, so that what was put down after it is still found.
func (h *holders) remove(r GroupRef) {
	if !h.has(r, spread(uint32(r))) {
		return
	}
	s := h.slots()
	mask := s.len() - 1
	i := s.home(spread(uint32(r)))
	for s.at(i) != r+1 {
		i = (i + 1) & mask
	}
	for j := (i + 1) & mask; s.at(j) != 0; j = (j + 1) & mask {
		// What is at j may move to i unless its own place is after i.
		if home := s.home(spread(uint32(s.at(j) - 1))); (j-home)&mask >= (j-i)&mask {
			s.set(i, s.at(j))
			i = j
		}
	}
	s.set(i, 0)
	h.n--
	if h.stale++; int(h.stale) > s.len()/4 {
		h.refill()
	}
}

// bloom is a Bloom filter with three bits of one word for each: it may have what was not added, and has all that was.
type bloom []uint64

// newBloom makes one that has room for n, with 8 to 16 bits for each.
func newBloom(n int) bloom {
	words := 1
	for 4*words < n {
		words *= 2
	}
	return make(bloom, words)
}

func (b bloom) may(v uint32) bool { return len(b) > 0 && b.has(spread(v)) }

func (b bloom) has(hash uint64) bool {
	bits := bloomBits(hash)
	return b[int(hash>>32)&(len(b)-1)]&bits == bits
}

func (b bloom) add(v uint32) {
	h := spread(v)
	b[int(h>>32)&(len(b)-1)] |= bloomBits(h)
}

func bloomBits(hash uint64) uint64 { return 1<<(hash>>58) | 1<<(hash>>52&63) | 1<<(hash>>26&63) }

// tagOf is a part of an id that tells most from each other: of ids that are random, and of ones that count up.
func tagOf(id ident.ObjectID) uint32 {
	return uint32(id[12]) | uint32(id[13])<<8 | uint32(id[14])<<16 | uint32(id[15])<<24
}

// sieve lets through the groups that can matter to one request. The zero sieve lets through all.
type sieve struct {
	index  *Index
	places [len(marks{}.each)]*holders
	n      int
	own    *ClusterRBAC
	space  uint32 // of the namespace, as own sifts
	admins []ident.ObjectID
}

// set makes it the sieve of a request's scopes: one that lets through all without an index, or when there are more scopes than are kept.
func (s *sieve) set(x *Index, m *marks) {
	if x == nil || m.deep {
		return
	}
	s.index = x
	for i := range m.n {
		if m.odd>>i&1 != 0 && x.odd == 0 {
			continue
		}
		if p := x.places.get(m.each[i]); p != nil {
			s.places[s.n] = p
			s.n++
		}
	}
}

// expect has the memory fetched that set will look at.
func (x *Index) expect(m *marks) {
	if x == nil || x.places.n == 0 {
		return
	}
	for i := range m.n {
		if m.odd>>i&1 == 0 || x.odd > 0 {
			Fetch(&x.places.slots[x.places.home(m.each[i])])
		}
	}
}

// filterLines is how many lines of a filter are fetched ahead: most groups of a principal are looked up somewhere in them.
const filterLines = 8

// expect has the memory fetched that sift will look at.
func (s *sieve) expect() {
	for _, p := range s.places[:s.n] {
		if bits := p.bits(); len(bits) > fewWords {
			for i := 0; i < len(bits) && i < filterLines*8; i += 8 {
				Fetch(&bits[i])
			}
		}
	}
}

// sifts is how many groups are sifted at once.
const sifts = 64

// sift returns which of at most 64 groups have to be looked at, as a set of their places: ones that can matter, ones that are in
// others, and some more. It looks at all of them before anything is done about one, so that the memory is waited for once.
func (s *sieve) sift(refs []GroupRef) (set uint64) {
	x := s.index
	if x == nil {
		return everything >> (sifts - len(refs))
	}
	var above uint64
	for i, r := range refs {
		above |= x.nested[r>>6] >> (r & 63) & 1 << i
	}
	for rest := above; rest != 0; rest &= rest - 1 {
		Fetch(x.Closure(refs[bits.TrailingZeros64(rest)]))
	}
	switch s.n {
	case 0:
	case 1:
		set = through(refs, s.places[0].bits(), s.places[0].bits())
	default:
		for i := 1; i < s.n; i += 2 {
			set |= through(refs, s.places[i-1].bits(), s.places[i].bits())
		}
		if s.n%2 == 1 {
			set |= through(refs, s.places[s.n-1].bits(), s.places[s.n-1].bits())
		}
	}
	for rest := above; rest != 0; rest &= rest - 1 {
		if c := x.Closure(refs[bits.TrailingZeros64(rest)]).Load(); c != nil {
			Fetch(c)
		}
	}
	if s.own != nil || len(s.admins) > 0 {
		for i, r := range refs {
			if s.names(x.tags[r]) {
				set |= 1 << i
			}
		}
	}
	return set | above
}

// through returns which of at most 64 references one of two filters may have.
func through(refs []GroupRef, a, b bloom) (set uint64) {
	if len(a) == 0 || len(b) == 0 {
		return everything >> (sifts - len(refs)) // nobody ever held anything there
	}
	for i, r := range refs {
		hash := spread(uint32(r))
		want := bloomBits(hash)
		word := int(hash >> 32)
		hit := uint64(0)
		if a[word&(len(a)-1)]&want == want {
			hit = 1
		}
		if b[word&(len(b)-1)]&want == want {
			hit = 1
		}
		set |= hit << (i & 63)
	}
	return set
}

// may reports whether a group can matter.
func (s *sieve) may(r GroupRef) bool {
	if s.index == nil {
		return true
	}
	hash := spread(uint32(r))
	for _, p := range s.places[:s.n] {
		if p.has(r, hash) {
			return true
		}
	}
	return (s.own != nil || len(s.admins) > 0) && s.names(s.index.tags[r])
}

// names reports whether a binding or the list of admin groups may name a group with a tag.
func (s *sieve) names(tag uint32) bool {
	if s.own != nil && s.own.mayName(tag, s.space) {
		return true
	}
	for i := range s.admins {
		if tagOf(s.admins[i]) == tag {
			return true
		}
	}
	return false
}
