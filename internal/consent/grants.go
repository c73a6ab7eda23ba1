package consent

import (
	"slices"
	"strings"

	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/oauth"
	"github.com/keyreeve/keyreeve/internal/store"
)

// oidc are the scopes of OpenID Connect, which people allow at Microsoft Graph.
func oidc() []Permission {
	return []Permission{
		{Value: oauth.ScopeOpenID, Name: "Sign you in"},
		{Value: oauth.ScopeProfile, Name: "See your basic profile", Text: "Your name, user name and picture."},
		{Value: oauth.ScopeEmail, Name: "See your e-mail address"},
		{Value: oauth.ScopeOfflineAccess, Name: "Keep the access you allow", Text: "Also when you are not using the application."},
	}
}

// offers are permissions as people are asked for them.
func offers(name string, list []directory.PermissionScope) []Permission {
	var out []Permission
	for _, s := range list {
		if !s.Enabled || s.Value == "" {
			continue
		}
		p := Permission{Value: s.Value, Name: s.UserConsentDisplayName, Text: s.UserConsentDescription, Admin: s.Type == directory.ScopeAdmin, id: s.ID}
		if p.Name == "" {
			p.Name, p.Text = s.AdminConsentDisplayName, s.AdminConsentDescription
		}
		if p.Name == "" {
			p.Name = s.Value + " at " + name
		}
		if strings.TrimSuffix(p.Text, ".") == p.Name {
			p.Text = "" // nobody reads the same twice
		}
		out = append(out, p)
	}
	return out
}

// firstPartyOffers are the permissions of a well-known resource.
func (d Directory) firstPartyOffers(r directory.FirstParty) []Permission {
	scopes, _ := d.Catalog.Offers(r.AppID)
	out := offers(r.DisplayName, scopes)
	if r.AppID != directory.MicrosoftGraph() {
		for i := range out {
			out[i].Name, out[i].Text = "Use "+r.DisplayName+" as you", "The application can do there what you can do."
		}
		return out
	}
	for _, o := range oidc() {
		for i := range out {
			if out[i].Value == o.Value {
				out[i].Name, out[i].Text = o.Name, o.Text
			}
		}
	}
	return out
}

// registeredOffers are the permissions that an application registered. One that registered none can be used as the person.
func registeredOffers(a directory.Application) []Permission {
	if len(a.Scopes) == 0 {
		return []Permission{{Value: "user_impersonation", Name: "Use " + a.DisplayName + " as you"}}
	}
	return offers(a.DisplayName, a.Scopes)
}

// wanted returns what a registered client asks for at a resource.
func (d Directory) wanted(c Client, t Target, s Scopes, granted []string) ([]Permission, error) {
	named, err := t.Named(s)
	if err != nil {
		return nil, err
	}
	switch {
	case s.All:
		return slices.DeleteFunc(slices.Clone(t.Offers), func(p Permission) bool {
			return !slices.Contains(granted, p.Value) && !c.requires(t, p)
		}), nil
	case s.Resource == "": // OpenID Connect alone
		for _, p := range oidc() {
			if s.asksOIDC(p.Value) {
				named = append(named, p)
			}
		}
	}
	return named, nil
}

func (s Scopes) asksOIDC(value string) bool {
	switch value {
	case oauth.ScopeOpenID:
		return s.OpenID
	case oauth.ScopeProfile:
		return s.Profile
	case oauth.ScopeEmail:
		return s.Email
	case oauth.ScopeOfflineAccess:
		return s.Offline
	}
	return false
}

// requires reports whether the client's registration lists a permission (requiredResourceAccess). Where it lists none
// of a resource that offers a single one, that is meant.
func (c Client) requires(t Target, p Permission) bool {
	if c.app == nil {
		return false
	}
	listed := false
	for _, r := range c.app.RequiredAccess {
		if r.Resource != t.ID {
			continue
		}
		for _, a := range r.Permissions {
			if a.Type != directory.AccessScope {
				continue
			}
			listed = true
			if a.ID == p.id && !p.id.IsZero() {
				return true
			}
		}
	}
	return !listed && len(t.Offers) == 1
}

// granted returns what somebody allowed a client at a resource, on behalf of a person: the person, an administrator for
// everybody, or whoever registered the resource and authorized the client beforehand.
func (d Directory) granted(c Client, t Target, user ident.ObjectID) []string {
	var out []string
	for _, g := range d.World.PermissionGrants(c.Principal.ID) {
		if g.Resource == t.Principal && g.Covers(user) {
			out = append(out, g.Scopes()...)
		}
	}
	if t.app == nil {
		return out
	}
	for _, pre := range t.app.PreAuthorized {
		if pre.AppID != c.ID {
			continue
		}
		for _, p := range t.Offers {
			if slices.Contains(pre.Scopes, p.id) {
				out = append(out, p.Value)
			}
		}
	}
	return out
}

// Missing returns the permissions that a client asks for and nobody has allowed yet, on behalf of a person. With anew,
// it returns all that it asks for.
func (d Directory) Missing(c Client, t Target, s Scopes, user ident.ObjectID, anew bool) ([]Permission, error) {
	if trusted(c, t) {
		return nil, nil
	}
	granted := d.granted(c, t, user)
	wanted, err := d.wanted(c, t, s, granted)
	if err != nil {
		return nil, err
	}
	if len(wanted) == 0 && c.FirstParty {
		return nil, oauth.NoConsent(c.ID.String(), c.Name)
	}
	if len(wanted) == 0 {
		return nil, oauth.NothingAsked(c.ID.String(), t.Name)
	}
	if anew {
		return wanted, nil
	}
	return slices.DeleteFunc(wanted, func(p Permission) bool { return slices.Contains(granted, p.Value) }), nil
}

// trusted reports whether a client needs nobody's consent at a resource: well-known applications among themselves, and
// an application with itself.
func trusted(c Client, t Target) bool { return c.FirstParty && t.app == nil || c.ID == t.ID }

// Permissions returns the delegated permissions (scp) that a person's token for a resource carries, or the refusal if
// nobody allowed the client what it asks for.
func (d Directory) Permissions(c Client, t Target, s Scopes, user ident.ObjectID) ([]string, error) {
	if trusted(c, t) {
		named, err := t.Named(s)
		if err != nil || len(named) > 0 && !s.All {
			return values(named), err
		}
		if t.app == nil {
			return t.All, nil
		}
		return values(t.Offers), nil
	}
	missing, err := d.Missing(c, t, s, user, false)
	if err != nil {
		return nil, err
	}
	if len(missing) > 0 {
		return nil, oauth.NoConsent(c.ID.String(), c.Name)
	}
	wanted, err := d.wanted(c, t, s, d.granted(c, t, user))
	return values(wanted), err
}

func values(list []Permission) []string {
	out := make([]string, 0, len(list))
	for _, p := range list {
		out = append(out, p.Value)
	}
	return out
}

// Give keeps consent in the caller's transaction: for one person, or with everybody for all. It adds to what was given.
func Give(tx *store.Tx, c Client, b Bundle, user directory.User, everybody bool) error {
	g := directory.PermissionGrant{
		ID: ident.New[ident.GrantID](), Tenant: user.Tenant, Client: c.Principal.ID, Resource: b.Target.Principal, Consent: directory.OnePrincipal, Principal: user.ID,
	}
	if everybody {
		g.Consent, g.Principal = directory.AllPrincipals, ident.ObjectID{}
	}
	old, err := tx.PermissionGrantsOf(c.Principal.ID)
	if err != nil {
		return err
	}
	have := []string{}
	for _, o := range old {
		if o.Resource == g.Resource && o.Consent == g.Consent && o.Principal == g.Principal {
			g.ID, have = o.ID, o.Scopes()
		}
	}
	for _, p := range b.Permissions {
		if !slices.Contains(have, p.Value) {
			have = append(have, p.Value)
		}
	}
	g.Scope = strings.Join(have, " ")
	return tx.PutPermissionGrant(g)
}

// Assigned refuses a person without an app role of a client that lets in nobody else (appRoleAssignmentRequired).
func (d Directory) Assigned(tx *store.Tx, c Client, user directory.User) error {
	if c.FirstParty || c.Principal.ID.IsZero() {
		return nil
	}
	p, err := tx.ServicePrincipal(c.Principal.ID)
	if err != nil || !p.AssignmentRequired {
		return err
	}
	for _, holder := range append(slices.Clone(d.World.GroupsOf(user.ID)), user.ID) {
		for _, a := range d.World.AppRoleAssignments(holder) {
			if a.Resource == p.ID {
				return nil
			}
		}
	}
	return oauth.NotAssigned(user.UserPrincipalName, c.ID.String(), c.Name)
}

// Roles returns the values of the app roles that a principal holds at a resource, itself or by groups (roles).
func (d Directory) Roles(t Target, holder ident.ObjectID) []string {
	offered := d.rolesOf(t)
	if len(offered) == 0 {
		return nil
	}
	var out []string
	for _, id := range append(slices.Clone(d.World.GroupsOf(holder)), holder) {
		for _, a := range d.World.AppRoleAssignments(id) {
			i := slices.IndexFunc(offered, func(r directory.AppRole) bool { return r.ID == a.Role && r.Enabled })
			if a.Resource == t.Principal && i >= 0 && offered[i].Value != "" && !slices.Contains(out, offered[i].Value) {
				out = append(out, offered[i].Value)
			}
		}
	}
	slices.Sort(out)
	return out
}

// Bundle is what an application registered that it needs at one resource.
type Bundle struct {
	Target      Target
	Permissions []Permission
	// Roles are those that it wants to hold itself.
	Roles []directory.AppRole
}

// Required returns all that a client registered that it needs (requiredResourceAccess), in a tenant.
func (d Directory) Required(c Client, tenant ident.TenantID) ([]Bundle, error) {
	if c.app == nil {
		return nil, nil
	}
	var out []Bundle
	for _, r := range c.app.RequiredAccess {
		t, err := d.Target(Scopes{Resource: r.Resource.String()}, tenant, tenant.String())
		if err != nil {
			return nil, err
		}
		b := Bundle{Target: t}
		for _, p := range t.Offers {
			if slices.Contains(r.Permissions, directory.RequiredPermission{ID: p.id, Type: directory.AccessScope}) {
				b.Permissions = append(b.Permissions, p)
			}
		}
		for _, role := range d.rolesOf(t) {
			if slices.Contains(r.Permissions, directory.RequiredPermission{ID: role.ID, Type: directory.AccessRole}) {
				b.Roles = append(b.Roles, role)
			}
		}
		out = append(out, b)
	}
	return out, nil
}

// rolesOf returns the app roles that a resource offers.
func (d Directory) rolesOf(t Target) []directory.AppRole {
	if t.app != nil {
		return t.app.AppRoles
	}
	_, roles := d.Catalog.Offers(t.ID)
	return roles
}

// Actor returns a person as the rules of the directory see them, on our own pages: with all that they may do.
func (d Directory) Actor(user ident.ObjectID, guest bool) directory.Actor {
	roles := d.World.DirectoryRoles(user)
	for _, g := range d.World.GroupsOf(user) {
		if group, ok := d.World.Group(g); ok && group.IsAssignableToRole {
			roles = append(roles, d.World.DirectoryRoles(g)...)
		}
	}
	return directory.Actor{ID: user, Guest: guest, Roles: roles, Permissions: []string{directory.AccessAsUser}}
}
