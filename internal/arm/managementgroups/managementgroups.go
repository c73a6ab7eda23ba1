// Package managementgroups owns Microsoft.Management: the tree of management groups above the subscriptions of a tenant.
//
// The tenant's root group, whose name is the tenant's id, is there from the start. Who makes a group becomes its owner.
// What a role assigned at a group means below it is decided from the world; this package only writes the tree.
package managementgroups

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/keyreeve/keyreeve/internal/arm"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/resource"
	"github.com/keyreeve/keyreeve/internal/store"
	"github.com/keyreeve/keyreeve/internal/world"
)

// Handler serves the routes of this room.
type Handler struct {
	DB    *store.DB
	World *world.World
}

// The actions that callers need, at the group itself; for a new group, at the one above.
const (
	read               = "Microsoft.Management/managementGroups/read"
	write              = "Microsoft.Management/managementGroups/write"
	remove             = "Microsoft.Management/managementGroups/delete"
	readSubscription   = "Microsoft.Management/managementGroups/subscriptions/read"
	writeSubscription  = "Microsoft.Management/managementGroups/subscriptions/write"
	deleteSubscription = "Microsoft.Management/managementGroups/subscriptions/delete"
	assignRoles        = "Microsoft.Authorization/roleAssignments/write"
)

// Mount registers the routes.
func (h *Handler) Mount(f *arm.Face) {
	const (
		all   = "/providers/Microsoft.Management/managementGroups"
		group = all + "/{group}"
		sub   = group + "/subscriptions/{sub}"
	)
	for _, r := range []arm.Route{
		{Method: http.MethodGet, Pattern: all, Action: arm.Self, Handle: h.list},
		{Method: http.MethodGet, Pattern: group, Action: arm.Self, Handle: h.get},
		{Method: http.MethodPut, Pattern: group, Action: arm.Self, Handle: h.put},
		{Method: http.MethodPatch, Pattern: group, Action: arm.Self, Handle: h.patch},
		{Method: http.MethodDelete, Pattern: group, Action: arm.Self, Handle: h.delete},
		{Method: http.MethodGet, Pattern: group + "/descendants", Action: arm.Self, Handle: h.descendants},
		{Method: http.MethodGet, Pattern: group + "/subscriptions", Action: arm.Self, Handle: h.listSubscriptions},
		{Method: http.MethodGet, Pattern: sub, Action: arm.Self, Handle: h.getSubscription},
		{Method: http.MethodPut, Pattern: sub, Action: arm.Self, Handle: h.addSubscription},
		{Method: http.MethodDelete, Pattern: sub, Action: arm.Self, Handle: h.removeSubscription},
	} {
		f.Handle(r)
	}
}

type list[T any] struct {
	Value []T `json:"value"`
	// Count is what the real service's lists say besides.
	Count    int     `json:"@odata.count"`
	NextLink *string `json:"@nextLink,omitempty"`
}

type infoBody struct {
	ID         string         `json:"id"`
	Type       string         `json:"type"`
	Name       string         `json:"name"`
	Properties infoProperties `json:"properties"`
}

type infoProperties struct {
	TenantID    string `json:"tenantId"`
	DisplayName string `json:"displayName"`
}

type groupBody struct {
	ID         string          `json:"id"`
	Type       string          `json:"type"`
	Name       string          `json:"name"`
	Properties groupProperties `json:"properties"`
}

type groupProperties struct {
	TenantID    string  `json:"tenantId"`
	DisplayName string  `json:"displayName"`
	Details     details `json:"details"`
	// Children are written only when they are asked for ($expand=children).
	Children []child `json:"children,omitempty"`
}

type details struct {
	Version     int        `json:"version"`
	UpdatedTime *time.Time `json:"updatedTime"`
	UpdatedBy   *string    `json:"updatedBy"`
	Parent      *named     `json:"parent"`
	Path        []element  `json:"path,omitempty"`
}

type named struct {
	ID          string `json:"id"`
	Name        string `json:"name,omitempty"`
	DisplayName string `json:"displayName,omitempty"`
}

type element struct {
	Name        string `json:"name"`
	DisplayName string `json:"displayName"`
}

type child struct {
	Type        string  `json:"type"`
	ID          string  `json:"id"`
	Name        string  `json:"name"`
	DisplayName string  `json:"displayName"`
	Children    []child `json:"children,omitempty"`
}

// tree is the management groups and subscriptions of one tenant at one moment.
type tree struct {
	groups        map[string]resource.ManagementGroup // by lower-case name
	subscriptions []resource.Subscription
	root          resource.ManagementGroup
}

// treeOf reads a tenant's tree. It is small: a write may hold it against its rules as a whole.
func treeOf(tx *store.Tx, tenant ident.TenantID) (*tree, error) {
	root, err := tx.ManagementGroup(tenant, tenant.String())
	if err != nil {
		return nil, err
	}
	all, err := tx.ManagementGroups(tenant)
	if err != nil {
		return nil, err
	}
	t := &tree{root: root, groups: map[string]resource.ManagementGroup{strings.ToLower(root.Name): root}}
	for _, g := range all {
		t.groups[strings.ToLower(g.Name)] = g
	}
	t.subscriptions, err = tx.Subscriptions(tenant)
	return t, err
}

func (t *tree) group(name string) (resource.ManagementGroup, bool) {
	if name == "" {
		return t.root, true
	}
	g, ok := t.groups[strings.ToLower(name)]
	return g, ok
}

// above returns the groups above one, the nearest first.
func (t *tree) above(g resource.ManagementGroup) []resource.ManagementGroup {
	var out []resource.ManagementGroup
	for !g.IsRoot() && len(out) <= len(t.groups) {
		up, ok := t.group(g.Parent)
		if !ok {
			return out
		}
		out, g = append(out, up), up
	}
	return out
}

// below returns the groups directly below one, by name.
func (t *tree) below(g resource.ManagementGroup) []resource.ManagementGroup {
	var out []resource.ManagementGroup
	for _, c := range t.groups {
		if up, ok := t.group(c.Parent); ok && !c.IsRoot() && strings.EqualFold(up.Name, g.Name) {
			out = append(out, c)
		}
	}
	slices.SortFunc(out, func(a, b resource.ManagementGroup) int {
		return strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name))
	})
	return out
}

// in returns the subscriptions directly in a group.
func (t *tree) in(g resource.ManagementGroup) []resource.Subscription {
	var out []resource.Subscription
	for _, s := range t.subscriptions {
		if up, ok := t.group(s.ManagementGroup); ok && strings.EqualFold(up.Name, g.Name) {
			out = append(out, s)
		}
	}
	return out
}

// height is how many levels of groups there are from one downwards, itself among them.
func (t *tree) height(g resource.ManagementGroup) int {
	most := 0
	for _, c := range t.below(g) {
		most = max(most, t.height(c))
	}
	return 1 + most
}

func (t *tree) children(g resource.ManagementGroup, deep bool) []child {
	out := []child{}
	for _, c := range t.below(g) {
		n := child{Type: resource.ManagementGroupType, ID: c.ID(), Name: c.Name, DisplayName: c.DisplayName}
		if deep {
			n.Children = t.children(c, true)
		}
		out = append(out, n)
	}
	for _, s := range t.in(g) {
		out = append(out, child{Type: "/subscriptions", ID: "/subscriptions/" + s.ID.String(), Name: s.ID.String(), DisplayName: s.DisplayName})
	}
	return out
}

func (t *tree) answer(g resource.ManagementGroup) groupBody {
	b := groupBody{ID: g.ID(), Type: resource.ManagementGroupType, Name: g.Name, Properties: groupProperties{
		TenantID: g.Tenant.String(), DisplayName: g.DisplayName, Details: details{Version: g.Version},
	}}
	if !g.UpdatedAt.IsZero() {
		at := g.UpdatedAt.UTC()
		b.Properties.Details.UpdatedTime, b.Properties.Details.UpdatedBy = &at, &g.UpdatedBy
	}
	if up := t.above(g); len(up) > 0 {
		b.Properties.Details.Parent = &named{ID: up[0].ID(), Name: up[0].Name, DisplayName: up[0].DisplayName}
	}
	return b
}

func (h *Handler) view(r *arm.Request) (*tree, error) {
	var t *tree
	err := h.DB.View(r.Context(), func(tx *store.Tx) (err error) {
		t, err = treeOf(tx, r.Caller.Tenant)
		return err
	})
	return t, err
}

func missing(name string) error {
	return fault.New(fault.NotFound, "NotFound", "'%s' not found", resource.ManagementGroupID(name))
}

// find returns the group that the path names, if the caller may do an action there: one who may not learns nothing else.
func (h *Handler) find(r *arm.Request, action string) (*tree, resource.ManagementGroup, error) {
	name := r.Param("group")
	if err := r.Require(action, resource.ManagementGroupID(name)); err != nil {
		return nil, resource.ManagementGroup{}, err
	}
	t, err := h.view(r)
	if err != nil {
		return nil, resource.ManagementGroup{}, err
	}
	g, ok := t.group(name)
	if !ok {
		return nil, g, missing(name)
	}
	return t, g, nil
}

// list lists the groups that the caller may read.
func (h *Handler) list(_ http.ResponseWriter, r *arm.Request) error {
	out := list[infoBody]{Value: []infoBody{}}
	for _, g := range h.World.ManagementGroups(r.Caller.Tenant) {
		ok, err := r.Allowed(read, g.ID())
		if err != nil {
			return err
		}
		if ok {
			out.Value = append(out.Value, infoBody{
				ID: g.ID(), Type: resource.ManagementGroupType, Name: g.Name, Properties: infoProperties{TenantID: g.Tenant.String(), DisplayName: g.DisplayName},
			})
		}
	}
	out.Count = len(out.Value)
	return r.WriteJSON(http.StatusOK, out)
}

func (h *Handler) get(_ http.ResponseWriter, r *arm.Request) error {
	t, g, err := h.find(r, read)
	if err != nil {
		return err
	}
	expand, _, err := r.Query("$expand")
	if err != nil {
		return err
	}
	recurse, _, err := r.Query("$recurse")
	if err != nil {
		return err
	}
	b := t.answer(g)
	for word := range strings.SplitSeq(expand, ",") {
		switch strings.TrimSpace(word) {
		case "":
		case "children":
			b.Properties.Children = t.children(g, strings.EqualFold(recurse, "true"))
		case "path", "ancestors":
			for _, up := range slices.Backward(append([]resource.ManagementGroup{g}, t.above(g)...)) {
				b.Properties.Details.Path = append(b.Properties.Details.Path, element{Name: up.Name, DisplayName: up.DisplayName})
			}
		default:
			return fault.New(fault.Invalid, "BadRequest", "The value of '$expand' is not supported.").At("$expand")
		}
	}
	return r.WriteJSON(http.StatusOK, b)
}

type descendantBody struct {
	ID         string               `json:"id"`
	Type       string               `json:"type"`
	Name       string               `json:"name"`
	Properties descendantProperties `json:"properties"`
}

type descendantProperties struct {
	DisplayName string `json:"displayName"`
	Parent      named  `json:"parent"`
}

func (h *Handler) descendants(_ http.ResponseWriter, r *arm.Request) error {
	t, g, err := h.find(r, read)
	if err != nil {
		return err
	}
	out := list[descendantBody]{Value: []descendantBody{}}
	todo := []resource.ManagementGroup{g}
	for len(todo) > 0 {
		up := todo[0]
		todo = append(todo[1:], t.below(up)...)
		for _, c := range t.children(up, false) {
			out.Value = append(out.Value, descendantBody{
				ID: c.ID, Type: c.Type, Name: c.Name, Properties: descendantProperties{DisplayName: c.DisplayName, Parent: named{ID: up.ID()}},
			})
		}
	}
	out.Count = len(out.Value)
	return r.WriteJSON(http.StatusOK, out)
}
