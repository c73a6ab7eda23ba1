package authorization

import (
	"net/http"

	"github.com/keyreeve/keyreeve/internal/arm"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/rbac"
)

// listPermissions lists what the caller may do at the scope: the permissions of every role held there, directly or through a
// group. Everybody may ask for themselves; one who holds nothing learns nothing, not even whether the scope is there.
func (h *Handler) listPermissions(_ http.ResponseWriter, r *arm.Request) error {
	scope, err := scopeOf(r)
	if err != nil {
		return err
	}
	out := list[rbac.Permission]{Value: []rbac.Permission{}}
	seen := map[ident.RoleDefinitionID]bool{}
	holders := append([]ident.ObjectID{r.Caller.Object}, h.World.GroupsOf(r.Caller.Object)...)
	for _, holder := range holders {
		for _, g := range h.World.GrantsOf(holder) {
			d := g.Role.Definition
			if seen[d.ID] || g.Assignment.Condition != "" || !h.World.Covers(r.Caller.Tenant, g.Assignment.Scope, scope) {
				continue
			}
			seen[d.ID] = true
			for _, p := range d.Permissions {
				out.Value = append(out.Value, whole(p))
			}
		}
	}
	return r.WriteJSON(http.StatusOK, out)
}
