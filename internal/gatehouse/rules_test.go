package gatehouse

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/internal/gatefeed"
	"github.com/keyreeve/keyreeve/internal/rbac"
)

// A gate tells its cluster's own rules; they are known while it goes on saying so, and only of its own cluster.
func TestOwnRules(t *testing.T) {
	e := rbac.NewClusterRBAC().Edit()
	e.PutRole(&rbac.KubeRole{Name: "look", Rules: []rbac.PolicyRule{{Verbs: []string{"list"}, APIGroups: []string{""}, Resources: []string{"pods"}}}, AggregateTo: rbac.AggregateView})
	e.PutBinding(&rbac.Binding{Name: "b", RoleRef: rbac.RoleRef{Kind: rbac.KindClusterRole, Name: "look"}, Subjects: []rbac.Subject{{Kind: rbac.KindUser, Name: "ann"}}})
	whole, err := gatefeed.RulesOf(e.Done())
	if err != nil {
		t.Fatal(err)
	}
	// Over the wire and back, they decide the same.
	raw, err := json.Marshal(whole)
	if err != nil {
		t.Fatal(err)
	}
	var sent gatefeed.OwnRules
	if err := json.Unmarshal(raw, &sent); err != nil {
		t.Fatal(err)
	}
	mine, other := clusterID("mine"), clusterID("other")
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	var r Roster
	if r.Own(mine, now) != nil {
		t.Error("known before anything was said")
	}
	same := gatefeed.OwnRules{Known: true, Digest: whole.Digest}
	if !r.takeRules(mine, &same, now) || r.Own(mine, now) != nil {
		t.Error("a digest alone is not asked about")
	}
	if r.takeRules(mine, &sent, now) {
		t.Error("the whole is wanted again")
	}
	own := r.Own(mine, now)
	ask := rbac.KubeRequest{Verb: "list", Resource: "pods"}
	if own == nil || !own.Decide(ask, rbac.KubeUser{Name: "ann"}).Allowed || own.Decide(ask, rbac.KubeUser{Name: "bob"}).Allowed {
		t.Fatal("the rules are not those that were sent")
	}
	if again, err := gatefeed.RulesOf(own); err != nil || again.Digest != whole.Digest {
		t.Errorf("digest %s, want %s (%v)", again.Digest, whole.Digest, err)
	}
	if r.Own(other, now) != nil {
		t.Error("another cluster's rules are known")
	}
	now = now.Add(gatefeed.RulesLast - time.Second)
	if r.takeRules(mine, &same, now) || r.Own(mine, now.Add(gatefeed.RulesLast-time.Second)) == nil {
		t.Error("what is still so is not known")
	}
	if r.Own(mine, now.Add(gatefeed.RulesLast)) != nil {
		t.Error("known though nobody says so any more")
	}
	if !r.takeRules(mine, &gatefeed.OwnRules{Known: true, Digest: "other"}, now) || r.Own(mine, now) != nil {
		t.Error("known though they are others now")
	}
	r.takeRules(mine, &sent, now)
	if r.takeRules(mine, &gatefeed.OwnRules{}, now); r.Own(mine, now) != nil {
		t.Error("known though the gate does not know")
	}
}
