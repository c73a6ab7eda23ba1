package authorization

import (
	"strings"
	"testing"

	"github.com/keyreeve/keyreeve/internal/ident"
)

func FuzzAssignmentFilter(f *testing.F) {
	const id = "33333333-0000-4000-8000-000000000001"
	for _, s := range []string{
		"", "atScope()", "principalId eq '" + id + "'", "assignedTo('" + id + "')", "atScope() and assignedTo('" + id + "')", "principalId eq '" + id + "' and atScope()",
		"principalId eq " + id, "atScope() and atScope()", "ASSIGNEDTO('" + strings.ToUpper(id) + "')", "assignedTo()", "atScope('x')",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a, err := parseAssignmentFilter(text)
		if err != nil {
			if a != (assignmentFilter{}) {
				t.Fatalf("%q is refused and lets %+v through", text, a)
			}
			return
		}
		// A filter that was sent is never read as none: that would list everything.
		if a == (assignmentFilter{}) && strings.TrimSpace(text) != "" {
			t.Fatalf("%q reads as no filter", text)
		}
		if b, err := parseAssignmentFilter(a.String()); err != nil || a != b {
			t.Fatalf("%q reads as %+v, and %q as %+v, %v", text, a, a.String(), b, err)
		}
	})
}

func FuzzDefinitionID(f *testing.F) {
	const id = "acdd72a7-3385-48ef-bd42-f606fba81ae7"
	for _, s := range []string{
		"/subscriptions/s/providers/Microsoft.Authorization/roleDefinitions/" + id, "/providers/microsoft.authorization/ROLEDEFINITIONS/" + id, id, "Reader", "/roleDefinitions/" + id,
		"/providers/Microsoft.Authorization/roleDefinitions/" + id + "/x", "\xff/providers/Microsoft.Authorization/roleDefinitions/" + id,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := parseDefinitionID(s)
		if err != nil {
			return
		}
		// The oracle reads from the end: the id is the last segment, and its three parents are fixed.
		p := strings.Split(s, "/")
		want, idErr := ident.Parse[ident.RoleDefinitionID](p[len(p)-1])
		if idErr != nil || got != want || len(p) < 5 || !strings.EqualFold(strings.Join(p[len(p)-4:len(p)-1], "/"), "providers/Microsoft.Authorization/roleDefinitions") {
			t.Fatalf("%q reads as %s", s, got)
		}
	})
}

func FuzzScope(f *testing.F) {
	for _, s := range []string{"/", "/subscriptions/22222222-0000-4000-8000-000000000001", "/subscriptions/x", "", "//", "/subscriptions/22222222-0000-4000-8000-000000000001/resourceGroups/g/providers/N/t/n/c/m"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if !validScope(s) || s == "/" {
			return
		}
		// The oracle: an even number of segments, none empty, a subscription's id in its place; below a group or a
		// subscription the first word is providers; and where the id names one resource of a group, ident reads it the same.
		p := strings.Split(s[1:], "/")
		if len(p)%2 != 0 || !ident.IsGUID(p[1]) || strings.Contains(s, "//") || strings.HasSuffix(s, "/") {
			t.Fatalf("%q is a scope", s)
		}
		if id, err := ident.ParseResourceID(s); err == nil && id.Key() != strings.ToLower(s) {
			t.Fatalf("%q is read as %s", s, id)
		}
	})
}

func FuzzDenyFilter(f *testing.F) {
	const id = "33333333-0000-4000-8000-000000000001"
	for _, s := range []string{"", "atScope()", "denyAssignmentName eq 'x'", "denyAssignmentName eq 'x' and atScope()", "assignedTo('" + id + "') and atScope()", "principalId eq '" + id + "'"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := parseDenyFilter(text)
		if err != nil && got != (denyFilter{}) {
			t.Fatalf("%q is refused and lets %+v through", text, got)
		}
		if err == nil && got == (denyFilter{}) && strings.TrimSpace(text) != "" {
			t.Fatalf("%q reads as no filter", text)
		}
	})
}
