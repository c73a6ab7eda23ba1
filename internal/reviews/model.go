package reviews

import (
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
)

// Answer is the effect of a chain of authorizers on a request.
type Answer string

// The answers.
const (
	Allowed Answer = "allowed"
	Refused Answer = "refused"
	Unknown Answer = "unknown" // an error: it could not be decided
)

// view is a review as a model decides it. Corrections change it.
type view struct {
	c    *Corpus
	k    *Cluster
	rev  *Review
	user string
	// groups as they count for Kubernetes RBAC and, those that are ids, for Azure.
	groups []string
	oid    string // of whom Azure is asked about; empty for nobody
	// forced is an answer that comes before all rules.
	forced Answer
}

// Model answers a review by the published rules: Kubernetes' own roles, and on clusters that have it Azure's authorization,
// either of which may allow.
func (c *Corpus) Model(rev Review) Answer { return c.view(&rev).answer() }

func (c *Corpus) view(rev *Review) *view {
	v := &view{c: c, k: &c.Clusters[rev.Cluster], rev: rev, user: rev.Spec.User, groups: rev.Spec.Groups}
	if oid := rev.Spec.Extra["oid"]; len(oid) > 0 {
		v.oid = strings.Join(oid, " ")
	}
	return v
}

func (v *view) answer() Answer {
	if v.forced != "" {
		return v.forced
	}
	if v.kubernetes() {
		return Allowed
	}
	if v.k.AzureRBAC {
		return v.azure()
	}
	return Refused
}

// kubernetes decides by the cluster's own roles (k8s.io/kubernetes, plugin/pkg/auth/authorizer/rbac). The admin groups of a
// cluster are bound to cluster-admin, as AKS does by the binding aks-cluster-admin-binding-aad.
func (v *view) kubernetes() bool {
	for _, g := range v.k.AdminGroups {
		if slices.Contains(v.groups, g) && v.covered(v.clusterRole("cluster-admin")) {
			return true
		}
	}
	for _, b := range v.k.ClusterRoleBindings {
		if v.among(b.Subjects, "") && v.covered(v.clusterRole(b.RoleRef.Name)) {
			return true
		}
	}
	a := v.rev.Spec.ResourceAttributes
	if a == nil || a.Namespace == "" {
		return false
	}
	for _, b := range v.k.RoleBindings {
		if b.Namespace != a.Namespace || !v.among(b.Subjects, b.Namespace) {
			continue
		}
		rules := v.clusterRole(b.RoleRef.Name)
		if b.RoleRef.Kind == "Role" {
			rules = v.role(b.Namespace, b.RoleRef.Name)
		}
		if v.covered(rules) {
			return true
		}
	}
	return false
}

func (v *view) clusterRole(name string) []rbacv1.PolicyRule {
	for _, r := range v.k.ClusterRoles {
		if r.Name == name {
			return r.Rules
		}
	}
	return nil
}

func (v *view) role(namespace, name string) []rbacv1.PolicyRule {
	for _, r := range v.k.Roles {
		if r.Name == name && r.Namespace == namespace {
			return r.Rules
		}
	}
	return nil
}

func (v *view) among(subjects []rbacv1.Subject, namespace string) bool {
	for _, s := range subjects {
		switch s.Kind {
		case "User":
			if s.Name == v.user {
				return true
			}
		case "Group":
			if slices.Contains(v.groups, s.Name) {
				return true
			}
		case "ServiceAccount":
			if s.Namespace != "" {
				namespace = s.Namespace
			}
			if namespace != "" && v.user == "system:serviceaccount:"+namespace+":"+s.Name {
				return true
			}
		}
	}
	return false
}

func (v *view) covered(rules []rbacv1.PolicyRule) bool {
	return slices.ContainsFunc(rules, v.covers)
}

func (v *view) covers(r rbacv1.PolicyRule) bool {
	in := func(list []string, s string) bool { return slices.Contains(list, "*") || slices.Contains(list, s) }
	if n := v.rev.Spec.NonResourceAttributes; n != nil {
		return in(r.Verbs, n.Verb) && slices.ContainsFunc(r.NonResourceURLs, func(u string) bool {
			return u == "*" || u == n.Path || strings.HasSuffix(u, "*") && strings.HasPrefix(n.Path, strings.TrimRight(u, "*"))
		})
	}
	a := v.rev.Spec.ResourceAttributes
	whole := a.Resource
	if a.Subresource != "" {
		whole += "/" + a.Subresource
	}
	resource := slices.Contains(r.Resources, "*") || slices.Contains(r.Resources, whole) ||
		a.Subresource != "" && slices.Contains(r.Resources, "*/"+a.Subresource)
	return in(r.Verbs, a.Verb) && in(r.APIGroups, a.Group) && resource && (len(r.ResourceNames) == 0 || slices.Contains(r.ResourceNames, a.Name))
}
