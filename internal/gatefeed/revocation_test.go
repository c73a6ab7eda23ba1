package gatefeed_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	authzv1 "k8s.io/api/authorization/v1"
	"pgregory.net/rapid"

	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/feed"
	"github.com/keyreeve/keyreeve/internal/gatefeed"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/kubehook"
	"github.com/keyreeve/keyreeve/internal/rbac"
	"github.com/keyreeve/keyreeve/internal/resource"
	"github.com/keyreeve/keyreeve/internal/session"
	"github.com/keyreeve/keyreeve/internal/store"
	"github.com/keyreeve/keyreeve/internal/world"
)

// cast is how many of each there are.
const cast = 4

// history is a slow and obvious model of who may do what: what was written, as it was written, in plain maps. Everything is of
// one tenant and about cluster 0.
type history struct {
	now time.Time

	enabled   map[int]bool      // users that are there
	validFrom map[int]time.Time // by user
	groups    map[int]bool      // groups that are there
	members   map[int][]string  // by group: "user 1", "group 2"
	sessions  map[int]session.Session
	assigned  map[int][2]string // "user 1", scope
	roles     map[int]bool      // definitions that are there, and whether they give pods
	denied    map[int]denied
	below     bool   // the second management group is in the first
	in        string // the management group that the subscription is in
	admin     int    // the admin group
}

// denied is a deny assignment: whom it is about, or "" for everyone, whom it leaves out, if anybody, and where.
type denied struct{ who, except, scope string }

func newHistory() *history {
	return &history{
		now: clock(), enabled: map[int]bool{}, validFrom: map[int]time.Time{}, groups: map[int]bool{}, members: map[int][]string{},
		sessions: map[int]session.Session{}, assigned: map[int][2]string{}, roles: map[int]bool{}, denied: map[int]denied{},
	}
}

// holds are all that a user is: itself, and each group that it is in, or that such a group is in.
func (h *history) holds(user int) map[string]bool {
	is := map[string]bool{fmt.Sprint("user ", user): true}
	for range cast * cast { // as often as anything can change
		for g, members := range h.members {
			for _, m := range members {
				if is[m] && h.groups[g] {
					is[fmt.Sprint("group ", g)] = true
				}
			}
		}
	}
	return is
}

// may says whether a user, who signed in at a session, may list pods in a namespace; "" asks for all namespaces.
func (h *history) may(user, at int, namespace string) bool {
	s, signedIn := h.sessions[at]
	enabled, there := h.enabled[user]
	if !there || !enabled || !signedIn || s.User != oid("user", 2*user) || !s.RevokedAt.IsZero() || !h.now.Before(s.ExpiresAt) || s.CreatedAt.Before(h.validFrom[user]) {
		return false
	}
	is := h.holds(user)
	if is[fmt.Sprint("group ", h.admin)] {
		return true
	}
	for _, d := range h.denied {
		if (d.who == "" || is[d.who]) && !is[d.except] && h.covers(d.scope, namespace) {
			return false
		}
	}
	for n, a := range h.assigned {
		if is[a[0]] && h.roles[n%2] && h.covers(a[1], namespace) {
			return true
		}
	}
	return false
}

// covers says whether what is written at a scope counts in a namespace of the cluster.
func (h *history) covers(scope, namespace string) bool {
	switch scope {
	case "/namespaces/dev":
		return namespace == "dev"
	case "mg0":
		return h.in == "mg0" || h.in == "mg1" && h.below
	case "mg1":
		return h.in == "mg1"
	}
	return true
}

// assignable is where things are assigned: the cluster, a namespace of it, and what is above.
var assignable = []string{"", "/namespaces/dev", "rg", "sub", "mg0", "mg1", "root"}

// All ids are even ones, which are of the first tenant.
func holderID(name string) ident.ObjectID {
	var kind string
	var n int
	if _, err := fmt.Sscan(name, &kind, &n); err != nil {
		return ident.ObjectID{}
	}
	return oid(kind, 2*n)
}

// write is one random write to both the store and the model. What the store refuses, the model does not hear of.
func (h *history) write(draw func(int) int, tx *store.Tx) error {
	k := draw(cast)
	somebody := func() string {
		return fmt.Sprint([]string{"user ", "group "}[draw(2)], draw(cast))
	}
	switch draw(28) {
	case 0, 1:
		on, from := draw(3) > 0, h.validFrom[k]
		if draw(4) == 0 {
			from = h.now // all sessions of the user are revoked
		}
		u := directory.User{ID: oid("user", 2*k), Tenant: tid(0), UserPrincipalName: upn(2 * k), AccountEnabled: on, SessionsValidFrom: from}
		return then(tx.PutUser(u), func() { h.enabled[k], h.validFrom[k] = on, from })
	case 2:
		if draw(2) == 0 {
			return then(tx.DeleteUser(oid("user", 2*k)), func() {
				delete(h.enabled, k)
				delete(h.validFrom, k)
				h.forget(fmt.Sprint("user ", k))
				maps.DeleteFunc(h.sessions, func(_ int, s session.Session) bool { return s.User == oid("user", 2*k) })
			})
		}
		return then(tx.DeleteGroup(oid("group", 2*k)), func() {
			delete(h.groups, k)
			delete(h.members, k)
			h.forget(fmt.Sprint("group ", k))
		})
	case 3:
		return then(tx.PutGroup(group(2*k)), func() { h.groups[k] = true })
	case 4, 5, 6, 7, 8:
		who := somebody()
		return then(join(tx, oid("group", 2*k), holderID(who)), func() { h.members[k] = append(h.members[k], who) })
	case 9, 10, 11:
		k = h.someKey(draw, k)
		if len(h.members[k]) == 0 {
			return nil
		}
		who := h.members[k][draw(len(h.members[k]))]
		return then(tx.RemoveMember(oid("group", 2*k), holderID(who)), func() {
			h.members[k] = slices.DeleteFunc(h.members[k], func(m string) bool { return m == who })
		})
	case 12, 13:
		s := session.Session{ID: sid(2 * k), Tenant: tid(0), User: oid("user", 2*k), CreatedAt: h.now, ExpiresAt: h.now.Add(time.Duration(1+draw(3)) * time.Hour)}
		if draw(3) == 0 {
			s = s.Revoke(h.now, "test")
		}
		return then(tx.PutSession(s), func() { h.sessions[k] = s })
	case 14, 15:
		who, scope := somebody(), assignable[draw(len(assignable))]
		return then(tx.PutAssignment(rbac.Assignment{ID: aid(2 * k), Tenant: tid(0), Scope: placeOf(scope), RoleDefinitionID: rid(2 * (k % 2)), PrincipalID: holderID(who)}),
			func() { h.assigned[k] = [2]string{who, scope} })
	case 16, 17:
		return then(tx.DeleteAssignment(aid(2*k)), func() { delete(h.assigned, k) })
	case 18, 19, 20, 21, 22, 23, 24:
		return h.writeAround(draw, tx, k, somebody)
	}
	c := cluster(0)
	c.AAD.AdminGroups = []ident.ObjectID{oid("group", 2*k)}
	return then(tx.PutCluster(c), func() { h.admin = k })
}

// writeAround writes what decides beside memberships and assignments: definitions of roles, deny assignments, and management groups.
func (h *history) writeAround(draw func(int) int, tx *store.Tx, k int, somebody func() string) error {
	switch n := k % 2; draw(10) {
	case 0, 1:
		r, pods := role(2*n), draw(2) == 0
		if !pods {
			r.Permissions[0].DataActions = []string{"Microsoft.ContainerService/managedClusters/secrets/read"}
		}
		return then(tx.PutRoleDefinition(r), func() { h.roles[n] = pods })
	case 2, 9:
		d := denied{scope: assignable[draw(len(assignable))]}
		if draw(4) > 0 {
			d.who = somebody()
		}
		if draw(2) == 0 {
			d.except = somebody()
		}
		return then(tx.PutDenyAssignment(denial(k, d)), func() { h.denied[k] = d })
	case 3, 8:
		there := slices.Sorted(maps.Keys(h.denied))
		if len(there) == 0 {
			return nil
		}
		k = there[draw(len(there))]
		return then(tx.DeleteDenyAssignment(did(2*k)), func() { delete(h.denied, k) })
	case 4, 5:
		g, below := resource.ManagementGroup{Tenant: tid(0), Name: management(0, 1)}, draw(2) == 0
		if below {
			g.Parent = management(0, 0)
		}
		return then(tx.PutManagementGroup(g), func() { h.below = below })
	}
	in := []string{"", "mg0", "mg1"}[draw(3)]
	s := resource.Subscription{ID: sub(0), Tenant: tid(0), State: "Enabled"}
	if in != "" {
		s.ManagementGroup = management(0, int(in[2]-'0'))
	}
	return then(tx.PutSubscription(s), func() { h.in = in })
}

func denial(k int, d denied) rbac.DenyAssignment {
	a := rbac.DenyAssignment{
		ID: did(2 * k), Tenant: tid(0), Name: "denial", Scope: placeOf(d.scope), Principals: []rbac.DenyPrincipal{{}},
		Permissions: []rbac.Permission{{DataActions: []string{"Microsoft.ContainerService/managedClusters/pods/read"}}},
	}
	if d.who != "" {
		a.Principals[0].ID = holderID(d.who)
	}
	if d.except != "" {
		a.Excluded = []rbac.DenyPrincipal{{ID: holderID(d.except)}}
	}
	return a
}

// someKey is a group with members, if there is one; removing from it changes something.
func (h *history) someKey(draw func(int) int, k int) int {
	var with []int
	for g := range cast {
		if len(h.members[g]) > 0 {
			with = append(with, g)
		}
	}
	if len(with) == 0 {
		return k
	}
	return with[draw(len(with))]
}

// then lets the model follow what was written.
func then(err error, model func()) error {
	if err == nil {
		model()
	}
	return err
}

// forget takes somebody who is gone out of all groups. What was assigned stays with the id, as in the real directory.
func (h *history) forget(who string) {
	for g := range h.members {
		h.members[g] = slices.DeleteFunc(h.members[g], func(m string) bool { return m == who })
	}
}

func placeOf(scope string) string {
	c := cluster(0)
	switch scope {
	case "rg":
		return "/subscriptions/" + c.Subscription.String() + "/resourceGroups/rg"
	case "sub":
		return "/subscriptions/" + c.Subscription.String()
	case "mg0", "mg1":
		return resource.ManagementGroupID(management(0, int(scope[2]-'0')))
	case "root":
		return resource.ManagementGroupID(tid(0).String())
	}
	return c.ResourceID() + scope
}

// found is where an answer is not that of the model.
type found struct{ text string }

func (f found) Error() string { return f.text }

// play writes a random history and, after each commit and each step of the clock, asks the control plane's gate and the gate that
// is told its part, for each user and session. It returns the first answer that is not the model's. spoil, if any, changes what
// the two are told.
func play(ctx context.Context, path string, draw func(int) int, spoil func([]feed.Event) []feed.Event) error {
	h := newHistory()
	now := func() time.Time { return h.now }
	db, err := store.Open(ctx, store.Options{Path: path, Now: now})
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	full, err := world.New()
	if err != nil {
		return err
	}
	part, err := world.New()
	if err != nil {
		return err
	}
	index, view := gatefeed.NewIndex(), gatefeed.Of(cluster(0))
	var trouble error
	loaded := false
	err = db.Follow(ctx, func(c feed.Change) {
		if spoil != nil {
			c.Events = spoil(c.Events)
		}
		a, err := index.Attribute(c)
		events, _ := view.Change(a)
		told := feed.Change{Revision: c.Revision, At: c.At, Events: events}
		if !loaded {
			loaded = true
			told.Events = view.Snapshot(a)
		}
		if trouble == nil {
			trouble = errors.Join(err, full.Apply(c), part.Apply(told))
		}
	})
	if err != nil {
		return err
	}
	_, err = db.Update(ctx, func(tx *store.Tx) error {
		err := errors.Join(
			tx.PutTenant(directory.Tenant{ID: tid(0), Domains: []string{domain(0)}}),
			tx.PutSubscription(resource.Subscription{ID: sub(0), Tenant: tid(0), State: "Enabled", ManagementGroup: management(0, 1)}),
			tx.PutRoleDefinition(role(0)), tx.PutRoleDefinition(role(2)),
			tx.PutManagementGroup(resource.ManagementGroup{Tenant: tid(0), Name: management(0, 0)}),
			tx.PutManagementGroup(resource.ManagementGroup{Tenant: tid(0), Name: management(0, 1)}), tx.PutGroup(group(0)), tx.PutCluster(cluster(0)),
		)
		h.roles[0], h.roles[1], h.in = true, true, "mg1"
		// Two hold something at the management groups, and one of them is denied it.
		for k, name := range []string{"mg0", "mg1"} {
			who := fmt.Sprint("user ", k)
			err = errors.Join(err, tx.PutAssignment(rbac.Assignment{ID: aid(2 * k), Tenant: tid(0), Scope: placeOf(name), RoleDefinitionID: rid(2 * k), PrincipalID: holderID(who)}))
			h.assigned[k] = [2]string{who, name}
		}
		err = errors.Join(err, tx.PutDenyAssignment(denial(0, denied{who: "user 1", scope: "mg1"})))
		h.denied[0] = denied{who: "user 1", scope: "mg1"}
		// Somebody is there from the beginning, so that every write may change what is decided.
		for k := range cast {
			s := session.Session{ID: sid(2 * k), Tenant: tid(0), User: oid("user", 2*k), CreatedAt: h.now, ExpiresAt: h.now.Add(3 * time.Hour)}
			u := directory.User{ID: s.User, Tenant: tid(0), UserPrincipalName: upn(2 * k), AccountEnabled: true}
			err = errors.Join(err, tx.PutUser(u), tx.PutSession(s), tx.PutGroup(group(2*k)))
			h.enabled[k], h.sessions[k], h.groups[k] = true, s, true
		}
		return err
	})
	if err != nil {
		return err
	}
	gates := map[string]http.Handler{"control plane": bareGate(full, now), "gate": bareGate(part, now)}
	for range 4 + draw(8) {
		_, err := db.Update(ctx, func(tx *store.Tx) error {
			for range 1 + draw(6) {
				_ = h.write(draw, tx) // refused or not: both are history
			}
			return nil
		})
		if err := errors.Join(err, trouble); err != nil {
			return err
		}
		for range 2 {
			if err := h.compare(gates); err != nil {
				return err
			}
			h.now = h.now.Add([]time.Duration{0, time.Second, 40 * time.Minute, time.Hour}[draw(4)])
		}
	}
	return nil
}

// bareGate is a gate of a cluster without rules of its own.
func bareGate(w *world.World, now func() time.Time) http.Handler {
	mux := http.NewServeMux()
	(&kubehook.Handler{
		World: w, Tokens: noTokens{}, Mirror: noRules{rbac.NewClusterRBAC().Edit().Done()}, Now: now, Log: slog.New(slog.DiscardHandler),
	}).Mount(mux)
	return mux
}

// compare asks about everybody.
func (h *history) compare(gates map[string]http.Handler) error {
	for user := range cast {
		for _, at := range []int{user, (user + 1) % cast} {
			for _, namespace := range []string{"", "dev", "prod"} {
				want := h.may(user, at, namespace)
				spec := authzv1.SubjectAccessReviewSpec{
					User: upn(2 * user), Groups: []string{"system:authenticated"},
					Extra: map[string]authzv1.ExtraValue{
						"oid": {oid("user", 2*user).String()}, "keyreeve.io/session": {sid(2 * at).String()},
					},
					ResourceAttributes: &authzv1.ResourceAttributes{Verb: "list", Resource: "pods", Namespace: namespace},
				}
				for name, g := range gates {
					answer := ask(nil, g, cid(0), spec)
					if allowed := strings.HasPrefix(answer, "200 true"); allowed != want {
						return found{fmt.Sprintf("the %s says %q about user %d with session %d in %q, and the model %v", name, answer, user, at, namespace, want)}
					}
				}
			}
		}
	}
	return nil
}

// TestRevocationProperty: after an acknowledged write no new request is allowed that the model of what was written does not
// allow, by the gate in the control plane and by one elsewhere; and what was granted is.
func TestRevocationProperty(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		draw := func(n int) int { return rapid.IntRange(0, n-1).Draw(rt, "n") }
		if err := play(t.Context(), filepath.Join(t.TempDir(), "h.db"), draw, nil); err != nil {
			rt.Fatal(err)
		}
	})
}

// TestRevocationPropertyFails: the property finds a gate that is not told of one kind of change.
func TestRevocationPropertyFails(t *testing.T) {
	for name, lost := range map[string]func(feed.Event) bool{
		"members that leave":  func(e feed.Event) bool { return e.Kind == feed.Member && e.Op == feed.Delete },
		"members that come":   func(e feed.Event) bool { return e.Kind == feed.Member && e.Op == feed.Put },
		"sessions":            func(e feed.Event) bool { return e.Kind == feed.Session },
		"users":               func(e feed.Event) bool { return e.Kind == feed.User && e.Op == feed.Put },
		"assignments deleted": func(e feed.Event) bool { return e.Kind == feed.RoleAssignment && e.Op == feed.Delete },
		"admin groups":        func(e feed.Event) bool { return e.Kind == feed.Cluster },
		"definitions":         func(e feed.Event) bool { return e.Kind == feed.RoleDefinition },
		"deny assignments":    func(e feed.Event) bool { return e.Kind == feed.DenyAssignment && e.Op == feed.Put },
		"denials that end":    func(e feed.Event) bool { return e.Kind == feed.DenyAssignment && e.Op == feed.Delete },
		"management groups":   func(e feed.Event) bool { return e.Kind == feed.ManagementGroup },
		"moves":               func(e feed.Event) bool { return e.Kind == feed.Subscription },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(300) {
				r := rand.New(rand.NewPCG(seed, 0))
				first := true
				err := play(t.Context(), filepath.Join(t.TempDir(), "h.db"), r.IntN, func(events []feed.Event) []feed.Event {
					if first { // the snapshot
						first = false
						return events
					}
					begun := slices.ContainsFunc(events, func(e feed.Event) bool { return e.Kind == feed.Tenant })
					if begun {
						return events
					}
					return slices.DeleteFunc(slices.Clone(events), lost)
				})
				if f := (found{}); errors.As(err, &f) {
					return
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			t.Error("300 histories, and nothing was found")
		})
	}
}
