package graph

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/store"
)

const newUser = `{"userPrincipalName":"bob@contoso.example","displayName":"Bob <b>","passwordProfile":{"password":"Passw0rd!","forceChangePasswordNextSignIn":false},` +
	`"mailNickname":"bob","accountEnabled":true}`

// lastAudit returns the newest audit record.
func (b *bench) lastAudit() audit.Record {
	b.t.Helper()
	var out audit.Record
	err := b.db.View(context.Background(), func(tx *store.Tx) error {
		rs, err := tx.AuditRecords(1)
		if err == nil && len(rs) == 1 {
			out = rs[0]
		}
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return out
}

func (b *bench) stored(id string) directory.User {
	b.t.Helper()
	var u directory.User
	err := b.db.View(context.Background(), func(tx *store.Tx) (err error) {
		u, err = tx.User(ident.MustParse[ident.ObjectID](id))
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return u
}

func TestUserLife(t *testing.T) {
	b := newBench(t)
	a := b.want(b.do("users", "POST", "/v1.0/users", newUser), http.StatusCreated, "")
	id, _ := a.json(t)["id"].(string)
	// The id comes first in the answer to POST, and HTML stays as it is.
	prefix := `{"@odata.context":"` + base + `/v1.0/$metadata#users/$entity","id":"` + id + `","businessPhones":[],"displayName":"Bob <b>",`
	if !strings.HasPrefix(a.body, prefix) || strings.Contains(a.body, "assw") {
		t.Errorf("got %s", a.body)
	}
	if got, want := a.header.Get("Location"), base+"/v2/"+b.tenant.String()+"/directoryObjects/"+id+"/Microsoft.DirectoryServices.User"; got != want {
		t.Errorf("location %s, want %s", got, want)
	}
	if r := b.lastAudit(); r.Event != audit.UserCreated || r.Target != id || r.ActorName != "users@contoso.test" || r.Correlation != a.header.Get("Request-Id") {
		t.Errorf("audit %+v", r)
	}
	if strings.Contains(b.log.String(), "Passw0rd") {
		t.Error("the password is in the log")
	}
	if _, ok := b.world.UserByUPN(b.tenant, "BOB@contoso.example"); !ok {
		t.Error("the world does not see the user when its maker is answered")
	}
	b.want(b.do("alice", "GET", "/v1.0/users/"+id+"?$select=mailNickname,userType,accountEnabled", ""), 200, `"accountEnabled":true,"mailNickname":"bob","userType":"Member"`)

	b.want(b.do("users", "PATCH", "/v1.0/users/bob@contoso.example", `{"displayName":"Robert","givenName":"Bob","accountEnabled":false,"surname":null}`), 204, "")
	b.want(b.do("alice", "GET", "/v1.0/users/"+id+"?$select=displayName,givenName,accountEnabled", ""), 200, `"displayName":"Robert","givenName":"Bob","accountEnabled":false`)
	if r := b.lastAudit(); r.Event != audit.UserUpdated || r.Detail["properties"] != "accountEnabled,displayName,givenName,surname" {
		t.Errorf("audit %+v", r)
	}
	if p, _ := b.world.Principal(ident.MustParse[ident.ObjectID](id)); p.Enabled || p.DisplayName != "Robert" {
		t.Errorf("world sees %+v", p)
	}
	b.want(b.do("users", "PATCH", "/v1.0/users/"+id, `{"userPrincipalName":"robert@contoso.test"}`), 204, "")
	b.want(b.do("alice", "GET", "/v1.0/users/robert@contoso.test", ""), 200, id)

	b.want(b.do("users", "DELETE", "/v1.0/users/robert@contoso.test", ""), 204, "")
	b.want(b.do("alice", "GET", "/v1.0/users/"+id, ""), 404, "Request_ResourceNotFound")
	b.want(b.do("users", "DELETE", "/v1.0/users/"+id, ""), 404, "Request_ResourceNotFound")
}

func TestPasswordReset(t *testing.T) {
	b := newBench(t)
	b.clock.pass(time.Hour)
	id := oid("alice").String()
	b.want(b.do("users", "PATCH", "/v1.0/users/{alice}", `{"passwordProfile":{"password":"N3w passw","forceChangePasswordNextSignIn":true}}`), 204, "")
	err := b.db.View(t.Context(), func(tx *store.Tx) error {
		h, err := tx.Password(oid("alice"))
		if h != "hash of N3w passw" {
			t.Errorf("stored %q", h)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if u := b.stored(id); !u.MustChangePassword || !u.SessionsValidFrom.Equal(b.clock.Now()) {
		t.Errorf("%+v: want a new password asked for and older sessions ended", u)
	}
	// Whether a change is asked for can be changed alone, and ends no session.
	b.clock.pass(time.Hour)
	b.want(b.do("users", "PATCH", "/v1.0/users/{alice}", `{"passwordProfile":{"forceChangePasswordNextSignIn":false}}`), 204, "")
	if u := b.stored(id); u.MustChangePassword || u.SessionsValidFrom.Equal(b.clock.Now()) {
		t.Errorf("%+v", u)
	}
	if strings.Contains(b.log.String(), "N3w passw") {
		t.Error("the password is in the log")
	}
}

func TestRevokeSignInSessions(t *testing.T) {
	b := newBench(t)
	for _, tc := range []struct {
		as, path string
		status   int
	}{
		{"alice", "/v1.0/me/revokeSignInSessions", 200},
		{"alice", "/v1.0/users/{alice}/microsoft.graph.revokeSignInSessions", 200},
		{"users", "/v1.0/users/{alice}/revokeSignInSessions", 200},
		{"alice", "/v1.0/users/{admin}/revokeSignInSessions", 403},
		{"users", "/v1.0/users/{admin}/revokeSignInSessions", 403},
		{"app", "/v1.0/users/{alice}/revokeSignInSessions", 403},
		{"app", "/v1.0/users/{app}/revokeSignInSessions", 403},
		{"admin", "/v1.0/users/{nobody}/revokeSignInSessions", 404},
	} {
		b.clock.pass(time.Minute)
		a := b.want(b.do(tc.as, "POST", tc.path, ""), tc.status, "")
		p, _ := b.world.Principal(oid("alice"))
		if ended := p.ValidFrom.Equal(b.clock.Now()); ended != (tc.status == 200) {
			t.Errorf("%s at %s: sessions from %v", tc.as, tc.path, p.ValidFrom)
		}
		if tc.status == 200 {
			b.want(a, 200, `{"@odata.context":"`+base+`/v1.0/$metadata#Edm.Boolean","value":true}`)
		}
	}
}

func TestUserRules(t *testing.T) {
	b := newBench(t)
	// with returns the body of a new user with one property set to a JSON value, or left out if it is empty.
	with := func(name, value string) string {
		props := map[string]string{
			"userPrincipalName": `"bob@contoso.test"`, "displayName": `"Bob"`, "mailNickname": `"bob"`, "accountEnabled": "true",
			"passwordProfile": `{"password":"Passw0rd!"}`,
		}
		props[name] = value
		var out []string
		for _, n := range []string{"userPrincipalName", "displayName", "mailNickname", "accountEnabled", "passwordProfile", name} {
			if v := props[n]; v != "" {
				out = append(out, `"`+n+`":`+v)
				delete(props, n)
			}
		}
		return "{" + strings.Join(out, ",") + "}"
	}
	for _, tc := range []struct{ name, value, text string }{
		{"accountEnabled", "", "A value is required for property 'accountEnabled' of resource 'User'."},
		{"displayName", "", "A value is required for property 'displayName' of resource 'User'."},
		{"mailNickname", "null", "A value is required for property 'mailNickname' of resource 'User'."},
		{"passwordProfile", "", "A value is required for property 'passwordProfile' of resource 'User'."},
		{"passwordProfile", `{}`, "A value is required for property 'passwordProfile' of resource 'User'."},
		{"passwordProfile", `{"password":"short1A"}`, "The specified password does not comply with password complexity requirements. Please provide a different password."},
		{"passwordProfile", `{"password":12345678}`, "RequestBodyRead"},
		{"passwordProfile", `{"password":"Passw0rd!","x":1}`, "The property 'x' does not exist on type 'microsoft.graph.passwordProfile'."},
		{"userPrincipalName", `"bob@nowhere.test"`, "The domain portion of the userPrincipalName property is invalid. You must use one of the verified domain names in your organization."},
		{"userPrincipalName", `"bob"`, "Property userPrincipalName is invalid."},
		{"userPrincipalName", `"ALICE@Contoso.Test"`, `Another object with the same value for property userPrincipalName already exists.","details":[{"code":"ObjectConflict"`},
		{"accountEnabled", `"true"`, "RequestBodyRead"},
		{"displayName", `["x"]`, "RequestBodyRead"},
		{"businessPhones", `["1","2"]`, "Invalid value specified for property 'businessPhones' of resource 'User'."},
		{"color", `"red"`, "The property 'color' does not exist on type 'microsoft.graph.user'."},
		{"id", `"{alice}"`, "Property 'id' is read-only and cannot be set."},
		{"userType", `"Robot"`, "Invalid value specified for property 'userType' of resource 'User'."},
	} {
		t.Run(tc.name+" "+tc.value, func(t *testing.T) {
			b := b.at(t)
			head := b.db.Head()
			a := b.want(b.do("users", "POST", "/v1.0/users", with(tc.name, tc.value)), http.StatusBadRequest, tc.text)
			if b.db.Head() != head {
				t.Error("something was written")
			}
			if strings.Contains(a.body, "short1A") || strings.Contains(a.body, "12345678") {
				t.Error("the password is in the error")
			}
		})
	}
	// What changes nothing may be sent: annotations, and empty values of what is read-only.
	b.want(b.do("users", "POST", "/v1.0/users", with("@odata.type", `"#microsoft.graph.user","proxyAddresses":[],"deletedDateTime":null`)), 201, "")
}

// TestWhoMay is the matrix of callers and operations: what each may do, and nothing more.
func TestWhoMay(t *testing.T) {
	const update = `{"jobTitle":"x"}`
	type op struct{ name, method, path, body string }
	ops := []op{
		{"read users", "GET", "/v1.0/users", ""},
		{"read a user", "GET", "/v1.0/users/{target}", ""},
		{"read an absent user", "GET", "/v1.0/users/{nobody}", ""},
		{"read a group", "GET", "/v1.0/groups/{devs}", ""},
		{"read members", "GET", "/v1.0/groups/{devs}/members", ""},
		{"read memberships", "POST", "/v1.0/users/{target}/getMemberGroups", `{}`},
		{"read the organization", "GET", "/v1.0/organization", ""},
		{"read me", "GET", "/v1.0/me", ""},
		{"create a user", "POST", "/v1.0/users", newUser},
		{"update a user", "PATCH", "/v1.0/users/{target}", update},
		{"update an administrator", "PATCH", "/v1.0/users/{users2}", update},
		{"reset an administrator", "PATCH", "/v1.0/users/{admin}", `{"passwordProfile":{"password":"Passw0rd!"}}`},
		{"update a member of a role group", "PATCH", "/v1.0/users/{chief}", update},
		{"delete a user", "DELETE", "/v1.0/users/{target}", ""},
		{"delete an administrator", "DELETE", "/v1.0/users/{users2}", ""},
		{"create a group", "POST", "/v1.0/groups", `{"displayName":"g","mailNickname":"g","mailEnabled":false,"securityEnabled":true}`},
		{"create a role group", "POST", "/v1.0/groups", `{"displayName":"g","mailNickname":"g","mailEnabled":false,"securityEnabled":true,"isAssignableToRole":true}`},
		{"update a group", "PATCH", "/v1.0/groups/{devs}", `{"description":"x"}`},
		{"add a member", "POST", "/v1.0/groups/{devs}/members/$ref", `{"@odata.id":"` + base + `/v1.0/directoryObjects/{target}"}`},
		{"add a member to a role group", "POST", "/v1.0/groups/{chiefs}/members/$ref", `{"@odata.id":"` + base + `/v1.0/directoryObjects/{target}"}`},
		{"remove a member", "DELETE", "/v1.0/groups/{devs}/members/{alice}/$ref", ""},
		{"delete a group", "DELETE", "/v1.0/groups/{devs}", ""},
		{"delete a role group", "DELETE", "/v1.0/groups/{chiefs}", ""},
	}
	members := "read users, read a user, read a group, read members, read memberships, read the organization, "
	const groupWork = "create a group, update a group, add a member, remove a member, delete a group"
	b := newBench(t)
	b.user("target", "Target")
	b.user("users2", "Other", directory.UserAdministrator())
	b.user("chief", "Chief")
	b.user("visitor", "Visitor")
	b.group("devs", "alice")
	b.write(func(tx *store.Tx) error {
		u, err := tx.User(oid("visitor"))
		u.UserType = guest
		return firstError(err, tx.PutUser(u),
			tx.PutGroup(directory.Group{ID: oid("chiefs"), Tenant: b.tenant, DisplayName: "chiefs", MailNickname: "chiefs", SecurityEnabled: true, IsAssignableToRole: true}),
			tx.AddMember(oid("chiefs"), oid("chief")))
	})
	b.grant(oid("chiefs"), directory.UserAdministrator())
	b.commits.closed = true // what is allowed gets as far as the commit, and no further
	for _, tc := range []struct{ as, may string }{
		{"stranger", "create a group"}, // in its own tenant
		{"alice", members + "read me, create a group"},
		{"app", ""},
		{"reader", members},
		{"visitor", "read me"},
		{"users", members + "read me, create a user, update a user, delete a user, " + groupWork},
		{"groups", members + "read me, " + groupWork},
		// chief is a User Administrator by a group, and may change itself
		{"chief", members + "read me, create a user, update a user, delete a user, update a member of a role group, " + groupWork},
		{"admin", members + "read me, create a user, update a user, delete a user, update an administrator, reset an administrator, " +
			"update a member of a role group, delete an administrator, create a group, create a role group, update a group, add a member, " +
			"add a member to a role group, remove a member, delete a group, delete a role group"},
	} {
		for _, o := range ops {
			t.Run(tc.as+" "+o.name, func(t *testing.T) {
				b := b.at(t)
				tried := b.commits.tried
				a := b.do(tc.as, o.method, o.path, o.body)
				committed := b.commits.tried > tried
				writes := o.method != "GET" && o.name != "read memberships"
				switch may := strings.Contains(tc.may+",", o.name+","); {
				case committed != (may && writes):
					t.Errorf("committed: %t, with %d %s", committed, a.status, a.body)
				case may && !writes && a.status != 200:
					t.Errorf("refused: %d %s", a.status, a.body)
				case may || a.status == 403:
				case tc.as == "stranger":
					// A member of another tenant sees its own directory and nothing of this one.
					if strings.Contains(a.body, "contoso") || a.status == 200 && strings.Contains(a.body, oid("target").String()) {
						t.Errorf("saw %d %s", a.status, a.body)
					}
				case o.name == "read an absent user" && strings.Contains(tc.may, "read a user"):
					b.want(a, 404, "")
				case o.name == "read me":
					b.want(a, 400, "only valid with delegated authentication")
				default:
					t.Errorf("got %d %s, want 403", a.status, a.body)
				}
				if a.status == 403 {
					b.want(a, 403, `{"error":{"code":"Authorization_RequestDenied","message":"Insufficient privileges to complete the operation.",`)
				}
				if a.status == 500 && strings.Contains(a.body, "closed by the test") {
					t.Error("the cause of an internal error is in the answer")
				}
			})
		}
	}
}

func TestLastAdministrator(t *testing.T) {
	b := newBench(t)
	const text = "without an enabled Global Administrator"
	b.want(b.do("admin", "DELETE", "/v1.0/users/{admin}", ""), 400, text)
	b.want(b.do("admin", "PATCH", "/v1.0/users/{admin}", `{"accountEnabled":false}`), 400, text)
	b.want(b.do("admin", "PATCH", "/v1.0/users/{admin}", `{"jobTitle":"Chief"}`), 204, "")

	// A second one by a group counts, as long as it can sign in and is in the group.
	b.user("second", "Second")
	b.write(func(tx *store.Tx) error {
		return firstError(
			tx.PutGroup(directory.Group{ID: oid("chiefs"), Tenant: b.tenant, DisplayName: "chiefs", MailNickname: "chiefs", SecurityEnabled: true, IsAssignableToRole: true}),
			tx.AddMember(oid("chiefs"), oid("second")))
	})
	b.grant(oid("chiefs"), directory.GlobalAdministrator())
	b.want(b.do("admin", "PATCH", "/v1.0/users/{admin}", `{"accountEnabled":false}`), 204, "")
	b.want(b.do("second", "PATCH", "/v1.0/users/{second}", `{"accountEnabled":false}`), 400, text)
	b.want(b.do("second", "DELETE", "/v1.0/groups/{chiefs}/members/{second}/$ref", ""), 400, text)
	b.want(b.do("second", "DELETE", "/v1.0/groups/{chiefs}", ""), 400, text)
	b.want(b.do("second", "PATCH", "/v1.0/users/{admin}", `{"accountEnabled":true}`), 204, "")
	b.want(b.do("second", "DELETE", "/v1.0/users/{second}", ""), 204, "")
}

// TestDeletedCaller holds that a token of somebody who is gone says nothing.
func TestDeletedCaller(t *testing.T) {
	b := newBench(t)
	b.want(b.do("admin", "DELETE", "/v1.0/users/{alice}", ""), 204, "")
	b.want(b.do("alice", "GET", "/v1.0/users", ""), 401, "InvalidAuthenticationToken")
}
