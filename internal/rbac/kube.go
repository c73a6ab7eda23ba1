package rbac

import (
	"slices"
	"strings"

	"github.com/keyreeve/keyreeve/internal/ident"
)

// PolicyRule is a rule of a Kubernetes Role or ClusterRole (rbac.authorization.k8s.io/v1 PolicyRule).
type PolicyRule struct {
	Verbs, APIGroups, Resources, ResourceNames, NonResourceURLs []string
}

// KubeRole is a Role, or, without a namespace, a ClusterRole.
type KubeRole struct {
	Namespace, Name string
	Rules           []PolicyRule
	// AggregateTo says which of Kubernetes' roles a ClusterRole adds to, by its labels
	// rbac.authorization.k8s.io/aggregate-to-view and -edit.
	AggregateTo Aggregate
}

// The kinds of RoleRef.Kind.
const (
	KindRole        = "Role"
	KindClusterRole = "ClusterRole"
)

// RoleRef names the role of a binding.
type RoleRef struct {
	Kind, Name string
}

// The kinds of Subject.Kind.
const (
	KindUser           = "User"
	KindGroup          = "Group"
	KindServiceAccount = "ServiceAccount"
)

// Subject is who a binding is for. Namespace is of service accounts alone.
type Subject struct {
	Kind, Namespace, Name string
}

// Binding is a RoleBinding, or, without a namespace, a ClusterRoleBinding.
type Binding struct {
	Namespace, Name string
	RoleRef         RoleRef
	Subjects        []Subject
}

// KubeRequest is what is asked of a Kubernetes API server.
type KubeRequest struct {
	Verb string
	// NonResource is true for a request that names a Path, and none of the fields below it.
	NonResource bool
	Path        string

	APIGroup, Resource, Subresource, Name, Namespace string
}

// KubeUser is who asks: a user name and all groups, those of the directory by id and others by name.
type KubeUser struct {
	Name   string
	Groups []ident.ObjectID
	Named  []string
}

// KubeDecision is what Kubernetes RBAC says. Binding, Role and Subject say why it is allowed.
type KubeDecision struct {
	Allowed bool
	// Binding is shared and must not be changed.
	Binding *Binding
	// Subject of the binding through which the user holds it.
	Subject Subject
}

// Decide says whether some role bound to the user covers the request. The rules are those of Kubernetes
// (plugin/pkg/auth/authorizer/rbac): bindings of the cluster apply everywhere, those of a namespace to requests in it;
// a binding whose role is missing grants nothing.
func (c *ClusterRBAC) Decide(req KubeRequest, user KubeUser) KubeDecision {
	if b := c.allows(&req, c.names.get(nameKey{kind: userSubject, name: user.Name})); b != nil {
		return KubeDecision{Allowed: true, Binding: b, Subject: subjectOfUser(b, user.Name)}
	}
	for _, g := range user.Groups {
		if b := c.allows(&req, c.ids.get(g)); b != nil {
			return KubeDecision{Allowed: true, Binding: b, Subject: Subject{Kind: KindGroup, Name: g.String()}}
		}
	}
	for _, g := range user.Named {
		if b := c.allows(&req, c.group(g)); b != nil {
			return KubeDecision{Allowed: true, Binding: b, Subject: Subject{Kind: KindGroup, Name: g}}
		}
	}
	return KubeDecision{}
}

// subjectOfUser finds the subject of a binding that stands for a user name.
func subjectOfUser(b *Binding, name string) Subject {
	for _, s := range b.Subjects {
		if k, ok := userKey(s, b.Namespace); ok && k == name {
			return s
		}
	}
	return Subject{}
}

// allows returns the first binding of a subject whose role covers the request.
func (c *ClusterRBAC) allows(req *KubeRequest, s *subject) *Binding {
	if s == nil {
		return nil
	}
	if b := c.first(req, s.cluster); b != nil {
		return b
	}
	if req.NonResource || req.Namespace == "" {
		return nil
	}
	return c.first(req, s.namespaces[req.Namespace])
}

func (c *ClusterRBAC) first(req *KubeRequest, bindings []*Binding) *Binding {
	for _, b := range bindings {
		role := c.roleOf(b)
		if role == nil {
			continue
		}
		for i := range role.Rules {
			if role.Rules[i].covers(req) {
				return b
			}
		}
	}
	return nil
}

// roleOf returns the role that a binding names, or nil.
func (c *ClusterRBAC) roleOf(b *Binding) *KubeRole {
	switch b.RoleRef.Kind {
	case KindClusterRole:
		return c.roles.get(objectKey{name: b.RoleRef.Name})
	case KindRole:
		if b.Namespace != "" {
			return c.roles.get(objectKey{namespace: b.Namespace, name: b.RoleRef.Name})
		}
	}
	return nil
}

// covers reports whether the rule covers a request.
func (r *PolicyRule) covers(req *KubeRequest) bool {
	if !has(r.Verbs, req.Verb) {
		return false
	}
	if req.NonResource {
		return r.coversPath(req.Path)
	}
	return has(r.APIGroups, req.APIGroup) && r.coversResource(req.Resource, req.Subresource) && r.coversName(req.Name)
}

// has reports whether a list of verbs or API groups holds v or the star.
func has(list []string, v string) bool {
	for _, s := range list {
		if s == "*" || s == v {
			return true
		}
	}
	return false
}

// coversResource knows "*", "res", "res/sub" and "*/sub". A plain "res" does not cover its subresources, and "*/sub" no
// resource without one.
func (r *PolicyRule) coversResource(resource, sub string) bool {
	for _, s := range r.Resources {
		if s == "*" {
			return true
		}
		if sub == "" {
			if s == resource {
				return true
			}
			continue
		}
		before, ok := strings.CutSuffix(s, sub)
		if !ok {
			continue
		}
		if before == "*/" || (len(before) == len(resource)+1 && before[:len(resource)] == resource && before[len(resource)] == '/') {
			return true
		}
	}
	return false
}

// coversName holds for every name when the rule names none. A request without a name (a list, a create) is covered only
// by a rule that names none.
func (r *PolicyRule) coversName(name string) bool {
	return len(r.ResourceNames) == 0 || slices.Contains(r.ResourceNames, name)
}

// coversPath knows whole paths and paths that end with stars.
func (r *PolicyRule) coversPath(path string) bool {
	for _, s := range r.NonResourceURLs {
		if s == path || (strings.HasSuffix(s, "*") && strings.HasPrefix(path, strings.TrimRight(s, "*"))) {
			return true
		}
	}
	return false
}
