package pods

import (
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// pretendAnnotation says what a pod pretends to do.
	pretendAnnotation = "keyreeve.io/pretend"
	pretendRunning    = "running"
	// workTime is how long a pod that ends works, counted from a start that is known to the second only: about a
	// second in truth.
	workTime = 1500 * time.Millisecond
)

// ends says whether a pod ends by itself.
func ends(p *corev1.Pod) bool {
	if p.Annotations[pretendAnnotation] == pretendRunning {
		return false
	}
	if owner := metav1.GetControllerOf(p); owner != nil && owner.Kind == "Job" {
		return true
	}
	return p.Spec.RestartPolicy == corev1.RestartPolicyNever || p.Spec.RestartPolicy == corev1.RestartPolicyOnFailure
}

// isOver says whether a pod has ended.
func isOver(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}

// running is the status of a pod that has just started, or the status it has with its conditions brought up to date.
func running(p *corev1.Pod, host, ip netip.Addr, now time.Time) corev1.PodStatus {
	t := metav1.NewTime(now)
	if p.Status.StartTime != nil {
		t = *p.Status.StartTime
	}
	st := corev1.PodStatus{
		Phase:     corev1.PodRunning,
		HostIP:    host.String(),
		HostIPs:   []corev1.HostIP{{IP: host.String()}},
		PodIP:     ip.String(),
		PodIPs:    []corev1.PodIP{{IP: ip.String()}},
		StartTime: &t,

		ObservedGeneration: p.Generation,
	}
	for i := range p.Spec.InitContainers {
		c := &p.Spec.InitContainers[i]
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			st.InitContainerStatuses = append(st.InitContainerStatuses, started(p, c, t))
			continue
		}
		st.InitContainerStatuses = append(st.InitContainerStatuses, finished(p, c, t, t))
	}
	for i := range p.Spec.Containers {
		st.ContainerStatuses = append(st.ContainerStatuses, started(p, &p.Spec.Containers[i], t))
	}
	ready := corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionTrue}
	if !gatesOpen(p) {
		ready.Status, ready.Reason = corev1.ConditionFalse, "ReadinessGatesNotReady"
	}
	st.Conditions = since(p, now,
		corev1.PodCondition{Type: corev1.PodReadyToStartContainers, Status: corev1.ConditionTrue},
		corev1.PodCondition{Type: corev1.PodInitialized, Status: corev1.ConditionTrue},
		ready,
		corev1.PodCondition{Type: corev1.ContainersReady, Status: corev1.ConditionTrue},
	)
	return st
}

// over is the status of a pod that has ended in the given phase.
func over(p *corev1.Pod, phase corev1.PodPhase, now time.Time) corev1.PodStatus {
	end := metav1.NewTime(now)
	begin := end
	if p.Status.StartTime != nil {
		begin = *p.Status.StartTime
	}
	st := corev1.PodStatus{Phase: phase, ObservedGeneration: p.Generation}
	for i := range p.Spec.InitContainers {
		st.InitContainerStatuses = append(st.InitContainerStatuses, finished(p, &p.Spec.InitContainers[i], begin, begin))
	}
	for i := range p.Spec.Containers {
		st.ContainerStatuses = append(st.ContainerStatuses, finished(p, &p.Spec.Containers[i], begin, end))
	}
	st.Conditions = since(p, now,
		corev1.PodCondition{Type: corev1.PodReadyToStartContainers, Status: corev1.ConditionFalse},
		corev1.PodCondition{Type: corev1.PodInitialized, Status: corev1.ConditionTrue, Reason: "PodCompleted"},
		corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionFalse, Reason: "PodCompleted"},
		corev1.PodCondition{Type: corev1.ContainersReady, Status: corev1.ConditionFalse, Reason: "PodCompleted"},
	)
	return st
}

// gatesOpen says whether everything that has a say in a pod's readiness agrees.
func gatesOpen(p *corev1.Pod) bool {
	for _, g := range p.Spec.ReadinessGates {
		open := slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
			return c.Type == g.ConditionType && c.Status == corev1.ConditionTrue
		})
		if !open {
			return false
		}
	}
	return true
}

// since gives conditions the time they became so.
func since(p *corev1.Pod, now time.Time, cs ...corev1.PodCondition) []corev1.PodCondition {
	for i := range cs {
		c := &cs[i]
		c.LastTransitionTime = metav1.NewTime(now)
		c.ObservedGeneration = p.Generation
		for _, old := range p.Status.Conditions {
			if old.Type == c.Type && old.Status == c.Status {
				c.LastTransitionTime = old.LastTransitionTime
			}
		}
	}
	return cs
}

func started(p *corev1.Pod, c *corev1.Container, at metav1.Time) corev1.ContainerStatus {
	yes := true
	s := identity(p, c)
	s.Ready, s.Started = true, &yes
	s.State = corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: at}}
	return s
}

func finished(p *corev1.Pod, c *corev1.Container, begin, end metav1.Time) corev1.ContainerStatus {
	no := false
	s := identity(p, c)
	s.Started = &no
	// An init container that has finished counts as ready.
	s.Ready = slices.ContainsFunc(p.Spec.InitContainers, func(i corev1.Container) bool { return i.Name == c.Name })
	s.State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		Reason: "Completed", StartedAt: begin, FinishedAt: end, ContainerID: s.ContainerID,
	}}
	return s
}

// identity is what a container's status says whatever the container does. The identifiers are made up, and stay.
func identity(p *corev1.Pod, c *corev1.Container) corev1.ContainerStatus {
	return corev1.ContainerStatus{
		Name: c.Name, Image: c.Image,
		ImageID:     "docker.io/pretend@sha256:" + digest(c.Image),
		ContainerID: "containerd://" + digest(string(p.UID)+"/"+c.Name),
	}
}

func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}
