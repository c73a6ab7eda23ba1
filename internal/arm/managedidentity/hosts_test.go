package managedidentity_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/keyreeve/keyreeve/internal/arm/armtest"
	"github.com/keyreeve/keyreeve/internal/arm/managedidentity"
	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/proof"
	"github.com/keyreeve/keyreeve/internal/rbac"
	"github.com/keyreeve/keyreeve/internal/resource"
	"github.com/keyreeve/keyreeve/internal/store"
)

const hostPath = groupPath + "/providers/Keyreeve.Identity/hosts/runner"

type host struct {
	ID, Name, Type, Location string
	Tags                     map[string]string
	Identity                 struct {
		Type, PrincipalID, TenantID string
		UserAssignedIdentities      map[string]struct{ ClientID, PrincipalID string }
	}
}

// identityBody is a body with a type and identities; a "-" before one takes it away.
func identityBody(kind string, ids ...string) string {
	var users []string
	for _, id := range ids {
		value := "{}"
		if rest, gone := strings.CutPrefix(id, "-"); gone {
			id, value = rest, "null"
		}
		users = append(users, fmt.Sprintf("%q:%s", id, value))
	}
	return fmt.Sprintf(`{"location":"westus2","identity":{"type":%q,"userAssignedIdentities":{%s}}}`, kind, strings.Join(users, ","))
}

// TestHostIdentities: which identities a host has after each body, and that its own one comes and goes with it.
func TestHostIdentities(t *testing.T) {
	r := rig(t)
	a, b := create(t, r, path), create(t, r, path+"-2")
	own := ""
	for _, step := range []struct {
		name, method, body string
		status             int
		kind               string
		users              []string
	}{
		{"nothing said", "PUT", `{"location":"West US 2"}`, 201, "None", nil},
		{"its own", "PUT", identityBody("systemassigned"), 200, "SystemAssigned", nil},
		{"nothing said again", "PUT", `{"location":"westus2","identity":null,"tags":{"a":"b"}}`, 200, "SystemAssigned", nil},
		{"and a user-assigned one", "PATCH", identityBody("SystemAssigned,UserAssigned", a.ID), 200, "SystemAssigned, UserAssigned", []string{a.ID}},
		{"another beside it", "PATCH", identityBody("UserAssigned, SystemAssigned", b.ID), 200, "SystemAssigned, UserAssigned", []string{a.ID, b.ID}},
		{"twice the same", "PATCH", identityBody("SystemAssigned, UserAssigned", strings.ToUpper(b.ID)), 200, "SystemAssigned, UserAssigned", []string{a.ID, b.ID}},
		{"one taken away", "PATCH", identityBody("SystemAssigned, UserAssigned", "-"+strings.ToUpper(a.ID)), 200, "SystemAssigned, UserAssigned", []string{b.ID}},
		{"in its place", "PUT", identityBody("SystemAssigned, UserAssigned", a.ID), 200, "SystemAssigned, UserAssigned", []string{a.ID}},
		{"its own ends", "PATCH", identityBody("UserAssigned"), 200, "UserAssigned", []string{a.ID}},
		{"none", "PATCH", `{"identity":{"type":"None"}}`, 200, "None", nil},
		{"a new one of its own", "PATCH", `{"identity":{"type":"SystemAssigned"}}`, 200, "SystemAssigned", nil},
	} {
		var got host
		r.Do(step.method, hostPath, armtest.Owner, step.body).Want(step.status, "").JSON(&got)
		if got.Identity.Type != step.kind || len(got.Identity.UserAssignedIdentities) != len(step.users) || got.ID != hostPath || got.Location != "westus2" {
			t.Fatalf("%s: %+v", step.name, got)
		}
		for _, id := range step.users {
			if u, ok := got.Identity.UserAssignedIdentities[id]; !ok || u.ClientID == "" || u.PrincipalID == "" {
				t.Errorf("%s: %+v", step.name, got.Identity)
			}
		}
		switch before := own; {
		case strings.Contains(step.kind, "SystemAssigned"):
			if own = got.Identity.PrincipalID; before != "" && own != before || got.Identity.TenantID != armtest.Tenant {
				t.Errorf("%s: the identity was %q and is %+v", step.name, before, got.Identity)
			}
			var shown identity
			r.Do("GET", hostPath+"/providers/Microsoft.ManagedIdentity/identities/default", armtest.Reader, "").Want(200, "").JSON(&shown)
			p, ok := r.World.Principal(shown.Properties.PrincipalID)
			if !ok || shown.Properties.PrincipalID.String() != own || p.DisplayName != "runner" {
				t.Errorf("%s: %+v", step.name, shown)
			}
		default:
			own = ""
			if before != "" {
				if _, there := r.World.Principal(ident.MustParse[ident.ObjectID](before)); there {
					t.Errorf("%s: the host's own identity outlived it", step.name)
				}
			}
			r.Do("GET", hostPath+"/providers/Microsoft.ManagedIdentity/identities/default", armtest.Reader, "").Want(404, "ResourceNotFound")
		}
	}
}

func TestHostRefusals(t *testing.T) {
	r := rig(t)
	a := create(t, r, path)
	for body, code := range map[string]string{
		`{}`:                                       "LocationRequired",
		`{"location":"moon"}`:                      "LocationNotAvailableForResourceType",
		`{"location":"westus2","identity":7}`:      "InvalidParameter",
		`{"location":"westus2","tags":[]}`:         "InvalidRequestContent",
		identityBody("Everybody"):                  "InvalidParameter",
		identityBody("SystemAssigned,None"):        "InvalidParameter",
		identityBody("SystemAssigned", a.ID):       "InvalidParameter",
		identityBody("None", a.ID):                 "InvalidParameter",
		identityBody("UserAssigned", a.ID+"-gone"): "FailedIdentityOperation",
	} {
		r.Do("PUT", hostPath, armtest.Owner, body).Want(400, code)
	}
	r.Do("PATCH", hostPath, armtest.Owner, `{}`).Want(404, "ResourceNotFound")
	r.Do("GET", hostPath, armtest.Owner, "").Want(404, "ResourceNotFound")
	r.Do("POST", hostPath+"/newSecret", armtest.Owner, `{}`).Want(404, "ResourceNotFound")
	r.Do("PUT", hostPath, armtest.Reader, identityBody("SystemAssigned")).Want(403, "AuthorizationFailed")
	r.Do("PUT", hostPath, armtest.Owner, identityBody("UserAssigned", a.ID)).Want(201, "")
	r.Do("PUT", hostPath, armtest.Owner, `{"location":"eastus"}`).Want(409, "InvalidResourceLocation")
	r.Do("POST", hostPath+"/newSecret", armtest.Reader, `{}`).Want(403, "AuthorizationFailed")
}

// TestHostRights: who writes a host needs the right to assign each identity that is new to it, also one that took the name of
// another that is gone.
func TestHostRights(t *testing.T) {
	r := rig(t)
	a := create(t, r, path)
	writer := ident.New[ident.RoleDefinitionID]()
	r.Update(func(tx *store.Tx) error {
		return tx.PutRoleDefinition(rbac.RoleDefinition{
			ID: writer, Tenant: ident.MustParse[ident.TenantID](armtest.Tenant), Name: "Host Writer", Type: rbac.CustomRole, AssignableScopes: []string{groupPath},
			Permissions: []rbac.Permission{{Actions: []string{"Keyreeve.Identity/*"}}},
		})
	})
	r.Grant(armtest.Nobody, rbac.PrincipalUser, writer.String(), groupPath)
	put := func() armtest.Answer {
		return r.Do("PUT", hostPath, armtest.Nobody, identityBody("UserAssigned", a.ID))
	}
	if a := put().Want(403, "LinkedAuthorizationFailed"); !strings.Contains(a.Message(), resource.AssignIdentity) {
		t.Error(a.Message())
	}
	r.Grant(armtest.Nobody, rbac.PrincipalUser, operator, a.ID)
	put().Want(201, "")
	r.Do("DELETE", path, armtest.Owner, "").Want(200, "")
	put().Want(200, "") // with what is gone nothing is given
	create(t, r, path)
	put().Want(403, "LinkedAuthorizationFailed")
	r.Do("PUT", hostPath, armtest.Nobody, identityBody("SystemAssigned")).Want(200, "")
}

// TestHostEnds: with a host go its identity, its secret, and what was said about access to it.
func TestHostEnds(t *testing.T) {
	for name, end := range map[string]func(*testing.T, *armtest.Rig){
		"deleted": func(t *testing.T, r *armtest.Rig) {
			r.Update(func(tx *store.Tx) error { return tx.DeleteLock(hostPath, "keep") })
			r.Do("DELETE", hostPath, armtest.Owner, "").Want(200, "")
			r.Do("DELETE", hostPath, armtest.Owner, "").Want(204, "")
		},
		"with its group": func(t *testing.T, r *armtest.Rig) {
			h := &managedidentity.Handler{DB: r.DB, Now: r.Clock.Now}
			if err := h.DeleteAll(t.Context(), ident.MustParse[ident.SubscriptionID](armtest.Sub), "RG1"); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := rig(t)
			var got host
			r.Do("PUT", hostPath, armtest.Owner, identityBody("SystemAssigned")).Want(201, "").JSON(&got)
			var secret struct{ IdentityEndpoint, IdentityHeader string }
			r.Do("POST", hostPath+"/newSecret", armtest.Owner, `{}`).Want(200, "").JSON(&secret)
			if secret.IdentityEndpoint != "https://login.test/msi/token" || !strings.HasPrefix(secret.IdentityHeader, "krh_") {
				t.Errorf("%+v", secret)
			}
			r.Grant(armtest.Nobody, rbac.PrincipalUser, armtest.ReaderRole, hostPath)
			sub := ident.MustParse[ident.SubscriptionID](armtest.Sub)
			r.Update(func(tx *store.Tx) error {
				return tx.PutLock(resource.Lock{Name: "keep", Subscription: sub, Scope: hostPath, Level: resource.CanNotDelete})
			})
			r.Do("DELETE", hostPath, armtest.Owner, "").Want(409, "ScopeLocked")
			r.Update(func(tx *store.Tx) error {
				return tx.PutLock(resource.Lock{Name: "keep", Subscription: sub, Scope: hostPath, Level: resource.ReadOnly})
			})
			r.Do("PATCH", hostPath, armtest.Owner, `{"tags":{}}`).Want(409, "ScopeLocked")
			r.Do("POST", hostPath+"/newSecret", armtest.Owner, `{}`).Want(409, "ScopeLocked")
			end(t, r)
			if _, there := r.World.Principal(ident.MustParse[ident.ObjectID](got.Identity.PrincipalID)); there {
				t.Error("its own identity is there")
			}
			err := r.DB.View(t.Context(), func(tx *store.Tx) error {
				if _, err := tx.HostBySecret(proof.HashToken(secret.IdentityHeader)); !store.IsNotFound(err) {
					t.Error("its secret is known", err)
				}
				locks, err := tx.Locks(sub)
				if len(locks) != 0 {
					t.Errorf("locks are left: %+v", locks)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			if grants := r.World.GrantsOf(ident.MustParse[ident.ObjectID](armtest.Nobody)); len(grants) != 0 {
				t.Errorf("role assignments are left: %+v", grants)
			}
		})
	}
}

// TestHostIsAResource: hosts are in lists, have tags, and are what an identity is used by.
func TestHostIsAResource(t *testing.T) {
	r := rig(t)
	a := create(t, r, path)
	r.Do("PUT", hostPath, armtest.Owner, identityBody("UserAssigned", a.ID)).Want(201, "")
	r.Do("PUT", hostPath+"-2", armtest.Owner, identityBody("SystemAssigned")).Want(201, "")
	r.Grant(armtest.Nobody, rbac.PrincipalUser, armtest.ReaderRole, hostPath)
	for _, list := range []string{groupPath, "/subscriptions/" + armtest.Sub} {
		for who, want := range map[string]int{armtest.Owner: 2, armtest.Reader: 2, armtest.Nobody: 1} {
			var got struct{ Value []host }
			r.Do("GET", list+"/providers/Keyreeve.Identity/hosts", who, "").Want(200, "").JSON(&got)
			if len(got.Value) != want {
				t.Errorf("%s sees %d of %s, want %d", who, len(got.Value), list, want)
			}
		}
	}
	h := &managedidentity.Handler{DB: r.DB, Now: r.Clock.Now}
	id, err := ident.ParseResourceID(hostPath)
	if err != nil {
		t.Fatal(err)
	}
	r.Update(func(tx *store.Tx) error {
		if err := h.SetTags(tx, nil, id, map[string]string{"x": "y"}); err != nil {
			return err
		}
		if res, known, err := h.Tags(tx, id); err != nil || !known || res.Tags["x"] != "y" || !strings.Contains(string(res.Identity), a.ID) {
			t.Error(res, known, err)
		}
		if exists, known, err := h.Exists(tx, id); !exists || !known || err != nil {
			t.Error(exists, known, err)
		}
		list, err := h.Resources(tx, ident.MustParse[ident.SubscriptionID](armtest.Sub), "RG1")
		if len(list) != 3 {
			t.Errorf("%+v", list)
		}
		return err
	})
	var uses struct{ Value []struct{ ID string } }
	r.Do("POST", path+"/listAssociatedResources", armtest.Owner, `{}`).Want(200, "").JSON(&uses)
	if len(uses.Value) != 1 || uses.Value[0].ID != hostPath {
		t.Errorf("%+v", uses)
	}
	// The principal of a host's own identity says whose it is.
	var got host
	r.Do("GET", hostPath+"-2", armtest.Owner, "").Want(200, "").JSON(&got)
	err = r.DB.View(t.Context(), func(tx *store.Tx) error {
		p, err := tx.ServicePrincipal(ident.MustParse[ident.ObjectID](got.Identity.PrincipalID))
		if p.Type != directory.TypeManagedIdentity || fmt.Sprint(p.AlternativeNames) != "[isExplicit=False "+hostPath+"-2]" {
			t.Errorf("%+v", p)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
