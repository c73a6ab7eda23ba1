package world_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/feed"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/keyring"
	"github.com/keyreeve/keyreeve/internal/managedcluster"
	"github.com/keyreeve/keyreeve/internal/pki"
	"github.com/keyreeve/keyreeve/internal/rbac"
	"github.com/keyreeve/keyreeve/internal/resource"
	"github.com/keyreeve/keyreeve/internal/session"
	"github.com/keyreeve/keyreeve/internal/store"
	"github.com/keyreeve/keyreeve/internal/world"
)

// The histories are of a small world, so that names meet: few ids, few names, two tenants.
const few = 6

func oid(kind string, n int) ident.ObjectID {
	return ident.Derive[ident.ObjectID]("world", kind, fmt.Sprint(n))
}
func tid(n int) ident.TenantID  { return ident.Derive[ident.TenantID]("world", fmt.Sprint(n)) }
func app(n int) ident.ClientID  { return ident.Derive[ident.ClientID]("world", fmt.Sprint(n)) }
func sid(n int) ident.SessionID { return ident.Derive[ident.SessionID]("world", fmt.Sprint(n)) }
func cid(n int) ident.ClusterID { return ident.Derive[ident.ClusterID]("world", fmt.Sprint(n)) }
func rid(n int) ident.RoleDefinitionID {
	return ident.Derive[ident.RoleDefinitionID]("world", fmt.Sprint(n))
}

func aid(n int) ident.RoleAssignmentID {
	return ident.Derive[ident.RoleAssignmentID]("world", fmt.Sprint(n))
}

func drole(n int) ident.DirectoryRoleID {
	return ident.Derive[ident.DirectoryRoleID]("world", fmt.Sprint(n))
}

func subID(n int) ident.SubscriptionID {
	return ident.Derive[ident.SubscriptionID]("world", fmt.Sprint(n))
}

func epoch() time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) }

// populate makes the world that histories begin with: some of everything, so that the first steps meet something.
func populate(tx *store.Tx) error {
	for n := range 2 {
		if err := tx.PutTenant(directory.Tenant{ID: tid(n)}); err != nil {
			return err
		}
	}
	for n := range few {
		err1 := tx.PutUser(directory.User{ID: oid("user", n), Tenant: tid(0), UserPrincipalName: fmt.Sprintf("first%d@x", n)})
		err2 := tx.PutGroup(directory.Group{ID: oid("group", n), Tenant: tid(0)})
		err3 := tx.PutRoleDefinition(rbac.RoleDefinition{ID: rid(n), Name: fmt.Sprint("first", n), Type: rbac.CustomRole, Tenant: tid(0)})
		err5 := tx.PutDenyAssignment(rbac.DenyAssignment{
			ID: did(n), Tenant: tid(0), Name: fmt.Sprint("first", n), Scope: "/subscriptions/" + subID(n).String(),
			Permissions: []rbac.Permission{{Actions: []string{"denied/*"}}}, Principals: []rbac.DenyPrincipal{{}},
		})
		err4 := tx.PutAssignment(rbac.Assignment{ID: aid(n), Scope: "/", RoleDefinitionID: rid(n), PrincipalID: oid("user", n), Tenant: tid(0)})
		if err := errors.Join(err5, err1, err2, err3, err4); err != nil {
			return err
		}
	}
	return nil
}

// step is one random write. What the store refuses is passed over: the transaction goes on.
func step(t *rapid.T, tx *store.Tx) error {
	n := func(name string) int { return rapid.IntRange(0, few-1).Draw(t, name) }
	tenant := func() ident.TenantID { return tid(rapid.IntRange(0, 1).Draw(t, "tenant")) }
	bit := func(name string) bool { return rapid.Bool().Draw(t, name) }
	member := func() ident.ObjectID {
		return oid(rapid.SampledFrom([]string{"user", "group", "group", "sp", "ghost"}).Draw(t, "kind"), n("member"))
	}
	at := epoch().Add(time.Duration(n("hour")) * time.Hour)
	switch rapid.IntRange(0, 31).Draw(t, "step") {
	case 0, 1:
		return tx.PutUser(directory.User{
			ID: oid("user", n("user")), Tenant: tenant(), UserPrincipalName: fmt.Sprintf("Name%d@x", n("upn")), DisplayName: fmt.Sprint(n("display")),
			AccountEnabled: bit("enabled"), SessionsValidFrom: at,
		})
	case 2:
		return tx.DeleteUser(oid("user", n("user")))
	case 3, 4, 5:
		return tx.PutGroup(directory.Group{ID: oid("group", n("group")), Tenant: tenant(), DisplayName: fmt.Sprint(n("name")), SecurityEnabled: true})
	case 6:
		return tx.DeleteGroup(oid("group", n("group")))
	case 7, 8, 9, 10:
		return tx.AddMember(oid("group", n("group")), member())
	case 11:
		return tx.RemoveMember(oid("group", n("group")), member())
	case 12:
		return tx.PutServicePrincipal(directory.ServicePrincipal{ID: oid("sp", n("sp")), Tenant: tenant(), AppID: app(n("app")), AccountEnabled: bit("enabled"), SessionsValidFrom: at})
	case 13:
		return tx.DeleteServicePrincipal(oid("sp", n("sp")))
	case 14:
		return tx.PutApplication(directory.Application{ID: oid("app", n("object")), AppID: app(n("app")), Tenant: tenant(), IdentifierURIs: []string{fmt.Sprintf("api://%d", n("uri"))}})
	case 15:
		return tx.GrantDirectoryRole(drole(n("role")), member())
	case 16:
		return tx.RevokeDirectoryRole(drole(n("role")), member())
	case 17:
		role := rbac.RoleDefinition{ID: rid(n("role")), Name: fmt.Sprint(n("name")), Type: rbac.CustomRole, Tenant: tenant(), AssignableScopes: []string{"/"}}
		role.Permissions = []rbac.Permission{{Actions: []string{fmt.Sprintf("A.B/%d/read", n("action")%3)}}}
		if bit("data") {
			role.Permissions[0].DataActions = []string{rbac.KubeCluster + "/pods/read"}
		}
		return tx.PutRoleDefinition(role)
	case 18:
		return tx.DeleteRoleDefinition(rid(n("role"))) // also of a role in use
	case 19, 20:
		scope := "/subscriptions/" + subID(n("scope")).String()
		if bit("management") {
			scope = resource.ManagementGroupID(rapid.SampledFrom([]string{"m0", "M1", "m2", tid(0).String()}).Draw(t, "group"))
		}
		if bit("below") {
			c := managedcluster.Cluster{Subscription: subID(n("sub")), Group: "G", Name: fmt.Sprintf("C%d", n("name"))}
			scope = c.ResourceID() + rapid.SampledFrom([]string{"", "/namespaces/dev", "/namespaces/prod", "/namespaces"}).Draw(t, "place")
		}
		return tx.PutAssignment(rbac.Assignment{
			ID: aid(n("assignment")), Scope: scope, RoleDefinitionID: rid(n("role")), PrincipalID: member(), Tenant: tenant(),
		})
	case 21:
		if bit("all") {
			return tx.DeleteAssignmentsOf(member())
		}
		return tx.DeleteAssignment(aid(n("assignment")))
	case 29, 30:
		d := rbac.DenyAssignment{
			ID: did(n("denial")), Tenant: tenant(), Name: fmt.Sprint(n("name")), Scope: "/subscriptions/" + subID(n("scope")).String(), ExactScope: bit("exact"),
			Permissions: []rbac.Permission{{Actions: []string{"denied/*"}}}, Principals: []rbac.DenyPrincipal{{ID: rapid.SampledFrom([]ident.ObjectID{{}, member()}).Draw(t, "denied")}},
		}
		if bit("management") {
			d.Scope = resource.ManagementGroupID(rapid.SampledFrom([]string{"m0", "M1", tid(0).String()}).Draw(t, "group"))
		}
		if bit("excluded") {
			d.Excluded = []rbac.DenyPrincipal{{ID: member()}}
		}
		return tx.PutDenyAssignment(d)
	case 31:
		return tx.DeleteDenyAssignment(did(n("denial")))
	case 22:
		return tx.PutCluster(managedcluster.Cluster{ID: cid(n("cluster")), Subscription: subID(n("sub")), Tenant: tenant(), Group: "G", Name: fmt.Sprintf("C%d", n("name")), Body: []byte(`{}`)})
	case 23:
		return tx.DeleteCluster(cid(n("cluster")))
	case 24:
		if bit("session") {
			return tx.PutSession(session.Session{ID: sid(n("session")), User: oid("user", n("user")), Tenant: tenant(), ExpiresAt: at})
		}
		return tx.PutCertificate(pki.Issued{Fingerprint: fmt.Sprint(n("cert")), Cluster: cid(n("cluster")), NotAfter: at})
	case 27:
		parent := "" // of a greater number, so that there is a tree
		number := n("group")
		if up := number + 1 + n("above"); up < few {
			parent = fmt.Sprintf("M%d", up)
		}
		return tx.PutManagementGroup(resource.ManagementGroup{Tenant: tenant(), Name: fmt.Sprintf("m%d", number), Parent: parent})
	case 28:
		return tx.DeleteManagementGroup(tenant(), fmt.Sprintf("M%d", n("group")))
	case 25:
		if bit("expire") {
			_, err := tx.DeleteExpired(at.Add(26 * time.Hour))
			return err
		}
		if bit("key") {
			return tx.PutSigningKey(keyring.Public{KID: fmt.Sprint(n("key")), JWK: []byte(`{}`)}, []byte("x"))
		}
		return tx.DeleteSigningKey(fmt.Sprint(n("key")))
	}
	if bit("tenant") {
		domains := []string{fmt.Sprintf("D%d.test", n("domain")), fmt.Sprintf("d%d.test", n("domain"))}
		return tx.PutTenant(directory.Tenant{ID: tenant(), DisplayName: fmt.Sprint(n("name")), Domains: domains[:1+n("domains")%2]})
	}
	s := resource.Subscription{ID: subID(n("sub")), Tenant: tenant(), DisplayName: fmt.Sprint(n("name"))}
	if bit("in a group") {
		s.ManagementGroup = fmt.Sprintf("m%d", n("group"))
	}
	return tx.PutSubscription(s)
}

// describe asks a world everything that can be asked, over the ids that histories use.
func describe(w *world.World) map[string]any {
	out := map[string]any{}
	put := func(key string, v any, ok bool) {
		if ok {
			out[key] = v
		}
	}
	rev, at, err := w.Status()
	out["status"] = fmt.Sprint(rev, at, err)
	out["tenants"], out["clusters"], out["keys"] = w.Tenants(), w.Clusters(), w.SigningKeys()
	for n := range few {
		for _, kind := range []string{"user", "group", "sp", "ghost", "app"} {
			id := oid(kind, n)
			key := fmt.Sprint(kind, n)
			p, ok := w.Principal(id)
			put(key+" principal", p, ok)
			g, ok := w.Group(id)
			put(key+" group", g, ok)
			put(key+" groups", w.GroupsOf(id), len(w.GroupsOf(id)) > 0)
			put(key+" roles", w.DirectoryRoles(id), len(w.DirectoryRoles(id)) > 0)
			var grants []string
			for _, gr := range w.GrantsOf(id) {
				grants = append(grants, fmt.Sprint(gr.Assignment, gr.Role.Definition))
			}
			put(key+" grants", grants, len(grants) > 0)
		}
		for tn := range 2 {
			p, ok := w.UserByUPN(tid(tn), fmt.Sprintf("nAME%d@x", n))
			put(fmt.Sprint("upn", tn, n), p, ok)
			p, ok = w.ServicePrincipalOf(tid(tn), app(n))
			put(fmt.Sprint("sp of", tn, n), p, ok)
			a, ok := w.ApplicationByURI(tid(tn), fmt.Sprintf("API://%d", n))
			put(fmt.Sprint("uri", tn, n), a, ok)
			var roles []string
			for _, r := range w.RoleDefinitions(tid(tn)) {
				if r.Type == rbac.CustomRole {
					roles = append(roles, fmt.Sprint(r))
				}
			}
			out[fmt.Sprint("roles", tn)] = roles
		}
		a, ok := w.Application(app(n))
		put(fmt.Sprint("app", n), a, ok)
		t, ok := w.TenantByDomain(fmt.Sprintf("D%d.TEST", n))
		put(fmt.Sprint("domain", n), t, ok)
		for tn := range 2 {
			m, ok := w.ManagementGroup(tid(tn), fmt.Sprintf("M%d", n))
			put(fmt.Sprint("management group", tn, n), m, ok)
			out[fmt.Sprint("above", tn, n)] = w.ManagementGroupsAbove(tid(tn), "/subscriptions/"+subID(n).String()+"/resourceGroups/g")
			out[fmt.Sprint("subs", tn)], out[fmt.Sprint("management groups", tn)] = w.Subscriptions(tid(tn)), w.ManagementGroups(tid(tn))
		}
		s, ok := w.Subscription(subID(n))
		put(fmt.Sprint("sub", n), s, ok)
		c, ok := w.Cluster(cid(n))
		put(fmt.Sprint("cluster", n), c, ok)
		for sn := range few {
			at := managedcluster.Cluster{Subscription: subID(sn), Group: "g", Name: fmt.Sprintf("c%d", n)}
			c, ok = w.ClusterByResource(at.ResourceID())
			put(fmt.Sprint("cluster at", sn, n), c, ok)
		}
		cert, ok := w.Certificate(fmt.Sprint(n))
		put(fmt.Sprint("cert", n), cert, ok)
		se, ok := w.Session(sid(n))
		put(fmt.Sprint("session", n), se, ok)
		k, ok := w.SigningKey(fmt.Sprint(n))
		put(fmt.Sprint("key", n), k, ok)
	}
	return out
}

// naiveGroups closes memberships the slow way, from what the store says.
func naiveGroups(tx *store.Tx, id ident.ObjectID) ([]ident.ObjectID, error) {
	found := map[ident.ObjectID]bool{}
	for todo := []ident.ObjectID{id}; len(todo) > 0; {
		at := todo[0]
		todo = todo[1:]
		up, err := tx.MemberOf(at)
		if err != nil {
			return nil, err
		}
		for _, g := range up {
			if !found[g] {
				found[g] = true
				todo = append(todo, g)
			}
		}
	}
	delete(found, id)
	var out []ident.ObjectID
	for g := range found {
		out = append(out, g)
	}
	slices.SortFunc(out, func(a, b ident.ObjectID) int { return strings.Compare(a.String(), b.String()) })
	return out, nil
}

func newWorld(t interface{ Fatal(...any) }) *world.World {
	w, err := world.New()
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// TestWorldEqualsSnapshot writes random histories. At any point, the world that has followed from the start, and was
// asked on the way, equals a new one made of a snapshot; and groups are what the store's memberships close to.
func TestWorldEqualsSnapshot(t *testing.T) {
	ctx := t.Context()
	rapid.Check(t, func(rt *rapid.T) {
		db, err := store.Open(ctx, store.Options{Path: filepath.Join(t.TempDir(), "h.db"), Now: epoch})
		if err != nil {
			rt.Fatal(err)
		}
		defer func() { _ = db.Close() }()
		follow := newWorld(rt)
		if err := db.Follow(ctx, func(c feed.Change) {
			if err := follow.Apply(c); err != nil {
				rt.Fatal(err)
			}
		}); err != nil {
			rt.Fatal(err)
		}
		if _, err := db.Update(ctx, populate); err != nil {
			rt.Fatal(err)
		}
		commits := rapid.IntRange(1, 8).Draw(rt, "commits")
		for c := range commits {
			if _, err := db.Update(ctx, func(tx *store.Tx) error {
				for range rapid.IntRange(1, 12).Draw(rt, "steps") {
					_ = step(rt, tx) // refused or not: both are history
				}
				return nil
			}); err != nil {
				rt.Fatal(err)
			}
			if err := db.View(ctx, func(tx *store.Tx) error {
				return errors.Join(checkGroups(rt, tx, follow), checkGrants(rt, tx, follow), checkDenials(rt, tx, follow))
			}); err != nil {
				rt.Fatal(err)
			}
			checkSieve(rt, follow)
			if c < commits-1 && !rapid.Bool().Draw(rt, "compare") {
				continue
			}
			fresh := newWorld(rt)
			if rapid.Bool().Draw(rt, "compact") {
				if err := db.Follow(ctx, func(c feed.Change) { _ = fresh.Apply(c) }); err != nil {
					rt.Fatal(err)
				}
			} else if snap, err := db.Snapshot(ctx); err != nil || fresh.Apply(snap) != nil {
				rt.Fatal(err)
			}
			if diff := cmp.Diff(describe(fresh), describe(follow)); diff != "" {
				rt.Fatalf("-snapshot +followed:\n%s", diff)
			}
		}
	})
}

// naiveAbove walks up from a management group, by what the store says.
func naiveAbove(tx *store.Tx, tenant ident.TenantID, name string) []string {
	var out []string
	for name != "" {
		g, err := tx.ManagementGroup(tenant, name)
		if err != nil {
			return out
		}
		out, name = append(out, strings.ToLower(g.Name)), g.Parent
	}
	return append(out, tenant.String())
}

// checkGrants holds that an assignment counts in a subscription exactly if it was made there or at a management group above.
func checkGrants(t *rapid.T, tx *store.Tx, w *world.World) error {
	for tn := range 2 {
		all, err := tx.Assignments(tid(tn))
		if err != nil {
			return err
		}
		for n := range few {
			s, err := tx.Subscription(subID(n))
			if err != nil || s.Tenant != tid(tn) {
				continue
			}
			scope := "/subscriptions/" + s.ID.String()
			above := naiveAbove(tx, s.Tenant, s.ManagementGroup)
			if s.ManagementGroup == "" {
				above = []string{s.Tenant.String()}
			}
			counts := func(a rbac.Assignment) bool {
				name, managed := resource.ParseManagementGroupID(a.Scope)
				return a.Scope == "/" || strings.EqualFold(a.Scope, scope) || managed && slices.Contains(above, strings.ToLower(name))
			}
			for _, a := range all {
				if w.Covers(s.Tenant, a.Scope, scope) != counts(a) {
					t.Fatalf("an assignment at %s counts in %s: want %t; above it are %v", a.Scope, scope, counts(a), above)
				}
				role, defined := w.RoleDefinition(a.RoleDefinitionID)
				p, known := w.Principal(a.PrincipalID)
				if !defined || len(role.Definition.Permissions) == 0 || !known {
					continue
				}
				if p.Tenant != s.Tenant { // whatever it holds at the root of its own tenant, or at a management group of the same name
					if d := w.Explain(rbac.Request{Principal: p.ID, Action: role.Definition.Permissions[0].Actions[0], Scope: scope}); d.Verdict != rbac.Deny || len(d.Grants) > 0 {
						t.Fatalf("%v of another tenant is let into %s: %+v", p.ID, scope, d)
					}
					continue
				}
				action := role.Definition.Permissions[0].Actions[0]
				holders := append(w.GroupsOf(p.ID), p.ID)
				want := slices.ContainsFunc(all, func(b rbac.Assignment) bool {
					r, ok := w.RoleDefinition(b.RoleDefinitionID)
					return ok && slices.Contains(holders, b.PrincipalID) && r.Grants(action, false) && counts(b)
				})
				other := tid(1 - tn) // what another tenant's assignments give counts as well here: the face keeps tenants apart
				if theirs, err := tx.Assignments(other); err != nil || len(theirs) > 0 {
					continue
				}
				got := w.Decide(rbac.Request{Principal: p.ID, Action: action, Scope: scope + "/resourceGroups/g"}).Verdict == rbac.Allow
				if got != want {
					t.Fatalf("%s of %v in %s: %t, want %t; above it are %v", action, p.ID, scope, got, want, above)
				}
			}
		}
	}
	return nil
}

func did(n int) ident.DenyAssignmentID {
	return ident.Derive[ident.DenyAssignmentID]("history", "denial", fmt.Sprint(n))
}

// checkDenials holds that a deny assignment counts for the people of its tenant whom it names and does not exclude, there and,
// unless it says otherwise, below.
func checkDenials(t *rapid.T, tx *store.Tx, w *world.World) error {
	for n := range few {
		s, err := tx.Subscription(subID(n))
		if err != nil {
			continue
		}
		above := naiveAbove(tx, s.Tenant, s.ManagementGroup)
		if s.ManagementGroup == "" {
			above = []string{s.Tenant.String()}
		}
		all, err := tx.DenyAssignments(s.Tenant)
		if err != nil {
			return err
		}
		scope := "/subscriptions/" + s.ID.String()
		for m := range few {
			p, known := w.Principal(oid("user", m))
			if !known || p.Tenant != s.Tenant {
				continue
			}
			holders := append(w.GroupsOf(p.ID), p.ID)
			for at, exact := range map[string]bool{scope: true, scope + "/resourceGroups/g": false} {
				want := slices.ContainsFunc(all, func(d rbac.DenyAssignment) bool {
					name, managed := resource.ParseManagementGroupID(d.Scope)
					counts := strings.EqualFold(d.Scope, scope) && (exact || !d.ExactScope) || managed && slices.Contains(above, strings.ToLower(name)) && !d.ExactScope
					named := d.Principals[0].ID.IsZero() || slices.Contains(holders, d.Principals[0].ID)
					return counts && named && (len(d.Excluded) == 0 || !slices.Contains(holders, d.Excluded[0].ID))
				})
				if got := w.Explain(rbac.Request{Principal: p.ID, Action: "denied/read", Scope: at}).Denial != nil; got != want {
					t.Fatalf("user %d at %s: denied %t, want %t by %+v", m, at, got, want, all)
				}
			}
		}
	}
	return nil
}

func checkGroups(t *rapid.T, tx *store.Tx, w *world.World) error {
	for n := range few {
		for _, kind := range []string{"user", "group", "sp", "ghost"} {
			id := oid(kind, n)
			want, err := naiveGroups(tx, id)
			if err != nil {
				return err
			}
			got := w.GroupsOf(id)
			if !slices.Equal(want, got) {
				t.Fatalf("groups of %s %d: %v, want %v", kind, n, got, want)
			}
			for m := range few {
				g := oid("group", m)
				member := slices.Contains(want, g)
				if path := w.MembershipPath(id, g); w.IsMember(id, g) != member || (path != nil) != member && g != id {
					t.Fatalf("%s %d in group %d: %t, path %v, want %t", kind, n, m, w.IsMember(id, g), path, member)
				}
			}
		}
	}
	return nil
}

// TestGroupsOfWhileApplying asks while the world changes: an answer is always one of the states there were.
func TestGroupsOfWhileApplying(t *testing.T) {
	w := newWorld(t)
	put := func(kind feed.Kind, op feed.Op, key, value string) feed.Event {
		return feed.Event{Kind: kind, Op: op, Key: key, Value: []byte(value)}
	}
	user, tenant := oid("user", 0), tid(0)
	snap := feed.Change{Revision: 1}
	group := func(n int) feed.Event {
		return put(feed.Group, feed.Put, oid("group", n).String(), fmt.Sprintf(`{"id":%q,"tenant":%q}`, oid("group", n), tenant))
	}
	for n := range 4 {
		snap.Events = append(snap.Events, group(n))
	}
	member := func(op feed.Op, g int, m ident.ObjectID) feed.Event {
		return put(feed.Member, op, oid("group", g).String()+"/"+m.String(), "")
	}
	snap.Events = append(snap.Events, member(feed.Put, 0, user), member(feed.Put, 1, oid("group", 0)))
	if err := w.Apply(snap); err != nil {
		t.Fatal(err)
	}
	sets := func(ns ...int) string {
		var ids []string
		for _, n := range ns {
			ids = append(ids, oid("group", n).String())
		}
		slices.Sort(ids)
		return strings.Join(ids, " ")
	}
	// The edges 1→2 and 2→3 come and go, the second always with the first.
	states := []string{sets(0, 1), sets(0, 1, 2, 3)}
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				var ids []string
				for _, g := range w.GroupsOf(user) {
					ids = append(ids, g.String())
				}
				if got := strings.Join(ids, " "); !slices.Contains(states, got) {
					t.Errorf("saw %s", got)
					return
				}
			}
		})
	}
	for rev := feed.Revision(2); rev < 2000; rev++ {
		op := feed.Put
		if rev%2 == 1 {
			op = feed.Delete
		}
		if err := w.Apply(feed.Change{Revision: rev, Events: []feed.Event{member(op, 2, oid("group", 1)), member(op, 3, oid("group", 2))}}); err != nil {
			t.Fatal(err)
		}
	}
	close(done)
	wg.Wait()
}

// TestBroken holds that a world which missed or cannot read a change says so from then on.
func TestBroken(t *testing.T) {
	for name, changes := range map[string][]feed.Change{
		"a gap":                        {{Revision: 4}, {Revision: 6}},
		"a gap after an empty store":   {{Revision: 0}, {Revision: 2}},
		"a change twice":               {{Revision: 4}, {Revision: 4}},
		"an unknown kind":              {{Revision: 4}, {Revision: 5, Events: []feed.Event{{Kind: "new", Op: feed.Put}}}},
		"an unknown operation":         {{Revision: 4, Events: []feed.Event{{Kind: feed.User, Op: "touch", Key: oid("user", 0).String()}}}},
		"a key that is no id":          {{Revision: 4, Events: []feed.Event{{Kind: feed.User, Op: feed.Delete, Key: "x"}}}},
		"a value that is no object":    {{Revision: 4, Events: []feed.Event{{Kind: feed.User, Op: feed.Put, Key: oid("user", 0).String(), Value: []byte("x")}}}},
		"a membership of one":          {{Revision: 4, Events: []feed.Event{{Kind: feed.Member, Op: feed.Put, Key: oid("group", 0).String()}}}},
		"an assignment of another id":  {{Revision: 4, Events: []feed.Event{{Kind: feed.RoleAssignment, Op: feed.Put, Key: aid(0).String(), Value: []byte(`{}`)}}}},
		"a role that does not compile": {{Revision: 4, Events: []feed.Event{{Kind: feed.RoleDefinition, Op: feed.Put, Key: rid(0).String(), Value: []byte(`{}`)}}}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			var err error
			for _, c := range changes {
				err = w.Apply(c)
			}
			if err == nil {
				t.Fatal("let through")
			}
			last := changes[len(changes)-1].Revision
			if again := w.Apply(feed.Change{Revision: last + 1}); again == nil {
				t.Error("whole again")
			}
			if _, _, status := w.Status(); status == nil {
				t.Error("says nothing")
			}
		})
	}
}
