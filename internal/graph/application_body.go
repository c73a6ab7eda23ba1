package graph

import (
	"encoding/json"
	"slices"

	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/ident"
)

// applicationChange is what a request wants of an application.
type applicationChange struct {
	sent []string
	// keys replace the certificates, if they were sent.
	keys     []keyChange
	keysSent bool
	owners   []ident.ObjectID
}

// readApplication reads a body over a. What is an object is merged with what is there, as the service does: a change of
// web.redirectUris leaves web.homePageUrl alone.
func readApplication(b *body, a *directory.Application, created bool) (c applicationChange, err error) {
	audience := string(a.SignInAudience)
	c.sent, err = b.fieldsInto([]fieldOf{
		{"displayName", &a.DisplayName},
		{"description", &a.Description},
		{"notes", &a.Notes},
		{"tags", &a.Tags},
		{"signInAudience", &audience},
		{"identifierUris", &a.IdentifierURIs},
		{"isFallbackPublicClient", &a.Public},
		{"groupMembershipClaims", &a.GroupClaims},
	})
	if err != nil {
		return c, err
	}
	if a.SignInAudience = directory.SignInAudience(audience); audience == "" {
		a.SignInAudience = directory.AudienceMyOrg
	}
	for _, part := range []struct {
		name string
		read func(*body) (bool, error)
	}{
		{"web", func(b *body) (bool, error) { return readWeb(b, a) }},
		{"spa", func(b *body) (bool, error) { return readRedirects(b, "spa", &a.SPARedirectURIs) }},
		{"publicClient", func(b *body) (bool, error) { return readRedirects(b, "publicClient", &a.PublicRedirectURIs) }},
		{"api", func(b *body) (bool, error) { return readAPI(b, a) }},
		{"appRoles", func(b *body) (bool, error) { return readAppRoles(b, a) }},
		{"requiredResourceAccess", func(b *body) (bool, error) { return readRequired(b, a) }},
		{"optionalClaims", func(b *body) (bool, error) { return readOptionalClaims(b, a) }},
		{"keyCredentials", func(b *body) (sent bool, err error) {
			c.keys, c.keysSent, err = readKeys(b, "keyCredentials")
			return c.keysSent, err
		}},
	} {
		sent, err := part.read(b)
		if err != nil {
			return c, err
		}
		if sent {
			c.sent = append(c.sent, part.name)
		}
	}
	slices.Sort(c.sent)
	if err := b.noPasswords(); err != nil {
		return c, err
	}
	if created {
		if c.owners, err = b.references("owners@odata.bind"); err != nil {
			return c, err
		}
	}
	return c, b.rest("microsoft.graph.application", func(name string) bool { _, ok := applicationSchema().find(name); return ok })
}

// noPasswords refuses secrets that the client would choose.
func (b *body) noPasswords() error {
	raw, sent := b.take("passwordCredentials")
	if sent && !isNull(raw) && string(raw) != "[]" {
		return badRequest("New password credentials must be generated with service actions: use addPassword.").At("passwordCredentials")
	}
	return nil
}

func readRedirects(b *body, name string, uris *[]string) (bool, error) {
	o, err := b.object(name, "microsoft.graph."+name+"Application")
	if err != nil || o == nil {
		return false, err
	}
	if _, err := o.texts("redirectUris", uris); err != nil {
		return true, err
	}
	return true, o.rest("microsoft.graph."+name+"Application", nothing)
}

func readWeb(b *body, a *directory.Application) (bool, error) {
	const typ = "microsoft.graph.webApplication"
	o, err := b.object("web", typ)
	if err != nil || o == nil {
		return false, err
	}
	if _, err := o.fieldsInto([]fieldOf{{"homePageUrl", &a.HomePageURL}, {"logoutUrl", &a.LogoutURL}, {"redirectUris", &a.WebRedirectURIs}}); err != nil {
		return true, err
	}
	grant, err := o.object("implicitGrantSettings", "microsoft.graph.implicitGrantSettings")
	if err != nil {
		return true, err
	}
	if grant != nil {
		if _, err := grant.fieldsInto([]fieldOf{{"enableIdTokenIssuance", &a.ImplicitIDToken}, {"enableAccessTokenIssuance", &a.ImplicitAccessToken}}); err != nil {
			return true, err
		}
		if err := grant.rest("microsoft.graph.implicitGrantSettings", nothing); err != nil {
			return true, err
		}
	}
	settings, _, err := o.list("redirectUriSettings", "microsoft.graph.redirectUriSettings")
	if err != nil {
		return true, err
	}
	for _, s := range settings { // what a client read and sends back
		var uri string
		if _, err := s.text("uri", &uri); err != nil {
			return true, err
		}
		if !slices.Contains(a.WebRedirectURIs, uri) {
			return true, badRequest("Property 'redirectUriSettings' names a URI that is not among 'redirectUris'.").At("redirectUriSettings")
		}
		s.take("index")
		if err := s.rest("microsoft.graph.redirectUriSettings", nothing); err != nil {
			return true, err
		}
	}
	return true, o.rest(typ, nothing)
}

func readAPI(b *body, a *directory.Application) (bool, error) {
	const typ = "microsoft.graph.apiApplication"
	o, err := b.object("api", typ)
	if err != nil || o == nil {
		return false, err
	}
	if raw, ok := o.take("requestedAccessTokenVersion"); ok {
		version := 0
		if !isNull(raw) && json.Unmarshal(raw, &version) != nil {
			return true, wrongType("requestedAccessTokenVersion", "Edm.Int32")
		}
		a.TokenVersion = version
	}
	if _, err := o.fieldsInto([]fieldOf{{"knownClientApplications", &a.KnownClients}}); err != nil {
		return true, err
	}
	scopes, sent, err := o.list("oauth2PermissionScopes", "microsoft.graph.permissionScope")
	if err != nil {
		return true, err
	}
	if sent {
		a.Scopes = nil
	}
	for _, s := range scopes {
		p := directory.PermissionScope{Enabled: true}
		kind := string(directory.ScopeUser)
		_, err := s.fieldsInto([]fieldOf{
			{"id", &p.ID},
			{"value", &p.Value},
			{"type", &kind},
			{"isEnabled", &p.Enabled},
			{"adminConsentDisplayName", &p.AdminConsentDisplayName},
			{"adminConsentDescription", &p.AdminConsentDescription},
			{"userConsentDisplayName", &p.UserConsentDisplayName},
			{"userConsentDescription", &p.UserConsentDescription},
		})
		if err != nil {
			return true, err
		}
		s.take("origin")
		s.take("lang")
		p.Type = directory.ScopeType(kind)
		if err := s.rest("microsoft.graph.permissionScope", nothing); err != nil {
			return true, err
		}
		a.Scopes = append(a.Scopes, p)
	}
	clients, sent, err := o.list("preAuthorizedApplications", "microsoft.graph.preAuthorizedApplication")
	if err != nil {
		return true, err
	}
	if sent {
		a.PreAuthorized = nil
	}
	for _, p := range clients {
		var c directory.PreAuthorizedApplication
		if _, err := p.fieldsInto([]fieldOf{{"appId", &c.AppID}, {"delegatedPermissionIds", &c.Scopes}, {"permissionIds", &c.Scopes}}); err != nil {
			return true, err
		}
		if err := p.rest("microsoft.graph.preAuthorizedApplication", nothing); err != nil {
			return true, err
		}
		a.PreAuthorized = append(a.PreAuthorized, c)
	}
	return true, o.rest(typ, func(name string) bool { return name == "acceptMappedClaims" })
}

func readAppRoles(b *body, a *directory.Application) (bool, error) {
	items, sent, err := b.list("appRoles", "microsoft.graph.appRole")
	if err != nil || !sent {
		return sent, err
	}
	a.AppRoles = nil
	for _, o := range items {
		r := directory.AppRole{Enabled: true}
		_, err := o.fieldsInto([]fieldOf{
			{"id", &r.ID}, {"value", &r.Value}, {"displayName", &r.DisplayName}, {"description", &r.Description}, {"isEnabled", &r.Enabled}, {"allowedMemberTypes", &r.AllowedMembers},
		})
		if err != nil {
			return true, err
		}
		o.take("origin")
		o.take("lang")
		if err := o.rest("microsoft.graph.appRole", nothing); err != nil {
			return true, err
		}
		a.AppRoles = append(a.AppRoles, r)
	}
	return true, nil
}

func readRequired(b *body, a *directory.Application) (bool, error) {
	items, sent, err := b.list("requiredResourceAccess", "microsoft.graph.requiredResourceAccess")
	if err != nil || !sent {
		return sent, err
	}
	a.RequiredAccess = nil
	for _, o := range items {
		var r directory.RequiredAccess
		if _, err := o.fieldsInto([]fieldOf{{"resourceAppId", &r.Resource}}); err != nil {
			return true, err
		}
		access, _, err := o.list("resourceAccess", "microsoft.graph.resourceAccess")
		if err != nil {
			return true, err
		}
		for _, x := range access {
			var p directory.RequiredPermission
			if _, err := x.fieldsInto([]fieldOf{{"id", &p.ID}, {"type", &p.Type}}); err != nil {
				return true, err
			}
			if err := x.rest("microsoft.graph.resourceAccess", nothing); err != nil {
				return true, err
			}
			r.Permissions = append(r.Permissions, p)
		}
		if err := o.rest("microsoft.graph.requiredResourceAccess", nothing); err != nil {
			return true, err
		}
		a.RequiredAccess = append(a.RequiredAccess, r)
	}
	return true, nil
}

// maxOptionalClaims bounds what is kept without being interpreted.
const maxOptionalClaims = 100

func readOptionalClaims(b *body, a *directory.Application) (bool, error) {
	raw, ok := b.fields["optionalClaims"]
	if ok && isNull(raw) {
		b.take("optionalClaims")
		a.OptionalClaims = nil
		return true, nil
	}
	const typ = "microsoft.graph.optionalClaims"
	o, err := b.object("optionalClaims", typ)
	if err != nil || o == nil {
		return false, err
	}
	var out directory.OptionalClaims
	for _, list := range []struct {
		name string
		dst  *[]directory.OptionalClaim
	}{{"idToken", &out.IDToken}, {"accessToken", &out.AccessToken}, {"saml2Token", &out.SAML2Token}} {
		items, _, err := o.list(list.name, "microsoft.graph.optionalClaim")
		if err != nil {
			return true, err
		}
		if len(items) > maxOptionalClaims {
			return true, badRequest("The number of optional claims exceeds the limit of %d.", maxOptionalClaims).At("optionalClaims")
		}
		for _, i := range items {
			var c directory.OptionalClaim
			var source string
			if _, err := i.fieldsInto([]fieldOf{{"name", &c.Name}, {"source", &source}, {"essential", &c.Essential}, {"additionalProperties", &c.Properties}}); err != nil {
				return true, err
			}
			if source != "" {
				c.Source = &source
			}
			if err := i.rest("microsoft.graph.optionalClaim", nothing); err != nil {
				return true, err
			}
			*list.dst = append(*list.dst, c)
		}
	}
	a.OptionalClaims = &out
	return true, o.rest(typ, nothing)
}
