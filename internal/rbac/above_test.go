package rbac

import "testing"

// TestAbove: what is assigned at a management group above the scope counts, by its whole id, however many there are.
func TestAbove(t *testing.T) {
	const group = "/providers/Microsoft.Management/managementGroups/"
	above := []string{"/providers/microsoft.management/managementgroups/prod", "/providers/microsoft.management/managementgroups/platform"}
	for name, test := range map[string]struct {
		at, scope string
		above     []string
		want      Verdict
	}{
		"nearest":           {group + "Prod", testSub + "/resourceGroups/g", above, Allow},
		"further":           {group + "platform", testSub, above, Allow},
		"not above":         {group + "sandbox", testSub, above, Deny},
		"longer name":       {group + "prod2", testSub, above, Deny},
		"nothing above":     {group + "prod", testSub, nil, Deny},
		"the group itself":  {group + "prod", group + "PROD", nil, Allow},
		"more than is kept": {group + "platform", testSub + "/resourceGroups/g/providers/a/b/c/d/e/f/g/h/i/j/k", above, Allow},
	} {
		t.Run(name, func(t *testing.T) {
			f := newTable(nil, NewGrant(Assignment{PrincipalID: oid(1), Scope: test.at}, builtin(t, "Reader")))
			d := Decide(Request{Principal: oid(1), Action: "a/b/read", Scope: test.scope, Above: test.above}, f)
			if d.Verdict != test.want {
				t.Errorf("%v, want %v", d.Verdict, test.want)
			}
		})
	}
}

// TestHierarchyIsSifted: the sieve works below as many levels of management groups as there can be, at a namespace too: else each
// decision there would look at every group of a principal.
func TestHierarchyIsSifted(t *testing.T) {
	m := PathOf(testCluster + "/namespaces/dev").marks
	var above []string
	for range 7 { // the tenant's root and six below
		above = append(above, "/providers/microsoft.management/managementgroups/g"+string(rune('a'+len(above))))
	}
	m.raise(above, nil)
	if m.deep {
		t.Errorf("%d scopes are kept, and there are more", m.n)
	}
}
