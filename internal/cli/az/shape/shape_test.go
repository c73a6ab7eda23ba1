package shape

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestTypesAreWhole: every type that a line names is there.
func TestTypesAreWhole(t *testing.T) {
	all := read(text)
	for name, fields := range all {
		for _, f := range fields {
			kind := strings.TrimPrefix(strings.TrimPrefix(f.kind, "[]"), "{}")
			if _, ok := all[kind]; kind != "" && kind != "time" && !ok {
				t.Errorf("%s.%s is a %s, which is nowhere", name, f.name, f.kind)
			}
		}
		if len(fields) == 0 {
			t.Errorf("%s has no properties", name)
		}
	}
}

func TestOf(t *testing.T) {
	const in = `{"id":"/x","name":"r","more":1,"properties":{"roleDefinitionId":"d","SCOPE":"/s","createdOn":"2026-11-25T14:54:44.4850747Z","updatedOn":"2026-11-25T14:54:44Z"}}`
	var v any
	if err := json.Unmarshal([]byte(in), &v); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"id": "/x", "name": "r", "type": nil, "more": 1.0, "scope": "/s", "roleDefinitionId": "d", "principalId": nil, "principalType": nil,
		"description": nil, "condition": nil, "conditionVersion": nil, "createdOn": "2026-11-25T14:54:44.485074+00:00",
		"updatedOn": "2026-11-25T14:54:44+00:00", "createdBy": nil, "updatedBy": nil, "delegatedManagedIdentityResourceId": nil,
	}
	if diff := cmp.Diff(any(want), Of("RoleAssignment", v)); diff != "" {
		t.Error(diff)
	}
}

func TestAddResourceGroups(t *testing.T) {
	const base = "/subscriptions/s/resourceGroups/Rg"
	for id, want := range map[string]any{base: nil, base + "/providers/A.B/c/d": "Rg", "/subscriptions/s": nil, "": nil} {
		got := AddResourceGroups([]any{map[string]any{"id": id}})
		if diff := cmp.Diff(want, got.([]any)[0].(map[string]any)["resourceGroup"]); diff != "" { //nolint:forcetypeassert // made above
			t.Errorf("%s: %s", id, diff)
		}
	}
}
