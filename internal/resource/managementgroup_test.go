package resource

import (
	"strings"
	"testing"
)

func TestParseManagementGroupID(t *testing.T) {
	const prefix = "/providers/Microsoft.Management/managementGroups/"
	for in, want := range map[string]string{
		prefix + "Prod": "Prod", strings.ToLower(prefix) + "a.b-c_(d)": "a.b-c_(d)", prefix + "x/": "x",
		prefix: "", prefix + "x/subscriptions/y": "", prefix + "-x": "", prefix + "x.": "", prefix + "é": "", prefix + strings.Repeat("x", 91): "",
		"/subscriptions/x": "", "": "", prefix[1:] + "x": "",
	} {
		if name, ok := ParseManagementGroupID(in); ok != (want != "") || ok && name != want {
			t.Errorf("%s: %q, %t, want %q", in, name, ok, want)
		}
	}
}

func FuzzParseManagementGroupID(f *testing.F) {
	f.Add("/providers/Microsoft.Management/managementGroups/Prod")
	f.Fuzz(func(t *testing.T, s string) {
		name, ok := ParseManagementGroupID(s)
		if !ok {
			return
		}
		if !strings.EqualFold(ManagementGroupID(name), strings.TrimSuffix(s, "/")) || strings.ContainsAny(name, "/ ") || !ValidManagementGroupName(name) {
			t.Fatalf("%q reads as %q", s, name)
		}
	})
}
