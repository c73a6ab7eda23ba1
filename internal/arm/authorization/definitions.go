package authorization

import (
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/keyreeve/keyreeve/internal/arm"
	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/rbac"
	"github.com/keyreeve/keyreeve/internal/resource"
	"github.com/keyreeve/keyreeve/internal/store"
)

// definitionBody is a role definition as it is written; keys and their order are those of the recorded answers.
type definitionBody struct {
	Properties definitionProperties `json:"properties"`
	ID         string               `json:"id"`
	Type       string               `json:"type"`
	Name       string               `json:"name"`
}

type definitionProperties struct {
	RoleName         string            `json:"roleName"`
	Type             string            `json:"type"`
	Description      string            `json:"description"`
	AssignableScopes []string          `json:"assignableScopes"`
	Permissions      []rbac.Permission `json:"permissions"`
	CreatedOn        *string           `json:"createdOn"`
	UpdatedOn        *string           `json:"updatedOn"`
	CreatedBy        *string           `json:"createdBy"`
	UpdatedBy        *string           `json:"updatedBy"`
}

func definitionAnswer(d rbac.RoleDefinition, sub ident.SubscriptionID) definitionBody {
	b := definitionBody{
		Properties: definitionProperties{
			RoleName: d.Name, Type: string(d.Type), Description: d.Description, AssignableScopes: orEmpty(d.AssignableScopes),
			Permissions: make([]rbac.Permission, len(d.Permissions)), CreatedOn: stamp(d.CreatedOn), UpdatedOn: stamp(d.UpdatedOn),
			CreatedBy: orNull(d.CreatedBy), UpdatedBy: orNull(d.UpdatedBy),
		},
		ID: definitionID(sub, d.ID), Type: "Microsoft.Authorization/roleDefinitions", Name: d.ID.String(),
	}
	for i, p := range d.Permissions {
		b.Properties.Permissions[i] = whole(p)
	}
	return b
}

// whole writes absent lists of a permission as empty ones.
func whole(p rbac.Permission) rbac.Permission {
	return rbac.Permission{
		Actions: orEmpty(p.Actions), NotActions: orEmpty(p.NotActions), DataActions: orEmpty(p.DataActions), NotDataActions: orEmpty(p.NotDataActions),
	}
}

func orEmpty(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}

// assignable reports whether a role can be assigned at a scope of a tenant.
func (h *Handler) assignable(d rbac.RoleDefinition, tenant ident.TenantID, scope string) bool {
	if d.Type == rbac.BuiltInRole {
		return true
	}
	return d.Tenant == tenant && slices.ContainsFunc(d.AssignableScopes, func(s string) bool { return h.World.Covers(tenant, s, scope) })
}

// below reports whether a custom role can be assigned somewhere below a scope.
func (h *Handler) below(d rbac.RoleDefinition, scope string) bool {
	return slices.ContainsFunc(d.AssignableScopes, func(s string) bool { return h.World.Covers(d.Tenant, scope, s) })
}

func definitionMissing(id ident.RoleDefinitionID) error {
	return fault.New(fault.NotFound, "RoleDefinitionDoesNotExist", "The specified role definition with ID '%s' does not exist.", id.Compact())
}

// definitionFilter is a parsed $filter of a list of role definitions.
type definitionFilter struct {
	name, kind string
	below      bool
}

func parseDefinitionFilter(text string) (definitionFilter, error) {
	var f definitionFilter
	bad := fault.New(fault.Invalid, "UnsupportedFilter",
		"The filter '%s' is not supported. Supported filters are 'roleName eq '{value}'', 'type eq '{value}'' and 'atScopeAndBelow()'.", text)
	if strings.TrimSpace(text) == "" {
		return f, nil
	}
	clauses, err := arm.ParseFilter(text)
	if err != nil {
		return f, bad
	}
	for _, c := range clauses {
		switch {
		case c.Is("roleName", false) && f.name == "" && c.Value != "":
			f.name = c.Value
		case c.Is("type", false) && f.kind == "" && c.Value != "":
			f.kind = c.Value
		case c.Is("atScopeAndBelow", true) && !c.Arg && !f.below:
			f.below = true
		default:
			return definitionFilter{}, bad
		}
	}
	return f, nil
}

func (f definitionFilter) matches(d rbac.RoleDefinition) bool {
	return (f.name == "" || strings.EqualFold(f.name, d.Name)) && (f.kind == "" || strings.EqualFold(f.kind, string(d.Type)))
}

// listDefinitions lists the roles that can be assigned at the scope, custom ones first.
func (h *Handler) listDefinitions(_ http.ResponseWriter, r *arm.Request) error {
	scope, err := scopeOf(r)
	if err != nil {
		return err
	}
	text, _, err := r.Query("$filter")
	if err != nil {
		return err
	}
	f, err := parseDefinitionFilter(text)
	if err != nil {
		return err
	}
	out := list[definitionBody]{Value: []definitionBody{}}
	for _, kind := range []rbac.RoleType{rbac.CustomRole, rbac.BuiltInRole} {
		for _, d := range h.World.RoleDefinitions(r.Caller.Tenant) {
			if d.Type != kind || !f.matches(d) {
				continue
			}
			show := h.assignable(d, r.Caller.Tenant, scope)
			if !show && f.below && h.below(d, scope) {
				// Asked at the root, whose readers are all, a custom role shows to those who may read it where it applies.
				if show, err = h.mayRead(r, d, scope); err != nil {
					return err
				}
			}
			if show {
				out.Value = append(out.Value, definitionAnswer(d, r.SubscriptionID()))
			}
		}
	}
	return r.WriteJSON(http.StatusOK, out)
}

// mayRead reports whether a role shows to the caller: at the root, where no right was asked for, a custom role shows to
// those who may read roles at one of its scopes.
func (h *Handler) mayRead(r *arm.Request, d rbac.RoleDefinition, scope string) (bool, error) {
	if scope != "/" || d.Type == rbac.BuiltInRole {
		return true, nil
	}
	for _, s := range d.AssignableScopes {
		ok, err := r.Allowed(readDefinition, s)
		if ok || err != nil {
			return ok, err
		}
	}
	return false, nil
}

func (h *Handler) getDefinition(_ http.ResponseWriter, r *arm.Request) error {
	scope, err := scopeOf(r)
	if err != nil {
		return err
	}
	id, err := ident.Parse[ident.RoleDefinitionID](r.Param("name"))
	if err != nil {
		return badDefinitionName(r)
	}
	role, ok := h.World.RoleDefinition(id)
	if !ok || !h.assignable(role.Definition, r.Caller.Tenant, scope) && (role.Definition.Tenant != r.Caller.Tenant || !h.below(role.Definition, scope)) {
		return definitionMissing(id)
	}
	show, err := h.mayRead(r, role.Definition, scope)
	if err != nil {
		return err
	}
	if !show {
		return definitionMissing(id)
	}
	return r.WriteJSON(http.StatusOK, definitionAnswer(role.Definition, r.SubscriptionID()))
}

func badDefinitionName(r *arm.Request) error {
	return fault.New(fault.Invalid, "InvalidRoleDefinitionId", "The role definition ID '%s' is not valid. The role definition ID must be a GUID.", r.Param("name"))
}

// definitionRequest is the body of PUT.
type definitionRequest struct {
	Properties *struct {
		RoleName         string            `json:"roleName"`
		Type             string            `json:"type"`
		Description      string            `json:"description"`
		AssignableScopes []string          `json:"assignableScopes"`
		Permissions      []rbac.Permission `json:"permissions"`
	} `json:"properties"`
}

// Limits of a custom role.
const (
	maxRoleName = 512 // characters
	maxScopes   = 2000
)

// parseDefinition reads the body of PUT into a custom role, and holds it against the rules that need no looking up.
func parseDefinition(r *arm.Request) (rbac.RoleDefinition, error) {
	var d rbac.RoleDefinition
	var body definitionRequest
	if err := r.DecodeJSON(&body); err != nil {
		return d, err
	}
	id, err := ident.Parse[ident.RoleDefinitionID](r.Param("name"))
	if err != nil || id.IsZero() {
		return d, badDefinitionName(r)
	}
	p := body.Properties
	switch {
	case p == nil:
		return d, fault.New(fault.Invalid, "InvalidRequestContent", "The request content was invalid: 'properties' is missing.").At("properties")
	case strings.TrimSpace(p.RoleName) == "":
		return d, fault.New(fault.Invalid, "RoleDefinitionNameNullOrEmpty", "The role definition name must not be empty.").At("properties.roleName")
	case utf8.RuneCountInString(p.RoleName) > maxRoleName:
		return d, fault.New(fault.Invalid, "InvalidRoleDefinitionName", "The role definition name is longer than %d characters.", maxRoleName).At("properties.roleName")
	case p.Type != "" && !strings.EqualFold(p.Type, string(rbac.CustomRole)):
		return d, fault.New(fault.Invalid, "InvalidRoleDefinitionType", "A role definition of type '%s' cannot be created or updated.", p.Type).At("properties.type")
	case len(p.Description) > maxDescription:
		return d, fault.New(fault.Invalid, "InvalidRoleDefinitionDescription", "The description is longer than %d bytes.", maxDescription).At("properties.description")
	case len(p.Permissions) == 0:
		return d, fault.New(fault.Invalid, "RoleDefinitionPermissionsEmpty", "The role definition must have a permission.").At("properties.permissions")
	}
	scopes, err := parseScopes(p.AssignableScopes)
	if err != nil {
		return d, err
	}
	if err := managed(scopes, p.Permissions); err != nil {
		return d, err
	}
	d = rbac.RoleDefinition{
		ID: id, Name: p.RoleName, Type: rbac.CustomRole, Description: p.Description, AssignableScopes: scopes, Permissions: p.Permissions,
		Tenant: r.Caller.Tenant, CreatedOn: r.Now(), UpdatedOn: r.Now(), CreatedBy: r.Caller.Object.String(), UpdatedBy: r.Caller.Object.String(),
	}
	for i := range d.Permissions {
		d.Permissions[i] = whole(d.Permissions[i])
	}
	if _, err := rbac.Compile(d); err != nil {
		f := fault.As(err)
		return d, fault.New(fault.Invalid, "InvalidActionOrNotAction", "%s", f.Public).At("properties." + f.Target)
	}
	return d, nil
}

// parseScopes holds the assignable scopes of a custom role against the rules: at least one, and none the root.
func parseScopes(sent []string) ([]string, error) {
	target := "properties.assignableScopes"
	if len(sent) == 0 || len(sent) > maxScopes {
		return nil, fault.New(fault.Invalid, "InvalidAssignableScopes", "The role definition must have between 1 and %d assignable scopes.", maxScopes).At(target)
	}
	out := make([]string, len(sent))
	for i, s := range sent {
		if s != "/" {
			s = strings.TrimSuffix(s, "/")
		}
		if s == "/" || !validScope(s) {
			return nil, fault.New(fault.Invalid, "InvalidAssignableScope",
				"The assignable scope '%s' of a custom role is not valid. It must be a management group, a subscription, a resource group or a resource.", s).At(target)
		}
		out[i] = s
	}
	return out, nil
}

// managed holds a custom role with a management group among its scopes against Azure's rules: only one, and no data actions.
func managed(scopes []string, permissions []rbac.Permission) error {
	groups := 0
	for _, s := range scopes {
		if _, ok := resource.ParseManagementGroupID(s); ok {
			groups++
		}
	}
	if groups > 1 {
		return fault.New(fault.Invalid, "InvalidAssignableScopes", "A custom role can have only one management group among its assignable scopes.").At("properties.assignableScopes")
	}
	if groups == 1 && slices.ContainsFunc(permissions, func(p rbac.Permission) bool { return len(p.DataActions)+len(p.NotDataActions) > 0 }) {
		return fault.New(fault.Invalid, "InvalidAssignableScopes",
			"You cannot add data action permissions when you have a management group as an assignable scope.").At("properties.permissions")
	}
	return nil
}

// requireEverywhere returns LinkedAuthorizationFailed unless the caller may do an action at every one of a role's scopes, all
// of which are in the caller's tenant.
func (h *Handler) requireEverywhere(r *arm.Request, action string, scopes []string) error {
	var missing []string
	for _, s := range scopes {
		allowed := false
		if h.ours(r.Caller.Tenant, s) {
			var err error
			if allowed, err = r.Allowed(action, s); err != nil {
				return err
			}
		}
		if !allowed {
			missing = append(missing, s)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return arm.GatewayError(fault.New(fault.Forbidden, "LinkedAuthorizationFailed",
		"The client '%s' with object id '%s' has permission to perform action '%s' on scope '%s'; however, it does not have permission to "+
			"perform action(s) '%s' on the linked scope(s) '%s' (respectively) or the linked scope(s) are invalid.",
		r.Caller.Name, r.Caller.Object, action, r.Scope, action, strings.Join(missing, ",")))
}

// ours reports whether a scope is in a tenant.
func (h *Handler) ours(tenant ident.TenantID, scope string) bool {
	if name, ok := resource.ParseManagementGroupID(scope); ok {
		_, known := h.World.ManagementGroup(tenant, name)
		return known
	}
	sub, err := ident.Parse[ident.SubscriptionID](strings.Split(scope, "/")[2])
	known, ok := h.World.Subscription(sub)
	return err == nil && ok && known.Tenant == tenant
}

func (h *Handler) putDefinition(_ http.ResponseWriter, r *arm.Request) error {
	scope, err := scopeOf(r)
	if err != nil {
		return err
	}
	d, err := parseDefinition(r)
	if err != nil {
		return err
	}
	if !h.assignable(d, d.Tenant, scope) {
		return fault.New(fault.Invalid, "AssignableScopeNotUnderRequestScope",
			"The scope '%s' of the request is not in the assignable scopes of the role definition.", scope).At("properties.assignableScopes")
	}
	if err := h.requireEverywhere(r, writeDefinition, d.AssignableScopes); err != nil {
		return err
	}
	_, err = h.DB.Update(r.Context(), func(tx *store.Tx) error {
		if err := h.replaces(tx, r, &d); err != nil {
			return err
		}
		if err := tx.PutRoleDefinition(d); err != nil {
			if store.IsExists(err) {
				return sameName()
			}
			return err
		}
		return r.Audit(tx, audit.RoleDefinitionWritten, definitionID(r.SubscriptionID(), d.ID), map[string]string{
			"roleName": d.Name, "assignableScopes": strings.Join(d.AssignableScopes, " "),
		})
	})
	if err != nil {
		return err
	}
	body := definitionAnswer(d, r.SubscriptionID())
	if d.CreatedOn.Equal(d.UpdatedOn) {
		body.Properties.CreatedBy = nil // as the real service's answer to a creation
	}
	// 201 for an update too: clients take nothing else.
	return r.WriteJSON(http.StatusCreated, body)
}

func sameName() error {
	return fault.New(fault.Conflict, "RoleDefinitionWithSameNameExists", "A custom role with the same name already exists in this directory. Use a different name")
}

// replaces holds a role against the one it would replace and against the built-in ones, and takes over what stays.
func (h *Handler) replaces(tx *store.Tx, r *arm.Request, d *rbac.RoleDefinition) error {
	for _, other := range h.World.RoleDefinitions(r.Caller.Tenant) {
		if other.Type != rbac.BuiltInRole {
			continue
		}
		if other.ID == d.ID {
			return builtIn(other, "updated")
		}
		if strings.EqualFold(other.Name, d.Name) {
			return sameName() // a name would no longer say which role is meant
		}
	}
	old, err := tx.RoleDefinition(d.ID)
	if store.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if old.Tenant != d.Tenant {
		return fault.New(fault.Conflict, "RoleDefinitionExists", "The role definition ID '%s' is taken. Use a different one.", d.ID)
	}
	if err := h.requireEverywhere(r, writeDefinition, old.AssignableScopes); err != nil {
		return err
	}
	d.CreatedOn, d.CreatedBy = old.CreatedOn, old.CreatedBy
	return nil
}

func builtIn(d rbac.RoleDefinition, what string) error {
	return fault.New(fault.Invalid, "BuiltInRoleDefinitionCannotBeModified", "The built-in role '%s' cannot be %s.", d.Name, what)
}

func (h *Handler) deleteDefinition(w http.ResponseWriter, r *arm.Request) error {
	scope, err := scopeOf(r)
	if err != nil {
		return err
	}
	id, err := ident.Parse[ident.RoleDefinitionID](r.Param("name"))
	if err != nil {
		return badDefinitionName(r)
	}
	if role, ok := h.World.RoleDefinition(id); ok && role.Definition.Type == rbac.BuiltInRole {
		return builtIn(role.Definition, "deleted")
	}
	var d rbac.RoleDefinition
	found := false
	_, err = h.DB.Update(r.Context(), func(tx *store.Tx) (err error) {
		d, err = tx.RoleDefinition(id)
		if store.IsNotFound(err) || err == nil && (d.Tenant != r.Caller.Tenant || !h.assignable(d, d.Tenant, scope) && !h.below(d, scope)) {
			return nil
		}
		if err != nil {
			return err
		}
		found = true
		if err := h.requireEverywhere(r, deleteDefinition, d.AssignableScopes); err != nil {
			return err
		}
		all, err := tx.Assignments(d.Tenant)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(all, func(a rbac.Assignment) bool { return a.RoleDefinitionID == id }) {
			return fault.New(fault.Invalid, "RoleDefinitionHasAssignments", "There are existing role assignments referencing role (code: RoleDefinitionHasAssignments).")
		}
		if err := tx.DeleteRoleDefinition(id); err != nil {
			return err
		}
		return r.Audit(tx, audit.RoleDefinitionDeleted, definitionID(r.SubscriptionID(), id), map[string]string{"roleName": d.Name})
	})
	if err != nil {
		return err
	}
	if !found {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	return r.WriteJSON(http.StatusOK, definitionAnswer(d, r.SubscriptionID()))
}
