package reviews

import (
	"fmt"
	"math/rand/v2"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/rbac"
)

// Size says how large a corpus is.
type Size struct {
	People, Groups, Bindings, Assignments int
}

// Small is the size at which reviews are asked in CI.
func Small() Size { return Size{People: 400, Groups: 120, Bindings: 120, Assignments: 300} }

// Person is a user or, when App, an application's service principal.
type Person struct {
	ID, Name      string
	App, Disabled bool
	Foreign       bool // of the other tenant
}

// Group is a group with its direct members: people and groups, by id. There may be cycles.
type Group struct {
	ID      string
	Members []string
}

// Cluster is a managed cluster with what is in it.
type Cluster struct {
	ID, ResourceID, Name string
	AdminGroups          []string
	AzureRBAC            bool
	ClusterRoles         []rbacv1.ClusterRole
	Roles                []rbacv1.Role
	ClusterRoleBindings  []rbacv1.ClusterRoleBinding
	RoleBindings         []rbacv1.RoleBinding
}

// Assignment gives a role of Azure to a person or a group.
type Assignment struct {
	ID, Scope, Role, Principal string
}

// Corpus is a made-up installation. The same seed and size make the same one.
type Corpus struct {
	Seed                uint64
	Tenant, OtherTenant string
	Subscription        string
	// Management is the management group that the subscription is in, Above the one above that.
	Management, Above string
	People            []Person
	Groups            []Group
	Clusters          []Cluster
	Assignments       []Assignment
	// roles are the permissions of the built-in roles by id.
	roles map[string][]rbac.Permission
	// in are the groups of every person, worked out once.
	in map[string][]string
}

// The verified domain of the tenant, and names that nobody has.
const domain = "contoso.example"

// source returns the random numbers for one part of a corpus.
func source(seed uint64, part string, n int) *rand.Rand {
	h := ident.Derive[ident.GUID]("reviews", part, fmt.Sprint(n))
	var x uint64
	for _, b := range h[:8] {
		x = x<<8 | uint64(b)
	}
	return rand.New(rand.NewPCG(seed, x)) //nolint:gosec // a corpus must be the same again
}

// id makes the id of the n-th object of a kind.
func (c *Corpus) id(kind string, n int) string {
	return ident.Derive[ident.ObjectID]("reviews", fmt.Sprint(c.Seed), kind, fmt.Sprint(n)).String()
}

func pick[T any](r *rand.Rand, of []T) T { return of[r.IntN(len(of))] }

// chance is true in n of a hundred.
func chance(r *rand.Rand, n int) bool { return r.IntN(100) < n }

// NewCorpus makes a corpus. With azure, some clusters take Azure roles; else all know Kubernetes RBAC only.
func NewCorpus(seed uint64, size Size, azure bool) (*Corpus, error) {
	c := &Corpus{Seed: seed}
	c.Tenant, c.OtherTenant, c.Subscription = c.id("tenant", 0), c.id("tenant", 1), c.id("subscription", 0)
	c.Management, c.Above = "prod", "platform"
	r := source(seed, "directory", 0)
	for n := range size.People {
		p := Person{ID: c.id("person", n), Name: fmt.Sprintf("Person%d@%s", n, domain), App: chance(r, 15), Disabled: chance(r, 4), Foreign: chance(r, 4)}
		if p.Foreign {
			p.Name = fmt.Sprintf("person%d@fabrikam.example", n)
		}
		if p.App {
			p.Name = p.ID
		}
		c.People = append(c.People, p)
	}
	for n := range size.Groups {
		g := Group{ID: c.id("group", n)}
		for range r.IntN(8) {
			g.Members = append(g.Members, pick(r, c.People).ID)
		}
		if chance(r, 40) { // into any other, later ones too: nesting and, now and then, a cycle
			g.Members = append(g.Members, c.id("group", r.IntN(size.Groups)))
		}
		c.Groups = append(c.Groups, g)
	}
	c.in = map[string][]string{}
	for _, p := range c.People {
		c.in[p.ID] = c.close(p.ID)
	}
	for n := range 4 {
		c.Clusters = append(c.Clusters, c.cluster(n, size, azure && n%2 == 0))
	}
	if !azure {
		return c, nil
	}
	c.assign(size)
	var err error
	c.roles, err = published()
	return c, err
}

// The words that roles and reviews are made of. They are few, so that reviews meet rules.
func verbs() []string {
	return []string{"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"}
}

func namespaces() []string { return []string{"dev", "prod", "kube-system"} }

func resources() [][2]string { // API group, resource
	return [][2]string{
		{"", "pods"},
		{"", "secrets"},
		{"", "configmaps"},
		{"", "services"},
		{"", "nodes"},
		{"", "namespaces"},
		{"", "serviceaccounts"},
		{"apps", "deployments"},
		{"apps", "statefulsets"},
		{"batch", "jobs"},
		{"networking.k8s.io", "ingresses"},
		{"rbac.authorization.k8s.io", "clusterroles"},
		{"rbac.authorization.k8s.io", "rolebindings"},
		{"example.com", "widgets"},
	}
}

func (c *Corpus) rules(r *rand.Rand) []rbacv1.PolicyRule {
	var out []rbacv1.PolicyRule
	for range 1 + r.IntN(3) {
		if chance(r, 10) {
			out = append(out, rbacv1.PolicyRule{Verbs: []string{pick(r, []string{"get", "*"})}, NonResourceURLs: []string{pick(r, []string{"/metrics", "/healthz/*", "/logs/*", "*"})}})
			continue
		}
		at := pick(r, resources())
		rule := rbacv1.PolicyRule{APIGroups: []string{at[0]}, Resources: []string{at[1]}}
		for range 1 + r.IntN(4) {
			rule.Verbs = append(rule.Verbs, pick(r, verbs()))
		}
		switch r.IntN(12) {
		case 0:
			rule.Verbs = []string{"*"}
		case 1:
			rule.APIGroups = []string{"*"}
		case 2:
			rule.Resources = []string{"*"}
		case 3:
			rule.Resources = append(rule.Resources, "pods/log", "pods/exec")
		case 4:
			rule.Resources = []string{"*/scale", "deployments/status"}
		case 5:
			rule.ResourceNames = []string{"web", "db"}
		case 6:
			rule = rbacv1.PolicyRule{Verbs: []string{"impersonate"}, APIGroups: []string{""}, Resources: []string{"users", "groups"}}
		}
		out = append(out, rule)
	}
	return out
}

// subject is who a binding is for: mostly people and groups of the directory.
func (c *Corpus) subject(r *rand.Rand) rbacv1.Subject {
	switch n := r.IntN(20); {
	case n < 8:
		p := pick(r, c.People)
		name := p.Name
		if chance(r, 5) {
			name = strings.ToUpper(name)
		}
		return rbacv1.Subject{Kind: "User", APIGroup: rbacv1.GroupName, Name: name}
	case n < 16:
		return rbacv1.Subject{Kind: "Group", APIGroup: rbacv1.GroupName, Name: pick(r, c.Groups).ID}
	case n < 17:
		return rbacv1.Subject{Kind: "ServiceAccount", Namespace: pick(r, namespaces()), Name: "robot"}
	case n < 18:
		return rbacv1.Subject{Kind: "User", APIGroup: rbacv1.GroupName, Name: "root@elsewhere.example"}
	case n < 19:
		return rbacv1.Subject{Kind: "User", APIGroup: rbacv1.GroupName, Name: "nobody@" + domain} // whom the directory does not know
	}
	return rbacv1.Subject{Kind: "Group", APIGroup: rbacv1.GroupName, Name: "operators"}
}

func (c *Corpus) cluster(n int, size Size, azure bool) Cluster {
	r := source(c.Seed, "cluster", n)
	k := Cluster{ID: c.id("cluster", n), Name: fmt.Sprintf("aks%d", n), AzureRBAC: azure}
	k.ResourceID = "/subscriptions/" + c.Subscription + "/resourceGroups/rg/providers/Microsoft.ContainerService/managedClusters/" + k.Name
	for range r.IntN(3) {
		k.AdminGroups = append(k.AdminGroups, pick(r, c.Groups).ID)
	}
	everything := []rbacv1.PolicyRule{
		{Verbs: []string{"*"}, APIGroups: []string{"*"}, Resources: []string{"*"}}, {Verbs: []string{"*"}, NonResourceURLs: []string{"*"}},
	}
	named := func(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Name: name} }
	role := func(name string, rules ...rbacv1.PolicyRule) {
		k.ClusterRoles = append(k.ClusterRoles, rbacv1.ClusterRole{ObjectMeta: named(name), Rules: rules})
	}
	bind := func(name, to string, subjects ...rbacv1.Subject) {
		k.ClusterRoleBindings = append(k.ClusterRoleBindings, rbacv1.ClusterRoleBinding{
			ObjectMeta: named(name), RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: to}, Subjects: subjects,
		})
	}
	group := func(name string) rbacv1.Subject {
		return rbacv1.Subject{Kind: "Group", APIGroup: rbacv1.GroupName, Name: name}
	}
	role("cluster-admin", everything...)
	role("system:discovery", rbacv1.PolicyRule{Verbs: []string{"get"}, NonResourceURLs: []string{"/api", "/api/*", "/apis", "/apis/*", "/healthz", "/openapi", "/openapi/*", "/version", "/version/"}})
	role("system:basic-user", rbacv1.PolicyRule{Verbs: []string{"create"}, APIGroups: []string{"authorization.k8s.io"}, Resources: []string{"selfsubjectaccessreviews", "selfsubjectrulesreviews"}})
	// Roles that are aggregated to view and edit make a custom resource one that readers read and writers write.
	widgets := func(verbs ...string) rbacv1.PolicyRule {
		return rbacv1.PolicyRule{Verbs: verbs, APIGroups: []string{"example.com"}, Resources: []string{"widgets"}}
	}
	if n != 0 {
		role("widgets-view", widgets("get", "list", "watch"))
		role("widgets-edit", widgets("create", "delete", "deletecollection", "patch", "update"))
		last := len(k.ClusterRoles) - 1
		k.ClusterRoles[last-1].Labels = map[string]string{"rbac.authorization.k8s.io/aggregate-to-view": "true"}
		k.ClusterRoles[last].Labels = map[string]string{"rbac.authorization.k8s.io/aggregate-to-edit": "true"}
	}
	bind("cluster-admin", "cluster-admin", group("system:masters"))
	bind("system:discovery", "system:discovery", group("system:authenticated"))
	bind("system:basic-user", "system:basic-user", group("system:authenticated"))
	for n := range 20 {
		role(fmt.Sprintf("role%d", n), c.rules(r)...)
	}
	for n := range 20 {
		k.Roles = append(k.Roles, rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: pick(r, namespaces()), Name: fmt.Sprintf("role%d", n)}, Rules: c.rules(r)})
	}
	for n := range size.Bindings {
		subjects := []rbacv1.Subject{c.subject(r)}
		if chance(r, 30) {
			subjects = append(subjects, c.subject(r))
		}
		to := pick(r, []string{"cluster-admin", "role%d", "role%d", "role%d", "role%d", "role%d", "role%d", "gone"})
		if strings.Contains(to, "%") {
			to = fmt.Sprintf(to, r.IntN(20))
		}
		if chance(r, 30) {
			bind(fmt.Sprintf("binding%d", n), to, subjects...)
			continue
		}
		kind := pick(r, []string{"ClusterRole", "Role"})
		k.RoleBindings = append(k.RoleBindings, rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Namespace: pick(r, namespaces()), Name: fmt.Sprintf("binding%d", n)},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: kind, Name: to}, Subjects: subjects,
		})
	}
	return k
}

// The built-in roles that Azure's authorization of Kubernetes is made of, and Owner, which grants no data action.
func azureRoles() []string {
	return []string{
		"7f6c6a51-bcf8-42ba-9220-52d62157d7db", "a7ffa36f-339b-4b5c-8bdf-e2c188b2c0eb", "3498e952-d568-435e-9b2c-8d77e338d7f7",
		"b1ff04bb-8a4e-4dc4-8eb5-8693973ce19b", "8e3af657-a8ff-443c-a75c-2fe8c4bcb635",
	}
}

func (c *Corpus) assign(size Size) {
	r := source(c.Seed, "assignments", 0)
	seen := map[string]bool{}
	for n := range size.Assignments {
		k := pick(r, c.Clusters)
		scope := pick(r, []string{
			k.ResourceID, k.ResourceID, k.ResourceID + "/namespaces/" + pick(r, namespaces()), k.ResourceID + "/namespaces/" + pick(r, namespaces()),
			k.ResourceID + "/namespaces/" + pick(r, namespaces()), "/subscriptions/" + c.Subscription + "/resourceGroups/RG",
		})
		if chance(r, 2) {
			scope = pick(r, []string{
				"/", "/subscriptions/" + c.Subscription, "/providers/Microsoft.Management/managementGroups/" + c.Management,
				"/providers/Microsoft.Management/managementGroups/" + c.Above,
			})
		}
		a := Assignment{ID: c.id("assignment", n), Scope: scope, Role: pick(r, azureRoles()), Principal: pick(r, c.People).ID}
		if chance(r, 50) {
			a.Principal = pick(r, c.Groups).ID
		}
		key := strings.ToLower(a.Scope) + a.Role + a.Principal
		if !seen[key] {
			seen[key] = true
			c.Assignments = append(c.Assignments, a)
		}
	}
}
