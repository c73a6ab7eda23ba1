package world_test

import (
	"fmt"
	"testing"

	"github.com/keyreeve/keyreeve/internal/feed"
	"github.com/keyreeve/keyreeve/internal/ident"
)

// bigSnapshot is a directory of users, each in some of the groups, which are nested in chains of ten.
func bigSnapshot(users, groups, each int) feed.Change {
	c := feed.Change{Revision: 1}
	add := func(kind feed.Kind, key, value string) {
		c.Events = append(c.Events, feed.Event{Kind: kind, Op: feed.Put, Key: key, Value: []byte(value)})
	}
	for n := range users {
		add(feed.User, oid("user", n).String(), fmt.Sprintf(`{"id":%q,"tenant":%q,"userPrincipalName":"u%d@x","displayName":"User %d","accountEnabled":true}`, oid("user", n), tid(0), n, n))
	}
	for n := range groups {
		add(feed.Group, oid("group", n).String(), fmt.Sprintf(`{"id":%q,"tenant":%q,"displayName":"g%d"}`, oid("group", n), tid(0), n))
	}
	for n := range groups {
		if n%10 != 0 {
			add(feed.Member, oid("group", n-1).String()+"/"+oid("group", n).String(), "")
		}
	}
	for n := range users {
		for i := range each {
			add(feed.Member, oid("group", (n*each+i*7)%groups).String()+"/"+oid("user", n).String(), "")
		}
	}
	return c
}

// BenchmarkApplySnapshot measures how long a world of ten thousand users takes to load.
func BenchmarkApplySnapshot(b *testing.B) {
	snap := bigSnapshot(10_000, 1000, 5)
	for b.Loop() {
		if err := newWorld(b).Apply(snap); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkGroupsOf measures the closed memberships of users in five groups, nested up to ten deep.
func BenchmarkGroupsOf(b *testing.B) {
	w := newWorld(b)
	if err := w.Apply(bigSnapshot(10_000, 1000, 5)); err != nil {
		b.Fatal(err)
	}
	ids := make([]ident.ObjectID, 10_000)
	for n := range ids {
		ids[n] = oid("user", n)
	}
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for n := 0; pb.Next(); n++ {
			if len(w.GroupsOf(ids[n%len(ids)])) < 5 {
				b.Error("too few")
				return
			}
		}
	})
}

// BenchmarkGroupsOfWhileNesting asks while the nesting of groups changes, which empties what was closed.
func BenchmarkGroupsOfWhileNesting(b *testing.B) {
	w := newWorld(b)
	if err := w.Apply(bigSnapshot(10_000, 1000, 5)); err != nil {
		b.Fatal(err)
	}
	rev := feed.Revision(1)
	edge := feed.Event{Kind: feed.Member, Op: feed.Put, Key: oid("group", 0).String() + "/" + oid("group", 500).String()}
	for n := 0; b.Loop(); n++ {
		if n%100 == 0 {
			rev++
			edge.Op = map[bool]feed.Op{true: feed.Put, false: feed.Delete}[edge.Op == feed.Delete]
			if err := w.Apply(feed.Change{Revision: rev, Events: []feed.Event{edge}}); err != nil {
				b.Fatal(err)
			}
		}
		w.GroupsOf(oid("user", n%10_000))
	}
}
