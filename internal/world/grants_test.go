package world_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/feed"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/world"
)

// TestGrants: consents and app roles are found by who holds them, follow them when they change hands, and go.
func TestGrants(t *testing.T) {
	w, err := world.New()
	if err != nil {
		t.Fatal(err)
	}
	revision := feed.Revision(0)
	apply := func(kind feed.Kind, op feed.Op, id ident.GrantID, v any) {
		t.Helper()
		raw, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Apply(feed.Change{Revision: revision, Events: []feed.Event{{Kind: kind, Op: op, Key: id.String(), Value: raw}}}); err != nil {
			t.Fatal(err)
		}
		revision++
	}
	object := func(name string) ident.ObjectID { return ident.Derive[ident.ObjectID]("grants", name) }
	grant := func(name, client string) directory.PermissionGrant {
		return directory.PermissionGrant{ID: ident.Derive[ident.GrantID]("grants", name), Client: object(client), Resource: object("r"), Scope: name}
	}
	has := func(client string, want ...string) {
		t.Helper()
		got := []string{}
		for _, g := range w.PermissionGrants(object(client)) {
			got = append(got, g.Scope)
		}
		if diff := cmp.Diff(append([]string{}, want...), got); diff != "" {
			t.Errorf("%s: %s", client, diff)
		}
	}
	one := grant("one", "a")
	apply(feed.PermissionGrant, feed.Put, one.ID, one)
	has("a", "one")
	held := w.PermissionGrants(object("a"))
	moved := one
	moved.Client = object("b")
	apply(feed.PermissionGrant, feed.Put, one.ID, moved)
	has("a")
	has("b", "one")
	if held[0].Client != object("a") {
		t.Error("what was handed out has changed")
	}
	apply(feed.PermissionGrant, feed.Delete, one.ID, nil)
	apply(feed.PermissionGrant, feed.Delete, one.ID, nil) // twice is no error
	has("b")

	role := directory.AppRoleAssignment{ID: ident.Derive[ident.GrantID]("grants", "role"), Principal: object("p"), Resource: object("r")}
	apply(feed.AppRoleAssignment, feed.Put, role.ID, role)
	if diff := cmp.Diff([]directory.AppRoleAssignment{role}, w.AppRoleAssignments(object("p"))); diff != "" {
		t.Error(diff)
	}
	apply(feed.AppRoleAssignment, feed.Delete, role.ID, nil)
	if got := w.AppRoleAssignments(object("p")); got != nil {
		t.Errorf("left: %v", got)
	}
}
