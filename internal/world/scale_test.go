package world_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/internal/feed"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/managedcluster"
	"github.com/keyreeve/keyreeve/internal/rbac"
	"github.com/keyreeve/keyreeve/internal/world"
)

// size is how large a world is made. The full size is made only when KEYREEVE_BENCH is "full": it takes minutes, and 5 GB of disk;
// "quarter" is for trying things out.
type size struct {
	name                                             string
	users, groups, each, nested, assignments, places int
	// large is how many members the largest group has.
	large int
}

func sizes() []size {
	switch os.Getenv("KEYREEVE_BENCH") {
	case "full":
		return []size{{"full", 1_000_000, 100_000, 20, 10_000, 1_000_000, 2_000, 100_000}}
	case "quarter":
		return []size{{"quarter", 250_000, 25_000, 20, 2_500, 250_000, 2_000, 25_000}}
	}
	return []size{
		{"1000-assignments", 10_000, 1_000, 20, 100, 1_000, 100, 1_000},
		{"twentieth", 50_000, 5_000, 20, 500, 50_000, 2_000, 5_000},
	}
}

func (s size) user(n int) ident.ObjectID  { return numbered(1, n) }
func (s size) group(n int) ident.ObjectID { return numbered(2, n) }

func numbered(kind byte, n int) ident.ObjectID {
	r := rand.New(rand.NewPCG(uint64(kind), uint64(n)))
	var id ident.ObjectID
	for i := range id {
		id[i] = byte(r.Uint32())
	}
	return id
}

func (s size) cluster(n int) managedcluster.Cluster {
	on := true
	return managedcluster.Cluster{
		ID: cid(n), Subscription: subID(n % 20), Tenant: tid(0), Group: fmt.Sprintf("group-%d", n%200), Name: fmt.Sprintf("cluster-%d", n),
		AAD: &managedcluster.AAD{Managed: true, Tenant: tid(0), EnableAzureRBAC: &on},
	}
}

// build makes the world by events, in batches as a snapshot would be read.
func (s size) build(tb testing.TB) *world.World {
	tb.Helper()
	w := newWorld(tb)
	rev := feed.Revision(0)
	var c feed.Change
	flush := func() {
		rev++
		c.Revision = rev
		if err := w.Apply(c); err != nil {
			tb.Fatal(err)
		}
		c.Events = c.Events[:0]
	}
	put := func(kind feed.Kind, key, value string) {
		if c.Events = append(c.Events, feed.Event{Kind: kind, Op: feed.Put, Key: key, Value: []byte(value)}); len(c.Events) == 10_000 {
			flush()
		}
	}
	tenant := tid(0).String()
	groups := make([]string, s.groups)
	for i := range s.groups {
		groups[i] = s.group(i).String()
		put(feed.Group, groups[i], fmt.Sprintf(`{"id":%q,"tenant":%q,"displayName":"group %d","securityEnabled":true}`, groups[i], tenant, i))
	}
	r := rand.New(rand.NewPCG(7, 7))
	for i := range s.nested { // a group is in one with a lower number: no circles
		put(feed.Member, groups[r.IntN(s.groups-s.nested)]+"/"+groups[s.groups-1-i], "")
	}
	for i := range s.users {
		id := s.user(i).String()
		put(feed.User, id, fmt.Sprintf(`{"id":%q,"tenant":%q,"userPrincipalName":"user%d@contoso.test","displayName":"User %d","accountEnabled":true}`, id, tenant, i, i))
		for range s.each {
			put(feed.Member, groups[r.IntN(s.groups)]+"/"+id, "")
		}
	}
	roles := w.RoleDefinitions(tid(0))
	roles = slices.DeleteFunc(roles, func(d rbac.RoleDefinition) bool { return !strings.HasPrefix(d.Name, "Azure Kubernetes Service RBAC") })
	for i := range s.places {
		k := s.cluster(i)
		put(feed.Cluster, k.ID.String(), fmt.Sprintf(`{"id":%q,"subscription":%q,"tenant":%q,"group":%q,"name":%q,"aad":{"managed":true,"enableAzureRBAC":true,"tenant":%q}}`,
			k.ID, k.Subscription, tenant, k.Group, k.Name, tenant))
	}
	for i := range s.assignments {
		k := s.cluster(r.IntN(s.places))
		scope := k.ResourceID()
		if i%3 > 0 {
			scope += fmt.Sprintf("/namespaces/team-%d", i%50)
		}
		id := numbered(3, i).String()
		put(feed.RoleAssignment, id, fmt.Sprintf(`{"id":%q,"scope":%q,"roleDefinitionId":%q,"principalId":%q,"principalType":"Group","tenant":%q}`,
			id, scope, roles[r.IntN(len(roles))].ID, groups[r.IntN(s.groups)], tenant))
	}
	flush()
	return w
}

// BenchmarkWorld fills a database, builds the world from it as a server does when it starts, and asks and changes it. What the
// build took and what the world weighs is reported with the first of the sub-benchmarks.
func BenchmarkWorld(b *testing.B) {
	for _, s := range sizes() {
		b.Run(s.name, func(b *testing.B) {
			w, metrics := s.load(b)
			b.Run("decide-cluster", func(b *testing.B) {
				asks, rules := s.clusterAsks(w)
				loop(b, func(i int) { w.DecideCluster(&asks[i%many], rules[i%many]) })
				for _, m := range metrics {
					b.ReportMetric(m.value, m.unit)
				}
			})
			b.Run("decide-action", func(b *testing.B) {
				asks := s.actionAsks()
				loop(b, func(i int) { w.Decide(asks[i%many]) })
			})
			b.Run("change", func(b *testing.B) { s.benchChanges(b, w) })
			b.Run("change-of-a-large-group", func(b *testing.B) { s.benchLargeGroup(b, w) })
		})
	}
}

// many is how many questions a benchmark asks in turn: more than any cache of a processor holds with what they touch.
const many = 1 << 14

func (s size) clusterAsks(w *world.World) ([]rbac.ClusterAsk, []*rbac.ClusterRules) {
	r := rand.New(rand.NewPCG(1, 2))
	asks, rules := make([]rbac.ClusterAsk, many), make([]*rbac.ClusterRules, many)
	own := rbac.NewClusterRBAC()
	all := make([]rbac.ClusterRules, s.places)
	for i := range all {
		k, _ := w.Cluster(cid(i))
		all[i] = w.ClusterRules(&k, own)
	}
	for i := range asks {
		n := r.IntN(s.users)
		asks[i] = rbac.ClusterAsk{Principal: s.user(n), Name: fmt.Sprintf("user%d@contoso.test", n), Request: rbac.KubeRequest{
			Verb: "get", Resource: "configmaps", Name: "x", Namespace: fmt.Sprintf("team-%d", r.IntN(50)),
		}}
		rules[i] = &all[r.IntN(s.places)]
	}
	return asks, rules
}

func (s size) actionAsks() []rbac.Request {
	r := rand.New(rand.NewPCG(3, 4))
	asks := make([]rbac.Request, many)
	for i := range asks {
		c := s.cluster(r.IntN(s.places))
		asks[i] = rbac.Request{
			Principal: s.user(r.IntN(s.users)), Action: "Microsoft.ContainerService/managedClusters/listClusterUserCredential/action",
			Scope: c.ResourceID(),
		}
	}
	return asks
}

// timings are how long each of some calls took, by the clock and by the processor.
type timings struct{ wall, cpu []time.Duration }

func (t *timings) take(tb testing.TB, f func()) {
	cpu, wall := threadTime(tb), time.Now()
	f()
	t.wall, t.cpu = append(t.wall, time.Since(wall)), append(t.cpu, threadTime(tb)-cpu)
}

func (t *timings) report(b *testing.B) {
	slices.Sort(t.wall)
	slices.Sort(t.cpu)
	at := len(t.wall) * 99 / 100
	b.ReportMetric(float64(t.wall[at].Nanoseconds())/1000, "p99-µs")
	b.ReportMetric(float64(t.cpu[at].Nanoseconds())/1000, "p99-cpu-µs")
}

// benchChanges applies changes of the kinds that are most: a member comes and goes, an assignment comes and goes.
func (s size) benchChanges(b *testing.B, w *world.World) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	r := rand.New(rand.NewPCG(5, 6))
	var t timings
	var undo []feed.Event
	for b.Loop() {
		rev, _, _ := w.Status()
		var e feed.Event
		switch {
		case len(undo) > 0:
			e, undo = undo[0], nil
			e.Op = feed.Delete
		case r.IntN(2) == 0:
			e = feed.Event{Kind: feed.Member, Op: feed.Put, Key: s.group(r.IntN(s.groups)).String() + "/" + ident.New[ident.ObjectID]().String()}
			undo = append(undo, e)
		default:
			id := ident.New[ident.RoleAssignmentID]()
			e = feed.Event{Kind: feed.RoleAssignment, Op: feed.Put, Key: id.String(), Value: s.assignment(b, r, id)}
			undo = append(undo, e)
		}
		t.take(b, func() {
			if err := w.Apply(feed.Change{Revision: rev + 1, Events: []feed.Event{e}}); err != nil {
				b.Fatal(err)
			}
		})
	}
	t.report(b)
}

// benchLargeGroup lets the group that has the most members leave another and join it again, and asks about one of its members
// after each.
func (s size) benchLargeGroup(b *testing.B, w *world.World) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	key := s.group(1).String() + "/" + s.group(s.groups-1).String()
	ask := rbac.Request{Principal: s.user(0), Action: "a/b/read", Scope: "/subscriptions/" + subID(0).String()}
	if !w.IsMember(s.user(0), s.group(s.groups-1)) {
		b.Fatal("the user is not in the group")
	}
	var t timings
	for i := 0; b.Loop(); i++ {
		rev, _, _ := w.Status()
		op := feed.Put
		if i%2 == 1 {
			op = feed.Delete
		}
		t.take(b, func() {
			if err := w.Apply(feed.Change{Revision: rev + 1, Events: []feed.Event{{Kind: feed.Member, Op: op, Key: key}}}); err != nil {
				b.Fatal(err)
			}
			w.Decide(ask)
		})
	}
	t.report(b)
}

// TestDecideTakesNoMemory holds that deciding from the world takes none, with nested groups.
func TestDecideTakesNoMemory(t *testing.T) {
	s := size{"", 100, 50, 10, 10, 100, 20, 0}
	w := s.build(t)
	k, _ := w.Cluster(cid(1))
	rules := w.ClusterRules(&k, rbac.NewClusterRBAC())
	verdicts := map[rbac.Verdict]int{}
	for n := range s.users {
		ask := &rbac.ClusterAsk{Principal: s.user(n), Request: rbac.KubeRequest{Verb: "get", Resource: "configmaps", Namespace: "team-1"}}
		if got := testing.AllocsPerRun(3, func() { w.DecideCluster(ask, &rules) }); got != 0 {
			t.Fatalf("user %d: %v allocations", n, got)
		}
		verdicts[w.DecideCluster(ask, &rules).Verdict]++
	}
	if verdicts[rbac.Allow] == 0 || verdicts[rbac.Deny] == 0 {
		t.Errorf("one-sided: %v", verdicts)
	}
}
