package resources

import (
	"net/http"
	"strings"

	"github.com/keyreeve/keyreeve/internal/arm"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/resource"
)

// provider is a resource provider: a namespace and the types served in it.
type provider struct {
	namespace string
	// free says that it needs no registration, as the real service's list does.
	free  bool
	types []providedType
}

type providedType struct {
	name string
	// placed types are in a location.
	placed   bool
	versions []string
	// since is the first version that there was; empty is any.
	since string
}

// supports tells arm's core which versions a type has.
func supports(namespace, kind string) (arm.Supported, bool) {
	for _, p := range providers() {
		if !strings.EqualFold(p.namespace, namespace) {
			continue
		}
		for _, t := range p.types {
			if !strings.EqualFold(t.name, kind) {
				continue
			}
			s := arm.Supported{Versions: t.versions, Since: t.since}
			if t.placed {
				for _, l := range resource.Locations() {
					s.Locations = append(s.Locations, l.Name)
				}
			}
			return s, true
		}
	}
	return arm.Supported{}, false
}

// providers are those that clients may ask for. Some serve no type: clients register them before they create a cluster.
func providers() []provider {
	identities := []string{"2024-11-30", "2023-01-31", "2022-01-31-preview", "2021-09-30-preview", "2018-11-30", "2015-08-31-preview"}
	authorization := []string{"2022-04-01", "2020-04-01-preview", "2018-01-01-preview", "2015-07-01"}
	groups := []string{"2024-11-01", "2022-12-01", "2021-04-01", "2020-06-01", "2019-11-01", "2018-05-01", "2016-02-01"}
	clusters := []string{
		"2025-05-01", "2025-03-01", "2025-02-01", "2024-09-01", "2024-05-01", "2023-10-01", "2023-06-01", "2022-11-01", "2022-04-01",
	}
	return []provider{
		{namespace: "Keyreeve.Identity", free: true, types: []providedType{
			{name: "hosts", placed: true, versions: []string{"2025-11-01"}},
		}},
		{namespace: "Microsoft.Authorization", free: true, types: []providedType{
			{name: "roleAssignments", versions: authorization},
			{name: "roleDefinitions", versions: authorization},
			{name: "permissions", versions: authorization},
			{name: "checkAccess", versions: []string{"2018-09-01-preview"}},
			{name: "denyAssignments", versions: []string{"2022-04-01", "2018-07-01-preview"}},
			{name: "locks", versions: []string{"2020-05-01", "2017-04-01", "2016-09-01"}},
		}},
		{namespace: "Microsoft.Compute"},
		{namespace: "Microsoft.ContainerService", types: []providedType{
			{name: "managedClusters", placed: true, versions: clusters, since: "2017-08-31"},
			{name: "locations", versions: []string{"2017-08-31"}},
			{name: "locations/operations", versions: []string{"2017-08-31", "2016-03-30"}},
			{name: "locations/operationresults", versions: []string{"2017-08-31", "2016-03-30"}},
			{name: "managedClusters/agentPools", versions: clusters},
		}},
		{namespace: "Microsoft.Features", free: true},
		{namespace: "Microsoft.Insights", types: []providedType{
			{name: "eventtypes", versions: []string{"2015-04-01", "2014-04-01"}},
		}},
		{namespace: "Microsoft.ManagedIdentity", types: []providedType{
			{name: "userAssignedIdentities", placed: true, versions: identities, since: "2015-08-31-preview"},
			{name: "userAssignedIdentities/federatedIdentityCredentials", versions: identities, since: "2022-01-31-preview"},
			{name: "identities", versions: identities, since: "2015-08-31-preview"},
		}},
		{namespace: "Microsoft.Management", free: true, types: []providedType{
			{name: "managementGroups", versions: []string{"2021-04-01", "2020-05-01", "2020-02-01", "2019-11-01", "2018-03-01-preview"}},
			{name: "managementGroups/subscriptions", versions: []string{"2021-04-01", "2020-05-01"}},
		}},
		{namespace: "Microsoft.Network"},
		{namespace: "Microsoft.Resources", free: true, types: []providedType{
			{name: "tenants", versions: groups},
			{name: "subscriptions", versions: groups},
			{name: "subscriptions/locations", versions: groups},
			{name: "subscriptions/providers", versions: groups},
			{name: "subscriptions/resourceGroups", versions: groups},
			{name: "subscriptions/operationresults", versions: groups},
			{name: "resourceGroups", versions: groups},
			{name: "resources", versions: groups},
			{name: "providers", versions: groups},
			{name: "tags", versions: groups},
			{name: "deployments", versions: groups},
			{name: "deployments/operations", versions: groups},
		}},
	}
}

type providerBody struct {
	ID                 string             `json:"id"`
	Namespace          string             `json:"namespace"`
	ResourceTypes      []resourceTypeBody `json:"resourceTypes"`
	RegistrationState  string             `json:"registrationState"`
	RegistrationPolicy string             `json:"registrationPolicy"`
}

type resourceTypeBody struct {
	ResourceType string   `json:"resourceType"`
	Locations    []string `json:"locations"`
	APIVersions  []string `json:"apiVersions"`
	Capabilities string   `json:"capabilities"`
}

// body writes a provider. Every one is registered in every subscription: there is nothing to switch on.
func (p provider) body(prefix string) providerBody {
	b := providerBody{
		ID: prefix + "/providers/" + p.namespace, Namespace: p.namespace, ResourceTypes: []resourceTypeBody{},
		RegistrationState: "Registered", RegistrationPolicy: "RegistrationRequired",
	}
	if p.free {
		b.RegistrationPolicy = "RegistrationFree"
	}
	for _, t := range p.types {
		tb := resourceTypeBody{ResourceType: t.name, Locations: []string{}, APIVersions: t.versions, Capabilities: "None"}
		if t.placed {
			for _, l := range resource.Locations() {
				tb.Locations = append(tb.Locations, l.DisplayName)
			}
			tb.Capabilities = "SupportsTags, SupportsLocation"
		}
		b.ResourceTypes = append(b.ResourceTypes, tb)
	}
	return b
}

func providerList(prefix string) list[providerBody] {
	out := list[providerBody]{Value: []providerBody{}}
	for _, p := range providers() {
		out.Value = append(out.Value, p.body(prefix))
	}
	return out
}

func (h *Handler) listTenantProviders(_ http.ResponseWriter, r *arm.Request) error {
	return r.WriteJSON(http.StatusOK, providerList(""))
}

func (h *Handler) listProviders(_ http.ResponseWriter, r *arm.Request) error {
	if err := seesSubscription(r); err != nil {
		return err
	}
	return r.WriteJSON(http.StatusOK, providerList(subscriptionScope(r)))
}

func findProvider(namespace string) (provider, error) {
	for _, p := range providers() {
		if strings.EqualFold(p.namespace, namespace) {
			return p, nil
		}
	}
	return provider{}, fault.New(fault.NotFound, "InvalidResourceNamespace", "The resource namespace '%s' is invalid.", namespace)
}

func (h *Handler) getProvider(_ http.ResponseWriter, r *arm.Request) error {
	if err := seesSubscription(r); err != nil {
		return err
	}
	p, err := findProvider(r.Param("namespace"))
	if err != nil {
		return err
	}
	return r.WriteJSON(http.StatusOK, p.body(subscriptionScope(r)))
}

// registerProvider answers register and unregister with the state, which neither changes.
func (h *Handler) registerProvider(_ http.ResponseWriter, r *arm.Request) error {
	p, err := findProvider(r.Param("namespace"))
	if err != nil {
		if seen := seesSubscription(r); seen != nil {
			return seen
		}
		return err
	}
	verb := "register"
	if strings.HasSuffix(strings.ToLower(strings.TrimSuffix(r.HTTP.URL.Path, "/")), "/unregister") {
		verb = "unregister"
	}
	if err := r.Require(p.namespace+"/"+verb+"/action", r.Scope); err != nil {
		return err
	}
	return r.WriteJSON(http.StatusOK, p.body(subscriptionScope(r)))
}
