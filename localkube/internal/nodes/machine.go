package nodes

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/keyreeve/keyreeve/localkube/internal/spec"
)

const (
	defaultOSImage   = "Ubuntu 22.04.5 LTS"
	kernelVersion    = "5.15.0-1092-azure"
	containerRuntime = "containerd://1.7.28-1"
	kubeletPort      = 10250
	maxPods          = 110
	ephemeralDisk    = "129886128Ki"
	reservedMilliCPU = 100
	reservedGiB      = 1
)

// size is what a virtual machine has.
type size struct{ cores, gib int64 }

// sizeOf knows the sizes that examples use, and takes the most common for any other.
func sizeOf(vmSize string) size {
	switch vmSize {
	case "Standard_B2s", "Standard_F2s_v2":
		return size{2, 4}
	case "Standard_B2ms", "Standard_D2s_v3", "Standard_D2s_v5", "Standard_D2as_v5", "Standard_D2ds_v5":
		return size{2, 8}
	case "Standard_DS3_v2":
		return size{4, 14}
	case "Standard_B4ms", "Standard_D4s_v3", "Standard_D4s_v5", "Standard_D4as_v5", "Standard_D4ds_v5":
		return size{4, 16}
	case "Standard_D8s_v3", "Standard_D8s_v5", "Standard_D8as_v5", "Standard_D8ds_v5":
		return size{8, 32}
	case "Standard_D16s_v3", "Standard_D16s_v5", "Standard_D16ds_v5":
		return size{16, 64}
	}
	return size{2, 7}
}

func resources(milliCPU, gib int64) corev1.ResourceList {
	return corev1.ResourceList{
		corev1.ResourceCPU:              *resource.NewMilliQuantity(milliCPU, resource.DecimalSI),
		corev1.ResourceMemory:           *resource.NewQuantity(gib<<30, resource.BinarySI),
		corev1.ResourcePods:             *resource.NewQuantity(maxPods, resource.DecimalSI),
		corev1.ResourceEphemeralStorage: resource.MustParse(ephemeralDisk),
	}
}

// labels are those that a node of AKS carries, and then the node's own.
func labels(cluster string, n *spec.Node) map[string]string {
	l := map[string]string{
		corev1.LabelHostname:                 n.Name,
		corev1.LabelOSStable:                 "linux",
		corev1.LabelArchStable:               "amd64",
		corev1.LabelInstanceTypeStable:       n.VMSize,
		corev1.LabelTopologyRegion:           "local",
		corev1.LabelTopologyZone:             "0",
		"beta.kubernetes.io/arch":            "amd64",
		"beta.kubernetes.io/os":              "linux",
		corev1.LabelInstanceType:             n.VMSize,
		"agentpool":                          n.Pool,
		"kubernetes.azure.com/agentpool":     n.Pool,
		"kubernetes.azure.com/cluster":       cluster,
		"kubernetes.azure.com/mode":          "system",
		"kubernetes.azure.com/nodepool-type": "VirtualMachineScaleSets",
		"kubernetes.azure.com/os-sku":        "Ubuntu",
		"kubernetes.azure.com/role":          "agent",
		"kubernetes.io/role":                 "agent", // what kubectl prints under ROLES
	}
	maps.Copy(l, n.Labels)
	return l
}

func taints(n *spec.Node) []corev1.Taint {
	var ts []corev1.Taint
	for _, t := range n.Taints {
		ts = append(ts, corev1.Taint{Key: t.Key, Value: t.Value, Effect: corev1.TaintEffect(t.Effect)})
	}
	return ts
}

// machineIDs makes up identifiers that stay the same for one name.
func machineIDs(name string) (machine, system, boot string) {
	sum := sha256.Sum256([]byte("localkube node " + name))
	h := hex.EncodeToString(sum[:])
	uuid := func(s string) string {
		return fmt.Sprintf("%s-%s-4%s-a%s-%s", s[:8], s[8:12], s[13:16], s[17:20], s[20:32])
	}
	return h[:32], uuid(h), uuid(h[32:])
}

// status is a node's whole status but its conditions.
func status(n *spec.Node, place Place, kubelet string) corev1.NodeStatus {
	sz := sizeOf(n.VMSize)
	machine, system, boot := machineIDs(n.Name)
	image := n.OSImage
	if image == "" {
		image = defaultOSImage
	}
	return corev1.NodeStatus{
		Capacity:    resources(sz.cores*1000, sz.gib),
		Allocatable: resources(sz.cores*1000-reservedMilliCPU, sz.gib-reservedGiB),
		Addresses: []corev1.NodeAddress{
			{Type: corev1.NodeInternalIP, Address: place.Host.String()},
			{Type: corev1.NodeHostName, Address: n.Name},
		},
		DaemonEndpoints: corev1.NodeDaemonEndpoints{KubeletEndpoint: corev1.DaemonEndpoint{Port: kubeletPort}},
		NodeInfo: corev1.NodeSystemInfo{
			MachineID: machine, SystemUUID: system, BootID: boot,
			KernelVersion: kernelVersion, OSImage: image, ContainerRuntimeVersion: containerRuntime,
			KubeletVersion: kubelet, OperatingSystem: "linux", Architecture: "amd64",
		},
	}
}
