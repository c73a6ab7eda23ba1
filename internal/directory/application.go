package directory

import (
	"slices"
	"time"

	"github.com/keyreeve/keyreeve/internal/ident"
)

// SignInAudience says whose accounts may sign in to an application.
type SignInAudience string

// The audiences. Accounts of other clouds and personal accounts do not exist here; applications may name them all the same.
const (
	AudienceMyOrg        SignInAudience = "AzureADMyOrg"
	AudienceMultipleOrgs SignInAudience = "AzureADMultipleOrgs"
	AudiencePersonal     SignInAudience = "AzureADandPersonalMicrosoftAccount"
	AudiencePersonalOnly SignInAudience = "PersonalMicrosoftAccount"
)

// Application is the registration of a client or a resource.
type Application struct {
	ID          ident.ObjectID `json:"id"`
	AppID       ident.ClientID `json:"appId"`
	Tenant      ident.TenantID `json:"tenant"`
	DisplayName string         `json:"displayName"`
	Description string         `json:"description,omitempty"`
	Notes       string         `json:"notes,omitempty"`
	Tags        []string       `json:"tags,omitempty"`
	// SignInAudience is empty for AzureADMyOrg in records from before it was kept.
	SignInAudience SignInAudience `json:"signInAudience,omitempty"`
	IdentifierURIs []string       `json:"identifierUris,omitempty"`
	// WebRedirectURIs belong to a client that keeps a secret; SPARedirectURIs to a script in a browser, which redeems
	// its codes across origins; PublicRedirectURIs to a program on somebody's machine. All are matched exactly
	// (RFC 9700 2.1), but for the port of a loopback address (RFC 8252 7.3).
	WebRedirectURIs    []string `json:"webRedirectUris,omitempty"`
	SPARedirectURIs    []string `json:"spaRedirectUris,omitempty"`
	PublicRedirectURIs []string `json:"publicRedirectUris,omitempty"`
	HomePageURL        string   `json:"homePageUrl,omitempty"`
	LogoutURL          string   `json:"logoutUrl,omitempty"`
	// ImplicitIDToken and ImplicitAccessToken are kept for clients that read them back; the implicit flow is not served.
	ImplicitIDToken     bool `json:"implicitIdToken,omitempty"`
	ImplicitAccessToken bool `json:"implicitAccessToken,omitempty"`
	// Public clients keep no secret (RFC 6749 2.1); isFallbackPublicClient.
	Public bool `json:"public,omitempty"`

	// TokenVersion is the form of access tokens for this resource: 1 or 2, 0 for what was not set, which is 1
	// (api.requestedAccessTokenVersion).
	TokenVersion int `json:"tokenVersion,omitempty"`
	// Scopes are the delegated permissions that the application offers (api.oauth2PermissionScopes).
	Scopes []PermissionScope `json:"scopes,omitempty"`
	// PreAuthorized clients may use scopes without consent (api.preAuthorizedApplications).
	PreAuthorized []PreAuthorizedApplication `json:"preAuthorized,omitempty"`
	// KnownClients are consented to together with this resource (api.knownClientApplications).
	KnownClients []ident.ClientID `json:"knownClients,omitempty"`
	// AppRoles are the roles that the application offers to people and applications.
	AppRoles []AppRole `json:"appRoles,omitempty"`
	// RequiredAccess is what it asks for at other resources (requiredResourceAccess): a wish; grants are PermissionGrant
	// and AppRoleAssignment.
	RequiredAccess []RequiredAccess `json:"requiredAccess,omitempty"`
	// GroupClaims asks for groups in its tokens: None, SecurityGroup, All, … (groupMembershipClaims).
	GroupClaims string `json:"groupClaims,omitempty"`
	// OptionalClaims are kept as they were sent.
	OptionalClaims *OptionalClaims `json:"optionalClaims,omitempty"`
	CreatedAt      time.Time       `json:"createdAt"`
}

// Platform is the kind of client that a redirect URI belongs to.
type Platform string

// The platforms.
const (
	PlatformWeb    Platform = "web"
	PlatformSPA    Platform = "spa"
	PlatformPublic Platform = "publicClient"
)

// RedirectURI finds a redirect URI exactly as it was registered.
func (a Application) RedirectURI(uri string) (Platform, bool) {
	switch {
	case slices.Contains(a.WebRedirectURIs, uri):
		return PlatformWeb, true
	case slices.Contains(a.SPARedirectURIs, uri):
		return PlatformSPA, true
	case slices.Contains(a.PublicRedirectURIs, uri):
		return PlatformPublic, true
	}
	return "", false
}

// RedirectURIs returns those of every platform.
func (a Application) RedirectURIs() []string {
	return slices.Concat(a.WebRedirectURIs, a.SPARedirectURIs, a.PublicRedirectURIs)
}

// MultiTenant reports whether tenants other than its own may have a service principal of the application.
func (a Application) MultiTenant() bool {
	return a.SignInAudience == AudienceMultipleOrgs || a.SignInAudience == AudiencePersonal
}

// ScopeType says who may consent to a delegated permission.
type ScopeType string

// The scope types.
const (
	ScopeUser  ScopeType = "User"
	ScopeAdmin ScopeType = "Admin"
)

// PermissionScope is a delegated permission that an application offers.
type PermissionScope struct {
	ID ident.PermissionID `json:"id"`
	// Value is its name in scp; empty for one that cannot be asked for.
	Value   string    `json:"value,omitempty"`
	Type    ScopeType `json:"type"`
	Enabled bool      `json:"isEnabled"`
	// What pages of consent say.
	AdminConsentDisplayName string `json:"adminConsentDisplayName,omitempty"`
	AdminConsentDescription string `json:"adminConsentDescription,omitempty"`
	UserConsentDisplayName  string `json:"userConsentDisplayName,omitempty"`
	UserConsentDescription  string `json:"userConsentDescription,omitempty"`
}

// The kinds of principal that an app role may be given to (allowedMemberTypes).
const (
	MemberUser        = "User" // people and groups
	MemberApplication = "Application"
)

// AppRole is a role that an application offers.
type AppRole struct {
	ID ident.PermissionID `json:"id"`
	// Value is its name in roles; empty for one that is never in a token.
	Value          string   `json:"value,omitempty"`
	DisplayName    string   `json:"displayName"`
	Description    string   `json:"description"`
	Enabled        bool     `json:"isEnabled"`
	AllowedMembers []string `json:"allowedMemberTypes"`
}

// PreAuthorizedApplication is a client that may use scopes of a resource without consent.
type PreAuthorizedApplication struct {
	AppID  ident.ClientID       `json:"appId"`
	Scopes []ident.PermissionID `json:"delegatedPermissionIds"`
}

// The kinds of permission in a RequiredAccess.
const (
	AccessScope = "Scope"
	AccessRole  = "Role"
)

// RequiredAccess is what an application asks for at one resource.
type RequiredAccess struct {
	Resource    ident.ClientID       `json:"resourceAppId"`
	Permissions []RequiredPermission `json:"resourceAccess"`
}

// RequiredPermission is one permission that an application asks for.
type RequiredPermission struct {
	ID   ident.PermissionID `json:"id"`
	Type string             `json:"type"` // AccessScope or AccessRole
}

// OptionalClaims are the claims that an application wants in its tokens.
type OptionalClaims struct {
	IDToken     []OptionalClaim `json:"idToken"`
	AccessToken []OptionalClaim `json:"accessToken"`
	SAML2Token  []OptionalClaim `json:"saml2Token"`
}

// OptionalClaim is one of them.
type OptionalClaim struct {
	Name       string   `json:"name"`
	Source     *string  `json:"source"`
	Essential  bool     `json:"essential"`
	Properties []string `json:"additionalProperties"`
}
