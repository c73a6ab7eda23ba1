package mirror

import (
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/rbac"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fixture is a Set on a moved clock, and a way to wait for its changes.
type fixture struct {
	*Set
	t  *testing.T
	id ident.ClusterID

	mu    sync.Mutex
	now   time.Time
	moved chan struct{} // closed and replaced at each change
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{
		t: t, id: ident.New[ident.ClusterID](), now: time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC), moved: make(chan struct{}),
	}
	f.Set = &Set{Log: slog.New(slog.DiscardHandler), Now: f.clock, changed: f.signal}
	t.Cleanup(f.Close)
	return f
}

func (f *fixture) clock() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now
}

func (f *fixture) advance(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now = f.now.Add(d)
}

func (f *fixture) signal() {
	f.mu.Lock()
	defer f.mu.Unlock()
	close(f.moved)
	f.moved = make(chan struct{})
}

// wait waits until the copy of the cluster is as ok wants.
func (f *fixture) wait(what string, ok func(*rbac.ClusterRBAC, Status) bool) {
	f.t.Helper()
	limit := time.After(30 * time.Second)
	for {
		f.mu.Lock()
		moved := f.moved
		f.mu.Unlock()
		if ok(f.View(f.id)) {
			return
		}
		select {
		case <-moved:
		case <-limit:
			_, s := f.View(f.id)
			f.t.Fatalf("%s: never; status %+v", what, s)
		}
	}
}

func (f *fixture) ensure(c Config) {
	f.t.Helper()
	if err := f.Ensure(f.t.Context(), f.id, c); err != nil {
		f.t.Fatal(err)
	}
}

func known(s *rbac.ClusterRBAC, _ Status) bool { return s != nil }

// allows says whether a user may get pods in a namespace.
func allows(s *rbac.ClusterRBAC, user, namespace string) bool {
	return s != nil && s.Decide(rbac.KubeRequest{Verb: "get", Resource: "pods", Namespace: namespace}, rbac.KubeUser{Name: user}).Allowed
}

func podReader(ns, name string) *rbacv1.Role {
	return &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}, Rules: podRules()}
}

func podRules() []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{{Verbs: []string{"get"}, APIGroups: []string{""}, Resources: []string{"pods"}}}
}

func bindingTo(ns, name, kind, role, user string) *rbacv1.RoleBinding {
	return &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: kind, Name: role},
		Subjects:   []rbacv1.Subject{{Kind: "User", APIGroup: rbacv1.GroupName, Name: user}},
	}
}

func TestFollowsCluster(t *testing.T) {
	for _, media := range []string{runtime.ContentTypeJSON, runtime.ContentTypeProtobuf} {
		t.Run(media, func(t *testing.T) {
			s := newStub(t, media)
			s.put("roles", podReader("dev", "reader"))
			s.put("clusterroles", &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "reader"}, Rules: podRules()})
			s.put("rolebindings", bindingTo("dev", "b", "Role", "reader", "alice"))
			f := newFixture(t)
			f.ensure(s.config())
			f.wait("sync", known)
			set, st := f.View(f.id)
			if !allows(set, "alice", "dev") || allows(set, "alice", "prod") || allows(set, "bob", "dev") {
				t.Error("the first copy is wrong")
			}
			if !st.Configured || !st.Synced || st.Stale {
				t.Errorf("status %+v", st)
			}

			crb := &rbacv1.ClusterRoleBinding{
				ObjectMeta: metav1.ObjectMeta{Name: "all"}, RoleRef: rbacv1.RoleRef{Kind: "ClusterRole", Name: "reader"},
				Subjects: []rbacv1.Subject{{Kind: "User", Name: "bob"}},
			}
			s.put("clusterrolebindings", crb)
			f.wait("bob by a new binding", func(c *rbac.ClusterRBAC, _ Status) bool { return allows(c, "bob", "prod") })
			empty := podReader("dev", "reader")
			empty.Rules = nil
			s.put("roles", empty)
			f.wait("alice loses by a changed role", func(c *rbac.ClusterRBAC, _ Status) bool { return !allows(c, "alice", "dev") })
			s.drop("clusterrolebindings", "", "all")
			f.wait("bob loses by a binding that is gone", func(c *rbac.ClusterRBAC, _ Status) bool { return !allows(c, "bob", "prod") })
			s.put("rolebindings", bindingTo("dev", "c", "ClusterRole", "reader", "carol"))
			f.wait("carol", func(c *rbac.ClusterRBAC, _ Status) bool { return allows(c, "carol", "dev") })
			s.drop("clusterroles", "", "reader")
			f.wait("carol loses by a role that is gone", func(c *rbac.ClusterRBAC, _ Status) bool { return !allows(c, "carol", "dev") })
			if allows(set, "bob", "prod") || !allows(set, "alice", "dev") {
				t.Error("an old view changed")
			}
		})
	}
}

func TestUnknownUntilAllListed(t *testing.T) {
	s := newStub(t, runtime.ContentTypeJSON)
	s.setBlocked("rolebindings", true)
	f := newFixture(t)
	if set, st := f.View(f.id); set != nil || st.Configured || st.Known() {
		t.Errorf("a cluster that is not mirrored is known: %+v", st)
	}
	f.ensure(s.config())
	f.wait("three of four", func(_ *rbac.ClusterRBAC, _ Status) bool {
		st := f.member(f.id).state.Load()
		n := 0
		for _, l := range st.listed {
			if l {
				n++
			}
		}
		return n == kindCount-1
	})
	if set, st := f.View(f.id); set != nil || st.Synced || st.DisconnectedSince.IsZero() {
		t.Errorf("known without bindings: %+v", st)
	}
	s.setBlocked("rolebindings", false)
	f.wait("sync", known)
}

func TestOutOfTouch(t *testing.T) {
	s := newStub(t, runtime.ContentTypeProtobuf)
	s.put("roles", podReader("dev", "reader"))
	s.put("rolebindings", bindingTo("dev", "b", "Role", "reader", "alice"))
	f := newFixture(t)
	f.ensure(s.config())
	f.wait("in touch", func(c *rbac.ClusterRBAC, st Status) bool { return c != nil && st.DisconnectedSince.IsZero() })
	s.stop()
	f.wait("out of touch", func(_ *rbac.ClusterRBAC, st Status) bool { return !st.DisconnectedSince.IsZero() })
	f.advance(DefaultStaleness)
	if set, st := f.View(f.id); !allows(set, "alice", "dev") || !st.Known() {
		t.Errorf("unknown before the bound: %+v", st)
	}
	f.advance(time.Second)
	if set, st := f.View(f.id); set != nil || !st.Stale || st.Known() {
		t.Errorf("known beyond the bound: %+v", st)
	}
	s.drop("rolebindings", "dev", "b")
	s.start()
	f.wait("back, with what was missed", func(c *rbac.ClusterRBAC, st Status) bool {
		return c != nil && st.DisconnectedSince.IsZero() && !allows(c, "alice", "dev")
	})
}

func TestListsAgainWhenExpired(t *testing.T) {
	s := newStub(t, runtime.ContentTypeJSON)
	s.put("roles", podReader("dev", "reader"))
	s.put("rolebindings", bindingTo("dev", "b", "Role", "reader", "alice"))
	f := newFixture(t)
	f.ensure(s.config())
	f.wait("in touch", func(c *rbac.ClusterRBAC, st Status) bool { return c != nil && st.DisconnectedSince.IsZero() })
	s.stop()
	s.drop("rolebindings", "dev", "b")
	s.expire()
	s.start()
	f.wait("listed again", func(c *rbac.ClusterRBAC, st Status) bool {
		return c != nil && st.DisconnectedSince.IsZero() && !allows(c, "alice", "dev")
	})
	if s.listed("rolebindings") < 2 {
		t.Error("not listed again")
	}
}

func TestEnsure(t *testing.T) {
	s := newStub(t, runtime.ContentTypeJSON)
	s.put("roles", podReader("dev", "reader"))
	s.put("rolebindings", bindingTo("dev", "b", "Role", "reader", "alice"))
	f := newFixture(t)
	f.ensure(s.config())
	f.wait("sync", known)
	before := f.member(f.id)
	f.ensure(s.config())
	if f.member(f.id) != before {
		t.Error("the same configuration made a new connection")
	}

	// A configuration that cannot work changes nothing.
	good := s.config()
	for name, spoil := range map[string]func(*Config){
		"http": func(c *Config) { c.Host = "http://" + s.addr }, "no host": func(c *Config) { c.Host = "" },
		"no CA": func(c *Config) { c.CA = nil }, "no key": func(c *Config) { c.Key = nil }, "odd certificate": func(c *Config) { c.Cert = []byte("x") },
	} {
		c := good
		spoil(&c)
		if err := f.Ensure(t.Context(), f.id, c); err == nil {
			t.Errorf("%s: no error", name)
		}
		if f.member(f.id) != before {
			t.Fatalf("%s: the mirror was replaced", name)
		}
	}

	// Another one connects anew, and shows what is known until then.
	other := newStub(t, runtime.ContentTypeJSON)
	other.setBlocked("roles", true)
	f.ensure(other.config())
	if set, st := f.View(f.id); !allows(set, "alice", "dev") || st.DisconnectedSince.IsZero() {
		t.Errorf("the copy was lost, or counts as in touch: %+v", st)
	}
	other.setBlocked("roles", false)
	f.wait("the other cluster", func(c *rbac.ClusterRBAC, st Status) bool {
		return st.DisconnectedSince.IsZero() && !allows(c, "alice", "dev")
	})

	f.Drop(f.id)
	f.Drop(f.id)
	if set, st := f.View(f.id); set != nil || st.Configured {
		t.Error("a dropped cluster is known")
	}
	f.Close()
	if err := f.Ensure(t.Context(), f.id, good); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func TestRefusesOtherServers(t *testing.T) {
	s, other := newStub(t, runtime.ContentTypeJSON), newStub(t, runtime.ContentTypeJSON)
	c := s.config()
	c.CA = other.ca
	f := newFixture(t)
	f.ensure(c)
	f.wait("an attempt", func(_ *rbac.ClusterRBAC, _ Status) bool { return f.member(f.id).state.Load().told[0] })
	f.wait("out of touch", func(c *rbac.ClusterRBAC, st Status) bool { return c == nil && !st.Synced })
	if s.listed("clusterroles") != 0 {
		t.Error("listed from a server of another authority")
	}
}

func TestTellsEachLossOnce(t *testing.T) {
	s := newStub(t, runtime.ContentTypeJSON)
	f := newFixture(t)
	lines := make(chan string, 100)
	f.Log = slog.New(slog.NewTextHandler(writer(lines), nil))
	for _, r := range []string{"roles", "clusterroles", "rolebindings", "clusterrolebindings"} {
		s.setBlocked(r, true)
	}
	f.ensure(s.config())
	f.wait("four losses", func(_ *rbac.ClusterRBAC, _ Status) bool {
		return f.member(f.id).state.Load().told == [kindCount]bool{true, true, true, true}
	})
	for _, r := range []string{"roles", "clusterroles", "rolebindings", "clusterrolebindings"} {
		s.setBlocked(r, false)
	}
	f.wait("in touch", func(c *rbac.ClusterRBAC, st Status) bool { return c != nil && st.DisconnectedSince.IsZero() })
	if n := len(lines); n != kindCount {
		t.Errorf("%d lines, want one a kind", n)
	}
}

type writer chan string

func (w writer) Write(b []byte) (int, error) {
	w <- string(b)
	return len(b), nil
}

// TestAggregation holds that the labels by which a ClusterRole adds to view and edit are kept.
func TestAggregation(t *testing.T) {
	const label = "rbac.authorization.k8s.io/aggregate-to-"
	for labels, want := range map[string]rbac.Aggregate{
		"": 0, "view": rbac.AggregateView, "edit": rbac.AggregateEdit, "view edit": rbac.AggregateView | rbac.AggregateEdit, "admin": 0,
	} {
		r := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "x", Labels: map[string]string{label + "other": "true", label + "admin": "false"}}}
		for l := range strings.FieldsSeq(labels) {
			r.Labels[label+l] = "true"
		}
		if got := aggregates(r.Labels); got != want {
			t.Errorf("%q: %v, want %v", labels, got, want)
		}
	}
}
