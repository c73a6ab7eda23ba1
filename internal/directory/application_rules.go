package directory

import (
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
)

// Bounds of applications (Microsoft Graph, resource application).
const (
	maxURI          = 255
	maxRedirects    = 256
	maxScopes       = 400
	maxPermission   = 120
	maxRequired     = 50
	maxRequiredEach = 400
	maxTags         = 100
)

// CheckApplication refuses an application that is against the rules. domains are the verified domains of its tenant;
// reserved reports whether an identifier URI is a well-known resource's.
func CheckApplication(a Application, domains []string, reserved func(uri string) bool) error {
	const resource = "Application"
	for _, f := range []struct {
		name, value string
		max         int
		required    bool
	}{
		{"displayName", a.DisplayName, maxDisplayName, true},
		{"groupMembershipClaims", a.GroupClaims, maxText, false},
		{"homePageUrl", a.HomePageURL, maxURI, false},
		{"logoutUrl", a.LogoutURL, maxURI, false},
	} {
		if err := checkText(f.name, resource, f.value, f.max, f.required); err != nil {
			return err
		}
	}
	for name, value := range map[string]string{"description": a.Description, "notes": a.Notes} {
		if utf8.RuneCountInString(value) > maxDescription || !utf8.ValidString(value) || hasControl(value, "\t\r\n") {
			return invalid(name, resource)
		}
	}
	switch a.SignInAudience {
	case AudienceMyOrg, AudienceMultipleOrgs, AudiencePersonal, AudiencePersonalOnly:
	default:
		return invalid("signInAudience", resource)
	}
	if a.TokenVersion < 0 || a.TokenVersion > 2 {
		return invalid("requestedAccessTokenVersion", resource)
	}
	for _, check := range []func() error{
		func() error { return checkIdentifierURIs(a, domains, reserved) },
		func() error { return checkRedirects(a) },
		func() error { return checkOffers(a) },
		func() error { return checkAsks(a) },
		func() error { return CheckTags(a.Tags, resource) },
	} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// CheckApplicationChange refuses to take away what somebody may be using: a scope or an app role must be disabled first.
func CheckApplicationChange(was, is Application) error {
	gone := fault.New(fault.Invalid, "CannotDeleteOrUpdateEnabledEntitlement", "Property value cannot be deleted unless it is disabled first.")
	for _, s := range was.Scopes {
		if s.Enabled && !slices.ContainsFunc(is.Scopes, func(t PermissionScope) bool { return t.ID == s.ID }) {
			return gone.At("oauth2PermissionScopes")
		}
	}
	for _, r := range was.AppRoles {
		if r.Enabled && !slices.ContainsFunc(is.AppRoles, func(t AppRole) bool { return t.ID == r.ID }) {
			return gone.At("appRoles")
		}
	}
	return nil
}

// checkIdentifierURIs takes the forms that Entra's default policy does: they name the application, the tenant or one of
// its domains, so that nobody takes a name that means somebody else.
func checkIdentifierURIs(a Application, domains []string, reserved func(string) bool) error {
	for _, text := range a.IdentifierURIs {
		u, err := url.Parse(text)
		if err != nil || len(text) > maxURI || !utf8.ValidString(text) || hasControl(text, "") || strings.ContainsAny(text, "*\\ ") ||
			u.Scheme == "" || u.Fragment != "" || u.User != nil || u.Port() != "" || strings.HasSuffix(text, "/") {
			return badRequest("identifierUris", "Invalid value specified for property 'identifierUris' of resource 'Application'.")
		}
		if reserved(text) {
			return badRequest("identifierUris", "Another object with the same value for property identifierUris already exists.")
		}
		host := Fold(u.Host)
		verified := slices.ContainsFunc(domains, func(d string) bool { return host == Fold(d) || strings.HasSuffix(host, "."+Fold(d)) })
		named := host == a.AppID.String() || host == a.Tenant.String()
		if verified && (u.Scheme == "https" || u.Scheme == "api") || named && u.Scheme == "api" {
			continue
		}
		return fault.New(fault.Invalid, "HostNameNotOnVerifiedDomain",
			"Values of identifierUris property must use a verified domain of the organization or its subdomain, the application's id or the tenant's id: '%s'", text).At("identifierUris")
	}
	return nil
}

func checkRedirects(a Application) error {
	if len(a.RedirectURIs()) > maxRedirects {
		return badRequest("redirectUris", "The number of redirect URIs exceeds the limit of %d.", maxRedirects)
	}
	for _, p := range []struct {
		platform Platform
		uris     []string
	}{{PlatformWeb, a.WebRedirectURIs}, {PlatformSPA, a.SPARedirectURIs}, {PlatformPublic, a.PublicRedirectURIs}} {
		for _, text := range p.uris {
			if !goodRedirect(p.platform, text) {
				return badRequest("redirectUris", "One or more reply urls is not valid, according to the rules for the platform '%s'.", p.platform)
			}
		}
	}
	return nil
}

// goodRedirect takes https and loopback addresses, and for programs on somebody's machine also schemes of their own. No
// fragment (RFC 6749 3.1.2), no wildcard (RFC 9700 2.1), and none of the schemes that run code.
func goodRedirect(p Platform, text string) bool {
	u, err := url.Parse(text)
	if err != nil || len(text) > maxURI || !utf8.ValidString(text) || hasControl(text, "") || strings.ContainsAny(text, "*\\ #<>\"") || u.User != nil {
		return false
	}
	switch u.Scheme {
	case "https":
		return u.Host != ""
	case "http":
		switch u.Hostname() {
		case "localhost", "127.0.0.1", "::1":
			return true
		}
		return false
	case "", "javascript", "data", "vbscript", "file", "about", "blob":
		return false
	}
	return p == PlatformPublic
}

func checkOffers(a Application) error {
	const resource = "Application"
	if len(a.Scopes)+len(a.AppRoles) > maxScopes {
		return badRequest("", "The number of scopes and app roles exceeds the limit of %d.", maxScopes)
	}
	ids, values := map[ident.PermissionID]bool{}, map[string]bool{}
	take := func(property string, id ident.PermissionID, value string) error {
		if id.IsZero() {
			return badRequest(property, "Invalid value specified for property 'id' of resource '%s'.", property)
		}
		if len(value) > maxPermission || strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' || r == ',' || r == ';' }) {
			return invalid("value", property)
		}
		if ids[id] || value != "" && values[Fold(value)] {
			return badRequest(property, "Property %s has a duplicate id or value. Each must be unique.", property)
		}
		ids[id], values[Fold(value)] = true, true
		return nil
	}
	for _, s := range a.Scopes {
		if err := take("oauth2PermissionScopes", s.ID, s.Value); err != nil {
			return err
		}
		if s.Type != ScopeUser && s.Type != ScopeAdmin || s.Enabled && s.Value == "" {
			return invalid("oauth2PermissionScopes", resource)
		}
	}
	for _, r := range a.AppRoles {
		if err := take("appRoles", r.ID, r.Value); err != nil {
			return err
		}
		known := func(m string) bool { return m == MemberUser || m == MemberApplication }
		if len(r.AllowedMembers) == 0 || slices.ContainsFunc(r.AllowedMembers, func(m string) bool { return !known(m) }) {
			return invalid("allowedMemberTypes", "appRoles")
		}
		if checkText("displayName", resource, r.DisplayName, maxDisplayName, true) != nil || checkText("description", resource, r.Description, maxDescription, false) != nil {
			return invalid("appRoles", resource)
		}
	}
	for _, p := range a.PreAuthorized {
		for _, id := range p.Scopes {
			if !slices.ContainsFunc(a.Scopes, func(s PermissionScope) bool { return s.ID == id }) {
				return badRequest("preAuthorizedApplications", "Property PreAuthorizedApplication references applications or permissions that cannot be found.")
			}
		}
	}
	return nil
}

func checkAsks(a Application) error {
	bad := invalid("requiredResourceAccess", "Application")
	if len(a.RequiredAccess) > maxRequired {
		return bad
	}
	seen := map[ident.ClientID]bool{}
	total := 0
	for _, r := range a.RequiredAccess {
		if r.Resource.IsZero() || seen[r.Resource] || len(r.Permissions) == 0 {
			return bad
		}
		seen[r.Resource] = true
		total += len(r.Permissions)
		for _, p := range r.Permissions {
			if p.ID.IsZero() || p.Type != AccessScope && p.Type != AccessRole {
				return bad
			}
		}
	}
	if total > maxRequiredEach {
		return bad
	}
	return nil
}

// CheckTags refuses tags that are not plain short texts.
func CheckTags(tags []string, resource string) error {
	if len(tags) > maxTags {
		return invalid("tags", resource)
	}
	for _, t := range tags {
		if checkText("tags", resource, t, maxDisplayName, true) != nil {
			return invalid("tags", resource)
		}
	}
	return nil
}

// CheckServicePrincipal refuses a service principal that is against the rules.
func CheckServicePrincipal(p ServicePrincipal) error {
	const resource = "ServicePrincipal"
	for _, f := range []struct {
		name, value string
		max         int
		required    bool
	}{
		{"displayName", p.DisplayName, maxDisplayName, true},
		{"homepage", p.Homepage, maxURI, false},
		{"loginUrl", p.LoginURL, maxURI, false},
	} {
		if err := checkText(f.name, resource, f.value, f.max, f.required); err != nil {
			return err
		}
	}
	for name, value := range map[string]string{"description": p.Description, "notes": p.Notes} {
		if utf8.RuneCountInString(value) > maxDescription || !utf8.ValidString(value) || hasControl(value, "\t\r\n") {
			return invalid(name, resource)
		}
	}
	for _, n := range p.AlternativeNames {
		if checkText("alternativeNames", resource, n, maxDescription, true) != nil {
			return invalid("alternativeNames", resource)
		}
	}
	return CheckTags(p.Tags, resource)
}
