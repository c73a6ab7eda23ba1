package pods

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func TestEnds(t *testing.T) {
	yes := true
	job := []metav1.OwnerReference{{Kind: "Job", Controller: &yes}}
	for _, row := range []struct {
		name   string
		meta   metav1.ObjectMeta
		policy corev1.RestartPolicy
		want   bool
	}{
		{"always", metav1.ObjectMeta{}, corev1.RestartPolicyAlways, false},
		{"never", metav1.ObjectMeta{}, corev1.RestartPolicyNever, true},
		{"on failure", metav1.ObjectMeta{}, corev1.RestartPolicyOnFailure, true},
		{"job", metav1.ObjectMeta{OwnerReferences: job}, corev1.RestartPolicyNever, true},
		{"told to run", metav1.ObjectMeta{OwnerReferences: job, Annotations: map[string]string{pretendAnnotation: pretendRunning}}, corev1.RestartPolicyNever, false},
	} {
		if got := ends(&corev1.Pod{ObjectMeta: row.meta, Spec: corev1.PodSpec{RestartPolicy: row.policy}}); got != row.want {
			t.Errorf("%s: %t, want %t", row.name, got, row.want)
		}
	}
}

func TestStatus(t *testing.T) {
	always := corev1.ContainerRestartPolicyAlways
	p := &corev1.Pod{Spec: corev1.PodSpec{
		InitContainers: []corev1.Container{{Name: "prepare"}, {Name: "sidecar", RestartPolicy: &always}},
		Containers:     []corev1.Container{{Name: "main"}},
		ReadinessGates: []corev1.PodReadinessGate{{ConditionType: "example.org/open"}},
	}}
	host, ip := netip.MustParseAddr("10.224.0.4"), netip.MustParseAddr("10.244.0.2")
	now := time.Unix(1e9, 0)
	p.Status = running(p, host, ip, now)
	kinds := func(cs []corev1.ContainerStatus) (k []string) {
		for _, c := range cs {
			switch {
			case c.State.Running != nil:
				k = append(k, c.Name+" runs")
			case c.State.Terminated != nil:
				k = append(k, c.Name+" ended")
			}
		}
		return k
	}
	got := append(kinds(p.Status.InitContainerStatuses), kinds(p.Status.ContainerStatuses)...)
	if diff := cmp.Diff([]string{"prepare ended", "sidecar runs", "main runs"}, got); diff != "" {
		t.Errorf("running (-want +got):\n%s", diff)
	}
	ready := func() corev1.ConditionStatus {
		for _, c := range p.Status.Conditions {
			if c.Type == corev1.PodReady {
				return c.Status
			}
		}
		return corev1.ConditionUnknown
	}
	if ready() != corev1.ConditionFalse || !readinessIsRight(p) {
		t.Errorf("with a closed gate it is ready: %s", ready())
	}
	p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: "example.org/open", Status: corev1.ConditionTrue})
	if readinessIsRight(p) {
		t.Error("with an open gate nothing is left to do")
	}
	p.Status = running(p, host, ip, now.Add(time.Second))
	if ready() != corev1.ConditionTrue {
		t.Errorf("with an open gate it is ready: %s", ready())
	}
	if !p.Status.StartTime.Time.Equal(now) {
		t.Errorf("it started at %s, and now at %s", now, p.Status.StartTime)
	}
	st := over(p, corev1.PodSucceeded, now.Add(2*time.Second))
	got = append(kinds(st.InitContainerStatuses), kinds(st.ContainerStatuses)...)
	if diff := cmp.Diff([]string{"prepare ended", "sidecar ended", "main ended"}, got); diff != "" {
		t.Errorf("over (-want +got):\n%s", diff)
	}
}

func TestAddresses(t *testing.T) {
	a := newAddresses()
	small := netip.MustParsePrefix("10.244.0.0/29") // .2 to .6 are for pods
	a.hold("held", netip.MustParseAddr("10.244.0.3"))
	take := func(pod types.UID) string {
		ip, err := a.take(pod, small)
		if err != nil {
			return err.Error()
		}
		return ip.String()
	}
	for _, row := range []struct {
		pod  types.UID
		want string
	}{
		{"a", "10.244.0.2"},
		{"b", "10.244.0.4"},
		{"a", "10.244.0.2"},
		{"held", "10.244.0.3"},
		{"c", "10.244.0.5"},
		{"d", "10.244.0.6"},
		{"e", "no address is free in 10.244.0.0/29"},
	} {
		if got := take(row.pod); got != row.want {
			t.Errorf("%s has %s, want %s", row.pod, got, row.want)
		}
	}
	a.free("b")
	if got := take("e"); got != "10.244.0.4" {
		t.Errorf("e has %s after b went", got)
	}
}
