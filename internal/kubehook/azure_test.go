package kubehook

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/keyreeve/keyreeve/internal/feed"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/managedcluster"
	"github.com/keyreeve/keyreeve/internal/rbac"
)

// azureCluster is a cluster with Azure roles switched on; its resource id is azureScope.
func azureCluster() managedcluster.Cluster {
	on := true
	return managedcluster.Cluster{
		ID: clusterID("azure"), Tenant: tenantID("contoso"), Subscription: ident.Derive[ident.SubscriptionID]("cast", "sub"), Group: "rg", Name: "azure",
		AAD: &managedcluster.AAD{Managed: true, Tenant: tenantID("contoso"), AdminGroups: []ident.ObjectID{oid("admins")}, EnableAzureRBAC: &on},
	}
}

func assignmentID(n string) ident.RoleAssignmentID {
	return ident.Derive[ident.RoleAssignmentID]("cast", n)
}

// assign puts a role assignment into the world of a gate.
func (g *gate) assign(t tb, name, role, holder, scope, condition string) {
	t.Helper()
	c := azureCluster()
	a := rbac.Assignment{ID: assignmentID(name), Scope: c.ResourceID() + scope, PrincipalID: oid(holder), Tenant: tenantID("contoso"), Condition: condition}
	if condition != "" {
		a.ConditionVersion = "2.0"
	}
	for _, d := range g.World.RoleDefinitions(tenantID("contoso")) {
		if d.Name == "Azure Kubernetes Service RBAC "+role {
			a.RoleDefinitionID = d.ID
		}
	}
	g.apply(t, feed.RoleAssignment, feed.Put, a.ID.String(), a)
}

func (g *gate) apply(t tb, kind feed.Kind, op feed.Op, key string, v any) {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	rev, _, _ := g.World.Status()
	if err := g.World.Apply(feed.Change{Revision: rev + 1, Events: []feed.Event{{Kind: kind, Op: op, Key: key, Value: raw}}}); err != nil {
		t.Fatal(err)
	}
}

func newAzureGate(t tb) *gate {
	t.Helper()
	g := newGate(t)
	g.apply(t, feed.Cluster, feed.Put, clusterID("azure").String(), azureCluster())
	g.assign(t, "devs read dev", "Reader", "devs", "/namespaces/dev", "")
	g.assign(t, "outer writes", "Writer", "outer", "", "")
	g.assign(t, "robot administers prod", "Admin", "robot", "/namespaces/prod", "")
	g.assign(t, "nobody is cluster admin", "Cluster Admin", "nobody", "", "ActionMatches{'*/groups/impersonate/action'}")
	return g
}

// TestAzureRoles asks with Azure roles on: they are one source beside admin groups and the cluster's own RBAC.
func TestAzureRoles(t *testing.T) {
	scope := azureCluster()
	for _, r := range []row{
		{
			name: "by group in a namespace", who: token("dave", "dave"), what: "get configmaps x @dev", want: verdictAllow,
			reason: `Keyreeve: allowed by role "Azure Kubernetes Service RBAC Reader" by assignment "` + assignmentID("devs read dev").String() + `" at "` + scope.ResourceID() +
				`/namespaces/dev", held by group "` + oid("devs").String() + `" ("The devs"); revision 47`,
		},
		{name: "other namespace", who: token("dave", "dave"), what: "get configmaps x @prod", want: verdictDeny, reason: "no access of this identity covers it (reference"},
		{name: "all namespaces", who: token("dave", "dave"), what: "list configmaps", want: verdictDeny},
		{name: "secrets", who: token("dave", "dave"), what: "get secrets @dev", want: verdictDeny},
		{name: "malformed namespace", who: token("erin", "erin"), what: "get configmaps @../dev", want: verdictDeny},
		{
			name: "by nested group", who: token("erin", "erin"), what: "create pods/exec x @anywhere", want: verdictAllow,
			reason: `held by group "` + oid("outer").String() + `" ("The outer") through "` + oid("middle").String() + `" ("The middle") through "` + oid("inner").String() + `" ("The inner")`,
		},
		{name: "service principal, directly", who: token("robot", ""), what: "create rbac.authorization.k8s.io:rolebindings @prod", want: verdictAllow, reason: "held directly; revision 47"},
		{name: "service principal, elsewhere", who: token("robot", ""), what: "create rbac.authorization.k8s.io:rolebindings @dev", want: verdictDeny},
		{name: "admin group still counts", who: token("alice", "alice"), what: "list nodes", want: verdictAllow, reason: "admin group"},
		{name: "own RBAC still counts", who: token("gina", ""), what: "list nodes", want: verdictAllow, reason: `ClusterRoleBinding "gina"`},
		{name: "role, own rules unknown", who: token("dave", "dave"), what: "get configmaps x @dev", mirror: "unknown", want: verdictAllow},
		{name: "nothing, own rules unknown", who: token("dave", "dave"), what: "get secrets @dev", mirror: "unknown", want: verdictUnknown},
		{name: "condition holds, masters", who: token("nobody", "nobody"), what: "impersonate groups system:masters", want: verdictAllow},
		{name: "condition does not hold", who: token("nobody", "nobody"), what: "list pods", want: verdictDeny},
		{name: "only Cluster Admin", who: token("robot", ""), what: "impersonate groups system:masters @prod", want: verdictDeny, reason: "impersonating this is for cluster admins"},
		{name: "off", who: token("dave", "dave"), what: "get configmaps x @dev", cluster: "one", want: verdictDeny},
		{name: "another tenant", who: token("eve", "eve"), what: "get configmaps x @dev", want: verdictDeny},
	} {
		t.Run(r.name, func(t *testing.T) {
			g := newAzureGate(t)
			g.mirror.known = r.mirror != "unknown"
			if r.cluster == "" {
				r.cluster = "azure"
			}
			spec := ask(r.what)
			r.who(&spec)
			code, st := g.review(t, r.cluster, spec)
			got := verdictUnknown
			if st != nil {
				got = map[[2]bool]verdict{{true, false}: verdictAllow, {false, true}: verdictDeny, {false, false}: verdictNoOpinion}[[2]bool{st.Allowed, st.Denied}]
			}
			if got != r.want {
				t.Fatalf("%d %+v, want %v", code, st, r.want)
			}
			if st != nil && !strings.Contains(st.Reason, r.reason) {
				t.Errorf("reason %q, want %q", st.Reason, r.reason)
			}
			if st != nil && st.Denied && (strings.Contains(st.Reason, "assignment") || strings.Contains(st.Reason, "The ")) {
				t.Errorf("the denial tells of others: %q", st.Reason)
			}
		})
	}
}

// TestAzureRevocation takes away each thing that a right by role hangs on: the very next review is denied.
func TestAzureRevocation(t *testing.T) {
	for name, revoke := range map[string]func(g *gate){
		"assignment": func(g *gate) {
			g.apply(t, feed.RoleAssignment, feed.Delete, assignmentID("outer writes").String(), nil)
		},
		"membership": func(g *gate) {
			g.apply(t, feed.Member, feed.Delete, oid("inner").String()+"/"+oid("erin").String(), nil)
		},
		"nesting": func(g *gate) {
			g.apply(t, feed.Member, feed.Delete, oid("outer").String()+"/"+oid("middle").String(), nil)
		},
		"group":   func(g *gate) { g.apply(t, feed.Group, feed.Delete, oid("outer").String(), nil) },
		"account": func(g *gate) { g.apply(t, feed.User, feed.Delete, oid("erin").String(), nil) },
		"Azure roles": func(g *gate) {
			c := azureCluster()
			c.AAD.EnableAzureRBAC = nil
			g.apply(t, feed.Cluster, feed.Put, c.ID.String(), c)
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := newAzureGate(t)
			spec := ask("get secrets x @dev")
			token("erin", "erin")(&spec)
			if _, st := g.review(t, "azure", spec); st == nil || !st.Allowed {
				t.Fatalf("before: %+v", st)
			}
			revoke(g)
			if _, st := g.review(t, "azure", spec); st == nil || !st.Denied {
				t.Fatalf("after: %+v", st)
			}
		})
	}
}

// BenchmarkAzureReview is one review decided by a role, without the wire.
func BenchmarkAzureReview(b *testing.B) {
	g := newAzureGate(b)
	spec := ask("get configmaps x @dev")
	token("dave", "dave")(&spec)
	q, err := readQuestion(string(sarJSON(b, spec)))
	if err != nil {
		b.Fatal(err)
	}
	c, _ := g.World.Cluster(clusterID("azure"))
	snap := snapshot{cluster: c, revision: 1}
	b.ReportAllocs()
	for b.Loop() {
		if a := g.decide(&snap, &q); a.verdict != verdictAllow {
			b.Fatal(a)
		}
	}
}
