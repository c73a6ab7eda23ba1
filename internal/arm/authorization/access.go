package authorization

import (
	"net/http"
	"slices"
	"strings"

	"github.com/keyreeve/keyreeve/internal/arm"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/managedcluster"
	"github.com/keyreeve/keyreeve/internal/rbac"
	"github.com/keyreeve/keyreeve/internal/world"
)

// Questions about access to a cluster: an extension of our own, answered by the engine that decides requests.
//
//	POST {cluster}/keyreeveExplain  may this principal do that, by which ways, and if not, what would let it
//	POST {cluster}/keyreeveWhoCan   who may do that, and by which ways
//	POST {cluster}/keyreeveAccess   all that a principal holds there, or how two principals differ
//
// They need Microsoft.Authorization/roleAssignments/read at the cluster; of oneself everybody who holds anything there may ask the
// first and the last.

func (h *Handler) mountAccess(f *arm.Face) {
	const cluster = "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ContainerService/managedClusters/{cluster}/"
	for name, handle := range map[string]arm.HandlerFunc{
		"keyreeveExplain": h.explain, "keyreeveWhoCan": h.whoCan, "keyreeveAccess": h.access,
	} {
		f.Handle(arm.Route{Method: http.MethodPost, Pattern: cluster + name, Action: arm.Self, Handle: handle})
	}
}

// question is the body of all three.
type question struct {
	// User is a user principal name, an object id, or an application's appId; empty for the caller.
	User string `json:"user"`
	// CompareWith is a second one, of keyreeveAccess, or CompareWithCluster the resource id of a second cluster.
	CompareWith        string `json:"compareWith"`
	CompareWithCluster string `json:"compareWithCluster"`

	Verb        string `json:"verb"`
	Group       string `json:"group"`
	Resource    string `json:"resource"`
	Subresource string `json:"subresource"`
	Name        string `json:"name"`
	Namespace   string `json:"namespace"`
	// Path is that of a non-resource request, in the place of the four before.
	Path string `json:"path"`
}

func (q *question) request() (rbac.KubeRequest, error) {
	bad := func(field, text string) error {
		return fault.New(fault.Invalid, "InvalidParameter", "%s", text).At(field)
	}
	switch {
	case q.Verb == "":
		return rbac.KubeRequest{}, bad("verb", "The verb is missing.")
	case (q.Resource == "") == (q.Path == ""):
		return rbac.KubeRequest{}, bad("resource", "Exactly one of resource and path must be given.")
	case q.Path != "" && (q.Group != "" || q.Subresource != "" || q.Name != "" || q.Namespace != ""):
		return rbac.KubeRequest{}, bad("path", "A path has no group, subresource, name or namespace.")
	case q.Path != "":
		return rbac.KubeRequest{Verb: q.Verb, NonResource: true, Path: q.Path}, nil
	}
	return rbac.KubeRequest{
		Verb: q.Verb, APIGroup: q.Group, Resource: q.Resource, Subresource: q.Subresource, Name: q.Name, Namespace: q.Namespace,
	}, nil
}

type principalBody struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	DisplayName string `json:"displayName,omitempty"`
	Type        string `json:"type"`
}

type groupBody struct {
	ID          string `json:"id"`
	DisplayName string `json:"displayName"`
}

// wayBody is one way in which a principal holds something.
type wayBody struct {
	// Kind is adminGroup, roleAssignment or kubernetesBinding.
	Kind string `json:"kind"`
	// Via are the groups from the one that the principal is directly in to the one that holds it; none when it holds it itself.
	Via          []groupBody `json:"via"`
	Role         string      `json:"role"`
	RoleID       string      `json:"roleDefinitionId,omitempty"`
	AssignmentID string      `json:"roleAssignmentId,omitempty"`
	Scope        string      `json:"scope,omitempty"`
	Condition    string      `json:"condition,omitempty"`
	Binding      string      `json:"binding,omitempty"`
	Subject      string      `json:"subject,omitempty"`
	// Namespace and Rules are of keyreeveAccess: where it counts (empty: everywhere) and what it gives.
	Namespace   *string           `json:"namespace,omitempty"`
	Permissions []rbac.Permission `json:"permissions,omitempty"`
	Rules       []ruleBody        `json:"rules,omitempty"`
}

type ruleBody struct {
	Verbs           []string `json:"verbs,omitempty"`
	APIGroups       []string `json:"apiGroups,omitempty"`
	Resources       []string `json:"resources,omitempty"`
	ResourceNames   []string `json:"resourceNames,omitempty"`
	NonResourceURLs []string `json:"nonResourceURLs,omitempty"`
}

type explainBody struct {
	Decision  string        `json:"decision"` // allow, deny or unknown
	Reason    string        `json:"reason,omitempty"`
	Principal principalBody `json:"principal"`
	Scope     string        `json:"scope,omitempty"`
	// Actions are the data actions asked for: the request's own, and others that grant it.
	Actions []string  `json:"actions"`
	Paths   []wayBody `json:"paths"`
	// DenyAssignment is the one that takes away what roles grant.
	DenyAssignment *denyBody `json:"denyAssignment,omitempty"`
	// WouldGrant are built-in roles that would allow it, assigned at the scope, the smallest first.
	WouldGrant []string `json:"wouldGrant"`
	// WouldGrantGroups are groups whose members may, for whoever may read role assignments; More says that there are others.
	WouldGrantGroups []groupBody `json:"wouldGrantGroups"`
	More             bool        `json:"moreGroups,omitempty"`
	Revision         int64       `json:"revision"`
}

// subject finds whom a question is about, and lets the caller ask it: about oneself always, about others with the right to read
// assignments.
func (h *Handler) subject(r *arm.Request, text string) (world.Principal, error) {
	self, ok := h.World.Principal(r.Caller.Object)
	if text == "" && ok {
		return self, nil
	}
	p, found := h.find(r.Caller.Tenant, text)
	if found && p.ID == r.Caller.Object {
		return p, nil
	}
	// Who may not ask does not learn who is there.
	if err := r.Require(readAssignment, r.Scope); err != nil {
		return p, err
	}
	if !found {
		return p, fault.New(fault.Invalid, "PrincipalNotFound", "There is no user or service principal '%s' in the directory %s.", text, r.Caller.Tenant).At("user")
	}
	return p, nil
}

func (h *Handler) find(tenant ident.TenantID, text string) (world.Principal, bool) {
	if id, err := ident.Parse[ident.ObjectID](text); err == nil {
		if p, ok := h.World.Principal(id); ok && p.Tenant == tenant {
			return p, true
		}
		if app, err := ident.Parse[ident.ClientID](text); err == nil {
			return h.World.ServicePrincipalOf(tenant, app)
		}
	}
	return h.World.UserByUPN(tenant, text)
}

// cluster finds the cluster of an id, with what access to it is decided from. Who may ask about oneself everywhere learns nothing of
// clusters by it: one where the caller may read neither the cluster nor its assignments, and holds nothing in it, is as one that is
// not there.
func (h *Handler) cluster(r *arm.Request, id string) (managedcluster.Cluster, rbac.ClusterRules, error) {
	c, found := h.World.ClusterByResource(id)
	found = found && c.Tenant == r.Caller.Tenant
	var rules rbac.ClusterRules
	if found {
		if rules = h.World.ClusterRules(&c, h.own(c.ID)); h.holds(r, &c, &rules) {
			return c, rules, nil
		}
	}
	for _, action := range []string{managedcluster.Type + "/read", readAssignment} {
		ok, err := r.Allowed(action, id)
		if ok && !found {
			err = notThere(id)
		}
		if ok || err != nil {
			return c, rules, err
		}
	}
	return c, rules, r.NotAuthorized(readAssignment, id)
}

// holds reports whether the caller holds anything in a cluster that not everybody does.
func (h *Handler) holds(r *arm.Request, c *managedcluster.Cluster, rules *rbac.ClusterRules) bool {
	p, ok := h.World.Principal(r.Caller.Object)
	return ok && enters(c, &p) && slices.ContainsFunc(h.World.Access(p.ID, p.Name, rules), func(x rbac.Holding) bool { return !x.Holder.IsZero() })
}

func notThere(id string) error {
	if p, err := ident.ParseResourceID(id); err == nil && strings.EqualFold(p.Type(), managedcluster.Type) {
		return arm.ResourceNotFound(managedcluster.Type, p.Name(), p.Group)
	}
	return fault.New(fault.NotFound, "ResourceNotFound", "The cluster '%s' was not found.", id)
}

func (h *Handler) explain(_ http.ResponseWriter, r *arm.Request) error {
	var q question
	if err := r.DecodeJSON(&q); err != nil {
		return err
	}
	p, err := h.subject(r, q.User)
	if err != nil {
		return err
	}
	c, rules, err := h.cluster(r, r.Scope)
	if err != nil {
		return err
	}
	req, err := q.request()
	if err != nil {
		return err
	}
	revision, _, err := h.World.Status()
	if err != nil {
		return fault.New(fault.Unavailable, "", "Access cannot be explained at the moment.").Because(err)
	}
	ask := rbac.ClusterAsk{Principal: p.ID, Name: p.Name, Request: req}
	d, ways := h.World.ExplainCluster(&ask, &rules)
	out := explainBody{
		Decision: d.Verdict.String(), Reason: d.Why, Principal: describe(&p), Actions: []string{}, Paths: []wayBody{}, WouldGrant: []string{}, WouldGrantGroups: []groupBody{},
		Revision: int64(revision),
	}
	switch {
	case !enters(&c, &p):
		out.Decision, out.Reason, ways = rbac.Deny.String(), "the cluster does not take people from this directory", nil
	case !p.Enabled:
		out.Decision, out.Reason, ways = rbac.Deny.String(), "the account is disabled", nil
	case d.Verdict == rbac.Unknown:
		out.Reason = "the cluster's own roles and bindings are not known"
	case d.Denial != nil && d.Verdict == rbac.Deny:
		out.Reason = "denied by deny assignment " + d.Denial.Assignment.Name
		by := denyAnswer(d.Denial.Assignment)
		out.DenyAssignment = &by
	}
	if scope, ok := rbac.KubeScope(c.ResourceID(), req); ok {
		out.Scope = scope
	}
	if a, ok := rbac.ActionsOf(req); ok {
		out.Actions = append(out.Actions, a.Own)
		if a.Implied {
			out.Actions = append(out.Actions, a.Parent)
		}
		if a.Custom != "" {
			out.Actions = append(out.Actions, a.Custom)
		}
	}
	for _, w := range ways {
		out.Paths = append(out.Paths, h.way(p.ID, w))
	}
	// No role helps who is not let in at all, or against a deny assignment.
	if d.Verdict != rbac.Allow && out.Scope != "" && enters(&c, &p) && p.Enabled && out.DenyAssignment == nil {
		out.WouldGrant = h.wouldGrant(r, req, &rules)
		if err := h.wouldGrantGroups(r, req, &rules, &out); err != nil {
			return err
		}
	}
	return r.WriteJSON(http.StatusOK, out)
}

// mostGroups bounds the groups that an explanation names.
const mostGroups = 20

// wouldGrantGroups names the groups whose members may do what is asked, if the caller may know.
func (h *Handler) wouldGrantGroups(r *arm.Request, req rbac.KubeRequest, rules *rbac.ClusterRules, out *explainBody) error {
	ok, err := r.Allowed(readAssignment, r.Scope)
	if err != nil || !ok {
		return err
	}
	for ids := range slices.Chunk(h.World.Groups(r.Caller.Tenant), batch) {
		if err := r.Context().Err(); err != nil {
			return err
		}
		for _, id := range h.World.GroupsThatCan(req, rules, ids) {
			if g, ok := h.World.Group(id); ok {
				out.WouldGrantGroups = append(out.WouldGrantGroups, groupBody{ID: id.String(), DisplayName: g.DisplayName})
			}
		}
	}
	slices.SortFunc(out.WouldGrantGroups, func(a, b groupBody) int { return strings.Compare(a.DisplayName+a.ID, b.DisplayName+b.ID) })
	if len(out.WouldGrantGroups) > mostGroups {
		out.WouldGrantGroups, out.More = out.WouldGrantGroups[:mostGroups], true
	}
	return nil
}

// wouldGrant names the built-in roles for Kubernetes that would allow a request.
func (h *Handler) wouldGrant(r *arm.Request, req rbac.KubeRequest, rules *rbac.ClusterRules) []string {
	var roles []*rbac.Role
	for _, d := range h.World.RoleDefinitions(r.Caller.Tenant) {
		if role, ok := h.World.RoleDefinition(d.ID); ok && d.Type == rbac.BuiltInRole && strings.HasPrefix(d.Name, "Azure Kubernetes Service RBAC ") {
			roles = append(roles, role)
		}
	}
	out := []string{}
	for _, role := range rbac.WouldGrant(req, rules, roles) {
		out = append(out, role.Definition.Name)
	}
	order := func(name string) int { // each of the four holds what the one before it holds
		return slices.Index([]string{"Reader", "Writer", "Admin", "Cluster Admin"}, strings.TrimPrefix(name, "Azure Kubernetes Service RBAC "))
	}
	slices.SortStableFunc(out, func(a, b string) int { return order(a) - order(b) })
	return out
}

// enters reports whether a cluster takes people from a principal's directory at all.
func enters(c *managedcluster.Cluster, p *world.Principal) bool {
	if c.AAD == nil {
		return false
	}
	if c.AAD.Tenant.IsZero() {
		return c.Tenant == p.Tenant
	}
	return c.AAD.Tenant == p.Tenant
}

type whoBody struct {
	Principals []whoEntry `json:"principals"`
	// Complete is false when the cluster's own roles and bindings are not known: there may be others.
	Complete bool  `json:"complete"`
	Revision int64 `json:"revision"`
}

type whoEntry struct {
	principalBody
	Paths []wayBody `json:"paths"`
}

// batch is how many principals are asked about under one lock of the world, so that changes need not wait.
const batch = 1000

func (h *Handler) whoCan(_ http.ResponseWriter, r *arm.Request) error {
	if err := r.Require(readAssignment, r.Scope); err != nil {
		return err
	}
	var q question
	if err := r.DecodeJSON(&q); err != nil {
		return err
	}
	c, rules, err := h.cluster(r, r.Scope)
	if err != nil {
		return err
	}
	req, err := q.request()
	if err != nil {
		return err
	}
	revision, _, err := h.World.Status()
	if err != nil {
		return fault.New(fault.Unavailable, "", "Who can is not known at the moment.").Because(err)
	}
	out := whoBody{Principals: []whoEntry{}, Complete: true, Revision: int64(revision)}
	for ids := range slices.Chunk(h.World.Principals(r.Caller.Tenant), batch) {
		if err := r.Context().Err(); err != nil {
			return err
		}
		who, unknown := h.World.WhoCan(req, &rules, ids)
		out.Complete = out.Complete && !unknown
		for _, w := range who {
			p, ok := h.World.Principal(w.Principal)
			if !ok || !enters(&c, &p) {
				continue
			}
			e := whoEntry{principalBody: describe(&p), Paths: []wayBody{}}
			for _, x := range w.Ways {
				e.Paths = append(e.Paths, h.way(p.ID, x))
			}
			out.Principals = append(out.Principals, e)
		}
	}
	slices.SortFunc(out.Principals, func(a, b whoEntry) int { return strings.Compare(a.Name, b.Name) })
	return r.WriteJSON(http.StatusOK, out)
}

type accessBody struct {
	Principal principalBody `json:"principal"`
	Enabled   bool          `json:"enabled"`
	Access    []wayBody     `json:"access"`
	// Denied are the deny assignments that take something away from it again.
	Denied []denyBody `json:"denied"`
	// Only and OnlyOther are set when two are compared: what only the first, and only the other holds, there.
	Other        *principalBody `json:"other,omitempty"`
	OtherCluster string         `json:"otherCluster,omitempty"`
	Only         []wayBody      `json:"only,omitempty"`
	OnlyOther    []wayBody      `json:"onlyOther,omitempty"`
	Complete     bool           `json:"complete"`
	Revision     int64          `json:"revision"`
}

func (h *Handler) access(_ http.ResponseWriter, r *arm.Request) error {
	var q question
	if err := r.DecodeJSON(&q); err != nil {
		return err
	}
	p, err := h.subject(r, q.User)
	if err != nil {
		return err
	}
	var other world.Principal
	if q.CompareWith != "" {
		if other, err = h.subject(r, q.CompareWith); err != nil {
			return err
		}
	}
	c, rules, err := h.cluster(r, r.Scope)
	if err != nil {
		return err
	}
	revision, _, err := h.World.Status()
	if err != nil {
		return fault.New(fault.Unavailable, "", "Access is not known at the moment.").Because(err)
	}
	holds := func(p *world.Principal, c *managedcluster.Cluster, rules *rbac.ClusterRules) []rbac.Holding {
		if !enters(c, p) {
			return nil
		}
		return h.World.Access(p.ID, p.Name, rules)
	}
	mine := holds(&p, &c, &rules)
	out := accessBody{Principal: describe(&p), Enabled: p.Enabled, Access: h.holdings(p.ID, mine), Denied: []denyBody{}, Complete: rules.Own != nil, Revision: int64(revision)}
	if enters(&c, &p) {
		for _, d := range h.World.DenialsAbout(p.ID, &rules) {
			out.Denied = append(out.Denied, denyAnswer(d.Assignment))
		}
	}
	if q.CompareWith == "" && q.CompareWithCluster == "" {
		return r.WriteJSON(http.StatusOK, out)
	}
	if q.CompareWith == "" {
		other = p
	}
	there, thereRules := c, rules
	if q.CompareWithCluster != "" {
		if there, thereRules, err = h.second(r, q.CompareWithCluster, p.ID == r.Caller.Object && other.ID == p.ID); err != nil {
			return err
		}
	}
	first, second := rbac.AccessDiff(mine, holds(&other, &there, &thereRules))
	d := describe(&other)
	out.Other, out.OtherCluster, out.Complete = &d, there.ResourceID(), out.Complete && thereRules.Own != nil
	out.Only, out.OnlyOther = h.holdings(p.ID, first), h.holdings(other.ID, second)
	return r.WriteJSON(http.StatusOK, out)
}

// second is the other cluster of a comparison. Who asks needs the same right there.
func (h *Handler) second(r *arm.Request, id string, oneself bool) (managedcluster.Cluster, rbac.ClusterRules, error) {
	id = strings.TrimSuffix(id, "/")
	if !oneself {
		if err := r.Require(readAssignment, id); err != nil {
			return managedcluster.Cluster{}, rbac.ClusterRules{}, err
		}
	}
	return h.cluster(r, id)
}

func (h *Handler) own(id ident.ClusterID) *rbac.ClusterRBAC {
	if h.Own == nil {
		return nil
	}
	return h.Own(id)
}

func (h *Handler) holdings(p ident.ObjectID, list []rbac.Holding) []wayBody {
	out := []wayBody{}
	for _, x := range list {
		b := h.way(p, x.Way)
		b.Namespace = &x.Namespace
		if x.Kind == rbac.ByRole {
			for _, perm := range x.Grant.Role.Definition.Permissions {
				b.Permissions = append(b.Permissions, rbac.Permission{DataActions: orEmpty(perm.DataActions), NotDataActions: orEmpty(perm.NotDataActions)})
			}
		}
		if x.Role != nil {
			for _, rule := range x.Role.Rules {
				b.Rules = append(b.Rules, ruleBody(rule))
			}
		}
		out = append(out, b)
	}
	return out
}

func describe(p *world.Principal) principalBody {
	kind := rbac.PrincipalUser
	if p.Kind == world.ServicePrincipal {
		kind = rbac.PrincipalServicePrincipal
	}
	return principalBody{ID: p.ID.String(), Name: p.Name, DisplayName: p.DisplayName, Type: string(kind)}
}

// way writes one way, with the groups through which it is held.
func (h *Handler) way(p ident.ObjectID, w rbac.Way) wayBody {
	b := wayBody{Via: []groupBody{}}
	if w.Holder != p && !w.Holder.IsZero() {
		for _, id := range h.World.MembershipPath(p, w.Holder) {
			g, _ := h.World.Group(id)
			b.Via = append(b.Via, groupBody{ID: id.String(), DisplayName: g.DisplayName})
		}
	}
	switch w.Kind {
	case rbac.ByAdminGroup:
		b.Kind, b.Role = "adminGroup", "cluster-admin"
	case rbac.ByRole:
		a := &w.Grant.Assignment
		b.Kind, b.Role, b.Scope, b.Condition = "roleAssignment", w.Grant.Role.Definition.Name, a.Scope, a.Condition
		b.AssignmentID, b.RoleID = objectID(a.Scope, "roleAssignments", a.ID.String()), a.RoleDefinitionID.String()
	case rbac.ByBinding:
		b.Kind, b.Role = "kubernetesBinding", w.Binding.RoleRef.Kind+"/"+w.Binding.RoleRef.Name
		b.Binding, b.Subject = "ClusterRoleBinding/"+w.Binding.Name, w.Subject.Kind+"/"+w.Subject.Name
		if w.Binding.Namespace != "" {
			b.Binding = "RoleBinding/" + w.Binding.Namespace + "/" + w.Binding.Name
		}
	}
	return b
}
