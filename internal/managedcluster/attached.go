package managedcluster

import (
	"crypto/x509"
	"encoding/pem"
	"net"
	"net/url"
	"strings"

	"github.com/keyreeve/keyreeve/internal/fault"
)

// Attached is properties.keyreeveAttachedProfile, an extension of ours: the cluster is somebody else's API server, with a
// gate beside it. Keyreeve runs nothing for it and issues no certificates for it.
type Attached struct {
	// Server is the API server's base URL, https://HOST:PORT, as people reach it.
	Server string `json:"server"`
	// CertificateAuthority is the PEM bundle that its certificate is verified with.
	CertificateAuthority string `json:"certificateAuthority"`
}

// attachedKey is the property's name.
const attachedKey = "keyreeveAttachedProfile"

// Attached reports whether the request is for an attached cluster.
func (req *Request) Attached() bool { return req.attached != nil }

// IsAttached reports whether the cluster is somebody else's API server.
func (c *Cluster) IsAttached() bool { return c.Attached != nil }

func readAttached(r *reader) *Attached {
	o := r.object(attachedKey, []string{"server", "certificateAuthority"})
	if o == nil {
		return nil
	}
	p := &reader{o: o, path: attachedKey}
	var a Attached
	a.Server, _ = p.text("server")
	a.CertificateAuthority, _ = p.text("certificateAuthority")
	if p.err == nil {
		p.err = a.check()
	}
	r.fail(p.err)
	return &a
}

// endpoint returns HOST:PORT of the server.
func (a *Attached) endpoint() string {
	u, err := url.Parse(a.Server)
	if err != nil || u.Host == "" {
		return ""
	}
	if u.Port() == "" {
		return net.JoinHostPort(u.Hostname(), "443")
	}
	return u.Host
}

func (a *Attached) check() error {
	u, err := url.Parse(a.Server)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Path != "" && u.Path != "/" {
		return invalidParameter(attachedKey+".server", "'%s' is not of the form https://HOST:PORT.", cut(a.Server))
	}
	rest := []byte(a.CertificateAuthority)
	for n := 0; ; n++ {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			if n == 0 || strings.TrimSpace(string(rest)) != "" {
				return invalidParameter(attachedKey+".certificateAuthority", "It must be certificates in PEM form and nothing else.")
			}
			return nil
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil || block.Type != "CERTIFICATE" {
			return invalidParameter(attachedKey+".certificateAuthority", "It must be certificates in PEM form and nothing else.")
		}
	}
}

// settleAttached settles what an attached cluster has and has not. What kind a cluster is never changes.
func (c *Cluster) settleAttached(req *Request, before *Cluster) error {
	if before != nil {
		if (req.attached != nil) && before.Attached == nil {
			return notAllowed(attachedKey)
		}
		if req.attached == nil {
			req.attached = before.Attached // a client that does not know the property drops it
		}
	}
	c.Attached = req.attached
	if c.Attached == nil {
		return nil
	}
	if !onlyNoPool(req.pools) {
		return invalidParameter("agentPoolProfiles", "The nodes of an attached cluster are not managed here.")
	}
	if req.aad == nil || req.aad.managed == nil || !*req.aad.managed {
		return fault.New(fault.Invalid, "BadRequest", "An attached cluster needs aadProfile with managed true: without it there is nothing to decide.").At("aadProfile")
	}
	c.Endpoint = c.Attached.endpoint()
	c.FQDN, _, _ = net.SplitHostPort(c.Endpoint)
	c.KubernetesVersion, c.NamedVersion = "", ""
	return nil
}

// noPool stands for the nodes of an attached cluster, which are not managed here: az updates no cluster that shows no agent
// pool. Whoever sends it back changes nothing.
func noPool() *object {
	o := newObject()
	o.put("name", "attached")
	o.put("count", 0)
	o.put("type", "VirtualMachineScaleSets")
	o.put("mode", ModeSystem)
	o.put("osType", "Linux")
	o.put("enableAutoScaling", false)
	o.order(poolKeys())
	return o
}

// onlyNoPool reports whether agent pools say nothing but what noPool says.
func onlyNoPool(pools []*object) bool {
	if len(pools) > 1 {
		return false
	}
	none := noPool()
	for _, o := range pools {
		dropMeaningless(&reader{o: o})
		for _, key := range o.keys {
			if want, ok := none.values[key]; !ok || string(want) != string(o.values[key]) {
				return false
			}
		}
		if _, named := o.values["name"]; !named {
			return false
		}
	}
	return true
}

// fillAttached makes the properties that are kept of an attached cluster: nothing that speaks of nodes or networks.
func (c *Cluster) fillAttached(req *Request, props *object) {
	props.remove("agentPoolProfiles", "networkProfile", "nodeResourceGroup", "kubernetesVersion", "storageProfile", "oidcIssuerProfile",
		"linuxProfile", "windowsProfile", "dnsPrefix", "aadProfile")
	props.put("enableRBAC", true)
	props.put("disableLocalAccounts", c.LocalAccountsDisabled)
	props.put(attachedKey, c.Attached)
	c.keepUnknownAAD(req, props)
	props.order(propertyKeys())
}

// noCertificates is the refusal to hand out a certificate for a cluster whose authority is not ours.
func noCertificates() error {
	return fault.New(fault.Invalid, "BadRequest",
		"Getting static credential is not allowed because this cluster is attached: Keyreeve holds no authority of it. Use the cluster's own way in.")
}
