package world

import (
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/keyreeve/keyreeve/internal/ident"
)

// TestMembershipsAgainstMap puts a member into groups, one by one and many at once, more than lie with it and fewer again, and takes it
// out.
func TestMembershipsAgainstMap(t *testing.T) {
	member := ident.New[ident.ObjectID]()
	groups := make([]ident.ObjectID, 3*len(node{}.few))
	for i := range groups {
		groups[i] = ident.New[ident.ObjectID]()
	}
	rapid.Check(t, func(t *rapid.T) {
		n := newNodes()
		for i := range groups {
			n.setGroup(groups[i], true)
		}
		in := map[ident.ObjectID]bool{}
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			from := rapid.IntRange(0, len(groups)).Draw(t, "from")
			some := groups[from:rapid.IntRange(from, len(groups)).Draw(t, "to")]
			step := rapid.IntRange(0, 2).Draw(t, "step")
			for _, g := range some {
				if in[g] = step < 2; step == 2 {
					delete(in, g)
				}
			}
			switch step {
			case 0:
				n.joinAll(append(slices.Clone(some), some...), member)
			case 1:
				for _, g := range some {
					n.join(g, member)
				}
			default:
				for _, g := range some {
					n.leave(g, member)
				}
			}
			want := slices.SortedFunc(maps.Keys(in), compareIDs)
			if got := n.groupsOf(member); !slices.Equal(got, want) {
				t.Fatalf("in %d groups, want %d: %v, want %v", len(got), len(want), got, want)
			}
			if x := n.find(&member); x != nil && !slices.IsSorted(x.in()) {
				t.Fatalf("not in order: %v", x.in())
			}
			if r, known := n.search(&member); known && n.index.IsNested(r) != (len(in) > 0) {
				t.Fatalf("nested %t with %d groups", n.index.IsNested(r), len(in))
			}
		}
	})
}
