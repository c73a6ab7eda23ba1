// Package cluster owns what the drivers of managed clusters have in common: how a cluster that should run is described,
// how one that runs is, and what the gate needs to look into it.
//
// A driver makes a description real and keeps it so. What it must be able to do is said by who uses it, the ARM face;
// the package itself starts nothing and asks nobody.
package cluster

import (
	"maps"
	"strings"

	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/managedcluster"
	"github.com/keyreeve/keyreeve/internal/pki"
)

// Node is a node that a cluster should have.
type Node struct {
	Name   string
	Pool   string
	VMSize string
	Labels map[string]string
	Taints []managedcluster.Taint
}

// Desired describes a cluster that should run.
type Desired struct {
	ID ident.ClusterID
	// Name is a DNS label for use inside the cluster.
	Name string
	// Generation changes when a running cluster must be started anew to be as described.
	Generation int64
	// Endpoint is where the API server listens, HOST:PORT; FQDN is a name that its certificate carries too.
	Endpoint, FQDN string
	// ServiceCIDR and PodCIDR are IPv4 ranges; ServiceIP is the first address of the former.
	ServiceCIDR, PodCIDR, ServiceIP string
	Secrets                         pki.Secrets
	Nodes                           []Node
}

// Describe says how a cluster should run.
func Describe(c managedcluster.Cluster, s pki.Secrets) Desired {
	d := Desired{
		ID: c.ID, Name: c.KubeName(), Generation: c.Generation, Endpoint: c.Endpoint, FQDN: c.FQDN,
		ServiceCIDR: c.ServiceCIDR, PodCIDR: c.PodCIDR, ServiceIP: c.ServiceIP(), Secrets: s,
	}
	for _, p := range c.Pools {
		for n := range p.Nodes() {
			d.Nodes = append(d.Nodes, Node{Name: c.NodeName(p.Name, n), Pool: p.Name, VMSize: p.VMSize, Labels: nodeLabels(p), Taints: p.Taints})
		}
	}
	return d
}

// nodeLabels are a pool's own labels and those by which AKS tells system pools from others.
func nodeLabels(p managedcluster.Pool) map[string]string {
	labels := map[string]string{}
	maps.Copy(labels, p.Labels)
	mode := "user"
	if p.Mode == managedcluster.ModeSystem {
		mode = "system"
	}
	labels["kubernetes.azure.com/mode"] = mode
	return labels
}

// NotDrainedError says that pods did not leave a node in time.
type NotDrainedError struct {
	Node string
	Pods []string // NAMESPACE/NAME
}

func (e *NotDrainedError) Error() string {
	return "node " + e.Node + " is not drained: " + strings.Join(e.Pods, ", ")
}

// Status is how a cluster runs.
type Status struct {
	// Generation is that of the process that runs; 0 while none does.
	Generation int64
	// Ready is true once the API server answers, every node is ready and the gate has been let in.
	Ready bool
	// Version is the Kubernetes version, such as v1.37.2.
	Version              string
	NodesWant, NodesHave int
	// Restarts counts how often the process ended by itself.
	Restarts int
	// Trouble is the last thing that went wrong; empty once it is ready.
	Trouble string
}

// Access is what the gate needs to look into a cluster: it may read roles and bindings, and nothing else.
type Access struct {
	Host          string // https://HOST:PORT
	CA, Cert, Key []byte // PEM
}
