package world_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/keyreeve/keyreeve/internal/feed"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/managedcluster"
	"github.com/keyreeve/keyreeve/internal/rbac"
	"github.com/keyreeve/keyreeve/internal/world"
)

// obvious are facts put together anew for each question, from what the world lists: no numbers, no index, no nesting left.
type obvious struct {
	w      *world.World
	groups []ident.ObjectID
}

func held(list []*rbac.Grant) *rbac.Grants {
	var out *rbac.Grants
	for _, g := range list {
		out = out.With(g)
	}
	return out
}

func (*obvious) Expect(ident.ObjectID) {}

func (o *obvious) Principal(id ident.ObjectID) (*rbac.Grants, []rbac.GroupRef) {
	o.groups = o.w.GroupsOf(id)
	refs := make([]rbac.GroupRef, len(o.groups))
	for i := range refs {
		refs[i] = rbac.GroupRef(i)
	}
	return held(o.w.GrantsOf(id)), refs
}

func (o *obvious) Group(r rbac.GroupRef) (*ident.ObjectID, *rbac.Grants) {
	return &o.groups[r], held(o.w.GrantsOf(o.groups[r]))
}

func (o *obvious) Above(rbac.GroupRef) []rbac.GroupRef  { return nil }
func (o *obvious) Index() *rbac.Index                   { return nil }
func (o *obvious) Denials(ident.ObjectID) *rbac.Denials { return nil }

// drawOwn draws the bindings of a cluster: to groups by id, by name, and to users.
func drawOwn(t *rapid.T) *rbac.ClusterRBAC {
	e := rbac.NewClusterRBAC().Edit()
	e.PutRole(&rbac.KubeRole{Name: "view", Rules: []rbac.PolicyRule{{Verbs: []string{"get"}, APIGroups: []string{""}, Resources: []string{"pods"}}}})
	subjects := func() []rbac.Subject {
		n := rapid.IntRange(0, few-1).Draw(t, "subject")
		return []rbac.Subject{rapid.SampledFrom([]rbac.Subject{
			{Kind: rbac.KindGroup, Name: oid("group", n).String()},
			{Kind: rbac.KindGroup, Name: strings.ToUpper(oid("group", n).String())},
			{Kind: rbac.KindUser, Name: fmt.Sprintf("name%d@x", n)},
		}).Draw(t, "kind of subject")}
	}
	for i := range rapid.IntRange(0, 4).Draw(t, "bindings") {
		e.PutBinding(&rbac.Binding{
			Name: fmt.Sprint(i), Namespace: rapid.SampledFrom([]string{"", "dev", "prod"}).Draw(t, "namespace"),
			RoleRef: rbac.RoleRef{Kind: rbac.KindClusterRole, Name: "view"}, Subjects: subjects(),
		})
	}
	if rapid.Bool().Draw(t, "one goes") {
		e = e.Done().Edit()
		e.DropBinding("", "0")
	}
	return e.Done()
}

// checkSieve holds that a decision is the same, in verdict, grant and way, when no group is left out, and that its verdict is what
// the obvious facts give.
func checkSieve(t *rapid.T, w *world.World) {
	own := drawOwn(t)
	tell := cmp.Comparer(func(a, b *rbac.Grant) bool { return a == b })
	same := cmp.Options{tell, cmp.Comparer(func(a, b *rbac.Binding) bool { return a == b })}
	clusters := w.Clusters()
	if len(clusters) == 0 {
		on := true
		clusters = append(clusters, managedcluster.Cluster{Subscription: subID(0), Tenant: tid(0), Group: "G", Name: "C0", AAD: &managedcluster.AAD{EnableAzureRBAC: &on}})
	}
	for _, c := range clusters {
		on := true
		c.AAD = &managedcluster.AAD{EnableAzureRBAC: &on}
		if rapid.Bool().Draw(t, "admins") {
			c.AAD.AdminGroups = []ident.ObjectID{oid("group", rapid.IntRange(0, few-1).Draw(t, "admin group"))}
		}
		rules := w.ClusterRules(&c, own)
		ns := rapid.SampledFrom([]string{"", "dev", "prod"}).Draw(t, "in namespace")
		for _, kind := range []string{"user", "group", "sp", "ghost"} {
			for n := range few {
				id := oid(kind, n)
				ask := &rbac.ClusterAsk{Principal: id, Name: fmt.Sprintf("name%d@x", n), Request: rbac.KubeRequest{Verb: "get", Resource: "pods", Name: "p", Namespace: ns}}
				got := w.DecideCluster(ask, &rules)
				if diff := cmp.Diff(rbac.DecideCluster(ask, &rules, w.Unsifted()), got, same); diff != "" {
					t.Fatalf("%s %d in %s %q, -without index +with:\n%s", kind, n, c.Name, ns, diff)
				}
				if kind == "group" {
					continue // a group in a circle is in itself to decisions, and not in the list of its groups
				}
				if slow := rbac.DecideCluster(ask, &rules, &obvious{w: w}); slow.Verdict != got.Verdict {
					t.Fatalf("%s %d in %s %q: %v, the obvious way %v", kind, n, c.Name, ns, got.Verdict, slow.Verdict)
				}
				checkAction(t, w, id, c.ResourceID(), same)
			}
		}
	}
}

func checkAction(t *rapid.T, w *world.World, id ident.ObjectID, scope string, same cmp.Option) {
	req := rbac.Request{Principal: id, Action: "a.b/1/read", Scope: scope}
	got := w.Decide(req)
	if p, ok := w.Principal(id); ok {
		sub, err := ident.Parse[ident.SubscriptionID](scope[len("/subscriptions/"):][:36])
		if err != nil {
			t.Fatal(err)
		}
		if s, there := w.Subscription(sub); there && s.Tenant != p.Tenant {
			if got.Verdict != rbac.Deny || len(got.Grants) > 0 {
				t.Fatalf("%v of another tenant at %s: %+v", id, scope, got)
			}
			return
		}
		for _, g := range w.ManagementGroupsAbove(p.Tenant, scope) {
			req.Above = append(req.Above, strings.ToLower(g.ID()))
		}
	}
	if diff := cmp.Diff(rbac.Decide(req, w.Unsifted()), got, same); diff != "" {
		t.Fatalf("%v at %s, -without index +with:\n%s", id, scope, diff)
	}
	if slow := rbac.Decide(req, &obvious{w: w}); slow.Verdict != got.Verdict {
		t.Fatalf("%v at %s: %v, the obvious way %v", id, scope, got.Verdict, slow.Verdict)
	}
}

// TestParts holds that a snapshot in parts makes the same world as a whole one, with memberships by member or one by one, and that
// parts of two snapshots, or parts after a snapshot, break it.
func TestParts(t *testing.T) {
	group := func(n int) feed.Event {
		return feed.Event{Kind: feed.Group, Op: feed.Put, Key: oid("group", n).String(), Value: fmt.Appendf(nil, `{"id":%q,"tenant":%q}`, oid("group", n), tid(0))}
	}
	member := func(g int, m ident.ObjectID) feed.Event {
		return feed.Event{Kind: feed.Member, Op: feed.Put, Key: oid("group", g).String() + "/" + m.String()}
	}
	user := oid("user", 0)
	all := feed.Event{Kind: feed.Memberships, Op: feed.Put, Key: user.String(), Value: fmt.Appendf(nil, `[%q,%q,%q]`, oid("group", 1), oid("group", 0), oid("group", 1))}
	whole := newWorld(t)
	if err := whole.Apply(feed.Change{Revision: 7, Events: []feed.Event{group(0), group(1), group(2), member(0, user), member(1, user), member(2, oid("group", 1))}}); err != nil {
		t.Fatal(err)
	}
	parts := newWorld(t)
	for i, c := range []feed.Change{
		{Revision: 7, Partial: true, Events: []feed.Event{group(0), group(1)}},
		{Revision: 7, Partial: true, Events: []feed.Event{member(2, oid("group", 1)), all}},
		{Revision: 7, Events: []feed.Event{group(2)}},
	} {
		if err := parts.Apply(c); err != nil {
			t.Fatal(i, err)
		}
	}
	if rev, _, _ := parts.Status(); rev != 7 || len(parts.GroupsOf(user)) != 3 || !slices.Equal(parts.GroupsOf(user), whole.GroupsOf(user)) {
		t.Errorf("at %d the user is in %v, want %v", rev, parts.GroupsOf(user), whole.GroupsOf(user))
	}
	for name, changes := range map[string][]feed.Change{
		"parts of two":            {{Revision: 7, Partial: true}, {Revision: 8}},
		"a part after the whole":  {{Revision: 7}, {Revision: 8, Partial: true}},
		"memberships in a change": {{Revision: 7}, {Revision: 8, Events: []feed.Event{all}}},
		"memberships of nobody":   {{Revision: 7, Events: []feed.Event{{Kind: feed.Memberships, Op: feed.Put, Key: user.String(), Value: []byte(`["x"]`)}}}},
		"memberships deleted":     {{Revision: 7, Events: []feed.Event{{Kind: feed.Memberships, Op: feed.Delete, Key: user.String()}}}},
	} {
		w := newWorld(t)
		var err error
		for _, c := range changes {
			err = w.Apply(c)
		}
		if err == nil {
			t.Errorf("%s: let through", name)
		}
	}
}
