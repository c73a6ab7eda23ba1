package apiserver

import (
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apiserver/pkg/server/egressselector"
	"k8s.io/kubernetes/pkg/controlplane"
	kubeletclient "k8s.io/kubernetes/pkg/kubelet/client"

	"github.com/keyreeve/keyreeve/localkube/internal/kubelet"
	"github.com/keyreeve/keyreeve/localkube/internal/ramdir"
)

// reachNodes leads everything that the API server sends to nodes, pods and services to the pretend kubelet. The addresses in
// Nodes and Pods are pretended too, and on this host's network they may be somebody's.
func reachNodes(c *controlplane.Config, dir *ramdir.Dir, nodes *kubelet.Kubelet) error {
	w := &writer{dir: dir}
	k := &c.Extra.KubeletClientConfig
	k.TLSClientConfig = kubeletclient.KubeletTLSConfig{
		CAFile:   w.put("kubelet-ca.crt", nodes.Credentials.CA),
		CertFile: w.put("kubelet-client.crt", nodes.Credentials.Cert),
		KeyFile:  w.put("kubelet-client.key", nodes.Credentials.Key),
	}
	// A node's certificate is for its name.
	k.PreferredAddressTypes = []string{"Hostname"}
	k.Lookup = func(egressselector.NetworkContext) (utilnet.DialFunc, error) { return nodes.Dial, nil }
	// The transport is shared with webhooks and aggregated API servers, whose addresses are real.
	pods := c.ControlPlane.ProxyTransport.Clone()
	pods.DialContext = nodes.DialPod
	c.ControlPlane.ProxyTransport = pods
	return w.err
}
