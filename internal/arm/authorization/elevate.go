package authorization

import (
	"net/http"
	"slices"

	"github.com/keyreeve/keyreeve/internal/arm"
	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/rbac"
	"github.com/keyreeve/keyreeve/internal/store"
)

// accessAdministrator is the built-in role User Access Administrator.
const accessAdministrator = "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9"

// elevateAccess makes a Global Administrator User Access Administrator at the root: the way to the first role at a management
// group, and back to subscriptions that nobody owns any more. The assignment stays until it is deleted.
func (h *Handler) elevateAccess(w http.ResponseWriter, r *arm.Request) error {
	if !slices.Contains(r.Caller.Roles, directory.GlobalAdministrator()) {
		return r.NotAuthorized("Microsoft.Authorization/elevateAccess/action", "/")
	}
	kind, ok := h.principalType(r.Caller.Object, r.Caller.Tenant)
	if !ok {
		return fault.New(fault.Forbidden, "AuthorizationFailed", "The caller is not in the directory.")
	}
	by := r.Caller.Object.String()
	a := rbac.Assignment{
		ID: ident.New[ident.RoleAssignmentID](), Scope: "/", RoleDefinitionID: ident.MustParse[ident.RoleDefinitionID](accessAdministrator),
		PrincipalID: r.Caller.Object, PrincipalType: kind, Tenant: r.Caller.Tenant, CreatedOn: r.Now(), UpdatedOn: r.Now(), CreatedBy: by, UpdatedBy: by,
	}
	_, err := h.DB.Update(r.Context(), func(tx *store.Tx) error {
		if err := tx.PutAssignment(a); err != nil {
			if store.IsExists(err) {
				return nil // it was done before
			}
			return err
		}
		return r.Audit(tx, audit.RoleAssigned, objectID(a.Scope, "roleAssignments", a.ID.String()), assignmentDetail(a))
	})
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}
