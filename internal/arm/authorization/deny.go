package authorization

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/keyreeve/keyreeve/internal/arm"
	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/rbac"
	"github.com/keyreeve/keyreeve/internal/store"
)

// denyBody is a deny assignment as it is written.
type denyBody struct {
	Properties denyProperties `json:"properties"`
	ID         string         `json:"id"`
	Type       string         `json:"type"`
	Name       string         `json:"name"`
}

type denyProperties struct {
	DenyAssignmentName      string               `json:"denyAssignmentName"`
	Description             string               `json:"description"`
	Permissions             []rbac.Permission    `json:"permissions"`
	Scope                   string               `json:"scope"`
	DoNotApplyToChildScopes bool                 `json:"doNotApplyToChildScopes"`
	Principals              []rbac.DenyPrincipal `json:"principals"`
	ExcludePrincipals       []rbac.DenyPrincipal `json:"excludePrincipals"`
	IsSystemProtected       bool                 `json:"isSystemProtected"`
	Condition               *string              `json:"condition"`
	ConditionVersion        *string              `json:"conditionVersion"`
	CreatedOn               *string              `json:"createdOn"`
	UpdatedOn               *string              `json:"updatedOn"`
	CreatedBy               *string              `json:"createdBy"`
	UpdatedBy               *string              `json:"updatedBy"`
}

func denyAnswer(d rbac.DenyAssignment) denyBody {
	b := denyBody{
		Properties: denyProperties{
			DenyAssignmentName: d.Name, Description: d.Description, Permissions: []rbac.Permission{}, Scope: d.Scope,
			DoNotApplyToChildScopes: d.ExactScope, Principals: d.Principals, ExcludePrincipals: d.Excluded, IsSystemProtected: d.Protected,
			Condition: orNull(d.Condition), ConditionVersion: orNull(d.ConditionVersion), CreatedOn: stamp(d.CreatedOn), UpdatedOn: stamp(d.UpdatedOn),
			CreatedBy: orNull(d.CreatedBy), UpdatedBy: orNull(d.UpdatedBy),
		},
		ID: objectID(d.Scope, "denyAssignments", d.ID.String()), Type: "Microsoft.Authorization/denyAssignments", Name: d.ID.String(),
	}
	if b.Properties.ExcludePrincipals == nil {
		b.Properties.ExcludePrincipals = []rbac.DenyPrincipal{}
	}
	for _, p := range d.Permissions {
		b.Properties.Permissions = append(b.Properties.Permissions, whole(p))
	}
	return b
}

// denyFilter is a parsed $filter of a list of deny assignments. The zero filter lets all through.
type denyFilter struct {
	holders assignmentFilter
	name    string
}

// parseDenyFilter reads the filters of role assignments, and denyAssignmentName eq 'x' alone or with atScope().
func parseDenyFilter(text string) (denyFilter, error) {
	var f denyFilter
	bad := fault.New(fault.Invalid, "UnsupportedFilter", "The filter '%s' is not supported. Supported filters are 'atScope()', "+
		"'denyAssignmentName eq '{value}'', 'principalId eq '{value}'' and 'assignedTo('{value}')'.", text)
	if strings.TrimSpace(text) == "" {
		return f, nil
	}
	clauses, err := arm.ParseFilter(text)
	if err != nil {
		return f, bad
	}
	var rest []arm.Clause
	for _, c := range clauses {
		if !c.Is("denyAssignmentName", false) {
			rest = append(rest, c)
			continue
		}
		if f.name != "" || c.Value == "" {
			return denyFilter{}, bad
		}
		f.name = c.Value
	}
	if len(rest) == 0 {
		return f, nil
	}
	if f.holders, err = parseAssignmentFilter(arm.FormatFilter(rest)); err != nil || f.name != "" && !f.holders.principal.IsZero() {
		return denyFilter{}, bad
	}
	return f, nil
}

// listDeny lists the deny assignments at the scope, above it and, without atScope(), below it.
func (h *Handler) listDeny(_ http.ResponseWriter, r *arm.Request) error {
	scope, err := scopeOf(r)
	if err != nil {
		return err
	}
	text, _, err := r.Query("$filter")
	if err != nil {
		return err
	}
	f, err := parseDenyFilter(text)
	if err != nil {
		return err
	}
	holders := map[ident.ObjectID]bool{f.holders.principal: true}
	if f.holders.throughGroups {
		holders[ident.ObjectID{}] = true // everyone
		for _, g := range h.World.GroupsOf(f.holders.principal) {
			holders[g] = true
		}
	}
	var all []rbac.DenyAssignment
	err = h.DB.View(r.Context(), func(tx *store.Tx) (err error) {
		all, err = tx.DenyAssignments(r.Caller.Tenant)
		return err
	})
	if err != nil {
		return err
	}
	out := list[denyBody]{Value: []denyBody{}}
	for _, d := range all {
		here := h.World.Covers(d.Tenant, d.Scope, scope) || !f.holders.atScope && h.World.Covers(d.Tenant, scope, d.Scope)
		if here && (f.name == "" || strings.EqualFold(f.name, d.Name)) && (f.holders.principal.IsZero() || names(d.Principals, holders)) {
			out.Value = append(out.Value, denyAnswer(d))
		}
	}
	return r.WriteJSON(http.StatusOK, out)
}

func names(list []rbac.DenyPrincipal, holders map[ident.ObjectID]bool) bool {
	for _, p := range list {
		if holders[p.ID] {
			return true
		}
	}
	return false
}

func denyMissing(name string) error {
	return fault.New(fault.NotFound, "DenyAssignmentNotFound", "The deny assignment '%s' is not found.", name)
}

// findDeny returns the deny assignment that a path names, if it hangs where the path says.
func findDeny(tx *store.Tx, r *arm.Request, scope string) (rbac.DenyAssignment, error) {
	id, err := ident.Parse[ident.DenyAssignmentID](r.Param("name"))
	if err != nil {
		return rbac.DenyAssignment{}, denyMissing(r.Param("name"))
	}
	d, err := tx.DenyAssignment(id)
	if store.IsNotFound(err) || err == nil && (d.Tenant != r.Caller.Tenant || !sameScope(d.Scope, scope)) {
		return d, denyMissing(r.Param("name"))
	}
	return d, err
}

func (h *Handler) getDeny(_ http.ResponseWriter, r *arm.Request) error {
	scope, err := scopeOf(r)
	if err != nil {
		return err
	}
	var d rbac.DenyAssignment
	err = h.DB.View(r.Context(), func(tx *store.Tx) (err error) {
		d, err = findDeny(tx, r, scope)
		return err
	})
	if err != nil {
		return err
	}
	return r.WriteJSON(http.StatusOK, denyAnswer(d))
}

// denyRequest is the body of PUT.
type denyRequest struct {
	Properties *struct {
		DenyAssignmentName      string                 `json:"denyAssignmentName"`
		DenyAssignmentEffect    string                 `json:"denyAssignmentEffect"`
		Description             string                 `json:"description"`
		Permissions             []denyPermission       `json:"permissions"`
		DoNotApplyToChildScopes bool                   `json:"doNotApplyToChildScopes"`
		Principals              []denyPrincipalRequest `json:"principals"`
		ExcludePrincipals       []denyPrincipalRequest `json:"excludePrincipals"`
		IsSystemProtected       bool                   `json:"isSystemProtected"`
		Condition               string                 `json:"condition"`
		ConditionVersion        string                 `json:"conditionVersion"`
	} `json:"properties"`
}

type denyPermission struct {
	rbac.Permission
	Condition string `json:"condition"`
}

type denyPrincipalRequest struct {
	ID   string `json:"id"`
	Type string `json:"type"`
}

// Bounds of a deny assignment.
const (
	maxDenyName       = 512 // characters
	maxDenyPrincipals = 1000
)

func invalidDeny(field, format string, args ...any) error {
	return fault.New(fault.Invalid, "InvalidDenyAssignment", "The deny assignment is not valid: %s.", fmt.Sprintf(format, args...)).At("properties." + field)
}

// parseDeny reads the body of PUT, without looking anything up.
func parseDeny(r *arm.Request, scope string) (rbac.DenyAssignment, error) {
	var d rbac.DenyAssignment
	var body denyRequest
	if err := r.DecodeJSON(&body); err != nil {
		return d, err
	}
	p := body.Properties
	if p == nil {
		return d, fault.New(fault.Invalid, "InvalidRequestContent", "The request content was invalid: 'properties' is missing.").At("properties")
	}
	id, err := ident.Parse[ident.DenyAssignmentID](r.Param("name"))
	if err != nil || id.IsZero() {
		return d, fault.New(fault.Invalid, "InvalidDenyAssignmentId", "The deny assignment ID '%s' is not valid. It must be a GUID.", r.Param("name"))
	}
	switch {
	case strings.TrimSpace(p.DenyAssignmentName) == "" || len([]rune(p.DenyAssignmentName)) > maxDenyName:
		return d, invalidDeny("denyAssignmentName", "a name of at most %d characters is needed", maxDenyName)
	case len(p.Description) > maxDescription:
		return d, invalidDeny("description", "the description is longer than %d bytes", maxDescription)
	case p.IsSystemProtected:
		return d, invalidDeny("isSystemProtected", "only the platform protects a deny assignment")
	case p.DenyAssignmentEffect != "" && !strings.EqualFold(p.DenyAssignmentEffect, "enforced"):
		return d, invalidDeny("denyAssignmentEffect", "the effect '%s' is not offered; 'Enforced' is", p.DenyAssignmentEffect)
	case scope == "/":
		return d, fault.New(fault.Invalid, "InvalidScope", "A deny assignment cannot be made at the root; use a management group.")
	}
	d = rbac.DenyAssignment{
		ID: id, Tenant: r.Caller.Tenant, Name: p.DenyAssignmentName, Description: p.Description, Scope: scope, ExactScope: p.DoNotApplyToChildScopes,
		Condition: p.Condition, ConditionVersion: p.ConditionVersion,
		CreatedOn: r.Now(), UpdatedOn: r.Now(), CreatedBy: r.Caller.Object.String(), UpdatedBy: r.Caller.Object.String(),
	}
	if err := checkCondition(p.Condition, p.ConditionVersion); err != nil {
		return d, err
	}
	takes := 0
	for i, x := range p.Permissions {
		if x.Condition != "" {
			return d, invalidDeny(fmt.Sprintf("permissions[%d].condition", i), "a permission has no condition here; the deny assignment may have one")
		}
		takes += len(x.Actions) + len(x.DataActions)
		d.Permissions = append(d.Permissions, x.Permission)
	}
	if takes == 0 {
		return d, invalidDeny("permissions", "at least one action or data action is needed")
	}
	if _, err := rbac.NewDenial(d); err != nil {
		f := fault.As(err)
		return d, fault.New(fault.Invalid, "InvalidActionOrNotAction", "%s", f.Public).At("properties." + f.Target)
	}
	if d.Principals, err = denyPrincipals("principals", p.Principals, true); err != nil {
		return d, err
	}
	d.Excluded, err = denyPrincipals("excludePrincipals", p.ExcludePrincipals, false)
	return d, err
}

func denyPrincipals(field string, in []denyPrincipalRequest, everyone bool) ([]rbac.DenyPrincipal, error) {
	if len(in) > maxDenyPrincipals {
		return nil, invalidDeny(field, "more than %d principals", maxDenyPrincipals)
	}
	var out []rbac.DenyPrincipal
	for i, p := range in {
		id, err := ident.Parse[ident.ObjectID](p.ID)
		if err != nil || id.IsZero() && !everyone {
			return nil, invalidDeny(fmt.Sprintf("%s[%d].id", field, i), "'%s' is not the id of a principal", p.ID)
		}
		out = append(out, rbac.DenyPrincipal{ID: id, Type: rbac.PrincipalType(p.Type)})
	}
	return out, nil
}

// checkDeny holds a deny assignment against the directory, fills in what each principal is, and refuses one for everyone
// without exception.
func (h *Handler) checkDeny(d *rbac.DenyAssignment) error {
	if len(d.Principals) == 0 {
		return invalidDeny("principals", "at least one principal is needed")
	}
	for _, of := range []struct {
		field string
		list  []rbac.DenyPrincipal
	}{{"principals", d.Principals}, {"excludePrincipals", d.Excluded}} {
		for i := range of.list {
			p := &of.list[i]
			if p.ID.IsZero() {
				if len(d.Excluded) == 0 {
					return invalidDeny("excludePrincipals", "one for everyone must exclude at least one principal")
				}
				p.Type = rbac.PrincipalEveryone
				continue
			}
			kind, ok := h.principalType(p.ID, d.Tenant)
			if !ok {
				return fault.New(fault.Invalid, "PrincipalNotFound", "Principal %s does not exist in the directory %s.", p.ID.Compact(), d.Tenant).
					At(fmt.Sprintf("properties.%s[%d].id", of.field, i))
			}
			if p.Type != "" && !strings.EqualFold(string(p.Type), string(kind)) {
				return fault.New(fault.Invalid, "UnmatchedPrincipalType", "The PrincipalId '%s' has type '%s', which is different from specified PrincipalType '%s'.",
					p.ID.Compact(), kind, p.Type).At(fmt.Sprintf("properties.%s[%d].type", of.field, i))
			}
			p.Type = kind
		}
	}
	return nil
}

func (h *Handler) putDeny(_ http.ResponseWriter, r *arm.Request) error {
	scope, err := scopeOf(r)
	if err != nil {
		return err
	}
	d, err := parseDeny(r, scope)
	if err != nil {
		return err
	}
	status := http.StatusCreated
	_, err = h.DB.Update(r.Context(), func(tx *store.Tx) error {
		if err := h.there(tx, d.Tenant, scope); err != nil {
			return err
		}
		if err := h.checkDeny(&d); err != nil {
			return err
		}
		old, err := tx.DenyAssignment(d.ID)
		switch {
		case err == nil && (old.Tenant != d.Tenant || !sameScope(old.Scope, scope)):
			return fault.New(fault.Conflict, "DenyAssignmentExists", "The deny assignment ID '%s' is taken.", d.ID)
		case err == nil && old.Protected:
			return denyProtected(old.Name)
		case err == nil:
			d.CreatedOn, d.CreatedBy, status = old.CreatedOn, old.CreatedBy, http.StatusOK
		case !store.IsNotFound(err):
			return err
		}
		if err := tx.PutDenyAssignment(d); err != nil {
			if store.IsExists(err) {
				return fault.New(fault.Conflict, "DenyAssignmentNameExists", "A deny assignment named '%s' exists at the scope.", d.Name)
			}
			return err
		}
		return r.Audit(tx, audit.DenyAssigned, objectID(d.Scope, "denyAssignments", d.ID.String()), map[string]string{"name": d.Name, "scope": d.Scope})
	})
	if err != nil {
		return err
	}
	return r.WriteJSON(status, denyAnswer(d))
}

func denyProtected(name string) error {
	return fault.New(fault.Forbidden, "DenyAssignmentIsSystemProtected", "The deny assignment '%s' is system protected: it can be neither changed nor deleted.", name)
}

func (h *Handler) deleteDeny(w http.ResponseWriter, r *arm.Request) error {
	scope, err := scopeOf(r)
	if err != nil {
		return err
	}
	var d rbac.DenyAssignment
	found := true
	_, err = h.DB.Update(r.Context(), func(tx *store.Tx) (err error) {
		if d, err = findDeny(tx, r, scope); err != nil {
			if fault.Is(err, fault.NotFound) {
				found = false
				return nil
			}
			return err
		}
		if d.Protected {
			return denyProtected(d.Name)
		}
		if err := tx.DeleteDenyAssignment(d.ID); err != nil {
			return err
		}
		return r.Audit(tx, audit.DenyUnassigned, objectID(d.Scope, "denyAssignments", d.ID.String()), map[string]string{"name": d.Name, "scope": d.Scope})
	})
	if err != nil {
		return err
	}
	if !found {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	return r.WriteJSON(http.StatusOK, denyAnswer(d))
}
