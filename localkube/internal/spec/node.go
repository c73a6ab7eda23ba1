package spec

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
)

// nodePrefix is the size of the pod range that each node takes.
const nodePrefix = 24

// Node is one pretend node.
type Node struct {
	// Name is the Node object's name.
	Name string `json:"name"`
	// Pool is the agent pool that the node belongs to.
	Pool string `json:"pool"`
	// VMSize decides capacity and the instance type label.
	VMSize string `json:"vmSize"`
	// OSImage is reported as the operating system; empty means a usual one.
	OSImage string `json:"osImage"`
	// ProviderID is reported as spec.providerID.
	ProviderID string `json:"providerID"`
	// Labels are added to the usual labels and win over them.
	Labels map[string]string `json:"labels"`
	// Taints are the node's own taints.
	Taints []Taint `json:"taints"`
}

// Taint keeps pods away that do not tolerate it.
type Taint struct {
	Key    string `json:"key"`
	Value  string `json:"value"`
	Effect string `json:"effect"`
}

// ParseNodes reads a list of nodes and checks it against the cluster's pod range.
func ParseNodes(b []byte, podCIDR string) ([]Node, error) {
	var nodes []Node
	if err := decode(b, &nodes); err != nil {
		return nil, err
	}
	if nodes == nil {
		return nil, errors.New("read document: a list is needed")
	}
	if err := CheckNodes(nodes, podCIDR); err != nil {
		return nil, err
	}
	return nodes, nil
}

// CheckNodes says what is wrong with a list of nodes.
func CheckNodes(nodes []Node, podCIDR string) error {
	var errs []error
	if p, err := netip.ParsePrefix(podCIDR); err == nil && p.Bits() <= nodePrefix {
		if room := 1 << (nodePrefix - p.Bits()); len(nodes) > room {
			errs = append(errs, fmt.Errorf("%d nodes, but podCIDR %s has room for %d", len(nodes), podCIDR, room))
		}
	}
	seen := make(map[string]bool, len(nodes))
	for i, n := range nodes {
		if err := n.validate(); err != nil {
			errs = append(errs, fmt.Errorf("[%d]: %w", i, err))
		}
		if seen[n.Name] {
			errs = append(errs, fmt.Errorf("[%d]: name %q is there twice", i, n.Name))
		}
		seen[n.Name] = true
	}
	return errors.Join(errs...)
}

func (n *Node) validate() error {
	var errs []error
	fault := func(field string, msgs ...string) {
		if len(msgs) > 0 {
			errs = append(errs, fmt.Errorf("%s: %s", field, msgs[0]))
		}
	}
	fault("name", validation.IsDNS1123Subdomain(n.Name)...)
	if len(n.Name) > validation.LabelValueMaxLength {
		fault("name", "is longer than a label's value may be")
	}
	if n.Pool == "" {
		fault("pool", "is missing")
	}
	fault("pool", validation.IsValidLabelValue(n.Pool)...)
	if n.VMSize == "" {
		fault("vmSize", "is missing")
	}
	fault("vmSize", validation.IsValidLabelValue(n.VMSize)...)
	for k, v := range n.Labels {
		fault("labels", validation.IsQualifiedName(k)...)
		fault("labels["+k+"]", validation.IsValidLabelValue(v)...)
	}
	effects := []corev1.TaintEffect{corev1.TaintEffectNoSchedule, corev1.TaintEffectPreferNoSchedule, corev1.TaintEffectNoExecute}
	type identity struct{ key, effect string }
	seen := map[identity]bool{}
	for i, t := range n.Taints {
		path := fmt.Sprintf("taints[%d]", i)
		fault(path+".key", validation.IsQualifiedName(t.Key)...)
		fault(path+".value", validation.IsValidLabelValue(t.Value)...)
		if !slices.Contains(effects, corev1.TaintEffect(t.Effect)) {
			fault(path+".effect", "must be NoSchedule, PreferNoSchedule or NoExecute")
		}
		id := identity{t.Key, t.Effect}
		if seen[id] {
			fault(path, "its key and effect are there twice")
		}
		seen[id] = true
	}
	return errors.Join(errs...)
}
