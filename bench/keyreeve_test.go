package bench

import (
	"fmt"
	"testing"

	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/feed"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/managedcluster"
	"github.com/keyreeve/keyreeve/internal/rbac"
	"github.com/keyreeve/keyreeve/internal/resource"
	"github.com/keyreeve/keyreeve/internal/world"
)

// keyreeve holds the corpus twice: as the cluster's own bindings, and as Azure role assignments. A decision looks the groups of
// the principal up; the peers are given them, but for OPA.
type keyreeve struct {
	world *world.World
	asks  []rbac.ClusterAsk
	// rules are the cluster's with bindings alone, and with assignments alone.
	bindings, assignments rbac.ClusterRules
}

func newKeyreeve(tb testing.TB, c *corpus) *keyreeve {
	tb.Helper()
	w, err := world.New()
	if err != nil {
		tb.Fatal(err)
	}
	change := feed.Change{Revision: 1}
	put := func(kind feed.Kind, key string, v any) {
		change.Events = append(change.Events, feed.Event{Kind: kind, Op: feed.Put, Key: key, Value: doc(tb, v)})
	}
	tenant, sub := ident.Derive[ident.TenantID]("bench"), ident.Derive[ident.SubscriptionID]("bench")
	on := true
	cluster := managedcluster.Cluster{
		ID: ident.Derive[ident.ClusterID]("bench"), Subscription: sub, Tenant: tenant, Group: "group", Name: "cluster",
		AAD: &managedcluster.AAD{Managed: true, Tenant: tenant, EnableAzureRBAC: &on},
	}
	put(feed.Tenant, tenant.String(), directory.Tenant{ID: tenant})
	put(feed.Subscription, sub.String(), resource.Subscription{ID: sub, Tenant: tenant})
	for _, g := range c.groups {
		put(feed.Group, g, directory.Group{ID: ident.MustParse[ident.ObjectID](g), Tenant: tenant, DisplayName: g, SecurityEnabled: true})
	}
	for i, in := range c.members {
		id := objectID("user", i)
		put(feed.User, id.String(), directory.User{ID: id, Tenant: tenant, UserPrincipalName: userName(i), AccountEnabled: true})
		put(feed.Memberships, id.String(), in)
	}
	put(feed.Cluster, cluster.ID.String(), cluster)
	own := rbac.NewClusterRBAC().Edit()
	for _, r := range roles() {
		own.PutRole(&rbac.KubeRole{Name: r.name, Rules: []rbac.PolicyRule{{Verbs: r.verbs, APIGroups: []string{""}, Resources: r.kinds}}})
		put(feed.RoleDefinition, roleID(r.name).String(), azureRole(r, tenant))
	}
	for i, b := range c.bindings {
		own.PutBinding(&rbac.Binding{
			Namespace: b.namespace, Name: fmt.Sprint("binding-", i), RoleRef: rbac.RoleRef{Kind: rbac.KindClusterRole, Name: b.role},
			Subjects: []rbac.Subject{{Kind: rbac.KindGroup, Name: b.group}},
		})
		scope := cluster.ResourceID()
		if b.namespace != "" {
			scope += "/namespaces/" + b.namespace
		}
		id := ident.Derive[ident.RoleAssignmentID]("bench", fmt.Sprint(i))
		put(feed.RoleAssignment, id.String(), rbac.Assignment{
			ID: id, Scope: scope, RoleDefinitionID: roleID(b.role), PrincipalID: ident.MustParse[ident.ObjectID](b.group), PrincipalType: rbac.PrincipalGroup, Tenant: tenant,
		})
	}
	if err := w.Apply(change); err != nil {
		tb.Fatal(err)
	}
	k := &keyreeve{world: w, assignments: w.ClusterRules(&cluster, rbac.NewClusterRBAC()), bindings: w.ClusterRules(&cluster, own.Done())}
	k.bindings.AzureRoles = false
	for _, q := range c.questions {
		k.asks = append(k.asks, rbac.ClusterAsk{
			Principal: objectID("user", q.user), Name: userName(q.user),
			Request: rbac.KubeRequest{Verb: q.verb, Resource: q.kind, Name: "x", Namespace: q.namespace},
		})
	}
	return k
}

func roleID(name string) ident.RoleDefinitionID {
	return ident.Derive[ident.RoleDefinitionID]("bench", name)
}

// azureRole is a role as a role definition: reading is one action, and so is all writing but deletion.
func azureRole(r role, tenant ident.TenantID) rbac.RoleDefinition {
	var actions []string
	for _, kind := range r.kinds {
		actions = append(actions, rbac.KubeCluster+"/"+kind+"/read")
		if len(r.verbs) > 3 {
			actions = append(actions, rbac.KubeCluster+"/"+kind+"/write", rbac.KubeCluster+"/"+kind+"/delete")
		}
	}
	return rbac.RoleDefinition{
		ID: roleID(r.name), Name: r.name, Type: rbac.CustomRole, Tenant: tenant, AssignableScopes: []string{"/"},
		Permissions: []rbac.Permission{{DataActions: actions}},
	}
}

func (k *keyreeve) byBindings(i int) bool {
	return k.world.DecideCluster(&k.asks[i], &k.bindings).Verdict == rbac.Allow
}

func (k *keyreeve) byAssignments(i int) bool {
	return k.world.DecideCluster(&k.asks[i], &k.assignments).Verdict == rbac.Allow
}
