// Package oauth owns the words of OAuth 2.0 and OpenID Connect as Entra speaks them, and its errors: which AADSTS
// number goes with which OAuth error.
//
// It is a leaf: it imports the standard library only and does nothing.
package oauth

// Grant types (RFC 6749, 8628; the short form of the device grant is what MSAL Go and ADAL send).
const (
	GrantPassword          = "password"
	GrantClientCredentials = "client_credentials"
	GrantRefreshToken      = "refresh_token"
	GrantDeviceCode        = "urn:ietf:params:oauth:grant-type:device_code"
	GrantDeviceCodeShort   = "device_code"
	GrantAuthorizationCode = "authorization_code"
	GrantOnBehalfOf        = "urn:ietf:params:oauth:grant-type:jwt-bearer"
)

// Form parameters.
const (
	ParamGrantType    = "grant_type"
	ParamClientID     = "client_id"
	ParamClientSecret = "client_secret"
	ParamAssertion    = "client_assertion"
	ParamScope        = "scope"
	ParamResource     = "resource"
	ParamUsername     = "username"
	ParamPassword     = "password"
	ParamRefreshToken = "refresh_token"
	ParamDeviceCode   = "device_code"
	ParamCode         = "code"
	ParamClaims       = "claims"
	ParamClientInfo   = "client_info"
	ParamRedirectURI  = "redirect_uri"
	ParamVerifier     = "code_verifier"
	ParamState        = "state"
	ParamNonce        = "nonce"
	ParamPrompt       = "prompt"
	ParamResponseType = "response_type"
	ParamResponseMode = "response_mode"
)

// The scopes of OpenID Connect, which belong to no resource.
const (
	ScopeOpenID        = "openid"
	ScopeProfile       = "profile"
	ScopeEmail         = "email"
	ScopeOfflineAccess = "offline_access"
	// DefaultSuffix asks for everything a client may have at a resource.
	DefaultSuffix = "/.default"
)

// Response modes (OAuth 2.0 Multiple Response Types, and Form Post).
const (
	ModeQuery    = "query"
	ModeFragment = "fragment"
	ModeFormPost = "form_post"
)

// Prompts (OpenID Connect Core 3.1.2.1, and Entra's select_account).
const (
	PromptNone          = "none"
	PromptLogin         = "login"
	PromptConsent       = "consent"
	PromptSelectAccount = "select_account"
)

// Authentication methods (RFC 8176).
const AMRPassword = "pwd"

// The tenant segments that stand for "the tenant of whoever signs in".
const (
	Organizations = "organizations"
	Common        = "common"
)

// Token is the answer of the v2 token endpoint (RFC 6749 5.1, with Entra's members in its order).
type Token struct {
	TokenType    string `json:"token_type"`
	Scope        string `json:"scope,omitempty"`
	ExpiresIn    int64  `json:"expires_in"`
	ExtExpiresIn int64  `json:"ext_expires_in"`
	ExpiresOn    int64  `json:"expires_on"`
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token,omitempty"`
	FamilyID     string `json:"foci,omitempty"`
	IDToken      string `json:"id_token,omitempty"`
	ClientInfo   string `json:"client_info,omitempty"`
}

// TokenV1 is the answer of the v1 token endpoint: its numbers are strings.
type TokenV1 struct {
	TokenType    string `json:"token_type"`
	Scope        string `json:"scope,omitempty"`
	ExpiresIn    string `json:"expires_in"`
	ExtExpiresIn string `json:"ext_expires_in"`
	ExpiresOn    string `json:"expires_on"`
	NotBefore    string `json:"not_before"`
	Resource     string `json:"resource"`
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token,omitempty"`
	FamilyID     string `json:"foci,omitempty"`
	IDToken      string `json:"id_token,omitempty"`
	ClientInfo   string `json:"client_info,omitempty"`
}

// Device is the answer of the v2 device authorization endpoint (RFC 8628 3.2).
type Device struct {
	UserCode                string `json:"user_code"`
	DeviceCode              string `json:"device_code"`
	VerificationURI         string `json:"verification_uri"`
	VerificationURIComplete string `json:"verification_uri_complete"`
	ExpiresIn               int    `json:"expires_in"`
	Interval                int    `json:"interval"`
	Message                 string `json:"message"`
}

// DeviceV1 is the answer of the v1 device endpoint.
type DeviceV1 struct {
	UserCode        string `json:"user_code"`
	DeviceCode      string `json:"device_code"`
	VerificationURL string `json:"verification_url"`
	ExpiresIn       string `json:"expires_in"`
	Interval        string `json:"interval"`
	Message         string `json:"message"`
}

// ErrorBody is an error answer (RFC 6749 5.2, with Entra's members in its order).
type ErrorBody struct {
	Error         string `json:"error"`
	Description   string `json:"error_description"`
	Codes         []int  `json:"error_codes"`
	Timestamp     string `json:"timestamp"`
	TraceID       string `json:"trace_id"`
	CorrelationID string `json:"correlation_id"`
	URI           string `json:"error_uri,omitempty"`
	Suberror      string `json:"suberror,omitempty"`
}
