package rbac

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/keyreeve/keyreeve/internal/ident"
)

func denial(t testing.TB, n byte, d DenyAssignment) *Denial {
	t.Helper()
	d.ID = ident.DenyAssignmentID{15: n}
	out, err := NewDenial(d)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func denials(list ...*Denial) *Denials {
	s := new(Denials)
	for _, d := range list {
		s.Put(d)
	}
	return s
}

// Of control actions, with conditions, at management groups, and by name in what is explained.
func TestDenyControlActions(t *testing.T) {
	owner := builtin(t, "Owner")
	const sub = "/subscriptions/s"
	everyone := []DenyPrincipal{{}}
	all := []Permission{{Actions: []string{"*"}}}
	for _, c := range []struct {
		name          string
		deny          DenyAssignment
		action, scope string
		want          Verdict
	}{
		{"all", DenyAssignment{Scope: sub, Principals: everyone, Permissions: all}, "a/b/write", sub + "/resourceGroups/g", Deny},
		{"but not reading deny assignments", DenyAssignment{Scope: sub, Principals: everyone, Permissions: all}, "Microsoft.Authorization/denyAssignments/read", sub, Allow},
		{"nor deleting them", DenyAssignment{Scope: sub, Principals: everyone, Permissions: all}, "microsoft.authorization/DENYASSIGNMENTS/delete", sub, Allow},
		{"role assignments, though", DenyAssignment{Scope: sub, Principals: everyone, Permissions: all}, "Microsoft.Authorization/roleAssignments/delete", sub, Deny},
		{"data actions only", DenyAssignment{Scope: sub, Principals: everyone, Permissions: []Permission{{DataActions: []string{"*"}}}}, "a/b/write", sub, Allow},
		{"exact, below", DenyAssignment{Scope: sub, ExactScope: true, Principals: everyone, Permissions: all}, "a/b/write", sub + "/resourceGroups/g", Allow},
		{"exact, there", DenyAssignment{Scope: "/SUBSCRIPTIONS/s/", ExactScope: true, Principals: everyone, Permissions: all}, "a/b/write", sub, Deny},
		{"a management group above", DenyAssignment{Scope: "/providers/Microsoft.Management/managementGroups/M", Principals: everyone, Permissions: all}, "a/b/write", sub, Deny},
		{"exactly a management group above", DenyAssignment{Scope: "/providers/Microsoft.Management/managementGroups/M", ExactScope: true, Principals: everyone, Permissions: all}, "a/b/write", sub, Allow},
		{"a management group elsewhere", DenyAssignment{Scope: "/providers/Microsoft.Management/managementGroups/other", Principals: everyone, Permissions: all}, "a/b/write", sub, Allow},
		{"deep below", DenyAssignment{Scope: sub, Principals: everyone, Permissions: all}, "a/b/write", sub + strings.Repeat("/x/y", 20), Deny},
		{"condition says no", DenyAssignment{
			Scope: sub, Principals: everyone, Permissions: all, ConditionVersion: "2.0", Condition: "ActionMatches{'a/c/write'}",
		}, "a/b/write", sub, Allow},
		{"condition says yes", DenyAssignment{Scope: sub, Principals: everyone, Permissions: all, ConditionVersion: "2.0", Condition: "ActionMatches{'a/b/*'}"}, "a/b/write", sub, Deny},
		{"condition does not know", DenyAssignment{Scope: sub, Principals: everyone, Permissions: all, ConditionVersion: "2.0", Condition: kindAttr + " StringEquals 'x'"}, "a/b/write", sub, Deny},
		{"condition cannot be read", DenyAssignment{Scope: sub, Principals: everyone, Permissions: all, ConditionVersion: "2.0", Condition: "x"}, "a/b/write", sub, Deny},
	} {
		d := denial(t, 1, c.deny)
		f := newTable(nil, NewGrant(Assignment{ID: assignmentID(1), PrincipalID: oid(1), Scope: sub}, owner))
		f.denials = denials(d)
		req := Request{Principal: oid(1), Action: c.action, Scope: c.scope, Above: []string{"/providers/microsoft.management/managementgroups/m"}}
		if got := Decide(req, f); got.Verdict != c.want || (got.Denial == d) != (c.want == Deny) {
			t.Errorf("%s: %+v", c.name, got)
		}
		if got := Explain(req, f); got.Verdict != c.want || len(got.Grants) != 1 {
			t.Errorf("%s, explained: %+v", c.name, got)
		}
	}
}

// Before it is known what is assigned, a condition about it denies no more than it certainly will.
func TestDenialBeforeTheAssignmentIsKnown(t *testing.T) {
	const sub, write = "/subscriptions/s", "Microsoft.Authorization/roleAssignments/write"
	f := newTable(nil, NewGrant(Assignment{ID: assignmentID(1), PrincipalID: oid(1), Scope: sub}, builtin(t, "Owner")))
	f.denials = denials(denial(t, 1, DenyAssignment{
		Scope: sub, Principals: []DenyPrincipal{{}}, Permissions: []Permission{{Actions: []string{write}}},
		ConditionVersion: "2.0", Condition: requestRole + " GuidEquals " + adminGUID,
	}))
	asks := func(role string) *Delegation {
		return &Delegation{Request: AssignmentAttributes{Role: ident.MustParse[ident.RoleDefinitionID](role)}}
	}
	for name, c := range map[string]struct {
		d    *Delegation
		want Verdict
	}{
		"not known yet": {&Delegation{Later: true}, Allow}, "another role": {asks(readerGUID), Allow}, "that role": {asks(adminGUID), Deny},
		"nothing of the kind": {nil, Deny},
	} {
		if got := Decide(Request{Principal: oid(1), Action: write, Scope: sub, Delegation: c.d}, f); got.Verdict != c.want {
			t.Errorf("%s: %s", name, got.Verdict)
		}
	}
}

// The index finds what looking at every deny assignment finds, whatever was put and removed before.
func TestDenialsAgainstAll(t *testing.T) {
	owner := builtin(t, "Owner")
	rapid.Check(t, func(t *rapid.T) {
		scope := rapid.SampledFrom([]string{"/", "/subscriptions/a", "/subscriptions/A/resourceGroups/g", "/subscriptions/b", "/providers/microsoft.management/managementgroups/m", "/subscriptions/a" + strings.Repeat("/x/y", 12)})
		who := rapid.SampledFrom([]DenyPrincipal{{}, {ID: oid(1)}, {ID: oid(2)}, {ID: oid(3)}})
		set, kept := new(Denials), map[byte]*Denial{}
		for range rapid.IntRange(0, 12).Draw(t, "changes") {
			n := byte(rapid.IntRange(1, 6).Draw(t, "id"))
			if rapid.IntRange(0, 3).Draw(t, "remove") == 0 {
				set.Remove(ident.DenyAssignmentID{15: n})
				delete(kept, n)
				continue
			}
			d := DenyAssignment{
				ID: ident.DenyAssignmentID{15: n}, Scope: scope.Draw(t, "scope"), ExactScope: rapid.Bool().Draw(t, "exact"), Principals: []DenyPrincipal{who.Draw(t, "denied")},
				Permissions: []Permission{{Actions: []string{rapid.SampledFrom([]string{"*", "a/b/write", "a/b/read"}).Draw(t, "action")}}},
			}
			if x := who.Draw(t, "excluded"); !x.ID.IsZero() {
				d.Excluded = []DenyPrincipal{x}
			}
			made, err := NewDenial(d)
			if err != nil {
				t.Fatal(err)
			}
			set.Put(made)
			kept[n] = made
		}
		if set.Len() != len(kept) {
			t.Fatalf("%d deny assignments, want %d", set.Len(), len(kept))
		}
		f := newTable(map[ident.ObjectID][]ident.ObjectID{oid(1): {oid(2)}}, NewGrant(Assignment{ID: assignmentID(1), PrincipalID: oid(1), Scope: "/"}, owner))
		f.denials = set
		req := Request{Principal: oid(1), Action: "a/b/write", Scope: scope.Draw(t, "at"), Above: []string{"/providers/microsoft.management/managementgroups/m"}}
		want := Allow
		for _, d := range kept {
			a := d.Assignment
			at := Covers(a.Scope, req.Scope) || strings.EqualFold(a.Scope, req.Above[0])
			if a.ExactScope {
				at = strings.EqualFold(a.Scope, req.Scope)
			}
			named := a.Principals[0].ID == oid(1) || a.Principals[0].ID == oid(2) || a.Principals[0].ID.IsZero()
			out := len(a.Excluded) > 0 && (a.Excluded[0].ID == oid(1) || a.Excluded[0].ID == oid(2))
			if at && named && !out && a.Permissions[0].Actions[0] != "a/b/read" {
				want = Deny
			}
		}
		if got := Decide(req, f); got.Verdict != want {
			t.Fatalf("%+v, want %s", got, want)
		}
	})
}

func BenchmarkDenials(b *testing.B) {
	owner := builtin(b, "Owner")
	for name, n := range map[string]int{"none": 0, "thousand elsewhere": 1000} {
		b.Run(name, func(b *testing.B) {
			f := newTable(nil, NewGrant(Assignment{ID: assignmentID(1), PrincipalID: oid(1), Scope: "/subscriptions/s"}, owner))
			f.denials = new(Denials)
			for i := range n {
				d, err := NewDenial(DenyAssignment{
					ID: ident.DenyAssignmentID{0: byte(i), 1: byte(i >> 8)}, Scope: "/subscriptions/s/resourceGroups/" + strings.Repeat("x", i+1), Principals: []DenyPrincipal{{}},
					Permissions: []Permission{{Actions: []string{"*"}}},
				})
				if err != nil {
					b.Fatal(err)
				}
				f.denials.Put(d)
			}
			var facts Facts = f
			req := Request{Principal: oid(1), Action: "a/b/write", Scope: "/subscriptions/s/resourceGroups/other"}
			b.ReportAllocs()
			for b.Loop() {
				if Decide(req, facts).Verdict != Allow {
					b.Fatal("denied")
				}
			}
		})
	}
}
