package storetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/resource"
	"github.com/keyreeve/keyreeve/internal/store"
)

func armCases() []methodCase {
	return []methodCase{
		{"activities", "PutActivity Activities DeleteActivities", activities},
		{"locks", "PutLock Lock Locks DeleteLock DeleteLocksBelow", locks},
		{"deployments", "PutDeployment Deployment Deployments PutDeploymentInput DeploymentInput DeleteDeployment", deployments},
	}
}

func activities(t *testing.T, b *bench) {
	start := zoned()
	sub := subscriptionID("s")
	put := func(n int, tenant ident.TenantID, sub ident.SubscriptionID) {
		b.update(func(tx *store.Tx) error {
			return tx.PutActivity(audit.Activity{
				ID: ident.Derive[ident.GUID]("storetest", fmt.Sprint(n)), At: start.Add(time.Duration(n) * time.Minute), Tenant: tenant, Subscription: sub,
				Action: fmt.Sprint(n), Status: audit.ActivitySucceeded,
			})
		})
	}
	for _, n := range []int{0, 1, 3, 2, 4} { // newest first is by time, not by when it was written down
		put(n, b.tenant, sub)
	}
	put(100, b.tenant, subscriptionID("other"))
	put(101, b.tenant, ident.SubscriptionID{})
	put(102, b.other(), sub)
	var places []store.ActivityPlace
	begin := store.ActivityPlace{}
	list := func(sub ident.SubscriptionID, from, to int, before store.ActivityPlace, most int) []string {
		t.Helper()
		var out []string
		places = nil
		b.view(func(tx *store.Tx) error {
			at := func(n int) time.Time { return start.Add(time.Duration(n) * time.Minute).UTC() }
			return tx.Activities(b.tenant, sub, at(from), at(to), before, func(at store.ActivityPlace, a audit.Activity) bool {
				out, places = append(out, a.Action), append(places, at)
				return len(out) < most
			})
		})
		return out
	}
	check := func(got []string, want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
	check(list(sub, 0, 1000, begin, 100), "4", "3", "2", "1", "0")
	check(list(sub, 1, 3, begin, 100), "3", "2", "1")
	check(list(sub, 0, 1000, begin, 2), "4", "3")
	check(list(sub, 0, 1000, places[1], 2), "2", "1")
	check(list(ident.SubscriptionID{}, 0, 1000, begin, 100), "101")
	b.update(func(tx *store.Tx) error {
		n, err := tx.DeleteActivities(start.Add(3 * time.Minute))
		if n != 3 {
			t.Errorf("%d removed, want 3", n)
		}
		return err
	})
	check(list(sub, 0, 1000, begin, 100), "4", "3")
}

func locks(t *testing.T, b *bench) {
	s := b.subscription("s")
	b.update(func(tx *store.Tx) error { return tx.PutSubscription(s) })
	scope := "/subscriptions/" + s.ID.String() + "/resourceGroups/Rg"
	l := resource.Lock{Subscription: s.ID, Scope: scope, Name: "Keep", Level: resource.CanNotDelete, CreatedAt: zoned()}
	changed := l
	changed.Level = resource.ReadOnly
	get := func(tx *store.Tx) (resource.Lock, error) {
		return tx.Lock("/SUBSCRIPTIONS/"+s.ID.String()+"/resourcegroups/rg", "keep")
	}
	quiet(b, l, changed, get)
	all := func(tx *store.Tx) ([]resource.Lock, error) { return tx.Locks(s.ID) }
	below, beside := l, l
	below.Scope += "/providers/N/t/n"
	beside.Scope += "2"
	b.update(func(tx *store.Tx) error {
		for _, x := range []resource.Lock{l, below, beside} {
			if err := tx.PutLock(x); err != nil {
				return err
			}
		}
		return nil
	})
	has(b, all, []resource.Lock{l, below, beside})
	b.update(func(tx *store.Tx) error { return tx.DeleteLocksBelow(scope + "/") })
	has(b, all, []resource.Lock{beside})
}

// quiet holds a lock, of which the feed does not tell, to its life.
func quiet(b *bench, first, second resource.Lock, get func(*store.Tx) (resource.Lock, error)) {
	lacks(b, get)
	for _, doc := range []resource.Lock{first, second} {
		b.update(func(tx *store.Tx) error { return tx.PutLock(doc) })
		has(b, get, doc)
	}
	b.update(func(tx *store.Tx) error { return tx.DeleteLock(first.Scope, "KEEP") })
	lacks(b, get)
}
