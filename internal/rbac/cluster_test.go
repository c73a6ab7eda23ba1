package rbac

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/keyreeve/keyreeve/internal/ident"
)

const (
	readerRole       = "Azure Kubernetes Service RBAC Reader"
	writerRole       = "Azure Kubernetes Service RBAC Writer"
	adminRole        = "Azure Kubernetes Service RBAC Admin"
	clusterAdminRole = "Azure Kubernetes Service RBAC Cluster Admin"
)

// ownRules are a cluster's own: widgets are aggregated to view and edit, gadgets to nothing.
func ownRules() *ClusterRBAC {
	e := NewClusterRBAC().Edit()
	read := []string{"get", "list", "watch"}
	e.PutRole(&KubeRole{Name: "widgets-view", AggregateTo: AggregateView, Rules: []PolicyRule{{Verbs: read, APIGroups: []string{"example.com"}, Resources: []string{"widgets", "widgets/status"}}}})
	e.PutRole(&KubeRole{Name: "widgets-edit", AggregateTo: AggregateEdit, Rules: []PolicyRule{{Verbs: []string{"create", "update", "sync"}, APIGroups: []string{"example.com"}, Resources: []string{"widgets"}}}})
	e.PutRole(&KubeRole{Name: "sneaky", AggregateTo: AggregateView, Rules: []PolicyRule{{Verbs: []string{"*"}, APIGroups: []string{""}, Resources: []string{"secrets"}}}})
	e.PutRole(&KubeRole{Name: "basic", Rules: []PolicyRule{{Verbs: []string{"create"}, APIGroups: []string{"authorization.k8s.io"}, Resources: []string{"selfsubjectaccessreviews"}}}})
	e.PutBinding(&Binding{Name: "basic", RoleRef: RoleRef{Kind: KindClusterRole, Name: "basic"}, Subjects: []Subject{{Kind: KindGroup, Name: Authenticated}}})
	return e.Done()
}

// TestFourRoles holds what the four built-in roles mean, at cluster and at namespace scope: what the published pages say, and
// what Kubernetes' own view, edit and admin say where those are silent. Letters: r Reader, w Writer, a Admin, c Cluster Admin.
func TestFourRoles(t *testing.T) {
	roles := map[byte]*Role{'r': builtin(t, readerRole), 'w': builtin(t, writerRole), 'a': builtin(t, adminRole), 'c': builtin(t, clusterAdminRole)}
	rules := &ClusterRules{Place: NewPlace(testCluster), AzureRoles: true, Own: ownRules()}
	for _, c := range []struct {
		ask       string // "@dev" is added where a namespace makes sense
		cluster   string // who of r, w, a, c may, when assigned at the cluster
		namespace string // when assigned at namespace dev, asked in dev
	}{
		{"list pods", "rwac", "rwac"},
		{"get pods/log", "rwac", "rwac"},
		{"get pods/status", "rwac", "rwac"},
		{"create pods", "wac", "wac"},
		{"delete pods", "wac", "wac"},
		{"create pods/exec", "wac", "wac"},
		{"get pods/exec", "wac", "wac"},
		{"get pods/attach", "wac", "wac"},      // guard: a Reader may
		{"get pods/portforward", "wac", "wac"}, // guard: a Reader may
		{"get pods/proxy", "wac", "wac"},       // guard: a Reader may
		{"get services/proxy", "wac", "wac"},   // guard: a Reader may
		{"create pods/eviction", "wac", "wac"},
		{"get secrets", "wac", "wac"},
		{"list secrets", "wac", "wac"},
		{"update secrets", "wac", "wac"},
		{"get configmaps", "rwac", "rwac"},
		{"patch apps:deployments", "wac", "wac"},
		{"update apps:deployments/scale", "wac", "wac"},
		{"get apps:deployments/scale", "rwac", "rwac"},
		{"get apps:controllerrevisions", "rwac", "rwac"},
		{"update apps:controllerrevisions", "ac", "ac"},
		{"create serviceaccounts/token", "wac", "wac"},
		{"impersonate serviceaccounts x", "wac", "wac"},
		{"get coordination.k8s.io:leases", "wac", "wac"},
		{"get resourcequotas", "rwac", "rwac"},
		{"update resourcequotas", "c", "c"},
		{"update resourcequotas/status", "c", "c"},
		{"get namespaces dev", "rwac", "rwac"},
		{"update namespaces dev", "c", "c"},
		{"update namespaces/finalize dev", "c", "c"},
		{"delete namespaces dev", "c", "c"},
		{"get rbac.authorization.k8s.io:roles", "ac", "ac"},
		{"create rbac.authorization.k8s.io:rolebindings", "ac", "ac"},
		{"bind rbac.authorization.k8s.io:clusterroles view", "ac", "ac"},
		{"escalate rbac.authorization.k8s.io:roles", "ac", "ac"},
		{"list example.com:widgets", "rwac", "rwac"},
		{"get example.com:widgets/status", "rwac", "rwac"},
		{"create example.com:widgets", "wac", "wac"},
		{"sync example.com:widgets", "wac", "wac"},
		{"delete example.com:widgets", "ac", "ac"},
		{"list example.com:gadgets", "ac", "ac"},
		{"frobnicate pods", "wac", "wac"}, // pods/* is published
		{"frobnicate secrets", "wac", "wac"},
		{"frobnicate resourcequotas", "ac", "ac"},
		{"GET pods", "wac", "wac"}, // not get: by pods/* alone
		{"GET configmaps", "wac", "wac"},
		{"GET resourcequotas", "ac", "ac"},
		{"frobnicate namespaces", "ac", "ac"},
		{"get *", "ac", "ac"},
		{"* *:*", "c", "c"},
		{"* pods", "wac", "wac"},
		{"* resourcequotas", "c", "c"},
		{"update *", "c", "c"},
		// Not in any namespace: only an assignment at the cluster counts.
		{"list nodes =", "ac", ""},
		{"list pods =", "rwac", ""},
		{"get /metrics =", "ac", ""},
		{"impersonate users bob =", "ac", ""},
		{"impersonate groups devs =", "ac", ""},
		{"impersonate groups system:masters =", "c", ""},
		{"impersonate groups our:admins =", "c", ""},
		{"impersonate authentication.k8s.io:userextras/authentication.kubernetes.io/credential-id x =", "c", ""},
		{"impersonate:user-info users bob =", "", ""},
		{"create namespaces =", "c", ""},
		// Nobody
		{"list pods @../dev", "", ""},
		{"list pods @DEV", "", ""},
		{"list pods @dev/", "", ""},
		{"list Pods", "", ""},
		{"list pods/..", "", ""},
	} {
		for letter, r := range roles {
			for _, at := range []struct{ scope, want string }{{testCluster, c.cluster}, {testCluster + "/namespaces/dev", c.namespace}} {
				text, global := strings.CutSuffix(c.ask, " =")
				if !global && !strings.Contains(text, "@") {
					text += " @dev"
				}
				ask := &ClusterAsk{Principal: oid(1), Name: "alice", Request: kubeAsk(text)}
				withProtected := *rules
				withProtected.Protected = []string{"our:admins"}
				f := newTable(nil, NewGrant(Assignment{ID: assignmentID(1), PrincipalID: oid(1), Scope: strings.ToUpper(at.scope)}, r))
				want := strings.IndexByte(at.want, letter) >= 0
				if got := DecideCluster(ask, &withProtected, f); (got.Verdict == Allow) != want {
					t.Errorf("%s at %s asks %s: %v, want allowed %v", r.Definition.Name, at.scope[len(testCluster):], text, got.Verdict, want)
				}
				off := *rules
				off.AzureRoles = false
				if got := DecideCluster(ask, &off, f); got.Verdict == Allow {
					t.Errorf("%s: allowed without Azure roles", text)
				}
				if got := DecideCluster(&ClusterAsk{Principal: oid(1), Request: kubeAsk("list pods @prod")}, rules, f); at.scope != testCluster && got.Verdict == Allow {
					t.Errorf("%s of dev reads prod", r.Definition.Name)
				}
			}
		}
	}
}

func TestDecideClusterSources(t *testing.T) {
	reader := builtin(t, readerRole)
	group := oid(2)
	facts := newTable(map[ident.ObjectID][]ident.ObjectID{oid(1): {group}, oid(3): {group}}, NewGrant(Assignment{ID: assignmentID(1), PrincipalID: group, Scope: testSub}, reader))
	rules := &ClusterRules{Place: NewPlace(testCluster), AzureRoles: true, Own: ownRules(), AdminGroups: []ident.ObjectID{oid(9)}}
	ask := func(who ident.ObjectID, text string) *ClusterAsk {
		return &ClusterAsk{Principal: who, Name: "x", Request: kubeAsk(text)}
	}
	if d := DecideCluster(ask(oid(1), "get pods @dev"), rules, facts); d.Way.Kind != ByRole || d.Way.Holder != group || d.Way.Grant.Role != reader {
		t.Errorf("%+v", d)
	}
	if d := DecideCluster(ask(oid(1), "create authorization.k8s.io:selfsubjectaccessreviews"), rules, facts); d.Way.Kind != ByBinding || d.Way.Subject.Name != Authenticated {
		t.Errorf("%+v", d)
	}
	// An admin group that is the principal itself is none: groups do not ask.
	if d := DecideCluster(ask(oid(9), "get secrets"), rules, facts); d.Verdict != Deny {
		t.Errorf("%+v", d)
	}
	blind := *rules
	blind.Own = nil
	for text, want := range map[string]Verdict{"get pods @dev": Allow, "get secrets @dev": Unknown, "get example.com:widgets @dev": Unknown, "impersonate groups system:masters": Deny} {
		if d := DecideCluster(ask(oid(1), text), &blind, facts); d.Verdict != want {
			t.Errorf("%s, own rules unknown: %v, want %v", text, d.Verdict, want)
		}
	}
}

func TestDenyAssignments(t *testing.T) {
	admin := builtin(t, clusterAdminRole)
	rules := &ClusterRules{Place: NewPlace(testCluster), AzureRoles: true, Own: ownRules()}
	everyone := []DenyPrincipal{{}}
	for _, c := range []struct {
		name string
		deny DenyAssignment
		ask  string
		want Verdict
	}{
		{"everyone", DenyAssignment{Scope: testSub, Principals: everyone, Permissions: []Permission{{DataActions: []string{"*/secrets/read"}}}}, "get secrets @dev", Deny},
		{"other action", DenyAssignment{Scope: testSub, Principals: everyone, Permissions: []Permission{{DataActions: []string{"*/secrets/read"}}}}, "get pods @dev", Allow},
		{"other plane", DenyAssignment{Scope: testSub, Principals: everyone, Permissions: []Permission{{Actions: []string{"*"}}}}, "get pods @dev", Allow},
		{"not action", DenyAssignment{Scope: testSub, Principals: everyone, Permissions: []Permission{{DataActions: []string{"*"}, NotDataActions: []string{"*/read"}}}}, "get pods @dev", Allow},
		{"group", DenyAssignment{Scope: testCluster, Principals: []DenyPrincipal{{ID: oid(2)}}, Permissions: []Permission{{DataActions: []string{"*"}}}}, "get pods @dev", Deny},
		{"another group", DenyAssignment{Scope: testCluster, Principals: []DenyPrincipal{{ID: oid(7)}}, Permissions: []Permission{{DataActions: []string{"*"}}}}, "get pods @dev", Allow},
		{"excluded", DenyAssignment{Scope: testCluster, Principals: everyone, Excluded: []DenyPrincipal{{ID: oid(2)}}, Permissions: []Permission{{DataActions: []string{"*"}}}}, "get pods @dev", Allow},
		{"exact scope", DenyAssignment{Scope: testCluster, ExactScope: true, Principals: everyone, Permissions: []Permission{{DataActions: []string{"*"}}}}, "get pods @dev", Allow},
		{"exact scope, there", DenyAssignment{Scope: testCluster, ExactScope: true, Principals: everyone, Permissions: []Permission{{DataActions: []string{"*"}}}}, "get pods", Deny},
		{"other place", DenyAssignment{Scope: testCluster + "/namespaces/prod", Principals: everyone, Permissions: []Permission{{DataActions: []string{"*"}}}}, "get pods @dev", Allow},
		{"part of all", DenyAssignment{Scope: testCluster, Principals: everyone, Permissions: []Permission{{DataActions: []string{"*/secrets/read"}}}}, "get *", Deny},
		{"the parent of a subresource", DenyAssignment{Scope: testCluster, Principals: everyone, Permissions: []Permission{{DataActions: []string{"*/pods/read"}}}}, "get pods/log", Deny},
		{"not of Kubernetes RBAC", DenyAssignment{Scope: testCluster, Principals: everyone, Permissions: []Permission{{DataActions: []string{"*"}}}}, "create authorization.k8s.io:selfsubjectaccessreviews", Allow},
	} {
		d, err := NewDenial(c.deny)
		if err != nil {
			t.Fatal(err)
		}
		f := newTable(map[ident.ObjectID][]ident.ObjectID{oid(1): {oid(2)}}, NewGrant(Assignment{ID: assignmentID(1), PrincipalID: oid(1), Scope: testSub}, admin))
		f.denials = new(Denials)
		f.denials.Put(d)
		got := DecideCluster(&ClusterAsk{Principal: oid(1), Request: kubeAsk(c.ask)}, rules, f)
		if got.Verdict != c.want || (got.Denial == d) != (c.want == Deny) {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
	if _, err := NewDenial(DenyAssignment{Permissions: []Permission{{DataActions: []string{""}}}}); err == nil {
		t.Error("an empty action is let through")
	}
}

// drawCluster draws assignments of the four roles and custom ones at scopes in and around a cluster.
func drawCluster(t *rapid.T) (table, []*Grant, *ClusterRules) {
	var roles []*Role
	for _, name := range []string{readerRole, writerRole, adminRole, clusterAdminRole} {
		roles = append(roles, catalogue()[name])
	}
	pattern := rapid.Custom(func(t *rapid.T) string {
		return rapid.SampledFrom([]string{"", "", KubeCluster + "/"}).Draw(t, "prefix") + rapid.SampledFrom([]string{
			"*", "*/read", "pods/read", "pods/*", "pods/log/read", "apps/deployments/write", "*/write", "customresources/read", "example.com/widgets/*", "*/action", "namespaces/write", "*pods*",
		}).Draw(t, "rest")
	})
	for i := range rapid.IntRange(0, 2).Draw(t, "custom roles") {
		r, err := Compile(RoleDefinition{ID: ident.New[ident.RoleDefinitionID](), Name: fmt.Sprint(i), Type: CustomRole, Permissions: []Permission{{
			DataActions: rapid.SliceOfN(pattern, 0, 3).Draw(t, "data"), NotDataActions: rapid.SliceOfN(pattern, 0, 2).Draw(t, "not"),
		}}})
		if err != nil {
			t.Fatal(err)
		}
		roles = append(roles, r)
	}
	var grants []*Grant
	for i := range rapid.IntRange(0, 5).Draw(t, "grants") {
		a := Assignment{
			ID: assignmentID(byte(i)), PrincipalID: oid(byte(rapid.IntRange(1, 4).Draw(t, "holder"))),
			Scope: rapid.SampledFrom([]string{"/", testSub, testCluster, testCluster + "2", testCluster + "/namespaces/dev", testCluster + "/namespaces/prod", testCluster + "/namespaces/de", testCluster + "/x"}).Draw(t, "scope"),
		}
		if rapid.IntRange(0, 3).Draw(t, "conditional") == 0 {
			a.Condition, a.ConditionVersion = rapid.SampledFrom([]string{publishedCondition, "ActionMatches{'*/read'}", "broken("}).Draw(t, "condition"), ConditionVersion
		}
		grants = append(grants, NewGrant(a, rapid.SampledFrom(roles).Draw(t, "role")))
	}
	groups := rapid.SampledFrom([][]ident.ObjectID{nil, {oid(2)}, {oid(2), oid(3), oid(2)}}).Draw(t, "groups")
	rules := &ClusterRules{Place: NewPlace(testCluster), AzureRoles: true, Own: ownRules(), AdminGroups: rapid.SampledFrom([][]ident.ObjectID{nil, nil, {oid(3)}}).Draw(t, "admins")}
	return newTable(map[ident.ObjectID][]ident.ObjectID{oid(1): groups}, grants...), grants, rules
}

func catalogue() map[string]*Role {
	all, err := BuiltinRoles()
	if err != nil {
		panic(err)
	}
	out := map[string]*Role{}
	for _, d := range all {
		r, err := Compile(d)
		if err != nil {
			panic(err)
		}
		out[d.Name] = r
	}
	return out
}

// slowGrant says whether one assignment grants a request that asks for one thing, word by word.
func slowGrant(g *Grant, req KubeRequest) bool {
	n, ok := slowNames(req)
	scope := testCluster
	if !req.NonResource && req.Namespace != "" {
		scope += "/namespaces/" + req.Namespace
		ok = ok && slices.Contains([]string{"dev", "prod"}, req.Namespace)
	}
	if !ok || !slowCovers(g.Assignment.Scope, scope) {
		return false
	}
	if req.Verb == "impersonate" && req.Resource == "groups" && req.Name == "system:masters" && g.Role.Definition.Name != clusterAdminRole {
		return false
	}
	granted := false
	for _, p := range g.Role.Definition.Permissions {
		has := func(list []string, action string) bool {
			return action != "" && slices.ContainsFunc(list, func(x string) bool { return slowMatch(x, action) })
		}
		yes := has(p.DataActions, n.Own) || n.Implied && has(p.DataActions, n.Parent) || has(p.DataActions, n.Custom)
		no := has(p.NotDataActions, n.Own) || has(p.NotDataActions, n.Parent) || has(p.NotDataActions, n.Custom)
		granted = granted || yes && !no
	}
	if n.Custom != "" && req.APIGroup == "example.com" && req.Resource == "widgets" {
		read := (req.Subresource == "" || req.Subresource == "status") && slices.Contains([]string{"get", "list", "watch"}, req.Verb)
		edit := req.Subresource == "" && slices.Contains([]string{"create", "update", "sync"}, req.Verb)
		granted = granted || g.Role.Definition.Name == readerRole && read || g.Role.Definition.Name == writerRole && (read || edit)
	}
	switch g.Assignment.Condition {
	case "":
		return granted
	case publishedCondition:
		return granted && (!strings.HasSuffix(n.Custom, "/customresources/read") || req.APIGroup == "example.com" && (req.Resource == "widgets" || req.Resource == "gadgets"))
	case "ActionMatches{'*/read'}":
		return granted && (strings.HasSuffix(n.Own, "/read") || strings.HasSuffix(n.Parent, "/read") || strings.HasSuffix(n.Custom, "/read"))
	}
	return false
}

// slowMalformed says whether Kubernetes could not have what is asked about.
func slowMalformed(req KubeRequest) bool {
	_, ok := slowNames(req)
	return !ok || !req.NonResource && req.Namespace != "" && !regexp.MustCompile(`\A[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\z`).MatchString(req.Namespace)
}

func TestDecideClusterAgainstSlow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		facts, grants, rules := drawCluster(t)
		req := genKube().Draw(t, "request")
		ask := &ClusterAsk{Principal: oid(1), Name: "alice", Request: req}
		d, ways := ExplainCluster(ask, rules, facts)
		if one := DecideCluster(ask, rules, facts); one.Verdict != d.Verdict || (len(ways) > 0) != (d.Verdict == Allow) {
			t.Fatalf("Explain says %v with %d ways, Decide %v", d.Verdict, len(ways), one.Verdict)
		}
		holders := append([]ident.ObjectID{oid(1)}, facts.groups[oid(1)]...)
		admin := slices.Contains(holders[1:], oid(3)) && len(rules.AdminGroups) > 0
		var want []ident.RoleAssignmentID
		for _, g := range grants {
			if slices.Contains(holders, g.Assignment.PrincipalID) && slowGrant(g, req) {
				want = append(want, g.Assignment.ID)
			}
		}
		many := req.Verb == "*" || req.Resource == "*" || req.APIGroup == "*" || req.Subresource == "*" || strings.Contains(req.Path, "*")
		if many {
			oneOfMany(t, facts, rules, req, d)
			return
		}
		var got []ident.RoleAssignmentID
		for _, w := range ways {
			if w.Kind == ByRole {
				got = append(got, w.Grant.Assignment.ID)
			}
		}
		order := func(a, b ident.RoleAssignmentID) int { return slices.Compare(a[:], b[:]) }
		slices.SortFunc(got, order)
		if !slices.Equal(got, want) {
			t.Fatalf("%+v: granted by %v, the slow way says %v", req, got, want)
		}
		if allowed := len(want) > 0 || admin && !slowMalformed(req); allowed != (d.Verdict == Allow) {
			t.Fatalf("%+v: %v, the slow way says %v", req, d.Verdict, allowed)
		}
	})
}

// oneOfMany holds that a request for many things is allowed only when each of them is.
func oneOfMany(t *rapid.T, facts Facts, rules *ClusterRules, req KubeRequest, d ClusterDecision) {
	if d.Verdict != Allow {
		return
	}
	pick := func(what, v string, from ...string) string {
		if v == "*" {
			return rapid.SampledFrom(from).Draw(t, what)
		}
		return v
	}
	one := req
	one.Verb = pick("one verb", req.Verb, "get", "create", "delete", "approve")
	one.APIGroup = pick("one group", req.APIGroup, "", "apps", "example.com")
	one.Resource = pick("one resource", req.Resource, "pods", "secrets", "resourcequotas", "namespaces", "widgets", "deployments")
	one.Subresource = pick("one sub", req.Subresource, "", "log", "status")
	one.Path = strings.ReplaceAll(req.Path, "*", "x")
	if DecideCluster(&ClusterAsk{Principal: oid(1), Name: "alice", Request: one}, rules, facts).Verdict != Allow {
		t.Fatalf("%+v is allowed, %+v is not", req, one)
	}
}

func FuzzDecideCluster(f *testing.F) {
	f.Add("get", "", "pods", "log", "", "dev", byte(0))
	f.Add("impersonate", "", "groups", "", "system:masters", "", byte(3))
	f.Add("get", "example.com", "widgets", "status", "", "dev", byte(1))
	names := []string{readerRole, writerRole, adminRole, clusterAdminRole}
	roles := catalogue()
	rules := &ClusterRules{Place: NewPlace(testCluster), AzureRoles: true, Own: ownRules()}
	f.Fuzz(func(t *testing.T, verb, group, resource, sub, name, namespace string, role byte) {
		req := KubeRequest{Verb: verb, APIGroup: group, Resource: resource, Subresource: sub, Name: name, Namespace: namespace}
		if slices.Contains([]string{verb, group, resource, sub}, "*") || req.Constrained() || resource == "userextras" || group == "authorization.k8s.io" {
			t.Skip()
		}
		g := NewGrant(Assignment{ID: assignmentID(1), PrincipalID: oid(1), Scope: testCluster}, roles[names[int(role)%4]])
		d := DecideCluster(&ClusterAsk{Principal: oid(1), Request: req}, rules, newTable(nil, g))
		at := req
		if goodNamespace(namespace) {
			at.Namespace = "dev"
		}
		if want := slowGrant(g, at); want != (d.Verdict == Allow) {
			t.Fatalf("%s, %+v: %v, the slow way says %v", g.Role.Definition.Name, req, d.Verdict, want)
		}
	})
}

func TestDecideClusterTakesNoMemory(t *testing.T) {
	f, _ := benchFacts(t)
	rules := &ClusterRules{Place: NewPlace(testCluster), AzureRoles: true, Own: ownRules(), AdminGroups: []ident.ObjectID{oid(200)}}
	for _, text := range []string{"get pods @team-19", "get secrets @team-19", "get example.com:widgets @team-19", "get pods/log @team-3"} {
		ask := &ClusterAsk{Principal: oid(1), Name: "alice", Request: kubeAsk(text)}
		if n := testing.AllocsPerRun(100, func() { DecideCluster(ask, rules, f) }); n != 0 {
			t.Errorf("%s: %v allocations", text, n)
		}
	}
}

func BenchmarkDecideCluster(b *testing.B) {
	f, _ := benchFacts(b)
	rules := &ClusterRules{Place: NewPlace(testCluster), AzureRoles: true, Own: ownRules()}
	for _, text := range []string{"get pods @team-19", "get secrets @team-19"} {
		ask := &ClusterAsk{Principal: oid(1), Name: "alice", Request: kubeAsk(text)}
		b.Run(text, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				DecideCluster(ask, rules, f)
			}
		})
	}
}
