package rbac

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/keyreeve/keyreeve/internal/ident"
)

// drawBound adds bindings to alice, to a group of hers and to everybody, and deny assignments, to what drawCluster draws.
func drawBound(t *rapid.T) (table, []*Grant, *ClusterRules) {
	facts, grants, rules := drawCluster(t)
	e := rules.Own.Edit()
	e.PutRole(&KubeRole{Name: "drawn", Rules: []PolicyRule{{
		Verbs: []string{rapid.SampledFrom([]string{"*", "get", "create"}).Draw(t, "verb")}, APIGroups: []string{"*"},
		Resources: []string{rapid.SampledFrom([]string{"*", "pods", "pods/log", "widgets"}).Draw(t, "resource")},
	}}})
	for _, s := range []Subject{{Kind: KindUser, Name: "alice"}, {Kind: KindGroup, Name: oid(2).String()}, {Kind: KindGroup, Name: Authenticated}, {Kind: KindUser, Name: "bob"}} {
		if rapid.IntRange(0, 3).Draw(t, "bound") == 0 {
			e.PutBinding(&Binding{Namespace: rapid.SampledFrom([]string{"", "dev"}).Draw(t, "in"), Name: "drawn-" + s.Name, RoleRef: RoleRef{KindClusterRole, "drawn"}, Subjects: []Subject{s}})
		}
	}
	rules.Own = e.Done()
	for i := range rapid.IntRange(0, 2).Draw(t, "denials") {
		d, err := NewDenial(DenyAssignment{
			ID:    ident.DenyAssignmentID{15: byte(i)},
			Scope: rapid.SampledFrom([]string{testSub, testCluster, testCluster + "/namespaces/dev", testCluster + "/namespaces/prod"}).Draw(t, "denied at"), ExactScope: rapid.Bool().Draw(t, "exact"),
			Principals:  []DenyPrincipal{{ID: rapid.SampledFrom([]ident.ObjectID{{}, oid(1), oid(2), oid(4)}).Draw(t, "denied")}},
			Excluded:    rapid.SampledFrom([][]DenyPrincipal{nil, nil, {{ID: oid(1)}}, {{ID: oid(3)}}}).Draw(t, "excluded"),
			Permissions: []Permission{{DataActions: []string{rapid.SampledFrom([]string{"*", "*/read", "*/pods/*", "*/customresources/*"}).Draw(t, "denied action")}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		if facts.denials == nil {
			facts.denials = new(Denials)
		}
		facts.denials.Put(d)
	}
	return facts, grants, rules
}

// without returns the facts and rules less everything that ways come from.
func without(ways []Way, facts table, grants []*Grant, rules ClusterRules) (table, ClusterRules) {
	var left []*Grant
	for _, g := range grants {
		if !slices.ContainsFunc(ways, func(w Way) bool { return w.Grant == g }) {
			left = append(left, g)
		}
	}
	next := newTable(facts.groups, left...)
	next.denials = facts.denials
	e := rules.Own.Edit()
	for _, w := range ways {
		switch w.Kind {
		case ByAdminGroup:
			rules.AdminGroups = slices.DeleteFunc(slices.Clone(rules.AdminGroups), func(id ident.ObjectID) bool { return id == w.Holder })
		case ByBinding:
			e.DropBinding(w.Binding.Namespace, w.Binding.Name)
		case ByRole:
		}
	}
	rules.Own = e.Done()
	return next, rules
}

// What explain, who-can and access say is what decisions do: every way named suffices alone, without all of them there is
// none, who can is who is let in, and nobody is let in by what access does not list.
func TestAnswersAgreeWithDecisions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		facts, grants, rules := drawBound(t)
		req := genKube().Draw(t, "request")
		ask := &ClusterAsk{Principal: oid(1), Name: "alice", Request: req}
		d, ways := ExplainCluster(ask, rules, facts)
		if one := DecideCluster(ask, rules, facts); one.Verdict != d.Verdict || one.Denial != d.Denial || (len(ways) > 0) != (d.Verdict == Allow) {
			t.Fatalf("%+v: explained %+v by %d ways, decided %+v", req, d, len(ways), one)
		}
		for i := range ways {
			others := slices.Delete(slices.Clone(ways), i, i+1)
			// A binding may come by two subjects: both are the same source.
			others = slices.DeleteFunc(others, func(w Way) bool { return w.Kind == ByBinding && w.Binding == ways[i].Binding })
			f, r := without(others, facts, grants, *rules)
			if got := DecideCluster(ask, &r, f); got.Verdict != Allow {
				t.Fatalf("%+v: by %+v alone it is %+v", req, ways[i], got)
			}
		}
		f, r := without(ways, facts, grants, *rules)
		if got := DecideCluster(ask, &r, f); got.Verdict == Allow {
			t.Fatalf("%+v: allowed by %+v, which explain does not name", req, got.Way)
		}
		who, unknown := WhoCan(req, rules, facts, func(yield func(ident.ObjectID, string) bool) {
			_ = yield(oid(1), "alice") && yield(oid(4), "bob")
		})
		for id, name := range map[ident.ObjectID]string{oid(1): "alice", oid(4): "bob"} {
			let := DecideCluster(&ClusterAsk{Principal: id, Name: name, Request: req}, rules, facts).Verdict == Allow
			if unknown || let != slices.ContainsFunc(who, func(w Who) bool { return w.Principal == id && len(w.Ways) > 0 }) {
				t.Fatalf("%+v: %s let in %v, who can %+v", req, name, let, who)
			}
		}
		listed := Access(oid(1), "alice", rules, facts)
		for _, w := range ways {
			has := slices.ContainsFunc(listed, func(h Holding) bool {
				return h.Kind == w.Kind && h.Grant == w.Grant && h.Binding == w.Binding && (h.Namespace == "" || h.Namespace == req.Namespace)
			})
			if !has {
				t.Fatalf("%+v: allowed by %+v, which access does not list: %+v", req, w, listed)
			}
		}
		if d.Denial != nil && !slices.Contains(DenialsAbout(oid(1), rules, facts), d.Denial) {
			t.Fatalf("%+v: denied by %q, which access does not list", req, d.Denial.Assignment.Name)
		}
		// A member of a group that would be let in is let in.
		if d.Verdict == Deny && d.Denial == nil {
			for g := byte(2); g <= 4; g++ {
				joined := newTable(map[ident.ObjectID][]ident.ObjectID{oid(1): append(slices.Clone(facts.groups[oid(1)]), oid(g))}, grants...)
				joined.denials = facts.denials
				alone := newTable(map[ident.ObjectID][]ident.ObjectID{{}: {oid(g)}}, grants...)
				alone.denials = facts.denials
				byGroup := DecideCluster(&ClusterAsk{Request: req}, rules, alone)
				if byGroup.Verdict == Allow && byGroup.Way.Kind != ByRole && DecideCluster(ask, rules, joined).Verdict != Allow {
					t.Fatalf("%+v: group %d would let in, and does not", req, g)
				}
			}
		}
	})
}
