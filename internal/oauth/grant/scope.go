package grant

import (
	"slices"
	"strings"

	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/oauth"
)

// scopes is a parsed scope parameter.
type scopes struct {
	// raw is the parameter as it was sent; answers echo it, since clients look up what they cached by it.
	raw                             string
	openID, profile, email, offline bool
	// resource is what the other scopes belong to; empty if there are none.
	resource string
	// all asks for everything (/.default); else permissions lists what is asked for.
	all         bool
	permissions []string
}

// maxScope is the longest scope parameter that is read, in bytes.
const maxScope = 8 << 10

// parseScope reads a scope parameter (RFC 6749 3.3) in Entra's form: OpenID Connect's scopes, and any number of scopes
// of one resource, each written RESOURCE/PERMISSION. A permission without a resource belongs to Microsoft Graph.
//
// The resource keeps a slash of its own: https://management.core.windows.net//.default is for
// https://management.core.windows.net/.
func parseScope(text string) (scopes, error) {
	if len(text) > maxScope {
		return scopes{}, oauth.BadScope(clip(text), "is too long")
	}
	s := scopes{raw: text}
	for _, c := range []byte(text) {
		if c < 0x20 || c > 0x7e || c == '"' || c == '\\' {
			return scopes{}, oauth.BadScope(clip(text), "holds a character that scopes may not have")
		}
	}
	for part := range strings.FieldsSeq(text) {
		switch part {
		case oauth.ScopeOpenID:
			s.openID = true
			continue
		case oauth.ScopeProfile:
			s.profile = true
			continue
		case oauth.ScopeEmail:
			s.email = true
			continue
		case oauth.ScopeOfflineAccess:
			s.offline = true
			continue
		}
		resource, permission, err := splitScope(part)
		if err != nil {
			return scopes{}, err
		}
		if s.resource != "" && s.resource != resource {
			return scopes{}, oauth.BadScope(clip(part), "belongs to another resource than the scopes before it: a token is for one resource")
		}
		s.resource = resource
		if permission == ".default" {
			s.all = true
		} else if !slices.Contains(s.permissions, permission) {
			s.permissions = append(s.permissions, permission)
		}
	}
	if s.all && len(s.permissions) > 0 {
		return scopes{}, oauth.BadScope(clip(text), "combines /.default with permissions of the same resource")
	}
	return s, nil
}

// splitScope takes a scope apart at its last slash, if that is not one of the resource's scheme.
func splitScope(scope string) (resource, permission string, err error) {
	i := strings.LastIndexByte(scope, '/')
	if i < 0 {
		return directory.MicrosoftGraph().String(), scope, nil
	}
	resource, permission = scope[:i], scope[i+1:]
	if resource == "" || permission == "" || strings.HasSuffix(resource, ":/") || resource == "/" {
		return "", "", oauth.BadScope(clip(scope), "names no permission: write RESOURCE/.default")
	}
	return resource, permission, nil
}

// target is the resource that a token is for.
type target struct {
	id   ident.ClientID
	name string
	aud  string
	// scp are the delegated permissions, when a person is involved.
	scp    []string
	groups bool
}

// resolve finds the resource that a request asks for, and holds the client against it.
func (h Handler) resolve(req *request, person bool) error {
	if req.v1 {
		if err := req.readResource(); err != nil {
			return err
		}
	} else if err := req.readScope(person); err != nil {
		return err
	}
	name := req.scopes.resource
	if name == "" {
		name = directory.MicrosoftGraph().String()
	}
	if r, aud, ok := h.Catalog.Resource(name); ok {
		req.target = target{id: r.AppID, name: r.DisplayName, aud: aud, groups: r.GroupClaims}
		if !person {
			return nil
		}
		var err error
		req.target.scp, err = req.client.scopesOf(r, req.scopes)
		return err
	}
	return h.resolveRegistered(req, name, person)
}

// resolveRegistered finds a resource among the applications that tenants registered.
func (h Handler) resolveRegistered(req *request, name string, person bool) error {
	tenant := req.tenant.ID
	if tenant.IsZero() {
		tenant = req.client.tenant
	}
	unknown := oauth.UnknownResource(clip(name), h.tenantName(req))
	app, aud, ok := h.registered(tenant, name)
	if !ok {
		return unknown
	}
	if p, ok := h.World.ServicePrincipalOf(tenant, app.AppID); !ok || !p.Enabled {
		return unknown
	}
	req.target = target{id: app.AppID, name: app.DisplayName, aud: aud, groups: true}
	if person {
		if app.AppID != req.client.id {
			return oauth.NoConsent(req.client.id.String(), req.client.name)
		}
		req.target.scp = []string{"user_impersonation"}
	}
	return nil
}

// registered finds an application by appId or identifier URI, and the aud of its tokens.
func (h Handler) registered(tenant ident.TenantID, name string) (directory.Application, string, bool) {
	if id, err := ident.Parse[ident.ClientID](name); err == nil {
		a, ok := h.World.Application(id)
		return a, id.String(), ok && a.Tenant == tenant
	}
	a, ok := h.World.ApplicationByURI(tenant, strings.TrimSuffix(name, "/"))
	return a, name, ok
}

// readResource reads v1's resource parameter; a device code remembers that of its start.
func (r *request) readResource() error {
	name := r.form[oauth.ParamResource]
	if name == "" {
		name = r.device.Scope
	}
	if name == "" {
		return oauth.MissingParameter(oauth.ParamResource)
	}
	if r.device.Scope != "" && name != r.device.Scope {
		return oauth.BadScope(clip(name), "is not the resource that the device code was asked for")
	}
	// v1 always answers people with an id token and a refresh token.
	r.scopes = scopes{raw: name, resource: name, all: true, openID: true, profile: true, offline: true}
	return nil
}

// readScope reads v2's scope parameter; a device code remembers that of its start.
func (r *request) readScope(person bool) error {
	text := r.form[oauth.ParamScope]
	if text == "" {
		text = r.device.Scope
	}
	if text == "" {
		return oauth.MissingParameter(oauth.ParamScope)
	}
	s, err := parseScope(text)
	if err != nil {
		return err
	}
	if !person && (!s.all || s.resource == "") {
		return oauth.NotDefaultScope(clip(text))
	}
	if r.device.Scope != "" {
		asked, err := parseScope(r.device.Scope)
		if err != nil {
			return err
		}
		if s.resource != asked.resource {
			return oauth.BadScope(clip(text), "is for another resource than the device code was asked for")
		}
	}
	r.scopes = s
	return nil
}
