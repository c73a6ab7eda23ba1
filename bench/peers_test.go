package bench

import (
	"context"
	"fmt"
	"testing"

	"github.com/cedar-policy/cedar-go"
	cedarast "github.com/cedar-policy/cedar-go/ast"
	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/kubernetes/plugin/pkg/auth/authorizer/rbac"
)

// kubernetes is the RBAC authorizer of kube-apiserver. Its objects are at hand as from informers: those of a namespace apart.
type kubernetes struct {
	cluster    []*rbacv1.ClusterRoleBinding
	namespaced map[string][]*rbacv1.RoleBinding
	roles      map[string]*rbacv1.ClusterRole
}

func (k *kubernetes) GetRole(context.Context, string, string) (*rbacv1.Role, error) {
	return nil, fmt.Errorf("the corpus has no Roles")
}

func (k *kubernetes) ListRoleBindings(_ context.Context, namespace string) ([]*rbacv1.RoleBinding, error) {
	return k.namespaced[namespace], nil
}

func (k *kubernetes) GetClusterRole(_ context.Context, name string) (*rbacv1.ClusterRole, error) {
	return k.roles[name], nil
}

func (k *kubernetes) ListClusterRoleBindings(context.Context) ([]*rbacv1.ClusterRoleBinding, error) {
	return k.cluster, nil
}

func newKubernetes(tb testing.TB, c *corpus) func(int) bool {
	tb.Helper()
	k := &kubernetes{namespaced: map[string][]*rbacv1.RoleBinding{}, roles: map[string]*rbacv1.ClusterRole{}}
	for _, r := range roles() {
		k.roles[r.name] = &rbacv1.ClusterRole{
			ObjectMeta: metav1.ObjectMeta{Name: r.name}, Rules: []rbacv1.PolicyRule{{Verbs: r.verbs, APIGroups: []string{""}, Resources: r.kinds}},
		}
	}
	for i, b := range c.bindings {
		meta := metav1.ObjectMeta{Name: fmt.Sprint("binding-", i), Namespace: b.namespace}
		ref := rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: b.role}
		subjects := []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: b.group}}
		if b.namespace == "" {
			k.cluster = append(k.cluster, &rbacv1.ClusterRoleBinding{ObjectMeta: meta, RoleRef: ref, Subjects: subjects})
			continue
		}
		k.namespaced[b.namespace] = append(k.namespaced[b.namespace], &rbacv1.RoleBinding{ObjectMeta: meta, RoleRef: ref, Subjects: subjects})
	}
	var asked []authorizer.AttributesRecord
	for _, q := range c.questions {
		asked = append(asked, authorizer.AttributesRecord{
			User: &user.DefaultInfo{Name: userName(q.user), Groups: c.members[q.user]}, Verb: q.verb, Namespace: q.namespace,
			APIVersion: "v1", Resource: q.kind, Name: "x", ResourceRequest: true,
		})
	}
	a := rbac.New(k, k, k, k)
	return func(i int) bool {
		d, _, err := a.Authorize(tb.Context(), asked[i])
		if err != nil {
			tb.Fatal(err)
		}
		return d == authorizer.DecisionAllow
	}
}

// newCedar has one policy for each binding, and every user, group, namespace and resource as an entity.
func newCedar(tb testing.TB, c *corpus) func(int) bool {
	tb.Helper()
	uid := func(kind, id string) cedar.EntityUID {
		return cedar.NewEntityUID(cedar.EntityType(kind), cedar.String(id))
	}
	entities := cedar.EntityMap{}
	put := func(id cedar.EntityUID, attributes cedar.RecordMap, parents ...cedar.EntityUID) {
		entities[id] = cedar.Entity{UID: id, Parents: cedar.NewEntityUIDSet(parents...), Attributes: cedar.NewRecord(attributes)}
	}
	for i, in := range c.members {
		var parents []cedar.EntityUID
		for _, g := range in {
			parents = append(parents, uid("Group", g))
		}
		put(uid("User", userName(i)), nil, parents...)
	}
	for _, g := range c.groups {
		put(uid("Group", g), nil)
	}
	all := uid("Cluster", "all")
	for n := range namespaces {
		put(uid("Namespace", namespace(n)), nil, all)
	}
	policies := cedar.NewPolicySet()
	byName := map[string]role{}
	for _, r := range roles() {
		byName[r.name] = r
	}
	for i, b := range c.bindings {
		r := byName[b.role]
		var actions []cedar.EntityUID
		for _, v := range r.verbs {
			actions = append(actions, uid("Action", v))
		}
		var kinds []cedar.Value
		for _, k := range r.kinds {
			kinds = append(kinds, cedar.String(k))
		}
		place := all
		if b.namespace != "" {
			place = uid("Namespace", b.namespace)
		}
		p := cedarast.Permit().PrincipalIn(uid("Group", b.group)).ActionInSet(actions...).ResourceIn(place).
			When(cedarast.Value(cedar.NewSet(kinds...)).Contains(cedarast.Resource().Access("kind")))
		policies.Add(cedar.PolicyID(fmt.Sprint("binding-", i)), cedar.NewPolicyFromAST(p))
	}
	var asked []cedar.Request
	for _, q := range c.questions {
		resource := uid("Resource", q.namespace+"/"+q.kind+"/x")
		put(resource, cedar.RecordMap{"kind": cedar.String(q.kind)}, uid("Namespace", q.namespace))
		asked = append(asked, cedar.Request{Principal: uid("User", userName(q.user)), Action: uid("Action", q.verb), Resource: resource})
	}
	return func(i int) bool {
		d, _ := cedar.Authorize(policies, entities, asked[i])
		return d == cedar.Allow
	}
}

// policy finds the bindings of each of the user's groups where the request is: by key, so that none is passed over by reading it.
const policy = `package authz

default allow := false

allow if {
	some group in data.members[input.user]
	some place in ["", input.namespace]
	some name in data.bindings[group][place]
	role := data.roles[name]
	role.verbs[input.verb]
	role.kinds[input.kind]
}
`

func newOPA(tb testing.TB, c *corpus) func(int) bool {
	tb.Helper()
	set := func(list []string) map[string]any {
		m := map[string]any{}
		for _, s := range list {
			m[s] = true
		}
		return m
	}
	members, bindings, byName := map[string]any{}, map[string]any{}, map[string]any{}
	for i, in := range c.members {
		list := make([]any, len(in))
		for j, g := range in {
			list[j] = g
		}
		members[userName(i)] = list
	}
	for _, r := range roles() {
		byName[r.name] = map[string]any{"verbs": set(r.verbs), "kinds": set(r.kinds)}
	}
	for _, b := range c.bindings {
		places, _ := bindings[b.group].(map[string]any)
		if places == nil {
			places = map[string]any{}
			bindings[b.group] = places
		}
		names, _ := places[b.namespace].([]any)
		places[b.namespace] = append(names, b.role)
	}
	data := inmem.NewFromObjectWithOpts(
		map[string]any{"members": members, "bindings": bindings, "roles": byName}, inmem.OptRoundTripOnWrite(false), inmem.OptReturnASTValuesOnRead(true),
	)
	query, err := rego.New(rego.Query("data.authz.allow"), rego.Module("authz.rego", policy), rego.Store(data)).PrepareForEval(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	var asked []ast.Value
	for _, q := range c.questions {
		v, err := ast.InterfaceToValue(map[string]any{"user": userName(q.user), "verb": q.verb, "kind": q.kind, "namespace": q.namespace})
		if err != nil {
			tb.Fatal(err)
		}
		asked = append(asked, v)
	}
	return func(i int) bool {
		result, err := query.Eval(tb.Context(), rego.EvalParsedInput(asked[i]))
		if err != nil {
			tb.Fatal(err)
		}
		return result.Allowed()
	}
}
