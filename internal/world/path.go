package world

import (
	"slices"

	"github.com/keyreeve/keyreeve/internal/ident"
)

// MembershipPath returns a shortest way by which a principal or group is in a group: the groups from the one it is
// directly in up to that group. It is nil when it is not in it. It serves explanations; decisions use GroupsOf.
func (w *World) MembershipPath(id, group ident.ObjectID) []ident.ObjectID {
	w.mu.RLock()
	defer w.mu.RUnlock()
	from := map[ident.ObjectID]ident.ObjectID{id: id}
	todo := []ident.ObjectID{id}
	for len(todo) > 0 {
		at := todo[0]
		todo = todo[1:]
		for _, up := range w.parents[at] {
			if _, exists := w.groups[up]; !exists {
				continue
			}
			if _, seen := from[up]; seen {
				continue
			}
			from[up] = at
			if up == group {
				return chain(from, id, group)
			}
			todo = append(todo, up)
		}
	}
	return nil
}

func chain(from map[ident.ObjectID]ident.ObjectID, id, group ident.ObjectID) []ident.ObjectID {
	var out []ident.ObjectID
	for at := group; at != id; at = from[at] {
		out = append(out, at)
	}
	slices.Reverse(out)
	return out
}
