package world

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/rbac"
)

func storedDocuments(t testing.TB) (user, assignment []byte) {
	t.Helper()
	at := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	user, err := json.Marshal(directory.User{
		ID: ident.New[ident.ObjectID](), Tenant: ident.New[ident.TenantID](), UserPrincipalName: "zoë@contoso.test", DisplayName: "Zoë", AccountEnabled: true,
		BusinessPhones: []string{"1", "2"}, CreatedAt: at, SessionsValidFrom: at,
	})
	if err != nil {
		t.Fatal(err)
	}
	assignment, err = json.Marshal(rbac.Assignment{
		ID: ident.New[ident.RoleAssignmentID](), Scope: "/subscriptions/x", RoleDefinitionID: ident.New[ident.RoleDefinitionID](),
		PrincipalID: ident.New[ident.ObjectID](), PrincipalType: rbac.PrincipalGroup, Tenant: ident.New[ident.TenantID](), Condition: "c", ConditionVersion: "2.0",
		CreatedOn: at, UpdatedOn: at,
	})
	if err != nil {
		t.Fatal(err)
	}
	return user, assignment
}

// TestDocumentsAreSimple holds that what the store writes takes the quick way.
func TestDocumentsAreSimple(t *testing.T) {
	user, assignment := storedDocuments(t)
	if _, ok := plainUser(user); !ok {
		t.Errorf("not simple: %s", user)
	}
	if _, ok := plainAssignment(assignment); !ok {
		t.Errorf("not simple: %s", assignment)
	}
}

// FuzzDocuments holds that a document read the quick way is what encoding/json reads.
func FuzzDocuments(f *testing.F) {
	user, assignment := storedDocuments(f)
	f.Add(user)
	f.Add(assignment)
	for _, s := range []string{
		``, `null`, `{}`, ` { } `, `{} x`, `{"tenant":""}`, `{"tenant":null}`, `{"TENANT":"x"}`, `{"displayName":"a","displayName":"b"}`, `{"displayName":"a\u0026"}`,
		`{"displayname":"a"}`, "{\"displayName\":\"\xff\"}", "{\"displayName\":\"a\tb\"}", `{"accountEnabled":1}`, `{"accountEnabled":trueish}`, `{"a":[1,-0,{"b":null}],"c":0.5e3}`,
		`{"a":01}`, `{"a":-}`, `{"a":[1,]}`, `{"a":{"b":1,}}`, `{"a":1,}`, `{"sessionsValidFrom":"2026-02-30T00:00:00Z"}`, `{"sessionsValidFrom":5}`, `{"ſcope":"/"}`, `{"ſessionsValidFrom":""}`,
		`{"a":[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]}`, `{"displayName" : "a" , "x":[ ] }`, `{"principalType":"Group","scope":"/"}`, `{"principalType":5}`, `{"id":"x"}`, `{"a":"\"}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if got, ok := plainUser(raw); ok {
			var want userDocument
			if err := json.Unmarshal(raw, &want); err != nil {
				t.Fatalf("%q: read, but %v", raw, err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("%q: -json +got\n%s", raw, diff)
			}
		}
		if got, ok := plainAssignment(raw); ok {
			var want assignmentDocument
			if err := json.Unmarshal(raw, &want); err != nil {
				t.Fatalf("%q: read, but %v", raw, err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("%q: -json +got\n%s", raw, diff)
			}
		}
	})
}

// BenchmarkReadAssignment measures one document, beside encoding/json.
func BenchmarkReadAssignment(b *testing.B) {
	_, raw := storedDocuments(b)
	b.Run("plain", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := readAssignment(raw); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("json", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var a assignmentDocument
			if err := json.Unmarshal(raw, &a); err != nil {
				b.Fatal(err)
			}
		}
	})
}
