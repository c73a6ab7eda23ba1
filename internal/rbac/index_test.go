package rbac

import (
	"fmt"
	"testing"
	"unsafe"

	"pgregory.net/rapid"

	"github.com/keyreeve/keyreeve/internal/ident"
)

// TestHoldersAgainstMap adds and removes references, few so that they meet in slots or many so that the table grows, and asks
// about all.
func TestHoldersAgainstMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		most := rapid.SampledFrom([]uint32{6, 40, 1000}).Draw(t, "most")
		h, want := &holders{}, map[GroupRef]bool{}
		for range rapid.IntRange(1, 300).Draw(t, "steps") {
			r := GroupRef(rapid.Uint32Range(0, most).Draw(t, "ref"))
			if rapid.IntRange(0, 2).Draw(t, "remove") == 0 {
				h.remove(r)
				delete(want, r)
			} else {
				h.add(r)
				want[r] = true
			}
			if int(h.n) != len(want) {
				t.Fatalf("counts %d, want %d", h.n, len(want))
			}
		}
		for r := range GroupRef(most + 1) {
			if h.has(r, spread(uint32(r))) != want[r] {
				t.Fatalf("has %d: %t", r, h.has(r, spread(uint32(r))))
			}
		}
	})
}

// TestPlacesAgainstMap puts and drops hashes that often meet.
func TestPlacesAgainstMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var p places
		want := map[uint64]*Grant{}
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			hash := rapid.Uint64Range(0, 60).Draw(t, "hash") * rapid.SampledFrom([]uint64{1, 1 << 20}).Draw(t, "spread")
			if want[hash] != nil {
				p.drop(hash)
				delete(want, hash)
			} else {
				want[hash] = &Grant{hash: hash}
				if got := p.put(want[hash]); got.n != 0 || got.first != want[hash] {
					t.Fatalf("%d: begins with %+v", hash, got)
				}
			}
		}
		for n := range uint64(61) {
			for _, hash := range []uint64{n, n << 20} {
				h := p.get(hash)
				if (h != nil) != (want[hash] != nil) || h != nil && h.first != want[hash] || p.n != len(want) {
					t.Fatalf("%d: %+v, want %p", hash, h, want[hash])
				}
			}
		}
	})
}

// TestHoldersAreOneLine holds that holders are one line of a processor's cache, which the table of places relies on.
func TestHoldersAreOneLine(t *testing.T) {
	if got := unsafe.Sizeof(holders{}); got != 64 {
		t.Errorf("%d bytes", got)
	}
	if got := unsafe.Sizeof(Closure{}); got != 64 {
		t.Errorf("a closure: %d bytes", got)
	}
}

// TestHoldersFilter holds that the filter keeps out most of what was not added, also after many came and went.
func TestHoldersFilter(t *testing.T) {
	h := &holders{}
	for r := range GroupRef(20_000) {
		h.add(r)
		if r >= 1000 {
			h.remove(r - 1000)
		}
	}
	let := 0
	for r := range uint32(100_000) {
		if h.bits().may(r + 1_000_000) {
			let++
		}
	}
	if let > 15_000 {
		t.Errorf("%d of 100,000 are let through", let)
	}
}

// TestIndexForgets holds that what nobody holds leaves nothing behind, and that a second grant at a scope stands when the first goes.
func TestIndexForgets(t *testing.T) {
	reader := builtin(t, "Reader")
	x, holder := new(Index), oid(1)
	x.Number(holder)
	odd := "/subscriptions/a/resourceGroups/g/providers"
	var held *Grants
	var grants []*Grant
	for i, scope := range []string{"/", testSub, testSub, odd, testCluster + "/namespaces/dev"} {
		g := x.NewGrant(Assignment{ID: assignmentID(byte(i)), Scope: scope, PrincipalID: holder}, reader)
		grants, held = append(grants, g), held.With(g)
		x.Hold(0, g)
	}
	if x.odd != 1 || x.places.n != 4 {
		t.Fatalf("%d places, of which %d are odd", x.places.n, x.odd)
	}
	held = held.Without(grants[1].Assignment.ID)
	x.Release(0, grants[1], held)
	if p := x.places.get(grants[2].hash); p == nil || !p.has(0, spread(0)) {
		t.Error("the second grant at a scope is forgotten with the first")
	}
	for _, g := range grants {
		held = held.Without(g.Assignment.ID)
		x.Release(0, g, held)
	}
	if x.odd != 0 || x.places.n != 0 {
		t.Errorf("%d places left, of which %d are odd", x.places.n, x.odd)
	}
}

// TestSieveOfBindings holds that no group which a binding names is left out, through edits.
func TestSieveOfBindings(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		set, want, spaces := NewClusterRBAC(), map[int]bool{}, []string{"", "dev", "prod"}
		id := func(n int) ident.ObjectID { return ident.Derive[ident.ObjectID]("sieve", fmt.Sprint(n)) }
		for range rapid.IntRange(1, 20).Draw(t, "edits") {
			e := set.Edit()
			for range rapid.IntRange(1, 20).Draw(t, "changes") {
				n := rapid.IntRange(0, 200).Draw(t, "group")
				if rapid.Bool().Draw(t, "drop") {
					e.DropBinding(spaces[n%len(spaces)], fmt.Sprint(n))
					delete(want, n)
					continue
				}
				e.PutBinding(&Binding{Name: fmt.Sprint(n), Namespace: spaces[n%len(spaces)], RoleRef: RoleRef{Kind: KindClusterRole, Name: "r"}, Subjects: []Subject{{Kind: KindGroup, Name: id(n).String()}}})
				want[n] = true
			}
			set = e.Done()
		}
		let := 0
		for n := range 201 {
			may := set.mayName(tagOf(id(n)), spaceOf(spaces[n%len(spaces)]))
			if want[n] && !may {
				t.Fatalf("group %d is left out", n)
			}
			if may && !want[n] {
				let++
			}
		}
		if let > 60 {
			t.Fatalf("%d of %d groups that no binding names are let through", let, 201-len(want))
		}
	})
}

// TestDecideClusterSiftsAlike holds that a decision is the same, grant and way included, whether groups are left out or not.
func TestDecideClusterSiftsAlike(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		facts, _, rules := drawCluster(t)
		ask := &ClusterAsk{Principal: oid(1), Name: "alice", Request: genKube().Draw(t, "request")}
		with, without := DecideCluster(ask, rules, facts), DecideCluster(ask, rules, facts.unsifted())
		if with != without {
			t.Fatalf("%+v: %+v, without the index %+v", ask.Request, with, without)
		}
	})
}
