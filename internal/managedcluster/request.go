package managedcluster

import (
	"errors"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
)

// Request is the body of a PUT of a managed cluster: what is interpreted as fields, and all of it as it was sent.
type Request struct {
	location string
	tags     map[string]string
	sku      sku
	aad      *aadRequest // nil: no aadProfile
	pools    []*object   // nil: not given

	disableLocalAccounts *bool
	enableRBAC           *bool
	kubernetesVersion    string
	dnsPrefix            string
	nodeResourceGroup    string
	network              network
	attached             *Attached // nil: not given

	top, props *object
}

// sku is the price tier; an empty tier was not given.
type sku struct{ tier string }

// network is what is interpreted of networkProfile; an empty text was not given.
type network struct {
	object       *object
	pod, service string
	dns          string
	plugin       string
}

// aadRequest is what is interpreted of aadProfile.
type aadRequest struct {
	object      *object
	managed     *bool
	azureRBAC   *bool
	groups      []ident.ObjectID
	groupsGiven bool
	tenant      ident.TenantID
	clientApp   string
	serverApp   string
	secretGiven bool
}

func topKeys() []string {
	return []string{"id", "location", "name", "tags", "type", "kind", "properties", "identity", "sku", "extendedLocation", "systemData", "eTag"}
}

func propertyKeys() []string {
	return []string{
		"provisioningState", "powerState", "kubernetesVersion", "currentKubernetesVersion", "dnsPrefix", "fqdn", "azurePortalFQDN",
		"agentPoolProfiles", "linuxProfile", "windowsProfile", "servicePrincipalProfile", "addonProfiles", "nodeResourceGroup",
		"enableRBAC", "supportPlan", "networkProfile", "aadProfile", "maxAgentPools", "apiServerAccessProfile", "identityProfile",
		"autoUpgradeProfile", "disableLocalAccounts", "securityProfile", "storageProfile", "oidcIssuerProfile", "ingressProfile",
		"workloadAutoScalerProfile", "azureMonitorProfile", "resourceUID", "metricsProfile", "nodeResourceGroupProfile",
		"nodeProvisioningProfile", "bootstrapProfile", "privateFQDN", "fqdnSubdomain", "privateLinkResources", attachedKey,
	}
}

func aadKeys() []string {
	return []string{
		"managed", "adminGroupObjectIDs", "adminUsers", "clientAppID", "serverAppID", "serverAppSecret", "enableAzureRBAC", "tenantID",
	}
}

func networkKeys() []string {
	return []string{
		"networkPlugin", "networkPluginMode", "networkPolicy", "networkDataplane", "loadBalancerSku", "loadBalancerProfile",
		"natGatewayProfile", "podCidr", "serviceCidr", "dnsServiceIP", "dockerBridgeCidr", "outboundType", "podCidrs",
		"serviceCidrs", "ipFamilies",
	}
}

// Parse reads the body of a PUT. What it does not interpret is kept; what it interprets must be of the right type.
func Parse(body []byte) (*Request, error) {
	top, err := parseObject(body, topKeys())
	if err != nil {
		what := "the body is not one JSON object"
		if !errors.Is(err, errNotObject) {
			what = err.Error()
		}
		return nil, fault.New(fault.Invalid, "InvalidRequestContent",
			"The request content was invalid and could not be deserialized: '%s'.", what).Because(err)
	}
	req := &Request{top: top}
	r := &reader{o: top}
	req.location, _ = r.text("location")
	req.location = normalLocation(req.location)
	req.tags = readTags(r)
	readIdentity(r)
	req.sku = readSKU(r)
	req.props = r.object("properties", propertyKeys())
	if req.props == nil {
		req.props = newObject()
	}
	if r.err != nil {
		return nil, r.err
	}
	if err := req.readProperties(); err != nil {
		return nil, err
	}
	return req, nil
}

// normalLocation brings a display name such as "East US" to the form of names.
func normalLocation(s string) string { return strings.ToLower(strings.ReplaceAll(s, " ", "")) }

func readTags(r *reader) map[string]string {
	var tags map[string]string
	r.read("tags", "an object of strings", &tags)
	return maps.Clone(tags)
}

func (req *Request) readProperties() error {
	r := &reader{o: req.props}
	req.kubernetesVersion, _ = r.text("kubernetesVersion")
	req.dnsPrefix, _ = r.text("dnsPrefix")
	req.nodeResourceGroup, _ = r.text("nodeResourceGroup")
	req.enableRBAC = r.flag("enableRBAC")
	req.disableLocalAccounts = r.flag("disableLocalAccounts")
	if pools, given := r.pools(); given {
		req.pools = append([]*object{}, pools...)
	}
	req.network = readNetwork(r)
	req.aad = readAAD(r)
	req.attached = readAttached(r)
	dropSecrets(r)
	checkPromises(r)
	return r.err
}

// readNetwork reads networkProfile and checks its ranges.
func readNetwork(r *reader) network {
	o := r.object("networkProfile", networkKeys())
	if o == nil {
		return network{object: newObject()}
	}
	n := &reader{o: o, path: "networkProfile"}
	out := network{object: o}
	out.pod, _ = n.text("podCidr")
	out.service, _ = n.text("serviceCidr")
	out.dns, _ = n.text("dnsServiceIP")
	out.plugin, _ = n.text("networkPlugin")
	out.pod = n.one("podCidrs", out.pod)
	out.service = n.one("serviceCidrs", out.service)
	if families, given := n.texts("ipFamilies"); given && (len(families) != 1 || !strings.EqualFold(families[0], "IPv4")) {
		n.fail(invalidParameter("networkProfile.ipFamilies", "Only IPv4 is offered."))
	}
	r.fail(n.err)
	return out
}

// one reads a list of ranges of which only one is possible, and which says the same as a single range.
func (r *reader) one(key, single string) string {
	list, given := r.texts(key)
	switch {
	case !given || len(list) == 0:
		return single
	case len(list) > 1:
		r.fail(invalidParameter(r.field(key), "Only one range is possible."))
	case single != "" && single != list[0]:
		r.fail(invalidParameter(r.field(key), "It must be the same as %s.", r.field(strings.TrimSuffix(key, "s"))))
	}
	return list[0]
}

// readAAD reads aadProfile.
func readAAD(r *reader) *aadRequest {
	o := r.object("aadProfile", aadKeys())
	if o == nil {
		return nil
	}
	a := &reader{o: o, path: "aadProfile"}
	out := &aadRequest{object: o, managed: a.flag("managed"), azureRBAC: a.flag("enableAzureRBAC")}
	out.clientApp, _ = a.text("clientAppID")
	out.serverApp, _ = a.text("serverAppID")
	secret, _ := a.text("serverAppSecret")
	out.secretGiven = secret != ""
	groups, given := a.texts("adminGroupObjectIDs")
	out.groupsGiven = given
	for _, g := range groups {
		id, err := ident.Parse[ident.ObjectID](strings.TrimSpace(g))
		if err != nil {
			a.fail(invalidParameter("aadProfile.adminGroupObjectIDs", "'%s' is not an object id.", cut(g)))
			break
		}
		out.groups = appendNew(out.groups, id)
	}
	if t, ok := a.text("tenantID"); ok && t != "" {
		id, err := ident.Parse[ident.TenantID](t)
		if err != nil {
			a.fail(invalidParameter("aadProfile.tenantID", "'%s' is not a tenant id.", cut(t)))
		}
		out.tenant = id
	}
	r.fail(a.err)
	return out
}

func appendNew[T comparable](list []T, v T) []T {
	if slices.Contains(list, v) {
		return list
	}
	return append(list, v)
}

func readIdentity(r *reader) {
	o := r.object("identity", []string{"type", "principalId", "tenantId", "userAssignedIdentities"})
	if o == nil {
		return
	}
	i := &reader{o: o, path: "identity"}
	if t, ok := i.text("type"); ok && !strings.EqualFold(t, "SystemAssigned") {
		i.fail(invalidParameter("identity.type", "'%s' is not offered; use SystemAssigned.", cut(t)))
	}
	r.fail(i.err)
}

func readSKU(r *reader) sku {
	var out sku
	o := r.object("sku", []string{"name", "tier"})
	if o == nil {
		return out
	}
	s := &reader{o: o, path: "sku"}
	if name, ok := s.text("name"); ok && name != "" {
		if !strings.EqualFold(name, "Base") && !strings.EqualFold(name, "Basic") {
			s.fail(invalidParameter("sku.name", "'%s' is not offered; use Base.", cut(name)))
		}
	}
	if tier, ok := s.text("tier"); ok && tier != "" {
		out.tier = canonical(tier, "Free", "Standard", "Premium")
		switch out.tier {
		case "Free", "Standard", "Premium":
		default:
			if !strings.EqualFold(tier, "Paid") { // the name of Standard until 2023
				s.fail(invalidParameter("sku.tier", "'%s' is none of Free, Standard and Premium.", cut(tier)))
			}
			out.tier = "Standard"
		}
	}
	r.fail(s.err)
	return out
}

// dropSecrets removes what the service takes and never returns. None of it is used here, so none is kept.
func dropSecrets(r *reader) {
	for key, secret := range map[string]string{"windowsProfile": "adminPassword", "aadProfile": "serverAppSecret"} {
		if o := r.object(key, []string{secret}); o != nil && o.has(secret) {
			o.remove(secret)
			r.o.put(key, o)
		}
	}
	sp := r.object("servicePrincipalProfile", []string{"clientId", "secret"})
	if sp == nil {
		return
	}
	s := &reader{o: sp, path: "servicePrincipalProfile"}
	if id, ok := s.text("clientId"); ok && id != "" && id != "msi" {
		s.fail(invalidParameter("servicePrincipalProfile.clientId", "Clusters with a service principal are not offered; use a managed identity (identity.type SystemAssigned)."))
	}
	r.fail(s.err)
}

// checkPromises refuses settings that protect something, or offer something to others, and that nothing here would
// keep: taking them in silence would be worse than a refusal.
func checkPromises(r *reader) {
	for _, p := range []struct{ parent, key, why string }{
		{"apiServerAccessProfile", "enablePrivateCluster", "Private clusters are not offered."},
		{"oidcIssuerProfile", "enabled", "An OIDC issuer for clusters is not offered."},
	} {
		if o := r.object(p.parent, []string{p.key}); o != nil {
			f := &reader{o: o, path: p.parent}
			if on := f.flag(p.key); on != nil && *on {
				f.fail(invalidParameter(f.field(p.key), "%s", p.why))
			}
			r.fail(f.err)
		}
	}
	if o := r.object("apiServerAccessProfile", []string{"authorizedIPRanges"}); o != nil {
		f := &reader{o: o, path: "apiServerAccessProfile"}
		if list, given := f.texts("authorizedIPRanges"); given && len(list) > 0 {
			f.fail(invalidParameter("apiServerAccessProfile.authorizedIPRanges", "Ranges of authorized addresses are not offered."))
		}
		r.fail(f.err)
	}
	if o := r.object("securityProfile", []string{"workloadIdentity"}); o != nil {
		f := &reader{o: o, path: "securityProfile"}
		if w := f.object("workloadIdentity", []string{"enabled"}); w != nil {
			g := &reader{o: w, path: "securityProfile.workloadIdentity"}
			if on := g.flag("enabled"); on != nil && *on {
				g.fail(invalidParameter("securityProfile.workloadIdentity.enabled", "Workload identity is not offered."))
			}
			f.fail(g.err)
		}
		r.fail(f.err)
	}
}

// checkRange reads an IPv4 range with a prefix length between lo and hi.
func checkRange(field, s string, lo, hi int) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	switch {
	case err != nil || !p.Addr().Is4():
		return netip.Prefix{}, invalidParameter(field, "'%s' is not an IPv4 range such as 10.0.0.0/16.", cut(s))
	case p != p.Masked():
		return netip.Prefix{}, invalidParameter(field, "'%s' has bits set after its prefix; write %s.", cut(s), p.Masked())
	case p.Bits() < lo || p.Bits() > hi:
		return netip.Prefix{}, invalidParameter(field, "The prefix length of %s must be %d to %d.", p, lo, hi)
	}
	return p, nil
}
