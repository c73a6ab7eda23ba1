package storetest

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/feed"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/session"
	"github.com/keyreeve/keyreeve/internal/store"
)

func directoryCases() []methodCase {
	return []methodCase{
		{"tenants", "PutTenant Tenant Tenants TenantByDomain", tenants},
		{"users", "PutUser User UserByUPN DeleteUser", users},
		{"names compare without case", "PutUser UserByUPN Users", namesWithoutCase},
		{"lists page by name", "Users Groups Applications ServicePrincipals CountUsers CountGroups CountApplications CountServicePrincipals", lists},
		{"lists by prefix", "Users", prefixes},
		{"lists in other orders", "Users", orders},
		{"groups", "PutGroup Group Groups DeleteGroup", groups},
		{"members", "AddMember RemoveMember Members MemberOf MembersBelow", members},
		{"what a deleted principal leaves", "DeleteUser DeleteGroup DeleteServicePrincipal", deletedPrincipals},
		{"service principals", "PutServicePrincipal ServicePrincipal ServicePrincipalByAppID DeleteServicePrincipal", servicePrincipals},
		{"directory roles", "GrantDirectoryRole RevokeDirectoryRole DirectoryRoles DirectoryRoleHolders", directoryRoles},
		{"an id that names nothing", "PutUser", zeroID},
	}
}

func (b *bench) aUser(name string) directory.User {
	return directory.User{
		ID: oid(name), Tenant: b.tenant, UserPrincipalName: name + "@contoso.test", DisplayName: name, MailNickname: name,
		BusinessPhones: []string{"1"}, AccountEnabled: true, CreatedAt: zoned(),
	}
}

func (b *bench) aGroup(name string) directory.Group {
	return directory.Group{ID: oid(name), Tenant: b.tenant, DisplayName: name, MailNickname: "nick of " + name, SecurityEnabled: true, CreatedAt: zoned()}
}

func (b *bench) aPrincipal(name string) directory.ServicePrincipal {
	return directory.ServicePrincipal{
		ID: oid(name), Tenant: b.tenant, AppID: ident.Derive[ident.ClientID]("storetest", name), DisplayName: name,
		Type: directory.TypeApplication, AccountEnabled: true, CreatedAt: zoned(),
	}
}

// other makes a second tenant.
func (b *bench) other() ident.TenantID {
	b.t.Helper()
	id := ident.Derive[ident.TenantID]("storetest", "other")
	b.update(func(tx *store.Tx) error {
		return tx.PutTenant(directory.Tenant{ID: id, Domains: []string{"other.test"}})
	})
	return id
}

func tenants(t *testing.T, b *bench) {
	first, id := b.aTenant(), ident.Derive[ident.TenantID]("storetest", "second")
	second := directory.Tenant{ID: id, DisplayName: "Second", Domains: []string{"Second.Test", "second.test", "straße.test"}}
	life(b, second, directory.Tenant{ID: id, DisplayName: "Changed", Domains: []string{"changed.test"}, PasswordGrantClients: []ident.ClientID{directory.AzureCLI()}},
		(*store.Tx).PutTenant, func(tx *store.Tx) (directory.Tenant, error) { return tx.Tenant(id) }, nil)
	byDomain := func(d string) func(*store.Tx) (directory.Tenant, error) {
		return func(tx *store.Tx) (directory.Tenant, error) { return tx.TenantByDomain(d) }
	}
	for _, d := range []string{"second.test", "SECOND.test", "STRAßE.test"} {
		has(b, byDomain(d), second)
	}
	lacks(b, byDomain("changed.test"))
	lacks(b, byDomain("strasse.test"))
	both := []directory.Tenant{first, second}
	slices.SortFunc(both, func(a, b directory.Tenant) int { return strings.Compare(a.ID.String(), b.ID.String()) })
	has(b, (*store.Tx).Tenants, both)

	// A domain is one tenant's, and a refused change leaves the tenant as it was.
	b.refused(fault.Conflict, func(tx *store.Tx) error {
		return tx.PutTenant(directory.Tenant{ID: id, Domains: []string{"new.test", "CONTOSO.test"}})
	})
	has(b, byDomain("second.test"), second)
	// It can be handed over in one commit.
	b.update(func(tx *store.Tx) error {
		first.Domains, second.Domains = []string{"second.test"}, []string{"contoso.test"}
		return firstError(tx.PutTenant(directory.Tenant{ID: id}), tx.PutTenant(first), tx.PutTenant(second))
	})
	has(b, byDomain("contoso.test"), second)
	has(b, byDomain("second.test"), first)
}

func users(t *testing.T, b *bench) {
	u := b.aUser("alice")
	changed := u
	changed.UserPrincipalName, changed.DisplayName, changed.SessionsValidFrom, changed.BusinessPhones = "bob@contoso.test", "Bob", zoned(), nil
	life(b, u, changed, (*store.Tx).PutUser, func(tx *store.Tx) (directory.User, error) { return tx.User(u.ID) }, func(tx *store.Tx) error { return tx.DeleteUser(u.ID) })
	upn := func(name string) func(*store.Tx) (directory.User, error) {
		return func(tx *store.Tx) (directory.User, error) { return tx.UserByUPN(b.tenant, name) }
	}
	b.update(func(tx *store.Tx) error { return tx.PutUser(u) })
	b.update(func(tx *store.Tx) error { return tx.PutUser(changed) })
	lacks(b, upn("alice@contoso.test")) // the old name is free
	has(b, upn("bob@contoso.test"), changed)
	b.update(func(tx *store.Tx) error {
		v := b.aUser("new")
		v.UserPrincipalName = "alice@contoso.test"
		return tx.PutUser(v)
	})
	// Two users can exchange names in one commit, over a third name.
	b.update(func(tx *store.Tx) error {
		v, err := tx.User(oid("new"))
		if err != nil {
			return err
		}
		w := changed
		w.UserPrincipalName = "tmp@contoso.test"
		v2 := v
		v2.UserPrincipalName = changed.UserPrincipalName
		w2 := changed
		w2.UserPrincipalName = v.UserPrincipalName
		return firstError(tx.PutUser(w), tx.PutUser(v2), tx.PutUser(w2))
	})
	has(b, func(tx *store.Tx) (ident.ObjectID, error) { u, err := upn("bob@contoso.test")(tx); return u.ID, err }, oid("new"))
}

func namesWithoutCase(t *testing.T, b *bench) {
	for i, tc := range []struct {
		a, b string
		same bool
	}{
		{"Alice", "aLICE", true},
		{"É", "é", true},
		{"Σ", "σ", true},
		{"ẞ", "ß", true},
		{"\u212b", "å", true},
		{"\u212a", "k", false},
		{"İ", "i", false},
		{"ı", "I", false},
		{"ſ", "s", false},
		{"ß", "ss", false},
		{"ς", "σ", false},
		{"e\u0301", "é", false},
		{"a", "a ", false},
		{"_", "x", false},
		{"%", "xyz", false},
	} {
		suffix := strconv.Itoa(i) + "@contoso.test"
		u, v := b.aUser(suffix), b.aUser("second"+suffix)
		u.UserPrincipalName, v.UserPrincipalName = tc.a+suffix, tc.b+suffix
		u.DisplayName, v.DisplayName = tc.a, "other"
		b.update(func(tx *store.Tx) error { return tx.PutUser(u) })
		find := func(tx *store.Tx) (directory.User, error) { return tx.UserByUPN(b.tenant, v.UserPrincipalName) }
		list := func(tx *store.Tx) ([]directory.User, error) {
			return tx.Users(store.NameQuery{Tenant: b.tenant, DisplayName: tc.b, UPN: u.UserPrincipalName, Limit: 2})
		}
		if tc.same {
			has(b, find, u)
			has(b, list, []directory.User{u})
			b.refused(fault.Conflict, func(tx *store.Tx) error { return tx.PutUser(v) })
		} else {
			lacks(b, find)
			has(b, list, nil)
			b.update(func(tx *store.Tx) error { return tx.PutUser(v) })
		}
		// Another tenant may have the same name.
		if i == 0 {
			v.Tenant, v.ID = b.other(), oid("elsewhere")
			b.update(func(tx *store.Tx) error { return tx.PutUser(v) })
			has(b, find, u)
		}
	}
}

// collect reads a list in pages of a size and returns the ids and the number of pages.
func collect[T any](b *bench, size int, read func(*store.Tx, store.NameQuery) ([]T, error), place func(T) store.NameCursor, q store.NameQuery) (ids []string, pages int) {
	b.t.Helper()
	q.Tenant, q.Limit = b.tenant, size
	for {
		var page []T
		b.view(func(tx *store.Tx) (err error) { page, err = read(tx, q); return err })
		if len(page) > size {
			b.t.Fatalf("a page of %d has %d", size, len(page))
		}
		for _, v := range page {
			ids = append(ids, place(v).ID)
			if !q.After.Before(place(v)) {
				b.t.Fatalf("%v does not come after %v", place(v), q.After)
			}
			q.After = place(v)
		}
		pages++
		if len(page) < size {
			return ids, pages
		}
	}
}

func lists(t *testing.T, b *bench) {
	other := b.other()
	names := []string{"b", "A", "a", "ä", "Z", "", "\U0010ffff", "z", "É", "same", "same", "same", "SAME"}
	var want []store.NameCursor
	b.update(func(tx *store.Tx) error {
		for i, n := range names {
			u, g, p := b.aUser(strconv.Itoa(i)), b.aGroup(strconv.Itoa(i)), b.aPrincipal(strconv.Itoa(i))
			u.DisplayName, g.DisplayName, p.DisplayName = n, n, n
			want = append(want, store.UserCursor(u))
			foreign := u
			foreign.Tenant, foreign.ID = other, oid("foreign "+n+strconv.Itoa(i))
			g.ID = u.ID
			app := directory.Application{ID: u.ID, AppID: clientID(strconv.Itoa(i)), Tenant: b.tenant, DisplayName: n}
			if err := firstError(tx.PutUser(u), tx.PutUser(foreign), tx.PutGroup(g), tx.PutServicePrincipal(p), tx.PutApplication(app)); err != nil {
				return err
			}
		}
		return nil
	})
	slices.SortFunc(want, func(a, b store.NameCursor) int {
		if a.Before(b) {
			return -1
		}
		return 1
	})
	var ids []string
	for _, c := range want {
		ids = append(ids, c.ID)
	}
	for _, size := range []int{1, 2, 5, 12, 13, 14} {
		got := map[string][]string{}
		got["users"], _ = collect(b, size, (*store.Tx).Users, store.UserCursor, store.NameQuery{})
		got["groups"], _ = collect(b, size, (*store.Tx).Groups, store.GroupCursor, store.NameQuery{})
		got["principals"], _ = collect(b, size, (*store.Tx).ServicePrincipals, store.ServicePrincipalCursor, store.NameQuery{})
		got["applications"], _ = collect(b, size, (*store.Tx).Applications, store.ApplicationCursor, store.NameQuery{})
		for kind, list := range got {
			if diff := cmp.Diff(ids, list); diff != "" {
				t.Errorf("%s in pages of %d: -want +got:\n%s", kind, size, diff)
			}
		}
	}
	has(b, func(tx *store.Tx) (int64, error) { return tx.CountUsers(b.tenant) }, int64(len(names)))
	has(b, func(tx *store.Tx) (int64, error) { return tx.CountGroups(other) }, 0)
	has(b, func(tx *store.Tx) (int64, error) { return tx.CountApplications(b.tenant) }, int64(len(names)))
	has(b, func(tx *store.Tx) (int64, error) { return tx.CountServicePrincipals(b.tenant) }, int64(len(names)))
	b.refused(fault.Internal, func(tx *store.Tx) error { _, err := tx.Users(store.NameQuery{Tenant: b.tenant}); return err })
	b.refused(fault.Invalid, func(tx *store.Tx) error {
		_, err := tx.Groups(store.NameQuery{Tenant: b.tenant, UPN: "x", Limit: 1})
		return err
	})
	b.refused(fault.Invalid, func(tx *store.Tx) error {
		_, err := tx.Users(store.NameQuery{Tenant: b.tenant, MailNickname: "x", Limit: 1})
		return err
	})
	got, _ := collect(b, 3, (*store.Tx).Groups, store.GroupCursor, store.NameQuery{DisplayName: "SAME", MailNickname: "Nick of 10"})
	if diff := cmp.Diff([]string{oid("10").String()}, got); diff != "" {
		t.Error(diff)
	}
}

func prefixes(t *testing.T, b *bench) {
	names := []string{"", "a", "A", "ab", "aB", "a%", "a_", "b", "\ud7ff", "\ud7ffx", "\ue000", "a\U0010ffff", "a\U0010ffffx", "\U0010ffff", "\U0010ffff\U0010ffff", "É", "éa", "\u212a", "k"}
	b.update(func(tx *store.Tx) error {
		for i, n := range names {
			u := b.aUser(strconv.Itoa(i))
			u.DisplayName = n
			if err := tx.PutUser(u); err != nil {
				return err
			}
		}
		return nil
	})
	for _, prefix := range append(names, "abc", "É", "\U0010fffe") {
		var want []string
		for i, n := range names {
			if strings.HasPrefix(directory.Fold(n), directory.Fold(prefix)) {
				want = append(want, oid(strconv.Itoa(i)).String())
			}
		}
		got, _ := collect(b, 4, (*store.Tx).Users, store.UserCursor, store.NameQuery{DisplayPrefix: prefix})
		slices.Sort(want)
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q: -want +got:\n%s", prefix, diff)
		}
	}
}

// orders holds that each order is that of the keys, and that a page goes on where the one before ended.
func orders(t *testing.T, b *bench) {
	names := []string{"b", "A", "ä", "same", "SAME", "50%", "5_0", "!x", "Turkish İ", "dotless ı", "e\u0301"}
	b.update(func(tx *store.Tx) error {
		for i, n := range names {
			u := b.aUser(string(rune('z'-i)) + "-person")
			u.DisplayName = n
			if err := tx.PutUser(u); err != nil {
				return err
			}
		}
		return nil
	})
	walk := func(q store.NameQuery, place func(directory.User) store.NameCursor) (out []string) {
		q.Tenant, q.Limit = b.tenant, 3
		for {
			var page []directory.User
			b.view(func(tx *store.Tx) (err error) { page, err = tx.Users(q); return err })
			for _, u := range page {
				out = append(out, place(u).Key+" "+u.ID.String())
				q.After = place(u)
			}
			if len(page) < q.Limit {
				return out
			}
		}
	}
	for _, byUPN := range []bool{false, true} {
		place := store.UserCursor
		if byUPN {
			place = store.UPNCursor
		}
		up := walk(store.NameQuery{ByUPN: byUPN}, place)
		if len(up) != len(names) || !slices.IsSorted(up) {
			t.Errorf("by UPN %t: %q", byUPN, up)
		}
		down := walk(store.NameQuery{ByUPN: byUPN, Descending: true}, place)
		slices.Reverse(down)
		if diff := cmp.Diff(up, down); diff != "" {
			t.Errorf("by UPN %t, turned round: %s", byUPN, diff)
		}
	}
	for part, want := range map[string]int{"a": 3, "SAME": 2, "%": 1, "_": 1, "!": 1, "ä": 1, "İ": 1, "ı": 1, "i": 1, "é": 0, "e": 4, "5_": 1} {
		if got := walk(store.NameQuery{DisplayParts: []string{part}}, store.UserCursor); len(got) != want {
			t.Errorf("with %q: %q, want %d", part, got, want)
		}
	}
	if got := walk(store.NameQuery{DisplayParts: []string{"s", "me"}}, store.UserCursor); len(got) != 2 {
		t.Errorf("with both: %q", got)
	}
	if got := walk(store.NameQuery{UPNPrefix: "Y-"}, store.UserCursor); len(got) != 1 {
		t.Errorf("by the start of the UPN: %q", got)
	}
	b.refused(fault.Invalid, func(tx *store.Tx) error {
		_, err := tx.Groups(store.NameQuery{Tenant: b.tenant, ByUPN: true, Limit: 1})
		return err
	})
}

func groups(t *testing.T, b *bench) {
	g := b.aGroup("g")
	changed := g
	changed.DisplayName, changed.MailNickname, changed.IsAssignableToRole = "Changed", "changed", true
	life(b, g, changed, (*store.Tx).PutGroup, func(tx *store.Tx) (directory.Group, error) { return tx.Group(g.ID) }, func(tx *store.Tx) error { return tx.DeleteGroup(g.ID) })
	// Names of groups are not unique.
	twin := g
	twin.ID = oid("twin")
	b.update(func(tx *store.Tx) error { return firstError(tx.PutGroup(g), tx.PutGroup(twin)) })
	got, _ := collect(b, 10, (*store.Tx).Groups, store.GroupCursor, store.NameQuery{DisplayName: "G"})
	if len(got) != 2 {
		t.Errorf("got %v, want two groups", got)
	}
}

func members(t *testing.T, b *bench) {
	b.update(func(tx *store.Tx) error {
		return firstError(tx.PutGroup(b.aGroup("a")), tx.PutGroup(b.aGroup("b")), tx.PutGroup(b.aGroup("c")))
	})
	add := func(group, member string) {
		t.Helper()
		rev := b.update(func(tx *store.Tx) error { return tx.AddMember(oid(group), oid(member)) })
		b.told(rev, "put member "+oid(group).String()+"/"+oid(member).String())
	}
	add("a", "x")
	add("a", "b")
	add("b", "c")
	add("c", "a") // a cycle
	add("c", "y")
	add("b", "y")
	b.refused(fault.Conflict, func(tx *store.Tx) error { return tx.AddMember(oid("a"), oid("x")) })
	b.refused(fault.Internal, func(tx *store.Tx) error { return tx.AddMember(oid("no group"), oid("x")) })
	page := func(read func(*store.Tx) func(ident.ObjectID, ident.ObjectID, int) ([]ident.ObjectID, error), group string, want ...ident.ObjectID) {
		t.Helper()
		for _, size := range []int{1, 2, 100} {
			var got []ident.ObjectID
			var after ident.ObjectID
			for {
				var part []ident.ObjectID
				b.view(func(tx *store.Tx) (err error) { part, err = read(tx)(oid(group), after, size); return err })
				got = append(got, part...)
				if len(part) < size {
					break
				}
				after = part[len(part)-1]
			}
			if diff := cmp.Diff(sorted(want...), got); diff != "" {
				t.Errorf("%s in pages of %d: -want +got:\n%s", group, size, diff)
			}
		}
	}
	direct := func(tx *store.Tx) func(ident.ObjectID, ident.ObjectID, int) ([]ident.ObjectID, error) {
		return tx.Members
	}
	below := func(tx *store.Tx) func(ident.ObjectID, ident.ObjectID, int) ([]ident.ObjectID, error) {
		return tx.MembersBelow
	}
	page(direct, "a", oid("x"), oid("b"))
	page(direct, "c", oid("a"), oid("y"))
	page(direct, "no group")
	page(below, "a", oid("x"), oid("b"), oid("c"), oid("y"))
	page(below, "b", oid("c"), oid("a"), oid("y"), oid("x"))
	page(below, "no group")
	has(b, func(tx *store.Tx) ([]ident.ObjectID, error) { return tx.MemberOf(oid("y")) }, sorted(oid("b"), oid("c")))
	has(b, func(tx *store.Tx) ([]ident.ObjectID, error) { return tx.MemberOf(oid("nobody")) }, []ident.ObjectID{})
	rev := b.update(func(tx *store.Tx) error { return tx.RemoveMember(oid("b"), oid("y")) })
	b.told(rev, "delete member "+oid("b").String()+"/"+oid("y").String())
	b.refused(fault.NotFound, func(tx *store.Tx) error { return tx.RemoveMember(oid("b"), oid("y")) })
	has(b, func(tx *store.Tx) ([]ident.ObjectID, error) { return tx.MemberOf(oid("y")) }, []ident.ObjectID{oid("c")})
}

func deletedPrincipals(t *testing.T, b *bench) {
	role := directory.GlobalAdministrator()
	sid := ident.Derive[ident.SessionID]("storetest", "s")
	setUp := func(id ident.ObjectID, put func(*store.Tx) error) {
		t.Helper()
		b.update(func(tx *store.Tx) error {
			return firstError(put(tx), tx.PutGroup(b.aGroup("up")), tx.AddMember(oid("up"), id), tx.GrantDirectoryRole(role, id))
		})
	}
	gone := []string{"delete member " + oid("up").String() + "/", "delete directoryRole " + role.String() + "/"}
	check := func(rev feed.Revision, id ident.ObjectID, more ...string) {
		t.Helper()
		b.told(rev, append(more, gone[0]+id.String(), gone[1]+id.String())...)
		has(b, func(tx *store.Tx) ([]ident.ObjectID, error) { return tx.MemberOf(id) }, []ident.ObjectID{})
		has(b, func(tx *store.Tx) ([]ident.DirectoryRoleID, error) { return tx.DirectoryRoles(id) }, []ident.DirectoryRoleID{})
	}
	u := b.aUser("u")
	setUp(u.ID, func(tx *store.Tx) error {
		return firstError(tx.PutUser(u), tx.PutPassword(u.ID, "hash"), tx.PutSession(session.Session{ID: sid, User: u.ID, Tenant: b.tenant}),
			tx.PutRefreshToken(session.RefreshToken{Hash: "r", Session: sid, User: u.ID}))
	})
	check(b.update(func(tx *store.Tx) error { return tx.DeleteUser(u.ID) }), u.ID, "delete user "+u.ID.String(), "delete session "+sid.String())
	lacks(b, func(tx *store.Tx) (string, error) { return tx.Password(u.ID) })
	lacks(b, func(tx *store.Tx) (session.Session, error) { return tx.Session(sid) })
	lacks(b, func(tx *store.Tx) (session.RefreshToken, error) { return tx.RefreshToken("r") })

	p := b.aPrincipal("p")
	setUp(p.ID, func(tx *store.Tx) error { return tx.PutServicePrincipal(p) })
	check(b.update(func(tx *store.Tx) error { return tx.DeleteServicePrincipal(p.ID) }), p.ID, "delete servicePrincipal "+p.ID.String())

	g := b.aGroup("g")
	setUp(g.ID, func(tx *store.Tx) error {
		return firstError(tx.PutGroup(g), tx.AddMember(g.ID, oid("m")), tx.AddMember(g.ID, oid("n")))
	})
	check(b.update(func(tx *store.Tx) error { return tx.DeleteGroup(g.ID) }), g.ID, "delete group "+g.ID.String(),
		"delete member "+g.ID.String()+"/"+oid("m").String(), "delete member "+g.ID.String()+"/"+oid("n").String())
	has(b, func(tx *store.Tx) ([]ident.ObjectID, error) { return tx.MemberOf(oid("m")) }, []ident.ObjectID{})

	// Of one that is not there nothing goes, also when the error is passed over.
	b.update(func(tx *store.Tx) error {
		return firstError(tx.AddMember(oid("up"), oid("ghost")), tx.GrantDirectoryRole(role, oid("ghost")))
	})
	head := b.db.Head()
	rev := b.update(func(tx *store.Tx) error {
		for _, err := range []error{tx.DeleteUser(oid("ghost")), tx.DeleteGroup(oid("ghost")), tx.DeleteServicePrincipal(oid("ghost"))} {
			checkFault(t, err, fault.NotFound)
		}
		return nil
	})
	if rev != head {
		t.Errorf("revision %d was taken for nothing", rev)
	}
}

func servicePrincipals(t *testing.T, b *bench) {
	p := b.aPrincipal("p")
	changed := p
	changed.DisplayName, changed.SessionsValidFrom, changed.AlternativeNames = "Changed", zoned(), []string{"x"}
	life(b, p, changed, (*store.Tx).PutServicePrincipal, func(tx *store.Tx) (directory.ServicePrincipal, error) { return tx.ServicePrincipal(p.ID) },
		func(tx *store.Tx) error { return tx.DeleteServicePrincipal(p.ID) })
	b.update(func(tx *store.Tx) error { return tx.PutServicePrincipal(p) })
	byApp := func(tenant ident.TenantID) func(*store.Tx) (directory.ServicePrincipal, error) {
		return func(tx *store.Tx) (directory.ServicePrincipal, error) {
			return tx.ServicePrincipalByAppID(tenant, p.AppID)
		}
	}
	has(b, byApp(b.tenant), p)
	twin := p
	twin.ID = oid("twin")
	b.refused(fault.Conflict, func(tx *store.Tx) error { return tx.PutServicePrincipal(twin) })
	twin.Tenant = b.other()
	lacks(b, byApp(twin.Tenant))
	b.update(func(tx *store.Tx) error { return tx.PutServicePrincipal(twin) })
	has(b, byApp(twin.Tenant), twin)
}

func directoryRoles(t *testing.T, b *bench) {
	global, users := directory.GlobalAdministrator(), directory.UserAdministrator()
	rev := b.update(func(tx *store.Tx) error { return tx.GrantDirectoryRole(global, oid("a")) })
	b.told(rev, "put directoryRole "+global.String()+"/"+oid("a").String())
	if again := b.update(func(tx *store.Tx) error { return tx.GrantDirectoryRole(global, oid("a")) }); again != rev {
		t.Errorf("granting twice took revision %d", again)
	}
	b.update(func(tx *store.Tx) error {
		return firstError(tx.GrantDirectoryRole(global, oid("b")), tx.GrantDirectoryRole(users, oid("a")))
	})
	has(b, func(tx *store.Tx) ([]ident.DirectoryRoleID, error) { return tx.DirectoryRoles(oid("a")) }, []ident.DirectoryRoleID{global, users})
	has(b, func(tx *store.Tx) ([]ident.ObjectID, error) { return tx.DirectoryRoleHolders(global) }, sorted(oid("a"), oid("b")))
	rev = b.update(func(tx *store.Tx) error { return tx.RevokeDirectoryRole(global, oid("a")) })
	b.told(rev, "delete directoryRole "+global.String()+"/"+oid("a").String())
	b.refused(fault.NotFound, func(tx *store.Tx) error { return tx.RevokeDirectoryRole(global, oid("a")) })
	has(b, func(tx *store.Tx) ([]ident.DirectoryRoleID, error) { return tx.DirectoryRoles(oid("a")) }, []ident.DirectoryRoleID{users})
}

func zeroID(_ *testing.T, b *bench) {
	u := b.aUser("u")
	u.ID = ident.ObjectID{}
	b.refused(fault.Internal, func(tx *store.Tx) error { return tx.PutUser(u) })
	g := b.aGroup("g")
	g.Tenant = ident.TenantID{}
	b.refused(fault.Internal, func(tx *store.Tx) error { return tx.PutGroup(g) })
}
