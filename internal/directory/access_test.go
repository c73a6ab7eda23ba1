package directory

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
)

func roleIDs() []ident.DirectoryRoleID { return readers() }

// questions are all that may be asked of an actor.
func questions(self, other ident.ObjectID) map[string]func(Actor) error {
	out := map[string]func(Actor) error{
		"read self":                    func(a Actor) error { return a.MayReadUser(self) },
		"read other":                   func(a Actor) error { return a.MayReadUser(other) },
		"read own memberships":         func(a Actor) error { return a.MayReadMemberships(Users, self) },
		"read memberships":             func(a Actor) error { return a.MayReadMemberships(Users, other) },
		"create users":                 Actor.MayCreateUsers,
		"manage a user":                func(a Actor) error { return a.MayManageUser(other, false) },
		"manage an administrator":      func(a Actor) error { return a.MayManageUser(other, true) },
		"end own sessions":             func(a Actor) error { return a.MayEndSessions(self, true) },
		"end others' sessions":         func(a Actor) error { return a.MayEndSessions(other, false) },
		"change own password":          func(a Actor) error { return a.MayChangeOwnPassword(self) },
		"create groups":                func(a Actor) error { return a.MayCreateGroup(false) },
		"create role groups":           func(a Actor) error { return a.MayCreateGroup(true) },
		"manage groups":                func(a Actor) error { return a.MayManageGroup(false, false) },
		"manage own groups":            func(a Actor) error { return a.MayManageGroup(false, true) },
		"manage role groups":           func(a Actor) error { return a.MayManageGroup(true, false) },
		"change members":               func(a Actor) error { return a.MayChangeMembers(false, false) },
		"change members of role group": func(a Actor) error { return a.MayChangeMembers(true, false) },
		"create applications":          Actor.MayCreateApplication,
		"manage applications":          func(a Actor) error { return a.MayManageApplication(false, false) },
		"manage own applications":      func(a Actor) error { return a.MayManageApplication(true, false) },
		"manage privileged ones":       func(a Actor) error { return a.MayManageApplication(false, true) },
		"consent for itself":           func(a Actor) error { return a.MayConsent(true, false) },
		"consent for all":              func(a Actor) error { return a.MayConsent(false, false) },
		"consent to admin scopes":      func(a Actor) error { return a.MayConsent(true, true) },
		"give app roles":               func(a Actor) error { return a.MayAssignAppRole(false, false) },
		"give own app roles":           func(a Actor) error { return a.MayAssignAppRole(false, true) },
		"give Graph's app roles":       func(a Actor) error { return a.MayAssignAppRole(true, true) },
		"give roles":                   Actor.MayManageRoles,
		"change the policy":            Actor.MayChangePolicy,
	}
	for area := Users; area <= Policies; area++ {
		out["read "+string(rune('0'+area))] = func(a Actor) error { return a.MayRead(area) }
	}
	return out
}

func allPermissions() []string {
	out := []string{}
	for _, p := range graphPermissions() {
		out = append(out, p.value)
	}
	return out
}

// TestAccessIsMonotone holds that neither a role nor a permission takes away what its holder could do without it, and
// that nobody does anything through a client that may do nothing for them.
func TestAccessIsMonotone(t *testing.T) {
	self, other := ident.New[ident.ObjectID](), ident.New[ident.ObjectID]()
	rapid.Check(t, func(t *rapid.T) {
		a := Actor{ID: self, Application: rapid.Bool().Draw(t, "application"), Guest: rapid.Bool().Draw(t, "guest")}
		a.Roles = rapid.SliceOfDistinct(rapid.SampledFrom(roleIDs()), rapid.ID[ident.DirectoryRoleID]).Draw(t, "roles")
		a.Permissions = rapid.SliceOfDistinct(rapid.SampledFrom(allPermissions()), rapid.ID[string]).Draw(t, "permissions")
		a.Members = MemberDefaults{NoApplications: rapid.Bool().Draw(t, "no applications"), NoGroups: rapid.Bool().Draw(t, "no groups")}
		role, permission, silent, loud := a, a, a, a
		role.Roles = append(slices.Clone(a.Roles), rapid.SampledFrom(roleIDs()).Draw(t, "role"))
		permission.Permissions = append(slices.Clone(a.Permissions), rapid.SampledFrom(allPermissions()).Draw(t, "permission"))
		silent.Permissions = nil
		loud.Permissions = []string{AccessAsUser}
		for name, ask := range questions(self, other) {
			err := ask(a)
			if err == nil && (ask(role) != nil || ask(permission) != nil) {
				t.Fatalf("%+v may %s, and not with %v or %v", a, name, role.Roles, permission.Permissions)
			}
			if err != nil && !fault.Is(err, fault.Forbidden) {
				t.Fatalf("%s: %v", name, err)
			}
			if !a.Application && ask(silent) == nil {
				t.Fatalf("%s through a client without a scope", name)
			}
			if !a.Application && err == nil && ask(loud) != nil {
				t.Fatalf("%+v may %s, and not through a client that acts as them", a, name)
			}
		}
	})
}

// TestWhoMay pins who may do what, role by role and permission by permission: the yes of each row, and nothing else.
func TestWhoMay(t *testing.T) {
	self, other := ident.New[ident.ObjectID](), ident.New[ident.ObjectID]()
	ofOwn := []string{"read self", "read own memberships", "end own sessions", "change own password", "manage own groups", "manage own applications", "consent for itself", "give own app roles"}
	member := append(append([]string{"create groups", "create applications"}, ofOwn...), reading()...)
	for name, tc := range map[string]struct {
		actor Actor
		yes   []string
	}{
		"member":         {Actor{}, member},
		"member, policy": {Actor{Members: MemberDefaults{NoApplications: true, NoGroups: true}}, append(append([]string{}, ofOwn...), reading()...)},
		"guest":          {Actor{Guest: true}, []string{"read self", "read own memberships", "end own sessions", "change own password", "manage own groups", "manage own applications", "give own app roles"}},
		"Directory Readers": {
			Actor{Guest: true, Roles: []ident.DirectoryRoleID{DirectoryReaders()}},
			append([]string{"read self", "read own memberships", "end own sessions", "change own password", "manage own groups", "manage own applications", "give own app roles"}, reading()...),
		},
		"User Administrator": {
			Actor{Roles: []ident.DirectoryRoleID{UserAdministrator()}},
			append([]string{"create users", "manage a user", "end others' sessions", "manage groups", "change members"}, member...),
		},
		"Groups Administrator": {Actor{Roles: []ident.DirectoryRoleID{GroupsAdministrator()}}, append([]string{"manage groups", "change members"}, member...)},
		"Application Administrator": {
			Actor{Roles: []ident.DirectoryRoleID{ApplicationAdministrator()}},
			append([]string{"manage applications", "consent for all", "consent to admin scopes", "give app roles"}, member...),
		},
		"Cloud Application Administrator": {
			Actor{Roles: []ident.DirectoryRoleID{CloudApplicationAdministrator()}},
			append([]string{"manage applications", "consent for all", "consent to admin scopes", "give app roles"}, member...),
		},
		"Privileged Role Administrator": {
			Actor{Roles: []ident.DirectoryRoleID{PrivilegedRoleAdministrator()}},
			append([]string{
				"give roles", "change the policy", "create role groups", "manage role groups", "change members of role group", "consent for all", "consent to admin scopes",
				"give app roles", "give Graph's app roles",
			}, member...),
		},
		"application":                   {Actor{Application: true}, nil},
		"User.Read.All":                 {Actor{Application: true, Permissions: []string{"User.Read.All"}}, []string{"read 1", "read self", "read other", "read own memberships", "read memberships"}},
		"Group.Read.All":                {Actor{Application: true, Permissions: []string{"Group.Read.All"}}, []string{"read 2", "read own memberships", "read memberships"}},
		"Directory.Read.All":            {Actor{Application: true, Permissions: []string{"Directory.Read.All"}}, append([]string{"read self", "read own memberships"}, reading()...)},
		"Application.ReadWrite.OwnedBy": {Actor{Application: true, Permissions: []string{ownedApplications}}, []string{"read 3", "create applications", "manage own applications"}},
		"GroupMember.ReadWrite.All": {
			Actor{Application: true, Permissions: []string{"GroupMember.ReadWrite.All"}},
			[]string{"read 2", "read own memberships", "read memberships", "change members"},
		},
		"RoleManagement.ReadWrite.Directory": {
			Actor{Application: true, Permissions: []string{"RoleManagement.ReadWrite.Directory"}},
			[]string{"read 5", "give roles", "create role groups", "manage role groups", "change members of role group"},
		},
		"User.Read.All of a person's client": {Actor{Permissions: []string{"User.Read.All"}}, []string{"read 1", "read self", "read other", "read own memberships", "read memberships"}},
	} {
		tc.actor.ID = self
		if !tc.actor.Application && tc.actor.Permissions == nil {
			tc.actor.Permissions = []string{AccessAsUser}
		}
		for question, ask := range questions(self, other) {
			if got := ask(tc.actor) == nil; got != slices.Contains(tc.yes, question) {
				t.Errorf("%s may %s: %t", name, question, got)
			}
		}
	}
	everything := Actor{ID: self, Roles: []ident.DirectoryRoleID{GlobalAdministrator()}, Permissions: []string{AccessAsUser}}
	for question, ask := range questions(self, other) {
		if err := ask(everything); err != nil {
			t.Errorf("a Global Administrator may not %s: %v", question, err)
		}
	}
}

func reading() []string {
	return []string{"read 1", "read 2", "read 3", "read 4", "read 5", "read 6", "read 7", "read other", "read memberships"}
}

// TestGraphPermissionsAreOnce holds that no two permissions of Microsoft Graph share a name or an id.
func TestGraphPermissionsAreOnce(t *testing.T) {
	seen := map[string]bool{}
	scopes, roles := NewCatalog("", "").Offers(MicrosoftGraph())
	for _, s := range scopes {
		if seen[s.ID.String()] || seen["scope "+s.Value] {
			t.Errorf("scope %s twice", s.Value)
		}
		seen[s.ID.String()], seen["scope "+s.Value] = true, true
	}
	for _, r := range roles {
		if seen[r.ID.String()] || seen["role "+r.Value] {
			t.Errorf("role %s twice", r.Value)
		}
		seen[r.ID.String()], seen["role "+r.Value] = true, true
		if value, ok := GraphPermission(r.ID); !ok || value != r.Value {
			t.Errorf("role %s is %q, %t", r.Value, value, ok)
		}
	}
	// What a first-party client's tokens list is among what Graph offers.
	for _, value := range graphScopes() {
		if !seen["scope "+value] {
			t.Errorf("scope %s of tokens is not offered", value)
		}
	}
}
