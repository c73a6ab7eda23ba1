package managedcluster

import (
	"slices"

	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
)

// settleAAD applies the table of aadProfile's transitions (semantics 3.2).
func (c *Cluster) settleAAD(req *Request, before *Cluster, known KnownTenant) error {
	var was *AAD
	if before != nil {
		was = before.AAD
	}
	after, err := transition(was, req.aad, c.Tenant, known)
	if err != nil {
		return err
	}
	c.AAD = after
	return nil
}

// transition returns the profile that a request leads to, or why it may not. home is the subscription's tenant.
func transition(was *AAD, req *aadRequest, home ident.TenantID, known KnownTenant) (*AAD, error) {
	if req == nil {
		if was != nil {
			return nil, notAllowed("aadProfile.managed") // once there, the integration stays
		}
		return nil, nil
	}
	managed := req.managed != nil && *req.managed
	if was != nil && was.Managed && !managed {
		return nil, notAllowed("aadProfile.managed")
	}
	if !managed {
		return legacy(was, req, home, known)
	}
	if req.clientApp != "" || req.serverApp != "" || req.secretGiven {
		return nil, fault.New(fault.Invalid, "BadRequest",
			"aadProfile.clientAppID, aadProfile.serverAppID and aadProfile.serverAppSecret cannot be set when aadProfile.managed is true.").At("aadProfile")
	}
	a := &AAD{Managed: true, AdminGroups: req.groups, EnableAzureRBAC: req.azureRBAC}
	if was != nil && was.Managed {
		if !req.groupsGiven && !req.object.has("adminGroupObjectIDs") {
			a.AdminGroups = was.AdminGroups
		}
		if req.azureRBAC == nil {
			a.EnableAzureRBAC = was.EnableAzureRBAC
		}
	}
	if err := a.settleTenant(was, req, home, known); err != nil {
		return nil, err
	}
	if a.EnableAzureRBAC != nil && *a.EnableAzureRBAC && a.Tenant != home {
		return nil, fault.New(fault.Invalid, "BadRequest",
			"aadProfile.tenantID must be the tenant of the subscription, %s, when aadProfile.enableAzureRBAC is true.", home).At("aadProfile.tenantID")
	}
	return a, nil
}

// legacy is the integration with applications of one's own.
func legacy(was *AAD, req *aadRequest, home ident.TenantID, known KnownTenant) (*AAD, error) {
	if req.azureRBAC != nil && *req.azureRBAC {
		return nil, fault.New(fault.Invalid, "BadRequest", "aadProfile.enableAzureRBAC can be true only when aadProfile.managed is true.").At("aadProfile.enableAzureRBAC")
	}
	if len(req.groups) > 0 {
		return nil, fault.New(fault.Invalid, "BadRequest", "aadProfile.adminGroupObjectIDs can be set only when aadProfile.managed is true.").At("aadProfile.adminGroupObjectIDs")
	}
	a := &AAD{ClientAppID: req.clientApp, ServerAppID: req.serverApp}
	if was != nil {
		if a.ClientAppID == "" {
			a.ClientAppID = was.ClientAppID
		}
		if a.ServerAppID == "" {
			a.ServerAppID = was.ServerAppID
		}
	}
	for _, p := range []struct{ name, value string }{{"clientAppID", a.ClientAppID}, {"serverAppID", a.ServerAppID}} {
		if p.value == "" {
			return nil, required("aadProfile." + p.name)
		}
		if !ident.IsGUID(p.value) {
			return nil, invalidParameter("aadProfile."+p.name, "'%s' is not an application id.", cut(p.value))
		}
	}
	// The secret never comes back, so an update without one keeps it; a new application needs its own.
	if !req.secretGiven && (was == nil || was.ServerAppID != a.ServerAppID) {
		return nil, required("aadProfile.serverAppSecret")
	}
	return a, a.settleTenant(was, req, home, known)
}

func required(field string) error {
	return fault.New(fault.Invalid, "InvalidParameter", "Required parameter %s is missing (null).", field).At(field)
}

// settleTenant settles whose tokens are good: the tenant asked for, else the one before, else the subscription's.
func (a *AAD) settleTenant(was *AAD, req *aadRequest, home ident.TenantID, known KnownTenant) error {
	a.Tenant = req.tenant
	if a.Tenant.IsZero() && was != nil {
		a.Tenant = was.Tenant
	}
	if a.Tenant.IsZero() {
		a.Tenant = home
	}
	if a.Tenant != home && !known(a.Tenant) {
		return invalidParameter("aadProfile.tenantID", "There is no tenant '%s' here.", a.Tenant)
	}
	return nil
}

func sameAAD(a, b *AAD) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Managed == b.Managed && slices.Equal(a.AdminGroups, b.AdminGroups) && sameFlag(a.EnableAzureRBAC, b.EnableAzureRBAC) &&
		a.Tenant == b.Tenant && a.ClientAppID == b.ClientAppID && a.ServerAppID == b.ServerAppID
}

func sameFlag(a, b *bool) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}

// ResetAAD refuses or applies resetAADProfile, which sets new applications of a legacy integration.
func (c *Cluster) ResetAAD(body []byte, known KnownTenant) (Cluster, error) {
	if c.AAD != nil && c.AAD.Managed {
		return Cluster{}, fault.New(fault.Invalid, "BadRequest", "Operation 'resetAADProfile' is not allowed for managed AAD enabled cluster.")
	}
	if c.AAD == nil {
		return Cluster{}, fault.New(fault.Invalid, "BadRequest", "Operation 'resetAADProfile' is not allowed for a cluster without AAD integration.")
	}
	wrapped := newObject()
	wrapped.putRaw("aadProfile", body)
	r := &reader{o: wrapped}
	req := readAAD(r)
	if r.err != nil {
		return Cluster{}, r.err
	}
	if req == nil {
		return Cluster{}, required("aadProfile")
	}
	a, err := transition(c.AAD, req, c.Tenant, known)
	if err != nil {
		return Cluster{}, err
	}
	after := *c
	after.AAD = a
	return after, nil
}
