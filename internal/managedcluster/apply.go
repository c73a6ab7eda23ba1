package managedcluster

import (
	"maps"
	"net/netip"
	"strings"
	"time"

	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
)

// New is what a cluster that is about to be made gets from its surroundings.
type New struct {
	ID           ident.ClusterID
	Subscription ident.SubscriptionID
	Tenant       ident.TenantID // the subscription's
	Group        string         // in the resource group's own spelling
	Name         string
	// Endpoint is the API server's address, HOST:PORT; Domain ends its name.
	Endpoint, Domain string
	ControlPlane     Identity
	Kubelet          Identity
	Now              time.Time
	By               ident.ObjectID
}

// KnownTenant reports whether there is such a tenant.
type KnownTenant func(ident.TenantID) bool

// Change says what an update does beyond the new words of the body.
type Change struct {
	// Nodes is true when the running cluster must get other nodes. Everything else takes effect at once: the gate reads it.
	Nodes bool
	// AAD is true when aadProfile changed.
	AAD bool
	// LocalAccountsDisabled and LocalAccountsEnabled say which way disableLocalAccounts was turned.
	LocalAccountsDisabled, LocalAccountsEnabled bool
}

const (
	defaultPodCIDR     = "10.244.0.0/16"
	defaultServiceCIDR = "10.0.0.0/16"
	defaultDNS         = "10.0.0.10"
	nodeBits           = 24 // prefix length of the range that each node takes of the pods' range
)

// Create makes a cluster of a request.
func Create(n New, req *Request, known KnownTenant) (Cluster, error) {
	if err := CheckName(n.Name); err != nil {
		return Cluster{}, err
	}
	if req.location == "" {
		return Cluster{}, fault.New(fault.Invalid, "LocationRequired", "The location property is required for this definition.").At("location")
	}
	c := Cluster{
		ID: n.ID, Subscription: n.Subscription, Tenant: n.Tenant, Group: n.Group, Name: n.Name, Location: req.location,
		Generation: 1, ProvisioningState: Creating, PowerState: Running, Endpoint: n.Endpoint,
		ControlPlane: n.ControlPlane, Kubelet: n.Kubelet, CreatedAt: n.Now, CreatedBy: n.By,
	}
	if err := c.settle(req, nil, known); err != nil {
		return Cluster{}, err
	}
	if c.IsAttached() {
		c.ProvisioningState = Succeeded // there is nothing to bring up
		return c, nil
	}
	c.FQDN = strings.ToLower(req.dnsPrefix) + "-" + c.hostHash() + ".hcp." + c.Location + "." + n.Domain
	return c, nil
}

// Update returns the cluster as a request wants it. The cluster itself is not changed.
func (c *Cluster) Update(req *Request, known KnownTenant) (Cluster, Change, error) {
	if req.location != "" && req.location != c.Location {
		return Cluster{}, Change{}, fault.New(fault.Conflict, "InvalidResourceLocation",
			"The resource '%s' already exists in location '%s' in resource group '%s'. A resource with the same name cannot be created in location '%s'. "+
				"Please select a new resource name.", c.Name, c.Location, c.Group, cut(req.location))
	}
	after := *c
	if err := after.settle(req, c, known); err != nil {
		return Cluster{}, Change{}, err
	}
	change := Change{
		Nodes:                 !samePools(c.Pools, after.Pools),
		AAD:                   !sameAAD(c.AAD, after.AAD),
		LocalAccountsDisabled: after.LocalAccountsDisabled && !c.LocalAccountsDisabled,
		LocalAccountsEnabled:  !after.LocalAccountsDisabled && c.LocalAccountsDisabled,
	}
	if change.LocalAccountsDisabled {
		after.Epoch++ // what was handed out before is void, also after they are enabled again
	}
	return after, change, nil
}

// settle brings the cluster to what a request wants and keeps its body. before is nil for a new cluster.
func (c *Cluster) settle(req *Request, before *Cluster, known KnownTenant) error {
	old := newObject()
	if before != nil {
		old = before.properties()
	}
	steps := []func(*Request, *Cluster, *object) error{c.settleNames, c.settleNetwork, c.settlePools}
	if req.attached != nil || before != nil && before.Attached != nil {
		steps = []func(*Request, *Cluster, *object) error{func(req *Request, before *Cluster, _ *object) error { return c.settleAttached(req, before) }}
	}
	for _, step := range append(steps,
		func(req *Request, before *Cluster, _ *object) error { return c.settleAAD(req, before, known) },
	) {
		if err := step(req, before, old); err != nil {
			return err
		}
	}
	if req.disableLocalAccounts != nil {
		c.LocalAccountsDisabled = *req.disableLocalAccounts
	}
	if err := checkTags(req.tags); err != nil {
		return err
	}
	c.keepBody(req, before, old)
	return nil
}

// settleNames settles the version, names and what may never change.
func (c *Cluster) settleNames(req *Request, before *Cluster, old *object) error {
	asked := &reader{o: old}
	if err := c.settleVersion(req, before, old); err != nil {
		return err
	}
	if req.enableRBAC != nil && !*req.enableRBAC {
		if before != nil {
			return notAllowed("enableRBAC")
		}
		if req.aad != nil {
			return fault.New(fault.Invalid, "BadRequest", "Entra ID integration (aadProfile) needs Kubernetes RBAC: enableRBAC must be true.").At("enableRBAC")
		}
		return invalidParameter("enableRBAC", "Clusters without Kubernetes RBAC are not offered.")
	}
	if before != nil {
		prefix, _ := asked.text("dnsPrefix")
		if req.dnsPrefix != "" && req.dnsPrefix != prefix {
			return notAllowed("dnsPrefix")
		}
		if req.nodeResourceGroup != "" && !strings.EqualFold(req.nodeResourceGroup, before.NodeResourceGroup) {
			return notAllowed("nodeResourceGroup")
		}
		req.dnsPrefix = prefix
		return nil
	}
	if req.dnsPrefix == "" {
		req.dnsPrefix = defaultDNSPrefix(c.Name, c.Group, c.Subscription.String())
	}
	if err := checkDNSPrefix(req.dnsPrefix); err != nil {
		return err
	}
	c.NodeResourceGroup = req.nodeResourceGroup
	if c.NodeResourceGroup == "" {
		c.NodeResourceGroup = NodeGroup(c.Group, c.Name, c.Location)
	}
	return checkNodeGroup(c.NodeResourceGroup, c.Group)
}

func checkNodeGroup(name, group string) error {
	if strings.EqualFold(name, group) {
		return invalidParameter("nodeResourceGroup", "It must not be the resource group of the cluster itself.")
	}
	ok := len(name) <= maxNodeGroup && !strings.HasSuffix(name, ".")
	for _, r := range name {
		ok = ok && (r > 0x7f || alnum(byte(r)) || strings.ContainsRune("_-.()", r))
	}
	if !ok {
		return invalidParameter("nodeResourceGroup", "A resource group's name has at most %d letters, digits, '_', '-', '.' and parentheses, and does not end with '.'.", maxNodeGroup)
	}
	return nil
}

// notAllowed refuses to change what is settled when a cluster is made.
func notAllowed(property string) error {
	return fault.New(fault.Invalid, "PropertyChangeNotAllowed", "Changing property '%s' is not allowed.", property).At(property)
}

func (c *Cluster) settleNetwork(req *Request, before *Cluster, old *object) error {
	n := &req.network
	was := readNetwork(&reader{o: old})
	if before != nil {
		for _, p := range []struct {
			name      string
			asked     *string
			was, unit string
		}{
			{"networkProfile.podCidr", &n.pod, was.pod, ""},
			{"networkProfile.serviceCidr", &n.service, was.service, ""},
			{"networkProfile.dnsServiceIP", &n.dns, was.dns, ""},
			{"networkProfile.networkPlugin", &n.plugin, was.plugin, ""},
		} {
			if *p.asked != "" && *p.asked != p.was {
				return notAllowed(p.name)
			}
			*p.asked = p.was
		}
		return nil
	}
	fill := func(s *string, value string) {
		if *s == "" {
			*s = value
		}
	}
	fill(&n.pod, defaultPodCIDR)
	fill(&n.service, defaultServiceCIDR)
	fill(&n.plugin, "kubenet")
	pods, err := checkRange("networkProfile.podCidr", n.pod, 8, 20)
	if err != nil {
		return err
	}
	services, err := checkRange("networkProfile.serviceCidr", n.service, 12, 28)
	if err != nil {
		return err
	}
	if pods.Overlaps(services) {
		return invalidParameter("networkProfile.podCidr", "It overlaps with networkProfile.serviceCidr.")
	}
	if n.dns == "" {
		n.dns = defaultDNS
		if n.service != defaultServiceCIDR {
			a := services.Addr()
			for range 10 {
				a = a.Next()
			}
			n.dns = a.String()
		}
	}
	dns, err := netip.ParseAddr(n.dns)
	if err != nil || !services.Contains(dns) || dns == services.Addr() || dns == services.Addr().Next() {
		return invalidParameter("networkProfile.dnsServiceIP", "'%s' is not an address of the service range, or is one of its first two.", cut(n.dns))
	}
	c.PodCIDR, c.ServiceCIDR = n.pod, n.service
	return nil
}

// ServiceIP is the first address of the service range: the API server's own service.
func (c *Cluster) ServiceIP() string {
	p, err := netip.ParsePrefix(c.ServiceCIDR)
	if err != nil {
		return ""
	}
	return p.Masked().Addr().Next().String()
}

func (c *Cluster) settlePools(req *Request, before *Cluster, old *object) error {
	was, _ := (&reader{o: old}).pools()
	if req.pools == nil && before != nil {
		req.pools = was
		return nil
	}
	byName := map[string]*object{}
	known := map[string]Pool{}
	for _, o := range was {
		name, _ := (&reader{o: o}).text("name")
		byName[name] = o
	}
	for _, p := range c.Pools {
		known[p.Name] = p
	}
	var pools []Pool
	total := 0
	for _, o := range req.pools {
		name, _ := (&reader{o: o}).text("name")
		p, err := readPool(o, byName[name], c.Version(), ModeSystem)
		if err != nil {
			return err
		}
		if was, ok := known[p.Name]; ok {
			if was.VMSize != p.VMSize {
				return notAllowed("agentPoolProfile.vmSize")
			}
			p.Stopped = was.Stopped
		}
		delete(byName, p.Name)
		pools = append(pools, p)
		total += p.Count
	}
	if err := checkPools(pools); err != nil {
		return err
	}
	for name := range byName {
		return fault.New(fault.Invalid, "BadRequest", "Agent pool '%s' is missing in agentPoolProfiles: an update of the managed cluster does not delete agent pools.", name).At("agentPoolProfiles")
	}
	if err := c.checkRoom(total); err != nil {
		return err
	}
	c.Pools = pools
	return nil
}

// checkRoom holds a number of nodes against the range of pods, of which each node takes a part.
func (c *Cluster) checkRoom(nodes int) error {
	if p, err := netip.ParsePrefix(c.PodCIDR); err == nil && nodes > 1<<(nodeBits-p.Bits()) {
		return invalidParameter("networkProfile.podCidr", "%s has room for %d nodes and %d are asked for.", c.PodCIDR, 1<<(nodeBits-p.Bits()), nodes)
	}
	return nil
}

func samePools(a, b []Pool) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		x, y := a[i], b[i]
		if x.Name != y.Name || x.Count != y.Count || x.Mode != y.Mode || x.VMSize != y.VMSize || x.Stopped != y.Stopped ||
			!maps.Equal(x.Labels, y.Labels) || len(x.Taints) != len(y.Taints) {
			return false
		}
		for j := range x.Taints {
			if x.Taints[j] != y.Taints[j] {
				return false
			}
		}
	}
	return true
}

func checkTags(tags map[string]string) error {
	if len(tags) > 50 {
		return invalidParameter("tags", "A resource has at most 50 tags.")
	}
	for k, v := range tags {
		if k == "" || len(k) > 512 || len(v) > 256 || strings.ContainsAny(k, `<>%&\?/`) {
			return invalidParameter("tags", `'%s' is not a tag: names have 1 to 512 characters without <>%%&\?/, values at most 256.`, cut(k))
		}
	}
	return nil
}

// WithTags returns the cluster with other tags.
func (c *Cluster) WithTags(tags map[string]string) (Cluster, error) {
	if err := checkTags(tags); err != nil {
		return Cluster{}, err
	}
	after := *c
	top := c.top()
	top.remove("tags")
	if len(tags) > 0 {
		top.put("tags", tags)
	}
	after.Body = encode(top)
	return after, nil
}

// Rotated returns the cluster as it is once its authorities are replaced: everything handed out before is void.
func (c *Cluster) Rotated() Cluster {
	after := *c
	after.Epoch++
	after.Generation++
	return after
}
