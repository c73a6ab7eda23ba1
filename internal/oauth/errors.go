package oauth

import (
	"errors"
	"fmt"
	"strconv"
	"time"
)

// The OAuth error words.
const (
	InvalidRequest         = "invalid_request"
	InvalidClient          = "invalid_client"
	InvalidGrant           = "invalid_grant"
	InvalidScope           = "invalid_scope"
	InvalidResource        = "invalid_resource"
	InvalidTenant          = "invalid_tenant"
	InvalidInstance        = "invalid_instance"
	UnauthorizedClient     = "unauthorized_client"
	UnsupportedGrantType   = "unsupported_grant_type"
	AuthorizationPending   = "authorization_pending"
	AuthorizationDeclined  = "authorization_declined"
	SlowDown               = "slow_down"
	ExpiredToken           = "expired_token"
	DeviceCodeExpired      = "code_expired" // v1's word for expired_token
	BadVerificationCode    = "bad_verification_code"
	AccessDenied           = "access_denied"
	LoginRequired          = "login_required"
	InteractionRequired    = "interaction_required"
	ConsentRequired        = "consent_required"
	UnsupportedResponse    = "unsupported_response_type"
	ServerError            = "server_error"
	TemporarilyUnavailable = "temporarily_unavailable"
)

// Sub-errors that MSAL acts on.
const (
	SubBadToken        = "bad_token"
	SubClientMismatch  = "client_mismatch"
	SubConsent         = "consent_required"
	SubPasswordExpired = "user_password_expired"
)

// Error is a refusal in the words of the protocol. Everything but the cause is shown to the client.
type Error struct {
	Status   int    // HTTP status
	Word     string // error
	Number   int    // AADSTS number
	Text     string // error_description, without the number
	Suberror string
	cause    error
}

// Error returns the description as it is shown.
func (e *Error) Error() string { return fmt.Sprintf("AADSTS%d: %s", e.Number, e.Text) }

// Code returns the AADSTS code.
func (e *Error) Code() string { return "AADSTS" + strconv.Itoa(e.Number) }

// Unwrap returns the cause, which is for the log alone.
func (e *Error) Unwrap() error { return e.cause }

// Because returns a copy with a hidden cause.
func (e *Error) Because(cause error) *Error {
	c := *e
	c.cause = cause
	return &c
}

// As finds an Error in err's chain.
func As(err error) (*Error, bool) { return errors.AsType[*Error](err) }

// Body returns the answer. trace is the request's id, correlation what the client sent for its own or trace.
func (e *Error) Body(base, trace, correlation string, now time.Time) ErrorBody {
	stamp := now.UTC().Format("2006-01-02 15:04:05Z")
	return ErrorBody{
		Error: e.Word,
		Description: fmt.Sprintf("AADSTS%d: %s\r\nTrace ID: %s\r\nCorrelation ID: %s\r\nTimestamp: %s",
			e.Number, e.Text, trace, correlation, stamp),
		Codes: []int{e.Number}, Timestamp: stamp, TraceID: trace, CorrelationID: correlation,
		URI: base + "/error?code=" + strconv.Itoa(e.Number), Suberror: e.Suberror,
	}
}

func bad(word string, number int, format string, args ...any) *Error {
	e := &Error{Status: 400, Word: word, Number: number, Text: fmt.Sprintf(format, args...)}
	if word == InvalidClient {
		e.Status = 401
	}
	return e
}

// The refusals, by what was wrong. Their numbers and words are those of wire-contract 16.

// MissingParameter says: a parameter that the request must have is not there.
func MissingParameter(name string) *Error {
	return bad(InvalidRequest, 900144, "The request body must contain the following parameter: '%s'.", name)
}

// DuplicateParameter says: RFC 6749 3.1 allows each parameter once.
func DuplicateParameter(name string) *Error {
	return bad(InvalidRequest, 9000411, "The request is not properly formatted. The parameter '%s' is duplicated.", name)
}

// Malformed says: the request cannot be read.
func Malformed(why string) *Error {
	return bad(InvalidRequest, 9002313, "Invalid request. Request is malformed or invalid: %s.", why)
}

// UnsupportedGrant says: the grant type is not offered.
func UnsupportedGrant(grant string) *Error {
	return bad(UnsupportedGrantType, 70003, "The app requested an unsupported grant type '%s'.", grant)
}

// UnknownTenant says: no tenant has this id or domain.
func UnknownTenant(name string) *Error {
	return bad(InvalidTenant, 90002, "Tenant '%s' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud. "+
		"Check with your subscription administrator, this may happen if there are no active subscriptions for the tenant.", name)
}

// BadTenantName says: the tenant segment can be neither an id nor a domain.
func BadTenantName(name string) *Error {
	return bad(InvalidRequest, 900023, "Specified tenant identifier '%s' is neither a valid DNS name, nor a valid external domain.", name)
}

// NoTenant says: an application asked at organizations or common, where its tenant cannot be known.
func NoTenant() *Error {
	return bad(InvalidRequest, 50059, "No tenant-identifying information found in either the request or implied by any provided credentials.")
}

// UnknownClient says: the tenant has no such application.
func UnknownClient(client, tenant string) *Error {
	return bad(UnauthorizedClient, 700016, "Application with identifier '%s' was not found in the directory '%s'. "+
		"This can happen if the application has not been installed by the administrator of the tenant or consented to by any user in the tenant. "+
		"You may have sent your authentication request to the wrong tenant.", client, tenant)
}

// NoServicePrincipal says: the application exists, and cannot act in this tenant.
func NoServicePrincipal(client, tenant string) *Error {
	return bad(InvalidClient, 7000229, "The client application '%s' is missing service principal in the tenant '%s'.", client, tenant)
}

// ClientDisabled says: the application's principal is disabled.
func ClientDisabled(client string) *Error {
	return bad(UnauthorizedClient, 7000112, "Application '%s' is disabled.", client)
}

// MissingSecret says: a confidential client did not prove who it is.
func MissingSecret() *Error {
	return bad(InvalidClient, 7000218, "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.")
}

// MissingSecretForApp says: an application asked for a token of its own without a proof.
func MissingSecretForApp() *Error {
	return bad(InvalidClient, 7000216, "'client_assertion', 'client_secret' or 'request' is required for the 'client_credentials' grant type.")
}

// PublicClient says: a public client sent a secret, which it cannot keep.
func PublicClient() *Error {
	return bad(InvalidClient, 700025, "Client is public so neither 'client_assertion' nor 'client_secret' should be presented.")
}

// BadSecret says: the client secret is wrong.
func BadSecret(app string) *Error {
	return bad(InvalidClient, 7000215, "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, "+
		"not the client secret ID, for a secret added to app '%s'.", app)
}

// ExpiredSecret says: the client secret is right, and over.
func ExpiredSecret(app string) *Error {
	return bad(InvalidClient, 7000222, "The provided client secret keys for app '%s' are expired. "+
		"Create new keys for the app, or use certificate credentials for added security.", app)
}

// UnknownAssertion says: the key that signed a client assertion is not registered on the application.
func UnknownAssertion() *Error {
	return bad(InvalidClient, 700027, "The certificate with identifier used to sign the client assertion is not registered on application.")
}

// BadAssertion says: a client assertion cannot be read.
func BadAssertion(why string) *Error {
	return bad(InvalidClient, 50027, "JWT token is invalid or malformed: %s.", why)
}

// AssertionOfOther says: a client assertion was made about another application.
func AssertionOfOther() *Error {
	return bad(InvalidClient, 700021, "Client assertion application identifier doesn't match 'client_id' parameter.")
}

// AssertionAudience says: a client assertion is meant for somebody else.
func AssertionAudience() *Error {
	return bad(InvalidClient, 700023, "Client assertion audience claim does not match Realm issuer: it must be the token endpoint of the tenant.")
}

// AssertionTime says: a client assertion is over, not good yet, or good for too long.
func AssertionTime(now, from, to time.Time) *Error {
	const form = "2006-01-02T15:04:05.0000000Z"
	return bad(InvalidClient, 700024, "Client assertion is not within its valid time range. Current time: %s, assertion valid from %s, expiry time of assertion %s.",
		now.UTC().Format(form), from.UTC().Format(form), to.UTC().Format(form))
}

// AssertionSignature says: a registered certificate is named, and did not sign the assertion or is over.
func AssertionSignature(why string) *Error {
	return bad(InvalidClient, 700027, "The certificate with identifier used to sign the client assertion is expired on application or its signature validation failed: %s.", why)
}

// AssertionReplayed says: the same assertion came from too many places.
func AssertionReplayed() *Error {
	return bad(InvalidClient, 7000274, "The client assertion was presented from too many network addresses: make a new one.")
}

// AssertionForged says: no key of the issuer signed the assertion.
func AssertionForged() *Error {
	return bad(InvalidClient, 50013, "Assertion failed signature validation: no key of its issuer signed it.")
}

// IssuerUnknown says: the keys of a trusted issuer could not be found.
func IssuerUnknown(issuer string) *Error {
	return bad(InvalidClient, 700225, "The signing keys of the assertion's issuer '%s' could not be found: its openid-configuration must be readable from here.", issuer)
}

// NoFederatedCredential says in what an assertion of somebody else differs from all that is trusted; nearest is how far
// the best match went: to none (0), to the issuer, to the subject, to the audience.
func NoFederatedCredential(nearest int, issuer, subject, audience string) *Error {
	const rest = " Please check your federated identity credential Subject, Audience and Issuer against the presented assertion."
	switch nearest {
	case 0:
		return bad(InvalidClient, 70021, "No matching federated identity record found for presented assertion."+rest)
	case 1:
		return bad(InvalidClient, 700211, "No matching federated identity record found for presented assertion issuer '%s'."+rest, issuer)
	case 2:
		return bad(InvalidClient, 700213, "No matching federated identity record found for presented assertion subject '%s'."+rest, subject)
	}
	return bad(InvalidClient, 700212, "No matching federated identity record found for presented assertion audience '%s'."+rest, audience)
}

// BadScope says: a scope cannot be read or given.
func BadScope(scope, why string) *Error {
	return bad(InvalidScope, 70011, "The provided value for the input parameter 'scope' is not valid. The scope '%s' %s.", scope, why)
}

// NotDefaultScope says: applications ask for all they have, with /.default.
func NotDefaultScope(scope string) *Error {
	return bad(InvalidScope, 1002012, "The provided value for scope %s is not valid. "+
		"Client credential flows must have a scope value with /.default suffixed to the resource identifier (application ID URI).", scope)
}

// UnknownResource says: the tenant has no such resource.
func UnknownResource(resource, tenant string) *Error {
	return bad(InvalidResource, 500011, "The resource principal named %s was not found in the tenant named %s. "+
		"This can happen if the application has not been installed by the administrator of the tenant or consented to by any user in the tenant. "+
		"You might have sent your authentication request to the wrong tenant.", resource, tenant)
}

// NoConsent says: nobody has allowed the application to act for people at the resource.
func NoConsent(client, name string) *Error {
	e := bad(InvalidGrant, 65001, "The user or administrator has not consented to use the application with ID '%s' named '%s'. "+
		"Send an interactive authorization request for this user and resource.", client, name)
	e.Suberror = SubConsent
	return e
}

// BadCredentials says: the name or the password is wrong; which of them is not told.
func BadCredentials() *Error {
	return bad(InvalidGrant, 50126, "Error validating credentials due to invalid username or password.")
}

// Locked says: too many wrong passwords in a row.
func Locked() *Error {
	return bad(InvalidGrant, 50053, "The account is locked, you've tried to sign in too many times with an incorrect user ID or password.")
}

// PasswordExpired says: the password is right and must be changed first, which takes a page.
func PasswordExpired() *Error {
	e := bad(InvalidGrant, 50055, "The password is expired. Sign in with a browser, where a new one can be chosen.")
	e.Suberror = SubPasswordExpired
	return e
}

// UserDisabled says: the account is disabled.
func UserDisabled() *Error { return bad(InvalidGrant, 50057, "The user account is disabled.") }

// UserGone says: the account that signed in does not exist any more.
func UserGone() *Error {
	return bad(InvalidGrant, 50034, "The user account does not exist in the directory. To sign into this application, the account must be added to the directory.")
}

// OtherTenant says: the account belongs to another tenant, and is no guest here.
func OtherTenant(name, tenant string) *Error {
	return bad(InvalidGrant, 50020, "User account '%s' does not exist in tenant '%s' and cannot access the application in that tenant. "+
		"The account needs to be added as an external user in the tenant first.", name, tenant)
}

// PasswordGrantOff says: the tenant does not let this client use the password grant. Entra's number for it is that of an
// application without public client flows.
func PasswordGrantOff(client string) *Error {
	return bad(InvalidClient, 7000218, "The request body must contain the following parameter: 'client_assertion' or 'client_secret'. "+
		"The password grant is not allowed for application '%s' in this tenant: sign in with a browser or a device code.", client)
}

// BadRefreshToken says: it was not issued by this service.
func BadRefreshToken() *Error {
	e := bad(InvalidGrant, 70000, "The provided value for the input parameter 'refresh_token' is not valid: the token is malformed or not known.")
	e.Suberror = SubBadToken
	return e
}

// ForeignRefreshToken says: it was issued to another client.
func ForeignRefreshToken() *Error {
	e := bad(InvalidGrant, 70000, "The provided value for the input parameter 'refresh_token' is not valid: it was issued to another client.")
	e.Suberror = SubClientMismatch
	return e
}

// RefreshTokenExpired says: it was not used for too long.
func RefreshTokenExpired() *Error {
	e := bad(InvalidGrant, 700082, "The refresh token has expired due to inactivity. Sign in again.")
	e.Suberror = SubBadToken
	return e
}

// Revoked says: the session was ended.
func Revoked() *Error {
	e := bad(InvalidGrant, 50173, "The provided grant has expired due to it being revoked, a fresh auth token is needed. Sign in again.")
	e.Suberror = SubBadToken
	return e
}

// NoRedirect says: the client registered no place where answers may go.
func NoRedirect(client string) *Error {
	return bad(InvalidRequest, 500113, "No reply address is registered for the application '%s'.", client)
}

// BadRedirect says: the place is not one that the client registered.
func BadRedirect(uri, client string) *Error {
	return bad(InvalidRequest, 50011, "The redirect URI '%s' specified in the request does not match the redirect URIs configured for the application '%s'. "+
		"Make sure the redirect URI sent in the request matches one added to your application.", uri, client)
}

// BadResponseType says: only the code is given to browsers (RFC 9700 2.1.2).
func BadResponseType(name string) *Error {
	return bad(UnsupportedResponse, 700054, "The response_type '%s' is not offered: ask for 'code'.", name)
}

// NeedsChallenge says: a public client must bind its code to itself (RFC 9700 2.1.1).
func NeedsChallenge() *Error {
	return bad(InvalidRequest, 9002325, "Proof Key for Code Exchange is required for cross-origin and public client authorization code redemption: "+
		"send a code_challenge with code_challenge_method 'S256'.")
}

// PlainChallenge says: a challenge that is its own verifier proves nothing to who reads the request.
func PlainChallenge(method string) *Error {
	return bad(InvalidRequest, 501491, "The code_challenge_method '%s' is not offered: use 'S256'.", method)
}

// BadParameter says: a parameter of the authorization request has a value that it cannot have.
func BadParameter(name, why string) *Error {
	return bad(InvalidRequest, 90013, "Invalid input received from the user: the parameter '%s' %s.", name, why)
}

// BadCode says: not a code of this service, or not of this client, place or tenant.
func BadCode() *Error {
	return bad(InvalidGrant, 70000, "The provided value for the input parameter 'code' is not valid: it is not known, or was issued to another client or for another redirect URI.")
}

// CodeExpired says: the authorization code waited too long.
func CodeExpired() *Error {
	return bad(InvalidGrant, 70008, "The provided authorization code or refresh token has expired. Send a new interactive authorization request for this user and resource.")
}

// CodeRedeemed says: the code was used before; what it gave has been ended.
func CodeRedeemed() *Error {
	return bad(InvalidGrant, 54005, "OAuth2 Authorization code was already redeemed, please retry with a new valid code or use an existing refresh token.")
}

// BadVerifier says: the verifier does not belong to the challenge of the code.
func BadVerifier() *Error {
	return bad(InvalidGrant, 501481, "The Code_Verifier does not match the code_challenge supplied in the authorization request.")
}

// SignInNeeded says: nobody is signed in, and the client forbade asking (prompt=none).
func SignInNeeded() *Error {
	return bad(LoginRequired, 50058, "A silent sign-in request was sent but no user is signed in.")
}

// ChoiceNeeded says: somebody must choose or confirm, and the client forbade asking.
func ChoiceNeeded() *Error {
	return bad(InteractionRequired, 16000, "The sign-in needs a choice by the user, and the request does not allow asking.")
}

// ConsentNeeded says: somebody must consent, and the client forbade asking.
func ConsentNeeded(client, name string) *Error {
	e := NoConsent(client, name)
	e.Word = ConsentRequired
	return e
}

// Declined says: the person did not want to sign in, or did not consent.
func Declined() *Error {
	return bad(AccessDenied, 65004, "User declined to consent to access the app.")
}

// NothingAsked says: the application asks for all that it registered for at a resource, and that is nothing.
func NothingAsked(client, resource string) *Error {
	return bad(InvalidScope, 650057, "Invalid resource. The client has requested access to a resource which is not listed in the requested permissions in the "+
		"client's application registration. Client app ID: %s. Resource: %s.", client, resource)
}

// NotAssigned says: the application lets in only who was given a role of it.
func NotAssigned(user, client, name string) *Error {
	return bad(InvalidGrant, 50105, "Your administrator has configured the application %s ('%s') to block users unless they are specifically granted access. "+
		"The signed in user '%s' is blocked because they are not a direct member of a group with access, nor had access directly assigned by an administrator.", name, client, user)
}

// AdminMustConsent says: only an administrator may allow what is asked for.
func AdminMustConsent(name string) *Error {
	e := bad(ConsentRequired, 90094, "The application '%s' requires permission to access resources in your organization that only an administrator can grant.", name)
	return e
}

// OnBehalfSignature says: the token that a service presented is none of this service's.
func OnBehalfSignature() *Error {
	return bad(InvalidGrant, 50013, "Assertion failed signature validation: it is no access token of this service.")
}

// OnBehalfAudience says: the token was issued for another service than the one that presents it.
func OnBehalfAudience() *Error {
	return bad(InvalidGrant, 500131, "Assertion audience does not match the Client app presenting the assertion. The audience in the assertion must be the app that presents it.")
}

// OnBehalfTime says: the token is over.
func OnBehalfTime() *Error {
	return bad(InvalidGrant, 500133, "Assertion is not within its valid time range. Ensure that the access token is not expired before using it for user assertion.")
}

// OnBehalfOfApp says: the token is an application's, and stands for no person.
func OnBehalfOfApp() *Error {
	return bad(InvalidGrant, 7000114, "Application is not allowed to make application on-behalf-of calls: the assertion stands for no user.")
}

// BadBearer says: the token that a request carries does not count, or does not say enough.
func BadBearer(scope bool) *Error {
	e := bad("invalid_token", 50027, "The access token is missing, not valid or over.")
	e.Status = 401
	if scope {
		e = bad("insufficient_scope", 65001, "The access token was not issued for signing in: ask for the scope 'openid'.")
		e.Status = 403
	}
	return e
}

// DevicePending says: the person has not finished.
func DevicePending() *Error {
	return bad(AuthorizationPending, 70016, "OAuth 2.0 device flow error. Authorization is pending. Continue polling.")
}

// DeviceTooFast says: the client polls far more often than it was told to.
func DeviceTooFast() *Error {
	return bad(SlowDown, 70016, "OAuth 2.0 device flow error. Polling too often. Slow down.")
}

// DeviceDeclined says: the person said no.
func DeviceDeclined() *Error {
	return bad(AuthorizationDeclined, 65004, "User declined to consent to access the app.")
}

// DeviceExpired says: nobody finished in time; the v1 endpoint has its own word.
func DeviceExpired(v1 bool) *Error {
	word := ExpiredToken
	if v1 {
		word = DeviceCodeExpired
	}
	return bad(word, 70020, "The provided value for the input parameter 'device_code' is not valid. This device code has expired.")
}

// BadDeviceCode says: not a code of this service, of this client, or one that was used.
func BadDeviceCode() *Error {
	return bad(BadVerificationCode, 70018, "Invalid verification code: the device code is not known, belongs to another client, or was used already.")
}

// TooLarge says: the request is over the size bound.
func TooLarge() *Error {
	e := bad(InvalidRequest, 90013, "Invalid input received from the user: the request is too large.")
	e.Status = 413
	return e
}

// WrongMethod says: the endpoint takes POST only.
func WrongMethod(method string) *Error {
	e := bad(InvalidRequest, 900561, "The endpoint only accepts POST requests. Received a %s request.", method)
	e.Status = 405
	return e
}

// TooMany says: asked too often from one place.
func TooMany() *Error {
	e := bad(TemporarilyUnavailable, 90055, "There are too many requests from this address. Try again in a minute.")
	e.Status = 429
	return e
}

// TooManyGuesses says: too many wrong passwords came from one address, whoever they were for.
func TooManyGuesses() *Error {
	e := bad(TemporarilyUnavailable, 50053, "Sign-in was blocked because it came from an IP address with too many failed sign-ins. Try again in a few minutes.")
	e.Status = 429
	return e
}

// UnknownInstance says: the authority a client asked about is not this one.
func UnknownInstance() *Error {
	return bad(InvalidInstance, 50049, "Unknown or invalid instance.")
}

// Busy says: the request cannot be served now.
func Busy() *Error {
	e := bad(TemporarilyUnavailable, 90033, "A transient error has occurred. Please try again.")
	e.Status = 503
	return e
}

// Internal says: ours; the cause goes to the log.
func Internal(cause error) *Error {
	e := bad(ServerError, 90025, "An internal error occurred. Please try again.")
	e.Status, e.cause = 500, cause
	return e
}
