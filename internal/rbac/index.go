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
	g := NewGrant(a, r)
	if p := x.places.get(g.hash); p != nil && p.first.key == g.key {
		if g.key = p.first.key; p.first.Assignment.Scope == g.Assignment.Scope {
			g.Assignment.Scope = p.first.Assignment.Scope
		}
	}
	return g
}

// Hold takes in that a reference holds a grant.
func (x *Index) Hold(r GroupRef, g *Grant) {
	p := x.places.get(g.hash)
	if p == nil {
		p = &holders{first: g}
		x.places.put(g.hash, p)
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
	x.places.drop(g.hash)
	if p.odd() {
		x.odd--
	}
}

// places finds the holders at a scope by its hash: one line of memory for each that is looked up, whether it is there or not.
type places struct {
	slots []placeSlot // a power of two, at most half full
	n     int
}

type placeSlot struct {
	hash uint64
	at   *holders // nil for a free slot
}

func (p *places) home(hash uint64) int { return int(hash) & (len(p.slots) - 1) }

// find returns the slot of a hash, or the free one where it belongs.
func (p *places) find(hash uint64) int {
	i := p.home(hash)
	for p.slots[i].at != nil && p.slots[i].hash != hash {
		i = (i + 1) & (len(p.slots) - 1)
	}
	return i
}

func (p *places) get(hash uint64) *holders {
	if p.n == 0 {
		return nil
	}
	return p.slots[p.find(hash)].at
}

// put puts down the holders of a hash that is not there.
func (p *places) put(hash uint64, at *holders) {
	if 2*(p.n+1) > len(p.slots) {
		old := p.slots
		p.slots = make([]placeSlot, max(leastSlots, 2*len(old)))
		for _, s := range old {
			if s.at != nil {
				p.slots[p.find(s.hash)] = s
			}
		}
	}
	p.slots[p.find(hash)] = placeSlot{hash, at}
	p.n++
}

// drop takes out a hash that is there, and closes the gap.
func (p *places) drop(hash uint64) {
	mask := len(p.slots) - 1
	i := p.find(hash)
	for j := (i + 1) & mask; p.slots[j].at != nil; j = (j + 1) & mask {
		// What is at j may move to i unless its own place is after i.
		if (j-p.home(p.slots[j].hash))&mask >= (j-i)&mask {
			p.slots[i] = p.slots[j]
			i = j
		}
	}
	p.slots[i] = placeSlot{}
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
	slots []GroupRef // by hash, each plus one; a power of two, at most half full
	bits  bloom      // of what is in slots
	n     uint32
	stale uint32 // how many have gone that bits still have
	// first is the first grant at the scope, with whose texts others share theirs. It may be gone.
	first *Grant
}

const leastSlots = 4

func (h *holders) odd() bool { return !usual(segments(h.first.key)) }

func spread(v uint32) uint64 { return uint64(v) * 0x9e3779b97f4a7c15 }

func (h *holders) slot(hash uint64) int { return int(hash>>40) & (len(h.slots) - 1) }

// has reports whether a reference, whose hash is given, is among them.
func (h *holders) has(r GroupRef, hash uint64) bool {
	if h.n == 0 || !h.bits.has(hash) {
		return false
	}
	for i := h.slot(hash); ; i = (i + 1) & (len(h.slots) - 1) {
		switch h.slots[i] {
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
	if 2*(int(h.n)+1) > len(h.slots) {
		h.grow()
	}
	h.put(r)
	h.bits.add(uint32(r))
	h.n++
}

func (h *holders) put(r GroupRef) {
	i := h.slot(spread(uint32(r)))
	for h.slots[i] != 0 {
		i = (i + 1) & (len(h.slots) - 1)
	}
	h.slots[i] = r + 1
}

func (h *holders) grow() {
	old := h.slots
	h.slots = make([]GroupRef, max(leastSlots, 2*len(old)))
	for _, s := range old {
		if s != 0 {
			h.put(s - 1)
		}
	}
	h.refill()
}

// refill makes the filter anew.
func (h *holders) refill() {
	h.bits, h.stale = newBloom(len(h.slots)/2), 0
	for _, s := range h.slots {
		if s != 0 {
			h.bits.add(uint32(s - 1))
		}
	}
}

// remove closes the gap that a reference leaves, so that what was put down after it is still found.
func (h *holders) remove(r GroupRef) {
	if !h.has(r, spread(uint32(r))) {
		return
	}
	mask := len(h.slots) - 1
	i := h.slot(spread(uint32(r)))
	for h.slots[i] != r+1 {
		i = (i + 1) & mask
	}
	for j := (i + 1) & mask; h.slots[j] != 0; j = (j + 1) & mask {
		// What is at j may move to i unless its own place is after i.
		if home := h.slot(spread(uint32(h.slots[j] - 1))); (j-home)&mask >= (j-i)&mask {
			h.slots[i] = h.slots[j]
			i = j
		}
	}
	h.slots[i] = 0
	h.n--
	if h.stale++; int(h.stale) > len(h.slots)/4 {
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

// sieveOf makes the sieve of a request's scopes: none without an index, or when there are more scopes than are kept.
func sieveOf(x *Index, m *marks) (s sieve) {
	if x == nil || m.deep {
		return s
	}
	s.index = x
	for i := range m.n {
		if m.odd>>i&1 != 0 && x.odd == 0 {
			continue
		}
		if p := x.places.get(m.each[i]); p != nil {
			Fetch(p)
			s.places[s.n] = p
			s.n++
		}
	}
	return s
}

// expect has the memory fetched that sieveOf will look at.
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
		for i := 0; i < len(p.bits) && i < filterLines*8; i += 8 {
			Fetch(&p.bits[i])
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
	for _, p := range s.places[:s.n] {
		filter := p.bits
		if len(filter) == 0 {
			continue
		}
		for i, r := range refs {
			hash := spread(uint32(r))
			want := bloomBits(hash)
			hit := uint64(0)
			if filter[int(hash>>32)&(len(filter)-1)]&want == want {
				hit = 1
			}
			set |= hit << i
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
