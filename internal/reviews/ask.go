package reviews

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	authzv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
)

// Review is one question to the authorizer of a cluster.
type Review struct {
	Number  int
	Cluster int // index into Corpus.Clusters
	Spec    authzv1.SubjectAccessReviewSpec
}

// Review makes the n-th review.
func (c *Corpus) Review(n int) Review {
	r := source(c.Seed, "review", n)
	rev := Review{Number: n, Cluster: r.IntN(len(c.Clusters))}
	c.asker(r, &rev.Spec)
	c.target(r, &rev.Spec)
	if chance(r, 35) {
		c.meet(r, &c.Clusters[rev.Cluster], &rev.Spec)
	}
	return rev
}

// meet turns a review towards a rule of some binding of the cluster, and mostly towards somebody whom the binding is for, so
// that enough is allowed, or only just not.
func (c *Corpus) meet(r *rand.Rand, k *Cluster, s *authzv1.SubjectAccessReviewSpec) {
	var rules []rbacv1.PolicyRule
	var subjects []rbacv1.Subject
	namespace := ""
	if len(k.RoleBindings) > 0 && chance(r, 60) {
		b := pick(r, k.RoleBindings)
		v := view{k: k}
		subjects, namespace, rules = b.Subjects, b.Namespace, v.clusterRole(b.RoleRef.Name)
		if b.RoleRef.Kind == "Role" {
			rules = v.role(b.Namespace, b.RoleRef.Name)
		}
	} else {
		b := pick(r, k.ClusterRoleBindings)
		subjects, rules = b.Subjects, (&view{k: k}).clusterRole(b.RoleRef.Name)
	}
	if len(rules) == 0 {
		return
	}
	rule := pick(r, rules)
	if a := s.ResourceAttributes; a != nil && len(rule.Resources) > 0 {
		if resource := pick(r, rule.Resources); resource != "*" && !strings.HasPrefix(resource, "*/") {
			a.Resource, a.Subresource, _ = strings.Cut(resource, "/")
		}
		if group := pick(r, rule.APIGroups); group != "*" {
			a.Group = group
		}
		if verb := pick(r, rule.Verbs); verb != "*" {
			a.Verb = verb
		}
		if len(rule.ResourceNames) > 0 && chance(r, 70) {
			a.Name = pick(r, rule.ResourceNames)
		}
		if namespace != "" && chance(r, 85) {
			a.Namespace = namespace
		}
	}
	if chance(r, 20) {
		return
	}
	subject := pick(r, subjects)
	for _, p := range c.People {
		in := subject.Kind == "User" && subject.Name == p.Name
		if !in && subject.Kind == "Group" && chance(r, 30) {
			in = slices.Contains(c.groupsOf(p.ID), subject.Name)
		}
		if in {
			s.User, s.UID, s.Groups = p.Name, "", append(c.groupsOf(p.ID), "system:authenticated")
			s.Extra = map[string]authzv1.ExtraValue{"oid": {p.ID}}
			switch r.IntN(20) {
			case 0:
				s.Groups = []string{"system:authenticated"}
			case 1:
				s.User = strings.ToLower(s.User)
			case 2:
				s.User = p.ID
			}
			return
		}
	}
}

// asker says who asks: mostly somebody of the directory as a token review would have it, with live groups; now and then
// somebody impersonated, forged, stale or strange.
func (c *Corpus) asker(r *rand.Rand, s *authzv1.SubjectAccessReviewSpec) {
	const authenticated = "system:authenticated"
	switch n := r.IntN(100); {
	case n < 3:
		s.User = pick(r, []string{"system:kube-scheduler", "system:serviceaccount:dev:robot", "system:node:a", "SYSTEM:x"})
		s.Groups = []string{authenticated}
		return
	case n < 5:
		s.User, s.Groups = pick(r, []string{"root@elsewhere.example", "nobody@" + domain, "admin", ""}), []string{authenticated, "operators"}
		return
	case n < 6:
		s.User, s.Groups = "break-glass", []string{"keyreeve:cluster-admins", authenticated}
		s.Extra = map[string]authzv1.ExtraValue{"authentication.kubernetes.io/credential-id": {"X509SHA256=" + strings.Repeat("ab", 32)}}
		return
	}
	p := pick(r, c.People)
	s.User = p.Name
	s.Groups = append(c.groupsOf(p.ID), authenticated)
	s.Extra = map[string]authzv1.ExtraValue{"oid": {p.ID}}
	switch n := r.IntN(100); {
	case n < 5: // impersonated by name
		s.Extra, s.Groups = nil, []string{authenticated}
	case n < 9: // forged groups
		s.Groups = append(s.Groups, pick(r, c.Groups).ID, "system:masters")
	case n < 13: // stale groups: one that was left, none that was joined
		s.Groups = []string{pick(r, c.Groups).ID, authenticated}
	case n < 15: // another's object id
		s.Extra["oid"] = authzv1.ExtraValue{pick(r, c.People).ID}
	case n < 16:
		s.Extra["oid"] = authzv1.ExtraValue{c.id("ghost", n)}
	case n < 17:
		s.Extra["oid"] = append(s.Extra["oid"], pick(r, c.People).ID)
	case n < 18:
		s.Extra["oid"] = authzv1.ExtraValue{"not an id"}
	case n < 20:
		s.User = strings.ToLower(s.User)
	case n < 21:
		s.User = p.ID
	case n < 22:
		s.UID = pick(r, []string{p.ID, c.id("ghost", 0)})
	}
}

// target says what is asked for.
func (c *Corpus) target(r *rand.Rand, s *authzv1.SubjectAccessReviewSpec) {
	if chance(r, 10) {
		s.NonResourceAttributes = &authzv1.NonResourceAttributes{
			Verb: pick(r, []string{"get", "get", "post", "*"}),
			Path: pick(r, []string{"/api", "/apis/apps/v1", "/healthz", "/healthz/etcd", "/metrics", "/version", "/openapi/v2", "/", "/logs/x", "/api/../metrics"}),
		}
		return
	}
	at := pick(r, resources())
	a := &authzv1.ResourceAttributes{Verb: pick(r, verbs()), Group: at[0], Resource: at[1], Version: "v1"}
	s.ResourceAttributes = a
	if chance(r, 75) {
		a.Namespace = pick(r, namespaces())
	}
	if chance(r, 30) {
		a.Name = pick(r, []string{"web", "db", "x"})
	}
	switch n := r.IntN(100); {
	case n < 8:
		a.Subresource = pick(r, []string{"log", "exec", "status", "scale", "portforward", "token"})
	case n < 11:
		a.Verb = pick(r, []string{"bind", "escalate", "approve", "use", "Get", "", "unknown"})
	case n < 14:
		a.Verb, a.Group, a.Resource, a.Name = "impersonate", "", pick(r, []string{"users", "groups"}), pick(r, []string{"x", "system:masters", "keyreeve:cluster-admins"})
	case n < 15:
		a.Verb = pick(r, []string{"impersonate:user-info", "impersonate-on:user-info:get"})
	case n < 16:
		a.Group, a.Resource, a.Subresource, a.Verb = "authentication.k8s.io", "userextras", "authentication.kubernetes.io/credential-id", "impersonate"
	case n < 17:
		a.Namespace = pick(r, []string{"..", "dev/..", "../../aks1/namespaces/dev", strings.Repeat("x", 10_000)})
	case n < 19:
		switch r.IntN(3) {
		case 0:
			a.Verb = "*"
		case 1:
			a.Resource = "*"
		default:
			a.Verb, a.Group, a.Resource = "*", "*", "*"
		}
	case n < 21:
		a.Group, a.Resource, a.Verb = "authorization.k8s.io", "selfsubjectaccessreviews", "create"
	}
}

// groupsOf returns the groups that somebody is in, by nesting too.
func (c *Corpus) groupsOf(id string) []string { return slices.Clone(c.in[id]) }

// close works them out: round and round, until nothing is new.
func (c *Corpus) close(id string) []string {
	in := map[string]bool{}
	for {
		grown := false
		for _, g := range c.Groups {
			if in[g.ID] {
				continue
			}
			for _, m := range g.Members {
				if m == id || in[m] {
					in[g.ID], grown = true, true
				}
			}
		}
		if !grown {
			break
		}
	}
	out := []string{}
	for g := range in {
		out = append(out, g)
	}
	slices.Sort(out)
	return out
}

// String says what a review asks, shortly.
func (r Review) String() string {
	clip := func(s string) string {
		if len(s) > 60 {
			return s[:60] + "…"
		}
		return s
	}
	s := r.Spec
	who := fmt.Sprintf("%q oid=%v groups=%d", s.User, s.Extra["oid"], len(s.Groups))
	if a := s.NonResourceAttributes; a != nil {
		return fmt.Sprintf("review %d, cluster %d: %s %s %s", r.Number, r.Cluster, who, a.Verb, a.Path)
	}
	a := s.ResourceAttributes
	resource := a.Resource
	if a.Subresource != "" {
		resource += "/" + a.Subresource
	}
	return fmt.Sprintf("review %d, cluster %d: %s %q %s.%s %q in %q", r.Number, r.Cluster, who, a.Verb, resource, a.Group, a.Name, clip(a.Namespace))
}
