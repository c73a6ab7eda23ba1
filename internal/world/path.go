package world

import (
	"slices"

	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/rbac"
)

// MembershipPath returns a shortest way by which a principal or group is in a group: the groups from the one it is
// directly in up to that group. It is nil when it is not in it. It serves explanations; decisions use GroupsOf.
func (w *World) MembershipPath(id, group ident.ObjectID) []ident.ObjectID {
	w.mu.RLock()
	defer w.mu.RUnlock()
	start, ok := w.nodes.search(&id)
	if !ok {
		return nil
	}
	from := map[rbac.GroupRef]rbac.GroupRef{start: start}
	for todo := []rbac.GroupRef{start}; len(todo) > 0; todo = todo[1:] {
		for _, up := range w.nodes.at(todo[0]).in() {
			if _, seen := from[up]; seen || !w.nodes.index.IsGroup(up) {
				continue
			}
			from[up] = todo[0]
			if w.nodes.at(up).id == group {
				return w.nodes.chain(from, start, up)
			}
			todo = append(todo, up)
		}
	}
	return nil
}

func (n *nodes) chain(from map[rbac.GroupRef]rbac.GroupRef, start, end rbac.GroupRef) []ident.ObjectID {
	var out []ident.ObjectID
	for at := end; at != start; at = from[at] {
		out = append(out, n.at(at).id)
	}
	slices.Reverse(out)
	return out
}
