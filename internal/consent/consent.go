// Package consent owns what an application may ask for: which application a client id names, where it may be answered,
// which resource a scope is for, and which permissions somebody allowed it there.
//
//	client_id ─► Client      scope ─► Scopes ─► Target      Target, person ─► Permissions, or what is still to be allowed
//
// It reads the world and, in the caller's transaction, the grants that people gave. It knows neither HTTP nor pages, and
// its refusals are oauth errors.
package consent

import (
	"slices"
	"strings"

	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/oauth"
	"github.com/keyreeve/keyreeve/internal/world"
)

// Directory finds applications and resources. Fill every field.
type Directory struct {
	World   *world.World
	Catalog *directory.Catalog
}

// Client is an application that asks for something.
type Client struct {
	ID     ident.ClientID
	Name   string
	Public bool
	// Family clients share refresh tokens.
	Family bool
	// FirstParty clients are known everywhere and need nobody's consent.
	FirstParty bool
	// Managed clients are managed identities.
	Managed bool
	// Tenant is where a registered application acts: the tenant that was asked, or at organizations and common its own;
	// zero if it may act in any.
	Tenant ident.TenantID
	// Principal is the application's own in that tenant; of a first-party client, its id at least.
	Principal world.Principal
	// Redirects are where answers to browsers may go.
	Redirects []Redirect
	// app is set for a registered client.
	app *directory.Application
}

// Client returns the application that a client id names at a tenant; the zero tenant is organizations or common, and
// tenantName what messages call it.
func (d Directory) Client(name string, tenant ident.TenantID, tenantName string) (Client, error) {
	id, err := ident.Parse[ident.ClientID](name)
	if err != nil {
		return Client{}, oauth.UnknownClient(Clip(name), tenantName)
	}
	if a, ok := d.Catalog.App(id); ok {
		c := Client{ID: id, Name: a.DisplayName, Public: a.Public, Family: a.Family, FirstParty: true, Redirects: firstPartyRedirects(a)}
		c.Principal.ID = d.principalOf(a, tenant)
		return c, nil
	}
	a, ok := d.World.Application(id)
	if !ok {
		// A managed identity has no application, only a principal. It signs in by a federated credential alone.
		if p, ok := d.World.ServicePrincipalOf(tenant, id); ok {
			if !p.Enabled {
				return Client{ID: id}, oauth.ClientDisabled(id.String())
			}
			return Client{ID: id, Name: p.DisplayName, Tenant: tenant, Principal: p, Managed: true}, nil
		}
	}
	if !ok || (!tenant.IsZero() && a.Tenant != tenant && !a.MultiTenant()) {
		return Client{ID: id}, oauth.UnknownClient(id.String(), tenantName)
	}
	c := Client{ID: id, Name: a.DisplayName, Public: a.Public, Tenant: tenant, Redirects: registeredRedirects(a), app: &a}
	if tenant.IsZero() && !a.MultiTenant() {
		c.Tenant = a.Tenant
	}
	if p, ok := d.World.ServicePrincipalOf(c.Tenant, id); ok {
		c.Principal = p
		if !p.Enabled {
			return c, oauth.ClientDisabled(id.String())
		}
	}
	return c, nil
}

// Owns reports whether a credential that an object has counts for the client: it is its application's, or that of its
// principal in the tenant at hand. The zero id is the application's.
func (c Client) Owns(owner ident.ObjectID) bool {
	if owner.IsZero() {
		return !c.Managed
	}
	return owner == c.Principal.ID || c.app != nil && owner == c.app.ID
}

// Audiences are the aud values of tokens that were issued for a registered application.
func (d Directory) Audiences(c Client) []string {
	out := []string{c.ID.String(), directory.ServicePrincipalURI(c.ID)}
	if c.app != nil {
		out = append(out, c.app.IdentifierURIs...)
	}
	return out
}

// AllAudiences are the aud values of tokens for well-known resources.
func (d Directory) AllAudiences() []string {
	var out []string
	for _, a := range d.Catalog.Apps() {
		if a.Resource() {
			out = append(out, d.Catalog.Audiences(a.AppID)...)
		}
	}
	return out
}

// Target is the resource that a token is for.
type Target struct {
	ID   ident.ClientID
	Name string
	// Audience is the aud of its tokens.
	Audience string
	// Groups puts the principal's groups into its tokens.
	Groups bool
	// Offers are the delegated permissions there are, and All those that a first-party client has without asking.
	Offers []Permission
	All    []string
	// Principal stands for it in the tenant; zero at organizations and common.
	Principal ident.ObjectID
	// app is set for a registered resource.
	app *directory.Application
}

// Permission is a delegated permission as people are asked for it.
type Permission struct {
	Value, Name, Text string
	// Admin says that only an administrator may consent.
	Admin bool
	id    ident.PermissionID
}

// Target finds the resource that scopes ask for, or Microsoft Graph if they name none.
func (d Directory) Target(s Scopes, tenant ident.TenantID, tenantName string) (Target, error) {
	name := s.Resource
	if name == "" {
		name = directory.MicrosoftGraph().String()
	}
	if r, aud, ok := d.Catalog.Resource(name); ok {
		t := Target{ID: r.AppID, Name: r.DisplayName, Audience: aud, Groups: r.GroupClaims, All: r.Scopes, Offers: d.firstPartyOffers(r)}
		t.Principal = d.principalOf(r, tenant)
		return t, nil
	}
	unknown := oauth.UnknownResource(Clip(name), tenantName)
	app, aud, ok := d.registered(tenant, name)
	if !ok {
		return Target{}, unknown
	}
	p, ok := d.World.ServicePrincipalOf(tenant, app.AppID)
	if !ok || !p.Enabled {
		return Target{}, unknown
	}
	return Target{
		ID: app.AppID, Name: app.DisplayName, Audience: aud, Groups: true, Offers: registeredOffers(app), Principal: p.ID, app: &app,
	}, nil
}

// principalOf is the service principal of a first-party resource.
func (d Directory) principalOf(r directory.FirstParty, tenant ident.TenantID) ident.ObjectID {
	if p, ok := d.World.ServicePrincipalOf(tenant, r.AppID); ok {
		return p.ID
	}
	if t, ok := d.World.Tenant(tenant); ok {
		return directory.FirstPartyPrincipal(t, r).ID
	}
	return ident.ObjectID{}
}

// registered finds an application by appId, with or without spn: before it, or identifier URI, and the aud of its tokens.
func (d Directory) registered(tenant ident.TenantID, name string) (directory.Application, string, bool) {
	if id, aud, ok := directory.ByAppID(strings.TrimSuffix(name, "/")); ok {
		a, ok := d.World.Application(id)
		return a, aud, ok && a.Tenant == tenant
	}
	a, ok := d.World.ApplicationByURI(tenant, strings.TrimSuffix(name, "/"))
	return a, name, ok
}

// Named returns the permissions that scopes ask for by name.
func (t Target) Named(s Scopes) ([]Permission, error) {
	out := make([]Permission, 0, len(s.Permissions))
	for _, p := range s.Permissions {
		i := slices.IndexFunc(t.Offers, func(o Permission) bool { return strings.EqualFold(o.Value, p) })
		if i < 0 {
			return nil, oauth.BadScope(Clip(p), "does not exist on the resource "+t.Name)
		}
		out = append(out, t.Offers[i])
	}
	return out, nil
}

// Clip keeps what of a parameter may stand in a message.
func Clip(s string) string {
	out := make([]rune, 0, 64)
	for _, r := range s {
		if r < 0x20 || r == 0x7f || r == 0xfffd {
			continue
		}
		if len(out) == 100 {
			return string(out) + "…"
		}
		out = append(out, r)
	}
	return string(out)
}
