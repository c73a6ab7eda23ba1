package authorization

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/keyreeve/keyreeve/internal/arm"
	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/rbac"
	"github.com/keyreeve/keyreeve/internal/store"
	"github.com/keyreeve/keyreeve/internal/world"
)

// assignmentBody is a role assignment as it is written; keys, nulls and their order are those of the recorded answers.
type assignmentBody struct {
	Properties assignmentProperties `json:"properties"`
	ID         string               `json:"id"`
	Type       string               `json:"type"`
	Name       string               `json:"name"`
}

type assignmentProperties struct {
	RoleDefinitionID                   string  `json:"roleDefinitionId"`
	PrincipalID                        string  `json:"principalId"`
	PrincipalType                      string  `json:"principalType"`
	Scope                              string  `json:"scope"`
	Condition                          *string `json:"condition"`
	ConditionVersion                   *string `json:"conditionVersion"`
	CreatedOn                          *string `json:"createdOn"`
	UpdatedOn                          *string `json:"updatedOn"`
	CreatedBy                          *string `json:"createdBy"`
	UpdatedBy                          *string `json:"updatedBy"`
	DelegatedManagedIdentityResourceID *string `json:"delegatedManagedIdentityResourceId"`
	Description                        *string `json:"description"`
}

// answer writes an assignment. One at the root names its role with the prefix of the subscription it was asked from.
func answer(a rbac.Assignment, asked ident.SubscriptionID) assignmentBody {
	sub := a.RoleDefinitionSubscription
	if sub.IsZero() {
		sub = asked
	}
	return assignmentBody{
		Properties: assignmentProperties{
			RoleDefinitionID: definitionID(sub, a.RoleDefinitionID), PrincipalID: a.PrincipalID.String(),
			PrincipalType: string(a.PrincipalType), Scope: a.Scope, Condition: orNull(a.Condition),
			ConditionVersion: orNull(a.ConditionVersion), CreatedOn: stamp(a.CreatedOn), UpdatedOn: stamp(a.UpdatedOn),
			CreatedBy: orNull(a.CreatedBy), UpdatedBy: orNull(a.UpdatedBy), Description: orNull(a.Description),
		},
		ID: objectID(a.Scope, "roleAssignments", a.ID.String()), Type: "Microsoft.Authorization/roleAssignments", Name: a.ID.String(),
	}
}

// assignmentFilter is a parsed $filter of a list of assignments. The zero filter lets all through.
type assignmentFilter struct {
	// atScope leaves out what lies below the scope.
	atScope bool
	// principal is the only holder let through, or with throughGroups also every group that it is in.
	principal     ident.ObjectID
	throughGroups bool
}

// parseAssignmentFilter reads the filters that the real service takes: atScope(), principalId eq 'x', assignedTo('x'), and
// atScope() together with one of the others.
func parseAssignmentFilter(text string) (assignmentFilter, error) {
	var f assignmentFilter
	bad := fault.New(fault.Invalid, "UnsupportedFilter",
		"The filter '%s' is not supported. Supported filters are either 'atScope()' or 'principalId eq '{value}' or assignedTo('{value}')'.", text)
	if strings.TrimSpace(text) == "" {
		return f, nil
	}
	clauses, err := arm.ParseFilter(text)
	if err != nil {
		return f, bad
	}
	for _, c := range clauses {
		holder := c.Is("principalId", false) || c.Is("assignedTo", true) && c.Arg
		switch {
		case c.Is("atScope", true) && !c.Arg && !f.atScope:
			f.atScope = true
		case holder && f.principal.IsZero():
			id, err := ident.Parse[ident.ObjectID](c.Value)
			if err != nil || id.IsZero() {
				return assignmentFilter{}, bad
			}
			f.principal, f.throughGroups = id, c.Call
		default:
			return assignmentFilter{}, bad
		}
	}
	return f, nil
}

// String writes the filter as parseAssignmentFilter reads it.
func (f assignmentFilter) String() string {
	var clauses []arm.Clause
	if f.atScope {
		clauses = append(clauses, arm.Clause{Name: "atScope", Call: true})
	}
	switch {
	case f.principal.IsZero():
	case f.throughGroups:
		clauses = append(clauses, arm.Clause{Name: "assignedTo", Call: true, Arg: true, Value: f.principal.String()})
	default:
		clauses = append(clauses, arm.Clause{Name: "principalId", Value: f.principal.String()})
	}
	return arm.FormatFilter(clauses)
}

// listAssignments lists the assignments at the scope, above it and, without atScope(), below it.
func (h *Handler) listAssignments(_ http.ResponseWriter, r *arm.Request) error {
	scope, err := scopeOf(r)
	if err != nil {
		return err
	}
	text, _, err := r.Query("$filter")
	if err != nil {
		return err
	}
	f, err := parseAssignmentFilter(text)
	if err != nil {
		return err
	}
	holders := map[ident.ObjectID]bool{f.principal: true}
	if f.throughGroups {
		for _, g := range h.World.GroupsOf(f.principal) {
			holders[g] = true
		}
	}
	var all []rbac.Assignment
	err = h.DB.View(r.Context(), func(tx *store.Tx) (err error) {
		all, err = tx.Assignments(r.Caller.Tenant)
		return err
	})
	if err != nil {
		return err
	}
	out := list[assignmentBody]{Value: []assignmentBody{}}
	for _, a := range all {
		here := h.World.Covers(a.Tenant, a.Scope, scope) || !f.atScope && h.World.Covers(a.Tenant, scope, a.Scope)
		if here && (f.principal.IsZero() || holders[a.PrincipalID]) {
			out.Value = append(out.Value, answer(a, r.SubscriptionID()))
		}
	}
	return r.WriteJSON(http.StatusOK, out)
}

func assignmentMissing(name string) error {
	return fault.New(fault.NotFound, "RoleAssignmentNotFound", "The role assignment '%s' is not found.", name)
}

// findAssignment returns the assignment that a path names. One that hangs elsewhere than the path says is not there: the
// caller's right was checked at the path.
func findAssignment(tx *store.Tx, r *arm.Request, scope string) (rbac.Assignment, error) {
	id, err := ident.Parse[ident.RoleAssignmentID](r.Param("name"))
	if err != nil {
		return rbac.Assignment{}, assignmentMissing(r.Param("name"))
	}
	a, err := tx.Assignment(id)
	if store.IsNotFound(err) || err == nil && (a.Tenant != r.Caller.Tenant || !sameScope(a.Scope, scope)) {
		return a, assignmentMissing(r.Param("name"))
	}
	return a, err
}

func sameScope(a, b string) bool { return rbac.Covers(a, b) && rbac.Covers(b, a) }

func (h *Handler) getAssignment(_ http.ResponseWriter, r *arm.Request) error {
	scope, err := scopeOf(r)
	if err != nil {
		return err
	}
	var a rbac.Assignment
	err = h.DB.View(r.Context(), func(tx *store.Tx) (err error) {
		a, err = findAssignment(tx, r, scope)
		return err
	})
	if err != nil {
		return err
	}
	return r.WriteJSON(http.StatusOK, answer(a, r.SubscriptionID()))
}

// assignmentRequest is the body of PUT.
type assignmentRequest struct {
	Properties *struct {
		RoleDefinitionID string `json:"roleDefinitionId"`
		PrincipalID      string `json:"principalId"`
		PrincipalType    string `json:"principalType"`
		Description      string `json:"description"`
		Condition        string `json:"condition"`
		ConditionVersion string `json:"conditionVersion"`
	} `json:"properties"`
}

// maxDescription bounds a description in bytes.
const maxDescription = 2048

// parseAssignment reads the body of PUT into an assignment, without looking anything up.
func parseAssignment(r *arm.Request, scope string) (rbac.Assignment, error) {
	var a rbac.Assignment
	var body assignmentRequest
	if err := r.DecodeJSON(&body); err != nil {
		return a, err
	}
	p := body.Properties
	if p == nil {
		return a, fault.New(fault.Invalid, "InvalidRequestContent", "The request content was invalid: 'properties' is missing.").At("properties")
	}
	id, err := ident.Parse[ident.RoleAssignmentID](r.Param("name"))
	if err != nil || id.IsZero() {
		return a, fault.New(fault.Invalid, "InvalidRoleAssignmentId", "The role assignment ID '%s' is not valid. The role assignment ID must be a GUID.", r.Param("name"))
	}
	role, err := parseDefinitionID(p.RoleDefinitionID)
	if err != nil {
		return a, err
	}
	principal, err := ident.Parse[ident.ObjectID](p.PrincipalID)
	if err != nil || principal.IsZero() {
		return a, fault.New(fault.Invalid, "InvalidPrincipalId", "A valid principal ID must be provided for role assignment.")
	}
	if err := checkCondition(p.Condition, p.ConditionVersion); err != nil {
		return a, err
	}
	if len(p.Description) > maxDescription {
		return a, fault.New(fault.Invalid, "InvalidRoleAssignmentDescription", "The description is longer than %d bytes.", maxDescription).At("properties.description")
	}
	return rbac.Assignment{
		ID: id, Scope: scope, RoleDefinitionID: role, RoleDefinitionSubscription: r.SubscriptionID(), PrincipalID: principal,
		PrincipalType: rbac.PrincipalType(p.PrincipalType), Tenant: r.Caller.Tenant, Description: p.Description,
		Condition: p.Condition, ConditionVersion: p.ConditionVersion,
		CreatedOn: r.Now(), UpdatedOn: r.Now(), CreatedBy: r.Caller.Object.String(), UpdatedBy: r.Caller.Object.String(),
	}, nil
}

// checkCondition refuses a condition that would not be evaluated: one of another version, or that cannot be read.
func checkCondition(condition, version string) error {
	switch {
	case condition == "" && version == "":
		return nil
	case condition == "":
		return fault.New(fault.Invalid, "InvalidCondition", "A condition version is given without a condition.").At("properties.condition")
	case version != rbac.ConditionVersion:
		return fault.New(fault.Invalid, "InvalidConditionVersion", "The condition version '%s' is not supported. The supported version is '%s'.",
			version, rbac.ConditionVersion).At("properties.conditionVersion")
	}
	_, err := rbac.ParseCondition(condition)
	return err
}

// parseDefinitionID reads the id of a role definition: a full id at any scope. What stands before its last
// /providers/Microsoft.Authorization/roleDefinitions/ does not matter, because roles are known in the whole tenant.
func parseDefinitionID(s string) (ident.RoleDefinitionID, error) {
	bad := fault.New(fault.Invalid, "InvalidRoleDefinitionId", "The role definition ID '%s' is not valid.", s).At("properties.roleDefinitionId")
	const mark = "/providers/microsoft.authorization/roledefinitions/"
	i := strings.LastIndex(lowerASCII(s), mark)
	if i < 0 || len(s) > 2048 {
		return ident.RoleDefinitionID{}, bad
	}
	id, err := ident.Parse[ident.RoleDefinitionID](s[i+len(mark):])
	if err != nil {
		return id, bad
	}
	return id, nil
}

// lowerASCII lowers A to Z only, so that every byte keeps its place.
func lowerASCII(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

func (h *Handler) putAssignment(_ http.ResponseWriter, r *arm.Request) error {
	scope, err := scopeOf(r)
	if err != nil {
		return err
	}
	a, err := parseAssignment(r, scope)
	if err != nil {
		return err
	}
	_, err = h.DB.Update(r.Context(), func(tx *store.Tx) error {
		old, err := tx.Assignment(a.ID)
		if err := h.mayWrite(r, a, old); err != nil {
			return err
		}
		if err := h.there(tx, a.Tenant, scope); err != nil {
			return err
		}
		if err := h.checkAssignment(tx, &a); err != nil {
			return err
		}
		switch {
		case err == nil:
			if old.Tenant != a.Tenant || !sameScope(old.Scope, a.Scope) || old.PrincipalID != a.PrincipalID || old.RoleDefinitionID != a.RoleDefinitionID {
				return fault.New(fault.Invalid, "RoleAssignmentUpdateNotPermitted",
					"Tenant ID, application ID, principal ID, and scope are not allowed to be updated.")
			}
			// Of an assignment only the description and the condition change.
			old.Condition, old.ConditionVersion = a.Condition, a.ConditionVersion
			old.Description, old.UpdatedOn, old.UpdatedBy = a.Description, a.UpdatedOn, a.UpdatedBy
			a = old
		case !store.IsNotFound(err):
			return err
		}
		if err := tx.PutAssignment(a); err != nil {
			if store.IsExists(err) {
				return fault.New(fault.Conflict, "RoleAssignmentExists", "The role assignment already exists.")
			}
			return err
		}
		return note(tx, r, audit.RoleAssigned, a)
	})
	if err != nil {
		return err
	}
	body := answer(a, r.SubscriptionID())
	if a.CreatedOn.Equal(a.UpdatedOn) {
		body.Properties.CreatedBy = nil // as the real service's answer to a creation
	}
	// 201 for an update too: clients take nothing else.
	return r.WriteJSON(http.StatusCreated, body)
}

// mayWrite holds an assignment, and the one in whose place it comes, against the conditions under which the caller may assign
// roles. What the principal is, the directory says and not the caller.
func (h *Handler) mayWrite(r *arm.Request, a, old rbac.Assignment) error {
	kind, _ := h.principalType(a.PrincipalID, a.Tenant)
	d := rbac.Delegation{Request: rbac.AssignmentAttributes{Role: a.RoleDefinitionID, Principal: a.PrincipalID, Type: kind}}
	if old.Tenant == a.Tenant && sameScope(old.Scope, a.Scope) {
		d.Resource = attributesOf(old)
	}
	return r.RequireDelegated(writeAssignment, r.Scope, d)
}

func attributesOf(a rbac.Assignment) rbac.AssignmentAttributes {
	return rbac.AssignmentAttributes{Role: a.RoleDefinitionID, Principal: a.PrincipalID, Type: a.PrincipalType}
}

// note writes down what was done to an assignment, for the audit log and with all of it for the activity log.
func note(tx *store.Tx, r *arm.Request, event audit.Event, a rbac.Assignment) error {
	body, err := json.Marshal(answer(a, r.SubscriptionID()))
	if err != nil {
		return err
	}
	r.Show(body)
	return r.Audit(tx, event, objectID(a.Scope, "roleAssignments", a.ID.String()), assignmentDetail(a))
}

func assignmentDetail(a rbac.Assignment) map[string]string {
	return map[string]string{
		"principalId": a.PrincipalID.String(), "principalType": string(a.PrincipalType),
		"roleDefinitionId": a.RoleDefinitionID.String(), "scope": a.Scope,
	}
}

// checkAssignment holds an assignment against the roles and the directory, and fills in the principal's type.
func (h *Handler) checkAssignment(tx *store.Tx, a *rbac.Assignment) error {
	role, err := h.definition(tx, a.RoleDefinitionID)
	if store.IsNotFound(err) || err == nil && !h.assignable(role, a.Tenant, a.Scope) {
		return definitionMissing(a.RoleDefinitionID)
	}
	if err != nil {
		return err
	}
	kind, ok := h.principalType(a.PrincipalID, a.Tenant)
	if !ok {
		return fault.New(fault.Invalid, "PrincipalNotFound",
			"Principal %s does not exist in the directory %s. Check that you have the correct principal ID. If you are creating this principal "+
				"and then immediately assigning a role, this error might be related to a replication delay. In this case, set the role "+
				"assignment principalType property to a value, such as ServicePrincipal, User, or Group.  See https://aka.ms/docs-principaltype",
			a.PrincipalID.Compact(), a.Tenant)
	}
	if a.PrincipalType != "" && !strings.EqualFold(string(a.PrincipalType), string(kind)) {
		return fault.New(fault.Invalid, "UnmatchedPrincipalType",
			"The PrincipalId '%s' has type '%s' , which is different from specified PrinciaplType '%s'.", a.PrincipalID.Compact(), kind, a.PrincipalType)
	}
	a.PrincipalType = kind
	return nil
}

// definition returns a role as the transaction sees it: a custom one may have been deleted by a write in the same commit, of which
// the world does not know yet.
func (h *Handler) definition(tx *store.Tx, id ident.RoleDefinitionID) (rbac.RoleDefinition, error) {
	if role, ok := h.World.RoleDefinition(id); ok && role.Definition.Type == rbac.BuiltInRole {
		return role.Definition, nil
	}
	return tx.RoleDefinition(id)
}

// principalType says what a principal of a tenant is, if it is there.
func (h *Handler) principalType(id ident.ObjectID, tenant ident.TenantID) (rbac.PrincipalType, bool) {
	if p, ok := h.World.Principal(id); ok && p.Tenant == tenant {
		if p.Kind == world.User {
			return rbac.PrincipalUser, true
		}
		return rbac.PrincipalServicePrincipal, true
	}
	if g, ok := h.World.Group(id); ok && g.Tenant == tenant {
		return rbac.PrincipalGroup, true
	}
	return "", false
}

func (h *Handler) deleteAssignment(w http.ResponseWriter, r *arm.Request) error {
	scope, err := scopeOf(r)
	if err != nil {
		return err
	}
	var a rbac.Assignment
	found := true
	_, err = h.DB.Update(r.Context(), func(tx *store.Tx) (err error) {
		if a, err = findAssignment(tx, r, scope); err != nil {
			if fault.Is(err, fault.NotFound) {
				found = false
				return nil
			}
			return err
		}
		if err := r.RequireDelegated(deleteAssignment, r.Scope, rbac.Delegation{Resource: attributesOf(a)}); err != nil {
			return err
		}
		if err := h.keepAdmin(tx, a); err != nil {
			return err
		}
		if err := tx.DeleteAssignment(a.ID); err != nil {
			return err
		}
		return note(tx, r, audit.RoleUnassigned, a)
	})
	if err != nil {
		return err
	}
	if !found {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	a.UpdatedOn = r.Now()
	return r.WriteJSON(http.StatusOK, answer(a, r.SubscriptionID()))
}

// keepAdmin refuses to delete the last assignment by which somebody who can sign in may assign roles in the whole
// subscription: without it nobody could get back in.
func (h *Handler) keepAdmin(tx *store.Tx, gone rbac.Assignment) error {
	sub := gone.RoleDefinitionSubscription
	scope := "/subscriptions/" + sub.String()
	if sub.IsZero() || !sameScope(gone.Scope, scope) || !h.assignsRoles(gone) {
		return nil
	}
	all, err := tx.Assignments(gone.Tenant)
	if err != nil {
		return err
	}
	for _, a := range all {
		if a.ID != gone.ID && h.World.Covers(a.Tenant, a.Scope, scope) && h.assignsRoles(a) {
			return nil
		}
	}
	return fault.New(fault.Precondition, "CannotDeleteLastRbacAdminAssignment", "Cannot delete the last RBAC admin assignment")
}

// assignsRoles reports whether an assignment lets somebody who is there and not disabled assign roles.
func (h *Handler) assignsRoles(a rbac.Assignment) bool {
	role, ok := h.World.RoleDefinition(a.RoleDefinitionID)
	if !ok || a.Condition != "" || !role.Grants(writeAssignment, false) {
		return false
	}
	if a.PrincipalType == rbac.PrincipalGroup {
		_, ok := h.World.Group(a.PrincipalID)
		return ok
	}
	p, ok := h.World.Principal(a.PrincipalID)
	return ok && p.Enabled
}
