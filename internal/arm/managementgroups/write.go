package managementgroups

import (
	"net/http"
	"slices"
	"strings"

	"github.com/keyreeve/keyreeve/internal/arm"
	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/rbac"
	"github.com/keyreeve/keyreeve/internal/resource"
	"github.com/keyreeve/keyreeve/internal/store"
)

// ownerRole is the built-in role Owner.
const ownerRole = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"

// groupRequest is the body of PUT.
type groupRequest struct {
	Properties *struct {
		DisplayName *string `json:"displayName"`
		Details     *struct {
			Parent *struct {
				ID string `json:"id"`
			} `json:"parent"`
		} `json:"details"`
	} `json:"properties"`
}

// change is what a PUT or PATCH asks for; nil keeps what is, or takes the default.
type change struct{ displayName, parent *string }

// maxDisplayName bounds a display name in bytes.
const maxDisplayName = 256

func (c change) check() (change, error) {
	if c.displayName != nil && (len(*c.displayName) > maxDisplayName || strings.TrimSpace(*c.displayName) == "") {
		return c, fault.New(fault.Invalid, "BadRequest", "The display name must have between 1 and %d bytes.", maxDisplayName).At("properties.displayName")
	}
	if c.parent != nil {
		name, ok := resource.ParseManagementGroupID(*c.parent)
		if !ok {
			return c, fault.New(fault.Invalid, "BadRequest", "The parent must be the id of a management group.").At("properties.details.parent.id")
		}
		c.parent = &name
	}
	return c, nil
}

func (h *Handler) put(_ http.ResponseWriter, r *arm.Request) error {
	var body groupRequest
	if err := r.DecodeJSON(&body); err != nil {
		return err
	}
	var c change
	if p := body.Properties; p != nil {
		c.displayName = p.DisplayName
		if p.Details != nil && p.Details.Parent != nil && p.Details.Parent.ID != "" {
			c.parent = &p.Details.Parent.ID
		}
	}
	return h.write(r, c, true)
}

func (h *Handler) patch(_ http.ResponseWriter, r *arm.Request) error {
	var body struct {
		DisplayName   *string `json:"displayName"`
		ParentGroupID *string `json:"parentGroupId"`
	}
	if err := r.DecodeJSON(&body); err != nil {
		return err
	}
	if body.ParentGroupID != nil && *body.ParentGroupID == "" {
		body.ParentGroupID = nil
	}
	return h.write(r, change{displayName: body.DisplayName, parent: body.ParentGroupID}, false)
}

// write makes or changes a group, and answers it.
func (h *Handler) write(r *arm.Request, c change, create bool) error {
	name := r.Param("group")
	if !resource.ValidManagementGroupName(name) {
		return fault.New(fault.Invalid, "BadRequest", "The id of the management group is not valid.").At("groupId")
	}
	c, err := c.check()
	if err != nil {
		return err
	}
	var out groupBody
	_, err = h.DB.Update(r.Context(), func(tx *store.Tx) error {
		t, err := treeOf(tx, r.Caller.Tenant)
		if err != nil {
			return err
		}
		g, exists := t.group(name)
		switch {
		case exists:
			err = r.Require(write, g.ID())
		case create:
			g = resource.ManagementGroup{Tenant: r.Caller.Tenant, Name: name, DisplayName: name, CreatedAt: r.Now()}
			err = h.mayCreate(r, t, c)
		default:
			if err = r.Require(write, resource.ManagementGroupID(name)); err == nil {
				err = missing(name)
			}
		}
		if err != nil {
			return err
		}
		if err := h.place(r, t, &g, c, exists); err != nil {
			return err
		}
		if c.displayName != nil {
			g.DisplayName = *c.displayName
		}
		g.Version, g.UpdatedAt, g.UpdatedBy = g.Version+1, r.Now(), r.Caller.Object.String()
		if err := tx.PutManagementGroup(g); err != nil {
			return err
		}
		if !exists {
			if err := tx.PutAssignment(owner(r, g)); err != nil {
				return err
			}
		}
		t.groups[strings.ToLower(g.Name)] = g
		out = t.answer(g)
		return r.Audit(tx, audit.ManagementGroupWritten, g.ID(), map[string]string{"displayName": g.DisplayName, "parent": g.Parent})
	})
	if err != nil {
		return err
	}
	return r.WriteJSON(http.StatusOK, out)
}

// mayCreate lets through who may write at the group above; right below the root group, Global Administrators too: in a new
// tenant nobody has a role there.
func (h *Handler) mayCreate(r *arm.Request, t *tree, c change) error {
	up := t.root
	if c.parent != nil {
		up, _ = t.group(*c.parent)
		if up.Name == "" {
			up.Name = *c.parent
			return firstOf(r.Require(write, up.ID()), missing(up.Name))
		}
	}
	if up.IsRoot() && slices.Contains(r.Caller.Roles, directory.GlobalAdministrator()) {
		return nil
	}
	return r.Require(write, up.ID())
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// place puts a group below another, and keeps the tree one of bounded depth.
func (h *Handler) place(r *arm.Request, t *tree, g *resource.ManagementGroup, c change, exists bool) error {
	if c.parent == nil {
		return nil
	}
	up, ok := t.group(*c.parent)
	if !ok {
		return missing(*c.parent)
	}
	if g.IsRoot() {
		return fault.New(fault.Invalid, "BadRequest", "The root management group of the tenant cannot be moved.").At("properties.details.parent.id")
	}
	chain := append([]resource.ManagementGroup{up}, t.above(up)...)
	if slices.ContainsFunc(chain, func(a resource.ManagementGroup) bool { return strings.EqualFold(a.Name, g.Name) }) {
		return fault.New(fault.Invalid, "BadRequest", "A management group cannot be moved below itself.").At("properties.details.parent.id")
	}
	height := 1
	if exists {
		if old, _ := t.group(g.Parent); strings.EqualFold(old.Name, up.Name) {
			return nil
		}
		height = t.height(*g)
		// Moving changes who has access below: it needs the right to write at both ends, but for the root group, where nobody
		// has one in a new tenant, and the right to assign roles at the group.
		old, _ := t.group(g.Parent)
		for _, end := range []resource.ManagementGroup{up, old} {
			if !end.IsRoot() {
				if err := r.Require(write, end.ID()); err != nil {
					return err
				}
			}
		}
		if err := r.Require(assignRoles, g.ID()); err != nil {
			return err
		}
	}
	if len(chain)-1+height > resource.MaxManagementGroupDepth {
		return fault.New(fault.Invalid, "BadRequest", "Management groups may be nested at most %d levels deep.", resource.MaxManagementGroupDepth).At("properties.details.parent.id")
	}
	g.Parent = up.Name
	if up.IsRoot() {
		g.Parent = ""
	}
	return nil
}

// owner is the assignment by which whoever makes a group owns it.
func owner(r *arm.Request, g resource.ManagementGroup) rbac.Assignment {
	kind := rbac.PrincipalUser
	if r.Caller.Name == r.Caller.Object.String() {
		kind = rbac.PrincipalServicePrincipal
	}
	by := r.Caller.Object.String()
	return rbac.Assignment{
		ID: ident.New[ident.RoleAssignmentID](), Scope: g.ID(), RoleDefinitionID: ident.MustParse[ident.RoleDefinitionID](ownerRole),
		PrincipalID: r.Caller.Object, PrincipalType: kind, Tenant: g.Tenant, CreatedOn: r.Now(), UpdatedOn: r.Now(), CreatedBy: by, UpdatedBy: by,
	}
}

func (h *Handler) delete(w http.ResponseWriter, r *arm.Request) error {
	name := r.Param("group")
	id := resource.ManagementGroupID(name)
	if err := r.Require(remove, id); err != nil {
		return err
	}
	_, err := h.DB.Update(r.Context(), func(tx *store.Tx) error {
		t, err := treeOf(tx, r.Caller.Tenant)
		if err != nil {
			return err
		}
		g, ok := t.group(name)
		switch {
		case !ok:
			return nil
		case g.IsRoot():
			return fault.New(fault.Invalid, "BadRequest", "The root management group of the tenant cannot be deleted.")
		case len(t.below(g)) > 0 || len(t.in(g)) > 0:
			return fault.New(fault.Invalid, "BadRequest", "The management group '%s' has children and cannot be deleted.", g.Name)
		}
		if err := forget(tx, g); err != nil {
			return err
		}
		if err := tx.DeleteManagementGroup(g.Tenant, g.Name); err != nil {
			return err
		}
		return r.Audit(tx, audit.ManagementGroupDeleted, g.ID(), map[string]string{"displayName": g.DisplayName})
	})
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// forget removes the role and deny assignments at a group, which would count again in one of the same name. Names are unique only in a
// tenant.
func forget(tx *store.Tx, g resource.ManagementGroup) error {
	roles, err := tx.Assignments(g.Tenant)
	if err != nil {
		return err
	}
	for _, a := range roles {
		if rbac.Covers(g.ID(), a.Scope) {
			if err := tx.DeleteAssignment(a.ID); err != nil {
				return err
			}
		}
	}
	denials, err := tx.DenyAssignments(g.Tenant)
	if err != nil {
		return err
	}
	for _, d := range denials {
		if rbac.Covers(g.ID(), d.Scope) {
			if err := tx.DeleteDenyAssignment(d.ID); err != nil {
				return err
			}
		}
	}
	return nil
}
