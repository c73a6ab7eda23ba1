package rbac

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/keyreeve/keyreeve/internal/ident"
)

// genMany draws a request that asks for many things at once.
func genMany() *rapid.Generator[KubeRequest] {
	return rapid.Custom(func(t *rapid.T) KubeRequest {
		pick := func(what string, from ...string) string { return rapid.SampledFrom(from).Draw(t, what) }
		return KubeRequest{
			Verb: pick("verb", "get", "create", "approve", "*"), APIGroup: pick("group", "", "*", "apps", "example.com"),
			Resource: pick("resource", "*", "pods", "widgets", "deployments"), Subresource: pick("sub", "", "", "*", "exec", "proxy", "status"),
			Namespace: pick("namespace", "", "dev"),
		}
	}).Filter(func(r KubeRequest) bool {
		return r.Verb == "*" || r.APIGroup == "*" || r.Resource == "*" || r.Subresource == "*"
	})
}

// oneThing draws one of the things that a request stands for.
func oneThing(t *rapid.T, many KubeRequest) KubeRequest {
	pick := func(what, v string, from ...string) string {
		if v == "*" {
			return rapid.SampledFrom(from).Draw(t, what)
		}
		return v
	}
	one := many
	one.Verb = pick("one verb", many.Verb, "get", "create", "delete", "approve")
	one.APIGroup = pick("one group", many.APIGroup, "", "apps", "example.com")
	one.Resource = pick("one resource", many.Resource, "pods", "secrets", "widgets", "deployments")
	one.Subresource = pick("one sub", many.Subresource, "log", "status", "exec", "attach", "proxy", "ephemeralcontainers")
	return one
}

// drawGranted draws roles, with what they take away, conditions, and deny assignments; nothing else grants.
func drawGranted(t *rapid.T) (table, *ClusterRules) {
	pattern := rapid.Custom(func(t *rapid.T) string {
		return rapid.SampledFrom([]string{"", "*/", KubeCluster + "/"}).Draw(t, "prefix") + rapid.SampledFrom([]string{
			"*", "*", "*/read", "read", "pods/*", "pods/read", "pods/write", "*/pods/read", "pods/*/read", "*/exec/read", "pods/exec/action", "*/proxy/*", "proxy/*",
			"customresources/*", "customresources/read", "apps/*", "example.com/*", "*/widgets/*", "widgets/read", "*/action", "pods/*/*",
		}).Draw(t, "rest")
	})
	var grants []*Grant
	for i := range rapid.IntRange(1, 2).Draw(t, "grants") {
		r, err := Compile(RoleDefinition{ID: ident.New[ident.RoleDefinitionID](), Name: fmt.Sprint(i), Type: CustomRole, Permissions: []Permission{{
			DataActions: rapid.SliceOfN(pattern, 1, 2).Draw(t, "data"), NotDataActions: rapid.SliceOfN(pattern, 0, 1).Draw(t, "not"),
		}}})
		if err != nil {
			t.Fatal(err)
		}
		a := Assignment{ID: assignmentID(byte(i)), PrincipalID: oid(1), Scope: testCluster}
		if rapid.Bool().Draw(t, "conditional") {
			a.ConditionVersion = ConditionVersion
			a.Condition = rapid.SampledFrom([]string{
				publishedCondition, "ActionMatches{'*/read'}", "!(ActionMatches{'*/customresources/read'})", "!(ActionMatches{'*/pods/exec/action'})",
				"NotExists @Request[Microsoft.ContainerService/managedClusters/customResources:group]",
				"@Request[Microsoft.ContainerService/managedClusters/customResources:group] StringNotEquals 'example.com'",
				"@Request[Microsoft.ContainerService/managedClusters/resources:subresource] StringNotEquals 'exec'",
				"NotExists @Request[Microsoft.ContainerService/managedClusters/resources:name]",
			}).Draw(t, "condition")
		}
		grants = append(grants, NewGrant(a, r))
	}
	facts := newTable(map[ident.ObjectID][]ident.ObjectID{}, grants...)
	if rapid.Bool().Draw(t, "denial") {
		d, err := NewDenial(DenyAssignment{Scope: testCluster, Principals: []DenyPrincipal{{ID: oid(1)}}, Permissions: []Permission{{
			DataActions: []string{pattern.Draw(t, "denied")}, NotDataActions: rapid.SliceOfN(pattern, 0, 1).Draw(t, "not denied"),
		}}})
		if err != nil {
			t.Fatal(err)
		}
		facts.denials = new(Denials)
		facts.denials.Put(d)
	}
	return facts, &ClusterRules{Place: NewPlace(testCluster), AzureRoles: true, Own: NewClusterRBAC()}
}

// A request for many things is allowed only when each of them is.
func TestManyIsEachOfThem(t *testing.T) {
	allowed := 0
	rapid.Check(t, func(t *rapid.T) {
		facts, rules := drawGranted(t)
		many := genMany().Draw(t, "many")
		if DecideCluster(&ClusterAsk{Principal: oid(1), Name: "alice", Request: many}, rules, facts).Verdict != Allow {
			return
		}
		allowed++
		for range 8 {
			one := oneThing(t, many)
			if DecideCluster(&ClusterAsk{Principal: oid(1), Name: "alice", Request: one}, rules, facts).Verdict != Allow {
				t.Fatalf("%+v is allowed, %+v is not", many, one)
			}
		}
	})
	if allowed == 0 {
		t.Error("nothing was allowed")
	}
}
