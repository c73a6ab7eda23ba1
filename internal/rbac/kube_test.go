package rbac

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/keyreeve/keyreeve/internal/ident"
)

// TestPolicyRule holds the rules of Kubernetes' "Using RBAC Authorization" page and of its evaluation helpers.
func TestPolicyRule(t *testing.T) {
	list := func(s ...string) []string { return s }
	pods := PolicyRule{Verbs: list("get"), APIGroups: list(""), Resources: list("pods")}
	res := func(r PolicyRule, resources ...string) PolicyRule { r.Resources = resources; return r }
	named := func(r PolicyRule, names ...string) PolicyRule { r.ResourceNames = names; return r }
	get := KubeRequest{Verb: "get", Resource: "pods", Name: "a", Namespace: "n"}
	with := func(change func(*KubeRequest)) KubeRequest { r := get; change(&r); return r }
	path := func(p string) KubeRequest { return KubeRequest{Verb: "get", NonResource: true, Path: p} }
	urls := func(u ...string) PolicyRule { return PolicyRule{Verbs: list("get"), NonResourceURLs: u} }
	log := with(func(r *KubeRequest) { r.Subresource = "log" })
	for _, c := range []struct {
		name string
		rule PolicyRule
		req  KubeRequest
		want bool
	}{
		{"exact", pods, get, true},
		{"empty rule", PolicyRule{}, get, false},
		{"other verb", pods, with(func(r *KubeRequest) { r.Verb = "list" }), false},
		{"verb has case", pods, with(func(r *KubeRequest) { r.Verb = "GET" }), false},
		{"star verb", PolicyRule{Verbs: list("*"), APIGroups: list(""), Resources: list("pods")}, with(func(r *KubeRequest) { r.Verb = "frobnicate" }), true},
		{"verbs do not glob", PolicyRule{Verbs: list("g*"), APIGroups: list(""), Resources: list("pods")}, get, false},
		{"star is asked", pods, with(func(r *KubeRequest) { r.Verb = "*" }), false},
		{"other group", pods, with(func(r *KubeRequest) { r.APIGroup = "apps" }), false},
		{"star group", PolicyRule{Verbs: list("get"), APIGroups: list("*"), Resources: list("pods")}, with(func(r *KubeRequest) { r.APIGroup = "apps" }), true},
		{"no group", PolicyRule{Verbs: list("get"), Resources: list("pods")}, get, false},
		{"other resource", pods, with(func(r *KubeRequest) { r.Resource = "secrets" }), false},
		{"resource does not cover its subresource", pods, log, false},
		{"res/sub", res(pods, "pods/log"), log, true},
		{"res/sub does not cover res", res(pods, "pods/log"), get, false},
		{"res/sub of another", res(pods, "nodes/log"), log, false},
		{"*/sub", res(pods, "*/log"), log, true},
		{"*/sub of another sub", res(pods, "*/exec"), log, false},
		{"*/sub does not cover res", res(pods, "*/log"), get, false},
		{"*/sub is no suffix", res(pods, "*/g"), log, false},
		{"x*/sub does not glob", res(pods, "pod*/log"), log, false},
		{"res/* does not glob", res(pods, "pods/*"), log, false},
		{"star covers subresources", res(pods, "*"), log, true},
		{"longer resource with the same end", res(pods, "xpods/log"), log, false},
		{"slash in the resource asked", res(pods, "pods/log"), with(func(r *KubeRequest) { r.Resource = "pods/log" }), true},
		{"name", named(pods, "b", "a"), get, true},
		{"other name", named(pods, "b"), get, false},
		{"names do not glob", named(pods, "*"), get, false},
		{"no name asked, some named", named(pods, "a"), with(func(r *KubeRequest) { r.Name = "" }), false},
		{"no name asked, none named", pods, with(func(r *KubeRequest) { r.Name = "" }), true},
		{"empty name named", named(pods, ""), with(func(r *KubeRequest) { r.Name = "" }), true},
		{"path", urls("/healthz"), path("/healthz"), true},
		{"path below", urls("/healthz"), path("/healthz/etcd"), false},
		{"path star", urls("/healthz/*"), path("/healthz/etcd"), true},
		{"path star not above", urls("/healthz/*"), path("/healthz"), false},
		{"path stars", urls("/healthz**"), path("/healthz"), true},
		{"every path", urls("*"), path("/x"), true},
		{"star inside a path", urls("/a/*/b"), path("/a/x/b"), false},
		{"resource rule, path asked", PolicyRule{Verbs: list("*"), APIGroups: list("*"), Resources: list("*")}, path("/x"), false},
		{"path rule, resource asked", PolicyRule{Verbs: list("*"), NonResourceURLs: list("*")}, get, false},
		{"path verb", urls("*"), KubeRequest{Verb: "post", NonResource: true, Path: "/x"}, false},
	} {
		if got := c.rule.covers(&c.req); got != c.want {
			t.Errorf("%s: got %v", c.name, got)
		}
		if got := slowCoversRule(c.rule, c.req); got != c.want {
			t.Errorf("%s: the oracle says %v", c.name, got)
		}
	}
}

// slowCoversRule follows the description of the API type.
func slowCoversRule(r PolicyRule, q KubeRequest) bool {
	some := func(list []string, ok func(string) bool) bool { return slices.ContainsFunc(list, ok) }
	if !some(r.Verbs, func(v string) bool { return v == "*" || v == q.Verb }) {
		return false
	}
	if q.NonResource {
		return some(r.NonResourceURLs, func(u string) bool {
			return u == "*" || u == q.Path || strings.HasSuffix(u, "*") && strings.HasPrefix(q.Path, strings.TrimRight(u, "*"))
		})
	}
	full := q.Resource
	if q.Subresource != "" {
		full += "/" + q.Subresource
	}
	return some(r.APIGroups, func(g string) bool { return g == "*" || g == q.APIGroup }) &&
		some(r.Resources, func(s string) bool { return s == "*" || s == full || q.Subresource != "" && s == "*/"+q.Subresource }) &&
		(len(r.ResourceNames) == 0 || slices.Contains(r.ResourceNames, q.Name))
}

func TestClusterRBAC(t *testing.T) {
	const devs = "0e2b8a7c-0000-4000-8000-00000000000d"
	devsID := ident.MustParse[ident.ObjectID](devs)
	view := []PolicyRule{{Verbs: []string{"get", "list"}, APIGroups: []string{""}, Resources: []string{"pods"}}}
	viewer := RoleRef{KindClusterRole, "viewer"}
	get := KubeRequest{Verb: "get", Resource: "pods", Namespace: "dev", Name: "x"}
	at := func(ns string) KubeRequest { r := get; r.Namespace = ns; return r }
	alice := KubeUser{Name: "alice@contoso.com", Groups: []ident.ObjectID{devsID}, Named: []string{"system:authenticated"}}
	bind := func(ns string, ref RoleRef, s ...Subject) *Binding {
		return &Binding{Namespace: ns, Name: "b", RoleRef: ref, Subjects: s}
	}
	group := Subject{Kind: KindGroup, Name: devs}
	user := Subject{Kind: KindUser, Name: "alice@contoso.com"}
	for _, c := range []struct {
		name    string
		binding *Binding
		req     KubeRequest
		user    KubeUser
		want    bool
		by      Subject
	}{
		{name: "nothing", req: get, user: alice},
		{name: "cluster, group by id", binding: bind("", viewer, group), req: get, user: alice, want: true, by: group},
		{name: "cluster, user", binding: bind("", viewer, user), req: get, user: alice, want: true, by: user},
		{name: "cluster binding, all namespaces asked", binding: bind("", viewer, user), req: at(""), user: alice, want: true, by: user},
		{name: "cluster binding, odd namespace", binding: bind("", viewer, user), req: at("../x"), user: alice, want: true, by: user},
		{name: "namespace", binding: bind("dev", viewer, group), req: get, user: alice, want: true, by: group},
		{name: "other namespace", binding: bind("prod", viewer, group), req: get, user: alice},
		{name: "namespace has case", binding: bind("dev", viewer, group), req: at("DEV"), user: alice},
		{name: "namespace binding, all namespaces asked", binding: bind("dev", viewer, group), req: at(""), user: alice},
		{name: "namespace by path", binding: bind("dev", viewer, group), req: at("prod/../dev"), user: alice},
		{name: "role of the namespace", binding: bind("dev", RoleRef{KindRole, "reader"}, user), req: get, user: alice, want: true, by: user},
		{name: "role of another namespace", binding: bind("prod", RoleRef{KindRole, "reader"}, user), req: at("prod"), user: alice},
		{name: "cluster binding to a role", binding: bind("", RoleRef{KindRole, "reader"}, user), req: get, user: alice},
		{name: "cluster binding to a role named like a cluster role", binding: bind("", RoleRef{KindRole, "viewer"}, user), req: get, user: alice},
		{
			name: "path asked, with a namespace", binding: bind("dev", RoleRef{KindClusterRole, "paths"}, user),
			req: KubeRequest{Verb: "get", NonResource: true, Path: "/x", Namespace: "dev"}, user: alice,
		},
		{
			name: "path asked", binding: bind("", RoleRef{KindClusterRole, "paths"}, user),
			req: KubeRequest{Verb: "get", NonResource: true, Path: "/x"}, user: alice, want: true, by: user,
		},
		{name: "role as if of the cluster", binding: bind("dev", RoleRef{KindClusterRole, "reader"}, user), req: get, user: alice},
		{name: "cluster role as if of the namespace", binding: bind("dev", RoleRef{KindRole, "viewer"}, user), req: get, user: alice},
		{name: "missing role", binding: bind("dev", RoleRef{KindRole, "gone"}, user), req: get, user: alice},
		{name: "unknown kind of role", binding: bind("dev", RoleRef{"role", "reader"}, user), req: get, user: alice},
		{name: "no subject", binding: bind("", viewer), req: get, user: alice},
		{name: "unknown kind of subject", binding: bind("", viewer, Subject{Kind: "user", Name: user.Name}), req: get, user: alice},
		{name: "user name has case", binding: bind("", viewer, Subject{Kind: KindUser, Name: "Alice@contoso.com"}), req: get, user: alice},
		{name: "user is no group", binding: bind("", viewer, Subject{Kind: KindUser, Name: devs}), req: get, user: alice},
		{name: "group is no user", binding: bind("", viewer, Subject{Kind: KindGroup, Name: user.Name}), req: get, user: alice},
		{name: "group id has case", binding: bind("", viewer, Subject{Kind: KindGroup, Name: strings.ToUpper(devs)}), req: get, user: alice},
		{
			name: "group by name", binding: bind("", viewer, Subject{Kind: KindGroup, Name: "system:authenticated"}), req: get, user: alice,
			want: true, by: Subject{Kind: KindGroup, Name: "system:authenticated"},
		},
		{
			name: "group id among the named", binding: bind("", viewer, group), req: get, user: KubeUser{Name: "x", Named: []string{devs}},
			want: true, by: group,
		},
		{
			name: "group with an odd id among the named", binding: bind("", viewer, Subject{Kind: KindGroup, Name: strings.ToUpper(devs)}), req: get,
			user: KubeUser{Name: "x", Named: []string{strings.ToUpper(devs)}}, want: true, by: Subject{Kind: KindGroup, Name: strings.ToUpper(devs)},
		},
		{
			name: "service account", binding: bind("", viewer, Subject{KindServiceAccount, "ci", "bot"}), req: get,
			user: KubeUser{Name: "system:serviceaccount:ci:bot"}, want: true, by: Subject{KindServiceAccount, "ci", "bot"},
		},
		{
			name: "service account of the binding's namespace", binding: bind("dev", viewer, Subject{KindServiceAccount, "", "bot"}), req: get,
			user: KubeUser{Name: "system:serviceaccount:dev:bot"}, want: true, by: Subject{KindServiceAccount, "", "bot"},
		},
		{
			name: "service account of no namespace", binding: bind("", viewer, Subject{KindServiceAccount, "", "bot"}), req: get,
			user: KubeUser{Name: "system:serviceaccount::bot"},
		},
		{name: "second subject", binding: bind("", viewer, Subject{KindUser, "", "bob"}, group), req: get, user: alice, want: true, by: group},
		{name: "same subject twice", binding: bind("", viewer, group, group), req: get, user: alice, want: true, by: group},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := NewClusterRBAC().Edit()
			e.PutRole(&KubeRole{Name: "viewer", Rules: view})
			e.PutRole(&KubeRole{Namespace: "dev", Name: "reader", Rules: view})
			e.PutRole(&KubeRole{Name: "paths", Rules: []PolicyRule{{Verbs: []string{"get"}, NonResourceURLs: []string{"/x"}}}})
			if c.binding != nil {
				e.PutBinding(c.binding)
			}
			set := e.Done()
			got := set.Decide(c.req, c.user)
			want := KubeDecision{Allowed: c.want, Subject: c.by}
			if c.want {
				want.Binding = c.binding
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("(-want +got):\n%s", diff)
			}
			if c.binding == nil {
				return
			}
			e = set.Edit()
			e.DropBinding(c.binding.Namespace, c.binding.Name)
			if e.Done().Decide(c.req, c.user).Allowed {
				t.Error("still allowed without the binding")
			}
			if set.Decide(c.req, c.user).Allowed != c.want {
				t.Error("the edit changed the set it came from")
			}
		})
	}
}

// slowSet is the obvious form of a cluster's rules: lists that are searched.
type slowSet struct {
	roles    []*KubeRole
	bindings []*Binding
}

func (s slowSet) allows(req KubeRequest, u KubeUser) bool {
	groups := slices.Clone(u.Named)
	for _, g := range u.Groups {
		groups = append(groups, g.String())
	}
	for _, b := range s.bindings {
		if b.Namespace != "" && (req.NonResource || b.Namespace != req.Namespace) {
			continue
		}
		applies := slices.ContainsFunc(b.Subjects, func(sub Subject) bool {
			switch sub.Kind {
			case KindUser:
				return sub.Name == u.Name
			case KindGroup:
				return slices.Contains(groups, sub.Name)
			case KindServiceAccount:
				ns := sub.Namespace
				if ns == "" {
					ns = b.Namespace
				}
				return ns != "" && u.Name == "system:serviceaccount:"+ns+":"+sub.Name
			}
			return false
		})
		if !applies {
			continue
		}
		for _, r := range s.roles {
			is := r.Name == b.RoleRef.Name && (b.RoleRef.Kind == KindClusterRole && r.Namespace == "" ||
				b.RoleRef.Kind == KindRole && r.Namespace != "" && r.Namespace == b.Namespace)
			if is && slices.ContainsFunc(r.Rules, func(p PolicyRule) bool { return slowCoversRule(p, req) }) {
				return true
			}
		}
	}
	return false
}

func TestClusterRBACAgainstLists(t *testing.T) {
	pick := func(t *rapid.T, what string, from ...string) string { return rapid.SampledFrom(from).Draw(t, what) }
	some := func(t *rapid.T, what string, from ...string) []string {
		return rapid.SliceOfN(rapid.SampledFrom(from), 0, 2).Draw(t, what)
	}
	gid := func(n byte) string { return oid(n).String() }
	rapid.Check(t, func(t *rapid.T) {
		type version struct {
			set  *ClusterRBAC
			slow slowSet
		}
		set, slow := NewClusterRBAC(), slowSet{}
		var history []version // an edit must leave the sets before it as they were
		for range rapid.IntRange(1, 25).Draw(t, "edits") {
			e := set.Edit()
			for range rapid.IntRange(1, 3).Draw(t, "changes") {
				ns, name := pick(t, "namespace", "", "a", "b"), pick(t, "name", "x", "y", "z")
				dropRole := func(r *KubeRole) bool { return r.Namespace == ns && r.Name == name }
				dropBinding := func(b *Binding) bool { return b.Namespace == ns && b.Name == name }
				switch rapid.IntRange(0, 7).Draw(t, "change") {
				case 0:
					e.DropRole(ns, name)
					slow.roles = slices.DeleteFunc(slow.roles, dropRole)
				case 1:
					e.DropBinding(ns, name)
					slow.bindings = slices.DeleteFunc(slow.bindings, dropBinding)
				case 2, 3:
					r := &KubeRole{Namespace: ns, Name: name}
					for range rapid.IntRange(0, 2).Draw(t, "rules") {
						r.Rules = append(r.Rules, PolicyRule{
							Verbs: some(t, "verbs", "get", "*", "*"), APIGroups: some(t, "groups", "", "*", "*"),
							Resources: some(t, "resources", "pods", "pods/log", "*/log", "*"), ResourceNames: some(t, "names", "n", ""),
							NonResourceURLs: some(t, "urls", "/x", "/x*", "*"),
						})
					}
					e.PutRole(r)
					slow.roles = append(slices.DeleteFunc(slow.roles, dropRole), r)
				case 4, 5, 6:
					b := &Binding{Namespace: ns, Name: name, RoleRef: RoleRef{pick(t, "ref kind", KindRole, KindClusterRole), pick(t, "ref", "x", "y")}}
					for range rapid.IntRange(0, 3).Draw(t, "subjects") {
						b.Subjects = append(b.Subjects, Subject{
							pick(t, "subject kind", KindUser, KindGroup, KindServiceAccount), pick(t, "subject namespace", "", "a"),
							pick(t, "subject", "u", "g", gid(1), gid(2)),
						})
					}
					e.PutBinding(b)
					slow.bindings = append(slices.DeleteFunc(slow.bindings, dropBinding), b)
				case 7:
					cluster := rapid.Bool().Draw(t, "of the cluster")
					e.KeepRoles(cluster, func(_, n string) bool { return n == name })
					e.KeepBindings(cluster, func(_, n string) bool { return n == name })
					slow.roles = slices.DeleteFunc(slow.roles, func(r *KubeRole) bool { return (r.Namespace == "") == cluster && r.Name != name })
					slow.bindings = slices.DeleteFunc(slow.bindings, func(b *Binding) bool { return (b.Namespace == "") == cluster && b.Name != name })
				}
			}
			set = e.Done()
			if r, b := set.Len(); r != len(slow.roles) || b != len(slow.bindings) {
				t.Fatalf("%d roles and %d bindings, want %d and %d", r, b, len(slow.roles), len(slow.bindings))
			}
			history = append(history, version{set, slowSet{slices.Clone(slow.roles), slices.Clone(slow.bindings)}})
		}
		for range 10 {
			req := KubeRequest{
				Verb: pick(t, "verb", "get", "list"), APIGroup: pick(t, "group", "", "apps"), Resource: pick(t, "resource", "pods", "nodes"),
				Subresource: pick(t, "sub", "", "log"), Name: pick(t, "asked name", "", "n"), Namespace: pick(t, "asked namespace", "", "a", "b"),
			}
			if rapid.Bool().Draw(t, "path asked") {
				req = KubeRequest{Verb: req.Verb, NonResource: true, Path: pick(t, "path", "/x", "/xy")}
			}
			u := KubeUser{Name: pick(t, "user", "u", "system:serviceaccount:a:u", gid(1)), Named: some(t, "named", "g", gid(2))}
			if rapid.Bool().Draw(t, "has group") {
				u.Groups = []ident.ObjectID{oid(1)}
			}
			for i, v := range history {
				if got, want := v.set.Decide(req, u).Allowed, v.slow.allows(req, u); got != want {
					t.Fatalf("version %d of %d, %+v by %+v: got %v, want %v", i, len(history), req, u, got, want)
				}
			}
		}
	})
}

// largeCluster has n namespaces with a binding each.
func largeCluster(n int) *ClusterRBAC {
	e := NewClusterRBAC().Edit()
	e.PutRole(&KubeRole{Name: "edit", Rules: []PolicyRule{{Verbs: []string{"*"}, APIGroups: []string{""}, Resources: []string{"pods", "secrets"}}}})
	for i := range n {
		e.PutBinding(&Binding{
			Namespace: fmt.Sprint("ns-", i), Name: "team", RoleRef: RoleRef{KindClusterRole, "edit"},
			Subjects: []Subject{{Kind: KindGroup, Name: ident.Derive[ident.ObjectID]("g", fmt.Sprint(i)).String()}},
		})
	}
	return e.Done()
}

func BenchmarkClusterRBAC(b *testing.B) {
	set := largeCluster(10_000)
	u := KubeUser{Name: "alice@contoso.com", Named: []string{"system:authenticated"}}
	for i := range 20 {
		u.Groups = append(u.Groups, ident.Derive[ident.ObjectID]("g", fmt.Sprint(i)))
	}
	req := KubeRequest{Verb: "get", Resource: "pods", Namespace: "ns-19", Name: "x"}
	if !set.Decide(req, u).Allowed {
		b.Fatal("not allowed")
	}
	b.Run("decide, 20 groups, 10000 bindings", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			set.Decide(req, u)
		}
	})
	b.Run("one change, 10000 bindings", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			e := set.Edit()
			e.PutBinding(&Binding{
				Namespace: "ns-1", Name: "more", RoleRef: RoleRef{KindClusterRole, "edit"}, Subjects: []Subject{{Kind: KindUser, Name: "bob"}},
			})
			e.Done()
		}
	})
	b.Run("whole list, 10000 bindings", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			largeCluster(10_000)
		}
	})
}

// TestEditsAreApart makes two edits of one set: neither shows in the other, nor in the set.
func TestEditsAreApart(t *testing.T) {
	bind := func(ns, name, role string) *Binding {
		return &Binding{Namespace: ns, Name: name, RoleRef: RoleRef{KindClusterRole, role}, Subjects: []Subject{{Kind: KindUser, Name: "u"}}}
	}
	may := func(c *ClusterRBAC, verb, ns string) bool {
		return c.Decide(KubeRequest{Verb: verb, Resource: "pods", Namespace: ns}, KubeUser{Name: "u"}).Allowed
	}
	for _, ns := range []string{"", "a"} {
		// As many bindings as leave room behind a slice that grew by doubling, so that a shared one would be written to twice.
		for n := range 6 {
			e := NewClusterRBAC().Edit()
			for _, r := range []string{"get", "list", "watch"} {
				e.PutRole(&KubeRole{Name: r, Rules: []PolicyRule{{Verbs: []string{r}, APIGroups: []string{""}, Resources: []string{"pods"}}}})
			}
			base := e.Done()
			for i := range n {
				e := base.Edit()
				e.PutBinding(bind(ns, fmt.Sprint("b", i), "watch"))
				base = e.Done()
			}
			left, right, other := base.Edit(), base.Edit(), base.Edit()
			left.PutBinding(bind(ns, "new", "get"))
			right.PutBinding(bind(ns, "new", "list"))
			other.PutBinding(bind("z", "new", "get"))
			l, r, o := left.Done(), right.Done(), other.Done()
			if !may(l, "get", "a") || may(l, "list", "a") || !may(r, "list", "a") || may(r, "get", "a") {
				t.Errorf("namespace %q, %d bindings: two edits run into one another", ns, n)
			}
			if may(base, "get", "a") || may(base, "list", "a") || may(base, "get", "z") || may(r, "get", "z") || !may(o, "get", "z") {
				t.Errorf("namespace %q, %d bindings: an edit shows elsewhere", ns, n)
			}
		}
	}
}
