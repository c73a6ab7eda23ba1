package nodes

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/keyreeve/keyreeve/localkube/internal/spec"
)

func TestPlaces(t *testing.T) {
	pods := netip.MustParsePrefix("10.244.0.0/16")
	for index, want := range map[int][2]string{
		0: {"10.224.0.4", "10.244.0.0/24"}, 3: {"10.224.0.7", "10.244.3.0/24"}, 255: {"10.224.1.3", "10.244.255.0/24"},
	} {
		p := placeAt(pods, index)
		if got := [2]string{p.Host.String(), p.Pods.String()}; got != want {
			t.Errorf("place %d is %v, want %v", index, got, want)
		}
		if i, ok := indexOf(pods, p.Pods.String()); !ok || i != index {
			t.Errorf("%s has index %d %t, want %d", p.Pods, i, ok, index)
		}
	}
	for _, cidr := range []string{"", "10.245.0.0/24", "10.244.0.0/25"} {
		if _, ok := indexOf(pods, cidr); ok {
			t.Errorf("%q has a place", cidr)
		}
	}
}

func TestMerge(t *testing.T) {
	n := &spec.Node{
		Name: "n1", Pool: "p", VMSize: "Standard_DS2_v2", Labels: map[string]string{"old": "1"},
		Taints: []spec.Taint{{Key: "old", Effect: "NoSchedule"}},
	}
	o, err := newObject(n, wanted("c1", n), placeAt(netip.MustParsePrefix("10.244.0.0/16"), 0), "v1.0.0", time.Unix(1e9, 0))
	if err != nil {
		t.Fatal(err)
	}
	if !isOurs(o) || !isReady(o) {
		t.Errorf("ours %t, ready %t", isOurs(o), isReady(o))
	}
	if changed, err := merge(o, wanted("c1", n)); changed || err != nil {
		t.Errorf("merging what is there: %t, %v", changed, err)
	}
	// Somebody adds a label and a taint, and the API server a taint of its own.
	o.Labels["theirs"] = "1"
	o.Spec.Taints = append(o.Spec.Taints,
		corev1.Taint{Key: "theirs", Effect: corev1.TaintEffectNoExecute},
		corev1.Taint{Key: corev1.TaintNodeNotReady, Effect: corev1.TaintEffectNoSchedule})
	n.Labels, n.Taints = map[string]string{"new": "1"}, []spec.Taint{{Key: "new", Effect: "NoSchedule"}}
	if changed, err := merge(o, wanted("c1", n)); !changed || err != nil {
		t.Errorf("merging a change: %t, %v", changed, err)
	}
	if !settle(o) || settle(o) {
		t.Error("settling does not take the taint away once")
	}
	var taints []string
	for _, taint := range o.Spec.Taints {
		taints = append(taints, taint.Key)
	}
	if diff := cmp.Diff([]string{"theirs", "new"}, taints); diff != "" {
		t.Errorf("taints (-want +got):\n%s", diff)
	}
	for key, want := range map[string]bool{"old": false, "new": true, "theirs": true, "agentpool": true} {
		if _, ok := o.Labels[key]; ok != want {
			t.Errorf("label %s: %t, want %t", key, ok, want)
		}
	}
}

func TestConditionsKeepTheirTimes(t *testing.T) {
	then, now := time.Unix(1e9, 0), time.Unix(1e9+60, 0)
	old := conditions(nil, then)
	old[0].Status = corev1.ConditionUnknown
	for i, c := range conditions(old, now) {
		want := then
		if i == 0 {
			want = now
		}
		if !c.LastTransitionTime.Time.Equal(want) || !c.LastHeartbeatTime.Time.Equal(now) {
			t.Errorf("%s: since %s, seen %s", c.Type, c.LastTransitionTime, c.LastHeartbeatTime)
		}
	}
}
