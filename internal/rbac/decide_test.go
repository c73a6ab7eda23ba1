package rbac

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
)

// oneHolder are facts in which whoever is asked about holds one grant.
type oneHolder struct{ g *Grant }

func (oneHolder) Expect(ident.ObjectID) {}

func (o oneHolder) Principal(ident.ObjectID) (*Grants, []GroupRef) {
	var none *Grants
	return none.With(o.g), nil
}

func (oneHolder) Group(GroupRef) (*ident.ObjectID, *Grants) { return nil, nil }

func (oneHolder) Above(GroupRef) []GroupRef { return nil }

func (oneHolder) Index() *Index { return nil }

func (oneHolder) Denials(ident.ObjectID) *Denials { return nil }

// table are facts written down.
type table struct {
	groups  map[ident.ObjectID][]ident.ObjectID
	grants  map[ident.ObjectID]*Grants
	refs    map[ident.ObjectID][]GroupRef
	ids     *[256]ident.ObjectID
	index   *Index
	denials *Denials
}

// newTable puts down who holds which grants.
func newTable(groups map[ident.ObjectID][]ident.ObjectID, grants ...*Grant) table {
	f := table{
		groups: groups, grants: map[ident.ObjectID]*Grants{}, refs: map[ident.ObjectID][]GroupRef{}, ids: new([256]ident.ObjectID), index: new(Index),
	}
	for i := range f.ids {
		f.ids[i] = oid(byte(i))
		f.index.Number(f.ids[i])
		f.index.SetGroup(GroupRef(i), true)
	}
	for _, g := range grants {
		f.grants[g.Assignment.PrincipalID] = f.grants[g.Assignment.PrincipalID].With(g)
		f.index.Hold(GroupRef(g.Assignment.PrincipalID[15]), g)
	}
	return f
}

// Groups are numbered by the last byte of their ids.
func (table) Expect(ident.ObjectID) {}

func (f table) Principal(id ident.ObjectID) (*Grants, []GroupRef) {
	var refs [32]GroupRef
	groups := f.groups[id]
	for i, g := range groups {
		refs[i] = GroupRef(g[15])
	}
	if len(groups) == 0 {
		return f.grants[id], nil
	}
	if f.refs[id] == nil {
		f.refs[id] = slices.Clone(refs[:len(groups)])
	}
	return f.grants[id], f.refs[id]
}

func (f table) Group(r GroupRef) (*ident.ObjectID, *Grants) {
	id := &f.ids[r]
	return id, f.grants[*id]
}

func (f table) Above(GroupRef) []GroupRef { return nil }

func (f table) Index() *Index { return f.index }

// unsifted are the same facts without an index.
func (f table) unsifted() table {
	f.index = nil
	return f
}

func (f table) Denials(ident.ObjectID) *Denials { return f.denials }

func oid(n byte) ident.ObjectID { return ident.ObjectID{15: n} }

func assignmentID(n byte) ident.RoleAssignmentID { return ident.RoleAssignmentID{0: 1, 15: n} }

// role compiles a role of one permission.
func role(t testing.TB, name string, p ...Permission) *Role {
	t.Helper()
	r, err := Compile(RoleDefinition{
		ID: ident.Derive[ident.RoleDefinitionID]("test role", name), Name: name, Type: CustomRole,
		AssignableScopes: []string{"/"}, Permissions: p,
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func builtin(t testing.TB, name string) *Role {
	t.Helper()
	all, err := BuiltinRoles()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range all {
		if d.Name == name {
			r, err := Compile(d)
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
	}
	t.Fatalf("no built-in role %q", name)
	return nil
}

const (
	testSub     = "/subscriptions/00000000-0000-0000-0000-0000000000aa"
	testCluster = testSub + "/resourcegroups/rg/providers/Microsoft.ContainerService/managedClusters/one"
	aks         = "Microsoft.ContainerService/managedClusters/"
)

func TestBuiltinRoles(t *testing.T) {
	all, err := BuiltinRoles()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 50 {
		t.Errorf("%d roles, want 50", len(all))
	}
	seen := map[ident.RoleDefinitionID]bool{}
	for _, d := range all {
		if _, err := Compile(d); err != nil {
			t.Errorf("%s: %v", d.Name, err)
		}
		if seen[d.ID] || d.Type != BuiltInRole || !slices.Equal(d.AssignableScopes, []string{"/"}) || d.Description == "" {
			t.Errorf("%s: id twice, or type, scope or description is odd: %+v", d.Name, d)
		}
		seen[d.ID] = true
	}
	if id := builtin(t, "Azure Kubernetes Service Cluster User Role").Definition.ID.String(); id != "4abbcc35-e782-43d8-92c5-2d3f1bd2253f" {
		t.Errorf("Cluster User Role is %s", id)
	}
}

// TestBuiltinRolesGrant holds facts about the built-in roles that clients and pages of the public service rely on.
func TestBuiltinRolesGrant(t *testing.T) {
	const (
		reader  = "Azure Kubernetes Service RBAC Reader"
		writer  = "Azure Kubernetes Service RBAC Writer"
		admin   = "Azure Kubernetes Service RBAC Admin"
		cluster = "Azure Kubernetes Service RBAC Cluster Admin"
	)
	for _, c := range []struct {
		role, action string
		data, want   bool
	}{
		{"Owner", aks + "read", false, true},
		{"Owner", aks + "pods/read", true, false}, // the data plane is apart
		{"Owner", aks + "listClusterAdminCredential/action", false, true},
		{"Contributor", aks + "listClusterAdminCredential/action", false, true},
		{"Contributor", "Microsoft.Authorization/roleAssignments/write", false, false},
		{"Contributor", "Microsoft.Authorization/roleAssignments/read", false, true},
		{"Contributor", "microsoft.authorization/roleassignments/DELETE", false, false},
		{"Reader", aks + "read", false, true},
		{"Reader", aks + "write", false, false},
		{"User Access Administrator", "Microsoft.Authorization/roleAssignments/write", false, true},
		{"Azure Kubernetes Service Cluster User Role", aks + "listClusterUserCredential/action", false, true},
		{"Azure Kubernetes Service Cluster User Role", aks + "listClusterAdminCredential/action", false, false},
		{"Azure Kubernetes Service Cluster Admin Role", aks + "listClusterAdminCredential/action", false, true},
		{reader, aks + "listClusterUserCredential/action", false, false},
		{admin, aks + "listClusterUserCredential/action", false, true},
		{admin, aks + "read", false, false},
		{reader, aks + "pods/read", true, true},
		{reader, aks + "pods/exec/action", true, false},
		{reader, aks + "secrets/read", true, false},
		{writer, aks + "secrets/read", true, true},
		{writer, aks + "pods/exec/action", true, true},
		{writer, aks + "rbac.authorization.k8s.io/roles/write", true, false},
		{admin, aks + "rbac.authorization.k8s.io/roles/write", true, true},
		{admin, aks + "resourcequotas/write", true, false},
		{admin, aks + "resourcequotas/read", true, true},
		{admin, aks + "namespaces/write", true, false},
		{cluster, aks + "resourcequotas/write", true, true},
		{cluster, aks + "pods/exec/action", true, true},
		{cluster, aks + "pods/read", false, false},
	} {
		if got := builtin(t, c.role).Grants(c.action, c.data); got != c.want {
			t.Errorf("%s, %s, data %v: got %v", c.role, c.action, c.data, got)
		}
	}
}

func TestCompileRefuses(t *testing.T) {
	good := func() RoleDefinition {
		return RoleDefinition{
			ID: ident.New[ident.RoleDefinitionID](), Name: "r", Type: CustomRole, AssignableScopes: []string{"/"},
			Permissions: []Permission{{Actions: []string{"*"}}},
		}
	}
	if _, err := Compile(good()); err != nil {
		t.Fatal(err)
	}
	for at, spoil := range map[string]func(*RoleDefinition){
		"id":                            func(d *RoleDefinition) { d.ID = ident.RoleDefinitionID{} },
		"roleName":                      func(d *RoleDefinition) { d.Name = "" },
		"type":                          func(d *RoleDefinition) { d.Type = "Builtin" },
		"assignableScopes[0]":           func(d *RoleDefinition) { d.AssignableScopes[0] = "subscriptions/x" },
		"permissions[0].actions[1]":     func(d *RoleDefinition) { d.Permissions[0].Actions = []string{"*", ""} },
		"permissions[0].notActions[0]":  func(d *RoleDefinition) { d.Permissions[0].NotActions = []string{"a b"} },
		"permissions[0].dataActions[0]": func(d *RoleDefinition) { d.Permissions[0].DataActions = []string{"ä/read"} },
		"permissions[0].notDataActions[0]": func(d *RoleDefinition) {
			d.Permissions[0].NotDataActions = []string{strings.Repeat("x", maxPattern+1)}
		},
	} {
		d := good()
		spoil(&d)
		_, err := Compile(d)
		if !fault.Is(err, fault.Invalid) || fault.As(err).Target != at {
			t.Errorf("%s: got %#v", at, err)
		}
	}
}

func TestDecide(t *testing.T) {
	all := role(t, "all", Permission{Actions: []string{"*"}})
	allButDelete := role(t, "all but delete", Permission{Actions: []string{"*"}, NotActions: []string{"*/delete"}})
	deleter := role(t, "deleter", Permission{Actions: []string{"X/y/delete"}})
	twoBlocks := role(t, "two blocks",
		Permission{Actions: []string{"*"}, NotActions: []string{"*/delete"}}, Permission{Actions: []string{"X/y/delete"}})
	data := role(t, "data", Permission{DataActions: []string{"*"}, NotDataActions: []string{"*/secret"}})

	alice, group, outer := oid(1), oid(2), oid(3)
	grant := func(n byte, holder ident.ObjectID, scope string, r *Role) *Grant {
		return NewGrant(Assignment{ID: assignmentID(n), PrincipalID: holder, Scope: scope, RoleDefinitionID: r.Definition.ID}, r)
	}
	conditional := func(n byte, holder ident.ObjectID, scope string, r *Role, condition, version string) *Grant {
		return NewGrant(Assignment{ID: assignmentID(n), PrincipalID: holder, Scope: scope, Condition: condition, ConditionVersion: version}, r)
	}
	for _, c := range []struct {
		name   string
		grants []*Grant
		action string
		data   bool
		scope  string
		want   Verdict
		by     []byte // numbers of the assignments that Explain names
	}{
		{name: "nothing", action: "X/y/read", scope: "/", want: Deny},
		{name: "direct", grants: []*Grant{grant(1, alice, "/", all)}, action: "X/y/read", scope: testCluster, want: Allow, by: []byte{1}},
		{name: "by group", grants: []*Grant{grant(1, group, testSub, all)}, action: "X/y/read", scope: testCluster, want: Allow, by: []byte{1}},
		{name: "by outer group", grants: []*Grant{grant(1, outer, testSub, all)}, action: "X/y/read", scope: testCluster, want: Allow, by: []byte{1}},
		{name: "of someone else", grants: []*Grant{grant(1, oid(9), "/", all)}, action: "X/y/read", scope: testCluster, want: Deny},
		{name: "below only", grants: []*Grant{grant(1, alice, testCluster, all)}, action: "X/y/read", scope: testSub, want: Deny},
		{
			name: "namespace", grants: []*Grant{grant(1, alice, testCluster+"/namespaces/dev", all)},
			action: "X/y/read", scope: testCluster + "/namespaces/dev", want: Allow, by: []byte{1},
		},
		{
			name: "other namespace", grants: []*Grant{grant(1, alice, testCluster+"/namespaces/dev", all)},
			action: "X/y/read", scope: testCluster + "/namespaces/devel", want: Deny,
		},
		{name: "not action", grants: []*Grant{grant(1, alice, "/", allButDelete)}, action: "X/y/Delete", scope: "/", want: Deny},
		{
			name: "not action is no deny", grants: []*Grant{grant(1, alice, "/", allButDelete), grant(2, group, "/", deleter)},
			action: "x/Y/delete", scope: "/", want: Allow, by: []byte{2},
		},
		{name: "blocks of a role add up", grants: []*Grant{grant(1, alice, "/", twoBlocks)}, action: "X/y/delete", scope: "/", want: Allow, by: []byte{1}},
		{name: "control is not data", grants: []*Grant{grant(1, alice, "/", all)}, action: "X/y/read", data: true, scope: "/", want: Deny},
		{name: "data is not control", grants: []*Grant{grant(1, alice, "/", data)}, action: "X/y/read", scope: "/", want: Deny},
		{name: "data", grants: []*Grant{grant(1, alice, "/", data)}, action: "X/y/read", data: true, scope: "/", want: Allow, by: []byte{1}},
		{name: "not data", grants: []*Grant{grant(1, alice, "/", data)}, action: "X/y/secret", data: true, scope: "/", want: Deny},
		{
			name: "all ways", grants: []*Grant{grant(1, alice, "/", all), grant(2, group, testSub, allButDelete), grant(3, outer, testCluster, all)},
			action: "X/y/read", scope: testCluster, want: Allow, by: []byte{1, 2, 3},
		},
		{name: "condition that holds", grants: []*Grant{conditional(1, alice, "/", all, "ActionMatches{'x/Y/*'}", "2.0")}, action: "X/y/read", scope: "/", want: Allow, by: []byte{1}},
		{name: "condition that does not", grants: []*Grant{conditional(1, alice, "/", all, "!(ActionMatches{'X/y/read'})", "2.0")}, action: "X/y/read", scope: "/", want: Deny},
		{name: "condition that cannot be read", grants: []*Grant{conditional(1, alice, "/", all, "(…)", "2.0")}, action: "X/y/read", scope: "/", want: Deny},
		{name: "condition of another version", grants: []*Grant{conditional(1, alice, "/", all, "ActionMatches{'*'}", "1.0")}, action: "X/y/read", scope: "/", want: Deny},
		{
			name: "condition elsewhere", grants: []*Grant{conditional(1, alice, testCluster, all, "ActionMatches{'*'}", "2.0")},
			action: "X/y/read", scope: "/", want: Deny,
		},
		{
			name: "condition and a plain grant", grants: []*Grant{conditional(1, alice, "/", all, "x", "2.0"), grant(2, group, "/", all)},
			action: "X/y/read", scope: "/", want: Allow, by: []byte{2},
		},
		{name: "empty scope of a grant is nowhere", grants: []*Grant{grant(1, alice, "", all)}, action: "X/y/read", scope: testCluster, want: Deny},
		{name: "relative scope asked", grants: []*Grant{grant(1, alice, "/", all)}, action: "X/y/read", scope: "subscriptions/x", want: Deny},
		{name: "no scope asked", grants: []*Grant{grant(1, alice, "/", all)}, action: "X/y/read", want: Deny},
		{
			name: "long", grants: []*Grant{grant(1, alice, testSub, all)}, action: "X/" + strings.Repeat("y", 10_000),
			scope: testSub + "/" + strings.Repeat("z", 10_000), want: Allow, by: []byte{1},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newTable(map[ident.ObjectID][]ident.ObjectID{alice: {group, outer}}, c.grants...)
			req := Request{Principal: alice, Action: c.action, Data: c.data, Scope: c.scope}
			d := Decide(req, f)
			if d.Verdict != c.want {
				t.Fatalf("verdict %v, want %v", d.Verdict, c.want)
			}
			if c.want == Allow && len(d.Grants) != 1 {
				t.Errorf("Decide names %d grants", len(d.Grants))
			}
			e := Explain(req, f)
			if e.Verdict != c.want {
				t.Errorf("Explain says %v", e.Verdict)
			}
			var by []byte
			for _, g := range e.Grants {
				by = append(by, g.Assignment.ID[15])
			}
			if diff := cmp.Diff(c.by, by); diff != "" {
				t.Errorf("paths (-want +got):\n%s", diff)
			}
		})
	}
}

// drawn is a small random world with its facts.
type drawn struct {
	roles  []*Role
	grants []*Grant
	groups []ident.ObjectID // of principal 1
}

func (w drawn) facts(grants []*Grant) table {
	return newTable(map[ident.ObjectID][]ident.ObjectID{oid(1): w.groups}, grants...)
}

func genPattern() *rapid.Generator[string] {
	return rapid.StringMatching(`(\*|[aA])/(\*|[bB])(/(\*|[cC]))?`)
}

func genScope() *rapid.Generator[string] { return rapid.StringMatching(`(/[xXyY]){0,3}/?`) }

func drawWorld(t *rapid.T) drawn {
	var w drawn
	for i := range rapid.IntRange(1, 4).Draw(t, "roles") {
		draw := func(what string) []string { return rapid.SliceOfN(genPattern(), 0, 2).Draw(t, what) }
		d := RoleDefinition{ID: ident.New[ident.RoleDefinitionID](), Name: fmt.Sprint("role ", i), Type: CustomRole}
		for range rapid.IntRange(1, 2).Draw(t, "blocks") {
			d.Permissions = append(d.Permissions, Permission{
				Actions: draw("actions"), NotActions: draw("not"), DataActions: draw("data"), NotDataActions: draw("not data"),
			})
		}
		r, err := Compile(d)
		if err != nil {
			t.Fatal(err)
		}
		w.roles = append(w.roles, r)
	}
	for i := range rapid.IntRange(0, 6).Draw(t, "grants") {
		w.grants = append(w.grants, NewGrant(Assignment{
			ID: assignmentID(byte(i)), Scope: "/" + strings.TrimPrefix(genScope().Draw(t, "scope"), "/"),
			PrincipalID: oid(byte(rapid.IntRange(1, 4).Draw(t, "holder"))),
		}, rapid.SampledFrom(w.roles).Draw(t, "role")))
	}
	w.groups = rapid.SampledFrom([][]ident.ObjectID{nil, {oid(2)}, {oid(2), oid(3)}}).Draw(t, "groups")
	return w
}

func drawRequest(t *rapid.T) Request {
	return Request{
		Principal: oid(1), Action: rapid.StringMatching(`[aA]/[bB](/[cC])?`).Draw(t, "action"), Data: rapid.Bool().Draw(t, "is data"),
		Scope: "/" + strings.TrimPrefix(genScope().Draw(t, "asked scope"), "/"),
	}
}

// slowDecide follows the documented order word by word.
func slowDecide(req Request, w drawn) bool {
	holders := append([]ident.ObjectID{req.Principal}, w.groups...)
	for _, g := range w.grants {
		if !slices.Contains(holders, g.Assignment.PrincipalID) || !slowCovers(g.Assignment.Scope, req.Scope) {
			continue
		}
		for _, p := range g.Role.Definition.Permissions {
			yes, no := p.Actions, p.NotActions
			if req.Data {
				yes, no = p.DataActions, p.NotDataActions
			}
			match := func(pattern string) bool { return slowMatch(pattern, req.Action) }
			if slices.ContainsFunc(yes, match) && !slices.ContainsFunc(no, match) {
				return true
			}
		}
	}
	return false
}

func TestDecideProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, req := drawWorld(t), drawRequest(t)
		allowed := Decide(req, w.facts(w.grants)).Verdict == Allow
		if want := slowDecide(req, w); allowed != want {
			t.Fatalf("allowed %v, the slow way says %v", allowed, want)
		}
		more := append(slices.Clone(w.grants), NewGrant(Assignment{
			ID: assignmentID(99), Scope: "/" + strings.TrimPrefix(genScope().Draw(t, "new scope"), "/"),
			PrincipalID: oid(byte(rapid.IntRange(1, 4).Draw(t, "new holder"))),
		}, rapid.SampledFrom(w.roles).Draw(t, "new role")))
		if allowed && Decide(req, w.facts(more)).Verdict != Allow {
			t.Fatal("a further grant took access away")
		}
		if len(w.grants) > 0 {
			i := rapid.IntRange(0, len(w.grants)-1).Draw(t, "removed")
			if !allowed && Decide(req, w.facts(slices.Delete(slices.Clone(w.grants), i, i+1))).Verdict == Allow {
				t.Fatal("a grant less gave access")
			}
		}
		other := req
		other.Action, other.Scope = strings.ToUpper(req.Action), strings.ToUpper(req.Scope)
		if got := Decide(other, w.facts(w.grants)).Verdict == Allow; got != allowed {
			t.Fatal("letter case matters")
		}
		e := Explain(req, w.facts(w.grants))
		if (e.Verdict == Allow) != allowed {
			t.Fatal("Explain and Decide disagree")
		}
		for _, g := range e.Grants {
			alone := w
			alone.grants = []*Grant{g}
			if !slowDecide(req, alone) {
				t.Fatal("Explain names a grant that does not allow")
			}
		}
	})
}

func TestDecideTakesNoMemory(t *testing.T) {
	f, req := benchFacts(t)
	if n := testing.AllocsPerRun(100, func() {
		if Decide(req, f).Verdict != Allow {
			t.Fatal("not allowed")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// benchFacts are a principal in 20 groups, each with a grant elsewhere, the last one with the grant that counts.
func benchFacts(t testing.TB) (Facts, Request) {
	reader := builtin(t, "Azure Kubernetes Service RBAC Reader")
	groups := map[ident.ObjectID][]ident.ObjectID{}
	var grants []*Grant
	for i := range byte(20) {
		g := oid(i + 2)
		groups[oid(1)] = append(groups[oid(1)], g)
		grants = append(grants, NewGrant(Assignment{Scope: fmt.Sprintf("%s/namespaces/team-%d", testCluster, i), PrincipalID: g}, reader))
	}
	return newTable(groups, grants...), Request{Principal: oid(1), Action: aks + "pods/read", Data: true, Scope: testCluster + "/namespaces/team-19"}
}

func BenchmarkDecide(b *testing.B) {
	f, req := benchFacts(b)
	b.Run("allow by the last of 20 groups", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			Decide(req, f)
		}
	})
	var direct Facts = newTable(nil, NewGrant(Assignment{PrincipalID: oid(1), Scope: testSub}, builtin(b, "Azure Kubernetes Service RBAC Cluster Admin")))
	b.Run("allow directly", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			Decide(req, direct)
		}
	})
	denied := req
	denied.Action = aks + "secrets/read"
	b.Run("deny", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			Decide(denied, f)
		}
	})
}
