package managedcluster

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"github.com/keyreeve/keyreeve/internal/fault"
)

// Type is the resource type in the spelling of requests; answers say ManagedClusters.
const (
	Type         = "Microsoft.ContainerService/managedClusters"
	typeInAnswer = "Microsoft.ContainerService/ManagedClusters"
)

// maxNodeGroup is the longest name of a node resource group that AKS makes.
const maxNodeGroup = 80

// CheckName checks a cluster's name: 1 to 63 letters, digits, '_' and '-', beginning and ending with a letter or digit.
func CheckName(name string) error {
	ok := len(name) >= 1 && len(name) <= 63
	for i, c := range []byte(name) {
		edge := i == 0 || i == len(name)-1
		ok = ok && (alnum(c) || !edge && (c == '-' || c == '_'))
	}
	if !ok {
		return fault.New(fault.Invalid, "InvalidParameter",
			"The value of parameter resourceName is invalid. Error details: A name has 1 to 63 letters, digits, underscores and hyphens, "+
				"and begins and ends with a letter or digit. Please see https://aka.ms/aks-naming-rules for more details.").At("resourceName")
	}
	return nil
}

// checkDNSPrefix checks the beginning of the API server's host name: 1 to 54 letters, digits and '-', beginning and
// ending with a letter or digit.
func checkDNSPrefix(s string) error {
	ok := len(s) >= 1 && len(s) <= 54
	for i, c := range []byte(s) {
		edge := i == 0 || i == len(s)-1
		ok = ok && (alnum(c) || !edge && c == '-')
	}
	if !ok {
		return invalidParameter("dnsPrefix", "A DNS prefix has 1 to 54 letters, digits and hyphens, and begins and ends with a letter or digit. "+
			"Please see https://aka.ms/aks-naming-rules for more details.")
	}
	return nil
}

// checkPoolName checks the name of a Linux agent pool: a lower-case letter and at most 11 more lower-case letters and digits.
func checkPoolName(name string) bool {
	if len(name) < 1 || len(name) > 12 {
		return false
	}
	for i, c := range []byte(name) {
		if !(c >= 'a' && c <= 'z' || i > 0 && c >= '0' && c <= '9') {
			return false
		}
	}
	return true
}

func alnum(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// NodeGroup is the default name of the node resource group.
func NodeGroup(group, name, location string) string {
	s := "MC_" + group + "_" + name + "_" + location
	if len(s) > maxNodeGroup {
		s = strings.TrimRight(s[:maxNodeGroup], "._-")
	}
	return s
}

// defaultDNSPrefix is made as the CLI makes it: name, group and subscription, cut short.
func defaultDNSPrefix(name, group, subscription string) string {
	var kept strings.Builder
	for _, c := range []byte(name) {
		if alnum(c) || c == '-' {
			kept.WriteByte(c)
		}
	}
	g := strings.Map(func(c rune) rune {
		if c < 0x80 && alnum(byte(c)) || c == '-' {
			return c
		}
		return -1
	}, group)
	s := first(kept.String(), 10) + "-" + first(g, 16) + "-" + first(subscription, 6)
	return strings.Trim(s, "-")
}

func first(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}

// hash is a number that stays the same for a cluster as long as it lives.
func (c *Cluster) hash(purpose string) uint64 {
	sum := sha256.Sum256([]byte(purpose + ":" + c.ID.String()))
	return binary.BigEndian.Uint64(sum[:])
}

// NodeName is the name of an agent pool's n-th node (from 0), as a scale set names it: the cluster's eight digits, and
// the number in base 36 with six places. It never changes for a cluster.
func (c *Cluster) NodeName(pool string, n int) string {
	suffix := strings.ToLower(strconv.FormatInt(int64(n), 36))
	return fmt.Sprintf("aks-%s-%08d-vmss%s%s", pool, c.hash("nodes")%100_000_000, strings.Repeat("0", max(0, 6-len(suffix))), suffix)
}

// hostHash is the part of the API server's host name that keeps equal DNS prefixes apart.
func (c *Cluster) hostHash() string {
	s := strconv.FormatUint(c.hash("host"), 36)
	return fmt.Sprintf("%08s", s)[:8]
}

// KubeName is the cluster's name in the form of a DNS label, for use inside the cluster.
func (c *Cluster) KubeName() string {
	return strings.ToLower(strings.ReplaceAll(c.Name, "_", "-"))
}

// KubeletIdentityName is the name of the managed identity that the nodes use.
func (c *Cluster) KubeletIdentityName() string { return c.Name + "-agentpool" }

// KubeletIdentityID is the ARM id of the identity that the nodes use: one in the node resource group, unless another was
// assigned.
func (c *Cluster) KubeletIdentityID() string {
	if !c.Kubelet.System() {
		return c.Kubelet.Resource
	}
	return "/subscriptions/" + c.Subscription.String() + "/resourcegroups/" + c.NodeResourceGroup +
		"/providers/Microsoft.ManagedIdentity/userAssignedIdentities/" + c.KubeletIdentityName()
}

// Uses reports whether a user-assigned identity is assigned to the cluster, by its ARM id without case.
func (c *Cluster) Uses(identity string) bool {
	return !c.IsAttached() && (strings.EqualFold(c.KubeletIdentityID(), identity) || strings.EqualFold(c.ControlPlane.Resource, identity))
}
