package managedcluster

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/keyreeve/keyreeve/internal/ident"
)

// The body that is kept holds what a client may set, in the form it comes back: defaults filled in, what only says
// "default" left out. What the service owns is not in it; Render adds that.

// readOnlyTop and readOnlyProperties are what a client may send back and never sets.
func readOnlyTop() []string {
	return []string{"id", "name", "type", "kind", "identity", "systemData", "eTag"}
}

func readOnlyProperties() []string {
	return []string{
		"provisioningState", "powerState", "currentKubernetesVersion", "fqdn", "privateFQDN", "azurePortalFQDN", "maxAgentPools",
		"identityProfile", "resourceUID", "servicePrincipalProfile", "privateLinkResources", "status",
	}
}

// top returns the kept body's members.
func (c *Cluster) top() *object {
	o, err := parseObject(c.Body, topKeys())
	if err != nil {
		return newObject() // a body is written by keepBody alone
	}
	return o
}

// setProperties replaces the kept body's properties.
func (c *Cluster) setProperties(props *object) {
	top := c.top()
	props.order(propertyKeys())
	top.put("properties", props)
	c.Body = encode(top)
}

// properties returns the kept body's properties.
func (c *Cluster) properties() *object {
	o := (&reader{o: c.top()}).object("properties", propertyKeys())
	if o == nil {
		return newObject()
	}
	return o
}

// inherit gives o the members of before that it does not have. A member that is null stays so: that is how a client
// takes one back.
func inherit(o, before *object) {
	for _, k := range before.keys {
		if !o.has(k) {
			o.putRaw(k, before.values[k])
		}
	}
}

func dropNulls(o *object) {
	for _, k := range append([]string(nil), o.keys...) {
		if o.isNull(k) {
			o.remove(k)
		}
	}
}

// keepBody makes the body to keep of a request and of the properties before it.
func (c *Cluster) keepBody(req *Request, before *Cluster, old *object) {
	top := req.top
	if before != nil {
		was := before.top()
		was.remove("tags") // a PUT says what tags there are; one without has none
		inherit(top, was)
	}
	top.remove(readOnlyTop()...)
	top.remove("tags", "sku")
	if len(req.tags) > 0 {
		top.put("tags", req.tags)
	}
	tier := req.sku.tier
	if tier == "" && before != nil {
		var s struct {
			Tier string `json:"tier"`
		}
		(&reader{o: before.top()}).read("sku", "an object", &s)
		tier = s.Tier
	}
	if tier == "" {
		tier = "Free"
	}
	top.put("sku", struct {
		Name string `json:"name"`
		Tier string `json:"tier"`
	}{"Base", tier})
	top.put("location", c.Location)

	props := req.props
	inherit(props, old)
	props.remove(readOnlyProperties()...)
	dropNulls(props)
	c.fillProperties(req, props)
	top.put("properties", props)
	dropNulls(top)
	top.order(topKeys())
	c.Body = encode(top)
}

func (c *Cluster) fillProperties(req *Request, props *object) {
	if c.IsAttached() {
		c.fillAttached(req, props)
		return
	}
	props.put("kubernetesVersion", req.kubernetesVersion)
	props.put("dnsPrefix", req.dnsPrefix)
	props.put("agentPoolProfiles", req.pools)
	props.put("nodeResourceGroup", c.NodeResourceGroup)
	props.put("enableRBAC", true)
	props.put("disableLocalAccounts", c.LocalAccountsDisabled)
	props.put("networkProfile", req.network.fill())
	props.defaultTo("supportPlan", "KubernetesOfficial")
	props.defaultTo("securityProfile", newObject())
	fillStorage(props)
	fillIssuer(props)
	props.defaultTo("workloadAutoScalerProfile", newObject())
	if o := (&reader{o: props}).object("addonProfiles", nil); o != nil && len(o.keys) == 0 {
		props.remove("addonProfiles")
	}
	c.keepUnknownAAD(req, props)
	props.order(propertyKeys())
}

// keepUnknownAAD keeps aadProfile's members that nobody here knows; the others are in the cluster itself.
func (c *Cluster) keepUnknownAAD(req *Request, props *object) {
	props.remove("aadProfile")
	if req.aad != nil {
		rest := *req.aad.object
		rest.keys = append([]string(nil), rest.keys...)
		rest.remove(aadKeys()...)
		dropNulls(&rest)
		if len(rest.keys) > 0 {
			props.put("aadProfile", &rest)
		}
	}
}

func (n network) fill() *object {
	o := n.object
	o.put("networkPlugin", n.plugin)
	o.put("podCidr", n.pod)
	o.put("serviceCidr", n.service)
	o.put("dnsServiceIP", n.dns)
	o.put("podCidrs", []string{n.pod})
	o.put("serviceCidrs", []string{n.service})
	o.put("ipFamilies", []string{"IPv4"})
	o.defaultTo("outboundType", "loadBalancer")
	o.defaultTo("loadBalancerSku", "standard")
	if s, ok := (&reader{o: o}).text("loadBalancerSku"); ok {
		o.put("loadBalancerSku", strings.ToLower(s))
	}
	if o.isNull("loadBalancerProfile") && string(o.values["outboundType"]) == `"loadBalancer"` {
		o.putRaw("loadBalancerProfile", json.RawMessage(`{"managedOutboundIPs":{"count":1}}`))
	}
	if lb := (&reader{o: o}).object("loadBalancerProfile", []string{"effectiveOutboundIPs"}); lb != nil {
		lb.remove("effectiveOutboundIPs") // read-only
		o.put("loadBalancerProfile", lb)
	}
	dropNulls(o)
	o.order(networkKeys())
	return o
}

func fillStorage(props *object) {
	drivers := []string{"diskCSIDriver", "fileCSIDriver", "snapshotController"}
	o := (&reader{o: props}).object("storageProfile", drivers)
	if o == nil {
		o = newObject()
	}
	for _, d := range drivers {
		if o.isNull(d) {
			o.putRaw(d, json.RawMessage(`{"enabled":true}`))
		}
	}
	props.put("storageProfile", o)
}

func fillIssuer(props *object) {
	o := (&reader{o: props}).object("oidcIssuerProfile", []string{"enabled", "issuerURL"})
	if o == nil {
		o = newObject()
	}
	o.remove("issuerURL") // read-only
	o.defaultTo("enabled", false)
	props.put("oidcIssuerProfile", o)
}

// NodeImage is what agent pools report as the image of their nodes.
const NodeImage = "AKSUbuntu-2404gen2containerd-202610.27.0"

// eTagSince is the api-version from which bodies carry an eTag.
const eTagSince = "2024-09-02"

// ETag names this state of the cluster for If-Match.
func (c *Cluster) ETag() string {
	raw, err := json.Marshal(c) // as it is stored
	if err != nil {
		return ""
	}
	return ident.Derive[ident.GUID]("managedcluster.etag", string(raw)).String()
}

// Render returns the ARM body of the cluster, members in the order of the real service's answers.
func (c *Cluster) Render(apiVersion string) json.RawMessage {
	top := c.top()
	if apiVersion >= eTagSince {
		top.put("eTag", c.ETag())
	}
	top.put("id", c.ResourceID())
	top.put("name", c.Name)
	top.put("type", typeInAnswer)
	if !c.IsAttached() {
		c.renderIdentity(top)
	}
	top.put("properties", c.renderProperties())
	top.order(topKeys())
	return encode(top)
}

func (c *Cluster) renderIdentity(top *object) {
	top.put("identity", struct {
		Type      string `json:"type"`
		Principal string `json:"principalId"`
		Tenant    string `json:"tenantId"`
	}{"SystemAssigned", c.ControlPlane.Object.String(), c.Tenant.String()})
}

func (c *Cluster) renderProperties() *object {
	props := c.properties()
	props.put("provisioningState", c.ProvisioningState)
	props.put("powerState", power{c.PowerState})
	if c.IsAttached() {
		props.put("fqdn", c.FQDN)
		// az takes these for granted.
		props.put("servicePrincipalProfile", json.RawMessage(`{"clientId":"msi"}`))
		props.put("agentPoolProfiles", []*object{noPool()})
		props.put("networkProfile", json.RawMessage(`{"networkPlugin":"none","outboundType":"none"}`))
		props.put("aadProfile", c.AAD.render((&reader{o: props}).object("aadProfile", aadKeys())))
		props.order(propertyKeys())
		return props
	}
	props.put("currentKubernetesVersion", c.KubernetesVersion)
	props.put("fqdn", c.FQDN)
	props.put("azurePortalFQDN", strings.Replace(c.FQDN, ".hcp.", ".portal.hcp.", 1))
	props.put("servicePrincipalProfile", json.RawMessage(`{"clientId":"msi"}`))
	props.put("maxAgentPools", MaxPools)
	props.put("agentPoolProfiles", c.renderPools(props))
	if c.AAD != nil {
		props.put("aadProfile", c.AAD.render((&reader{o: props}).object("aadProfile", aadKeys())))
	}
	// Both appear once the cluster has come up (recorded/README 4).
	if c.ProvisioningState != Creating {
		props.put("identityProfile", map[string]any{"kubeletidentity": struct {
			Resource string `json:"resourceId"`
			Client   string `json:"clientId"`
			Object   string `json:"objectId"`
		}{c.KubeletIdentityID(), c.Kubelet.Client.String(), c.Kubelet.Object.String()}})
		if n := (&reader{o: props}).object("networkProfile", networkKeys()); n != nil {
			if string(n.values["loadBalancerSku"]) == `"standard"` {
				n.put("loadBalancerSku", "Standard")
				props.put("networkProfile", n)
			}
		}
	}
	props.order(propertyKeys())
	return props
}

type power struct {
	Code string `json:"code"`
}

// renderPools returns the agent pools as they are within the cluster's body.
func (c *Cluster) renderPools(props *object) []*object {
	pools, _ := (&reader{o: props}).pools()
	for i, o := range pools {
		p := Pool{}
		if i < len(c.Pools) {
			p = c.Pools[i]
		}
		state := power{c.PowerState}
		if p.Stopped {
			state.Code = Stopped
		}
		o.put("provisioningState", c.poolState(p))
		o.put("powerState", state)
		o.put("currentOrchestratorVersion", c.KubernetesVersion)
		o.put("nodeImageVersion", NodeImage)
		o.order(poolKeys())
	}
	return pools
}

// poolState is an agent pool's provisioning state.
func (c *Cluster) poolState(p Pool) string {
	switch {
	case p.State != "":
		return p.State
	case slices.ContainsFunc(c.Pools, func(o Pool) bool { return o.State != "" }):
		return Succeeded // the cluster is busy with another pool
	}
	return c.ProvisioningState
}

// AgentPools returns the agent pools as resources of their own, in the order of the cluster's body.
func (c *Cluster) AgentPools() []json.RawMessage {
	var out []json.RawMessage
	for _, o := range c.renderPools(c.properties()) {
		name, _ := (&reader{o: o}).text("name")
		o.remove("name")
		out = append(out, encode(struct {
			ID         string  `json:"id"`
			Name       string  `json:"name"`
			Type       string  `json:"type"`
			Properties *object `json:"properties"`
		}{c.ResourceID() + "/agentPools/" + name, name, Type + "/agentPools", o}))
	}
	return out
}

// render returns aadProfile in the service's form; rest are members that nobody here knows.
func (a *AAD) render(rest *object) *object {
	o := newObject()
	if a.Managed {
		o.put("managed", true)
	}
	o.put("adminGroupObjectIDs", nil)
	if len(a.AdminGroups) > 0 {
		o.put("adminGroupObjectIDs", a.AdminGroups)
	}
	o.put("adminUsers", nil)
	if !a.Managed {
		o.put("clientAppID", a.ClientAppID)
		o.put("serverAppID", a.ServerAppID)
	}
	if a.EnableAzureRBAC != nil {
		o.put("enableAzureRBAC", *a.EnableAzureRBAC)
	}
	o.put("tenantID", a.Tenant)
	if rest != nil {
		inherit(o, rest)
	}
	return o
}
