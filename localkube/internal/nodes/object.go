package nodes

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keyreeve/keyreeve/localkube/internal/spec"
)

// appliedAnnotation marks a Node as ours, and holds what we set on it last, so that what people set is told apart.
const appliedAnnotation = "keyreeve.io/pretend-node"

// applied is what a Node was told to carry.
type applied struct {
	Labels map[string]string `json:"labels"`
	Taints []corev1.Taint    `json:"taints"`
}

func wanted(cluster string, n *spec.Node) applied {
	return applied{Labels: labels(cluster, n), Taints: taints(n)}
}

func (a applied) encode() (string, error) {
	b, err := json.Marshal(a)
	if err != nil {
		return "", fmt.Errorf("encode node's settings: %w", err)
	}
	return string(b), nil
}

// isOurs says whether we made a Node.
func isOurs(n *corev1.Node) bool {
	_, ok := n.Annotations[appliedAnnotation]
	return ok
}

// newObject is the Node as it is created. A Node may be created with its status, so it is ready at once.
func newObject(n *spec.Node, want applied, place Place, kubelet string, now time.Time) (*corev1.Node, error) {
	note, err := want.encode()
	if err != nil {
		return nil, err
	}
	o := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{
			Name: n.Name, Labels: want.Labels,
			Annotations: map[string]string{appliedAnnotation: note, "volumes.kubernetes.io/controller-managed-attach-detach": "true"},
		},
		Spec: corev1.NodeSpec{
			PodCIDR: place.Pods.String(), PodCIDRs: []string{place.Pods.String()},
			ProviderID: n.ProviderID, Taints: want.Taints,
		},
		Status: status(n, place, kubelet),
	}
	o.Status.Conditions = conditions(nil, now)
	return o, nil
}

// merge changes a Node from what it was told last to what it is told now, and reports whether that changed anything.
func merge(o *corev1.Node, want applied) (bool, error) {
	note, err := want.encode()
	if err != nil {
		return false, err
	}
	if o.Annotations[appliedAnnotation] == note {
		return false, nil
	}
	var last applied
	if err := json.Unmarshal([]byte(o.Annotations[appliedAnnotation]), &last); err != nil {
		last = applied{} // somebody edited it: take nothing away
	}
	if o.Labels == nil {
		o.Labels = map[string]string{}
	}
	for k := range last.Labels {
		if _, keep := want.Labels[k]; !keep {
			delete(o.Labels, k)
		}
	}
	maps.Copy(o.Labels, want.Labels)
	o.Spec.Taints = slices.DeleteFunc(o.Spec.Taints, func(t corev1.Taint) bool {
		return hasTaint(last.Taints, t) || hasTaint(want.Taints, t)
	})
	o.Spec.Taints = append(o.Spec.Taints, want.Taints...)
	o.Annotations[appliedAnnotation] = note
	return true, nil
}

func hasTaint(ts []corev1.Taint, t corev1.Taint) bool {
	return slices.ContainsFunc(ts, func(x corev1.Taint) bool { return x.Key == t.Key && x.Effect == t.Effect })
}

// settle takes away the taints that say a node is not ready yet or cannot be reached, and reports whether there were any.
func settle(o *corev1.Node) bool {
	before := len(o.Spec.Taints)
	o.Spec.Taints = slices.DeleteFunc(o.Spec.Taints, func(t corev1.Taint) bool {
		return t.Key == corev1.TaintNodeNotReady || t.Key == corev1.TaintNodeUnreachable
	})
	return len(o.Spec.Taints) != before
}

// conditions are those of a healthy node as of now. A condition that was so already keeps the time it became so.
func conditions(old []corev1.NodeCondition, now time.Time) []corev1.NodeCondition {
	healthy := []corev1.NodeCondition{
		{Type: corev1.NodeMemoryPressure, Status: corev1.ConditionFalse, Reason: "KubeletHasSufficientMemory", Message: "kubelet has sufficient memory available"},
		{Type: corev1.NodeDiskPressure, Status: corev1.ConditionFalse, Reason: "KubeletHasNoDiskPressure", Message: "kubelet has no disk pressure"},
		{Type: corev1.NodePIDPressure, Status: corev1.ConditionFalse, Reason: "KubeletHasSufficientPID", Message: "kubelet has sufficient PID available"},
		{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "KubeletReady", Message: "kubelet is posting ready status"},
	}
	t := metav1.NewTime(now)
	for i := range healthy {
		c := &healthy[i]
		c.LastHeartbeatTime, c.LastTransitionTime = t, t
		for _, o := range old {
			if o.Type == c.Type && o.Status == c.Status {
				c.LastTransitionTime = o.LastTransitionTime
			}
		}
	}
	return healthy
}

// isReady says whether a Node's condition is ready.
func isReady(n *corev1.Node) bool {
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}
