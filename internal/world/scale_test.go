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

// size is how large a world is made. The large one is made only when KEYREEVE_BENCH is "large": it takes minutes.
type size struct {
	name                                             string
	users, groups, each, nested, assignments, places int
}

func sizes() []size {
	out := []size{
		{"1000_assignments", 10_000, 1_000, 20, 100, 1_000, 100},
		{"20000_assignments", 20_000, 2_000, 20, 200, 20_000, 1_000},
	}
	if os.Getenv("KEYREEVE_BENCH") == "large" {
		out = append(out, size{"1000000_assignments", 1_000_000, 100_000, 20, 10_000, 1_000_000, 2_000})
	}
	return out
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

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkDecideCluster asks about random users and clusters. Each world is made once; what it weighs and how long it took
// is reported beside.
func BenchmarkDecideCluster(b *testing.B) {
	for _, s := range sizes() {
		before, start := heap(), time.Now()
		w := s.build(b)
		took := time.Since(start)
		weighs := float64(heap()-before) / (1 << 20)
		r := rand.New(rand.NewPCG(1, 2))
		const many = 1 << 14
		asks, rules := make([]rbac.ClusterAsk, many), make([]rbac.ClusterRules, many)
		own := rbac.NewClusterRBAC()
		for i := range asks {
			k, _ := w.Cluster(cid(r.IntN(s.places)))
			n := r.IntN(s.users)
			asks[i] = rbac.ClusterAsk{Principal: s.user(n), Name: fmt.Sprintf("user%d@contoso.test", n), Request: rbac.KubeRequest{
				Verb: "get", Resource: "configmaps", Name: "x", Namespace: fmt.Sprintf("team-%d", r.IntN(50)),
			}}
			rules[i] = w.ClusterRules(&k, own)
		}
		b.Run(s.name, func(b *testing.B) {
			loop(b, func(i int) { w.DecideCluster(&asks[i%many], &rules[i%many]) })
			b.ReportMetric(weighs, "MiB")
			b.ReportMetric(took.Seconds(), "build-s")
		})
		b.Run(s.name+"/change", func(b *testing.B) { benchChange(b, w, s) })
	}
}

// benchChange lets a group with many members leave another and join it again, and asks about one of them after each.
func benchChange(b *testing.B, w *world.World, s size) {
	var worst time.Duration
	key := s.group(1).String() + "/" + s.group(s.groups-1).String()
	i := 0
	for b.Loop() {
		rev, _, _ := w.Status()
		op := feed.Put
		if i++; i%2 == 0 {
			op = feed.Delete
		}
		start := time.Now()
		if err := w.Apply(feed.Change{Revision: rev + 1, Events: []feed.Event{{Kind: feed.Member, Op: op, Key: key}}}); err != nil {
			b.Fatal(err)
		}
		worst = max(worst, time.Since(start))
	}
	b.ReportMetric(float64(worst.Microseconds()), "max-µs")
}

// TestDecideTakesNoMemory holds that deciding from the world takes none, with nested groups.
func TestDecideTakesNoMemory(t *testing.T) {
	s := size{"", 100, 50, 10, 10, 100, 20}
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
