package reviews

import (
	"path"
	"slices"
	"strings"

	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/rbac"
)

// clusterType begins every data action of Kubernetes in Azure.
const clusterType = "Microsoft.ContainerService/managedClusters"

// azure decides as guard does by the published mapping, with Azure's own rules behind it. What guard has no opinion on is
// refused here: Kubernetes' own roles were asked before.
func (v *view) azure() Answer {
	s := v.rev.Spec
	if strings.HasPrefix(strings.ToLower(s.User), "system:") || v.oid == "" {
		return Refused // no opinion
	}
	if n := s.NonResourceAttributes; n != nil && strings.EqualFold(n.Verb, "get") {
		for _, p := range []string{"/api", "/openapi", "/version", "/healthz"} {
			if strings.HasPrefix(strings.ToLower(n.Path), p) {
				return Allowed
			}
		}
	}
	if !ident.IsGUID(v.oid) {
		return Unknown
	}
	action, ok := v.action()
	if !ok {
		return Unknown // guard without discovery does not answer what asks for everything
	}
	if v.access(action, v.scope()) {
		return Allowed
	}
	return Refused
}

// action is the data action that a review is mapped to: verbs in four words, sub-resources only of pods/exec.
func (v *view) action() (string, bool) {
	suffix := func(verb string) string {
		switch verb {
		case "get", "list", "watch":
			return "read"
		case "create", "update", "patch":
			return "write"
		case "delete", "deletecollection":
			return "delete"
		case "bind", "escalate", "use", "impersonate":
			return verb + "/action"
		case "*":
			return "*"
		}
		return ""
	}
	if n := v.rev.Spec.NonResourceAttributes; n != nil {
		return path.Join(clusterType, n.Path, suffix(n.Verb)), true
	}
	a := v.rev.Spec.ResourceAttributes
	switch {
	case a.Verb == "*" || a.Group == "*" || a.Resource == "*":
		return "", false
	case a.Resource == "pods" && a.Subresource == "exec":
		return path.Join(clusterType, a.Group, "pods/exec/action"), true
	}
	return path.Join(clusterType, a.Group, a.Resource, suffix(a.Verb)), true
}

// scope is what Azure is asked about: the cluster, or a namespace of it.
func (v *view) scope() string {
	if a := v.rev.Spec.ResourceAttributes; a != nil && a.Namespace != "" {
		return path.Join(v.k.ResourceID, "namespaces", a.Namespace)
	}
	return v.k.ResourceID
}

// access is Azure's decision procedure: an assignment counts when its scope is the resource's or above it, its holder is the
// subject or one of its groups, and its role has the data action and does not take it away again.
func (v *view) access(action, scope string) bool {
	for _, a := range v.c.Assignments {
		if a.Principal != v.oid && !slices.Contains(v.groups, a.Principal) {
			continue
		}
		if v.c.above(a.Scope, scope) && v.c.hasDataAction(a.Role, action) {
			return true
		}
	}
	return false
}

// above reports whether a scope is another's, or above it: "/", the management groups, then segment by segment.
func (c *Corpus) above(assigned, scope string) bool {
	subscription := "/subscriptions/" + c.Subscription
	if name, ok := strings.CutPrefix(assigned, "/providers/Microsoft.Management/managementGroups/"); ok {
		return (name == c.Management || name == c.Above) && c.above(subscription, scope)
	}
	up, at := strings.Split(strings.ToLower(strings.Trim(assigned, "/")), "/"), strings.Split(strings.ToLower(strings.Trim(scope, "/")), "/")
	if assigned == "/" {
		return true
	}
	return len(up) <= len(at) && slices.Equal(up, at[:len(up)])
}

// hasDataAction reports whether a built-in role has a data action.
func (c *Corpus) hasDataAction(role, action string) bool {
	for _, p := range c.roles[role] {
		match := func(pattern string) bool { return like(strings.ToLower(pattern), strings.ToLower(action)) }
		if slices.ContainsFunc(p.DataActions, match) && !slices.ContainsFunc(p.NotDataActions, match) {
			return true
		}
	}
	return false
}

// published reads the definitions of the built-in roles, as data.
func published() (map[string][]rbac.Permission, error) {
	all, err := rbac.BuiltinRoles()
	out := map[string][]rbac.Permission{}
	for _, r := range all {
		out[r.ID.String()] = r.Permissions
	}
	return out, err
}

// like matches a pattern in which '*' is any run of characters.
func like(pattern, s string) bool {
	head, rest, star := strings.Cut(pattern, "*")
	if !star {
		return pattern == s
	}
	if !strings.HasPrefix(s, head) {
		return false
	}
	s = s[len(head):]
	for i := 0; i <= len(s); i++ {
		if like(rest, s[i:]) {
			return true
		}
	}
	return false
}
