package caller

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/token"
)

// The codes of ARM's refusals. Graph knows only InvalidToken.
const (
	Failed        = "AuthenticationFailed" // no usable Authorization header
	InvalidToken  = "InvalidAuthenticationToken"
	WrongAudience = "InvalidAuthenticationTokenAudience"
	ExpiredToken  = "ExpiredAuthenticationToken"
)

// revocation is the cause of refusing a good token whose session or principal was revoked. challenge says that its client
// declared that it understands claims challenges (xms_cc: CP1), gone that the principal is not there any more or disabled.
type revocation struct{ challenge, gone bool }

func (revocation) Error() string { return "caller: revoked" }

// usTime is the form of times in ARM's texts (recorded: '3/5/2025 1:40:20 AM').
const usTime = "1/2/2006 3:04:05 PM"

// Authenticate is Check for a request's Authorization header (RFC 6750 2.1). A token anywhere else is not looked at.
func (c Checker) Authenticate(r *http.Request) (Caller, error) {
	headers := r.Header.Values("Authorization")
	if len(headers) == 0 {
		return Caller{}, fault.New(fault.Unauthenticated, Failed, "Authentication failed. The 'Authorization' header is missing.")
	}
	scheme, raw, ok := strings.Cut(headers[0], " ")
	raw = strings.TrimSpace(raw)
	if len(headers) > 1 || !ok || !strings.EqualFold(scheme, "Bearer") || raw == "" {
		return Caller{}, fault.New(fault.Unauthenticated, Failed,
			"Authentication failed. The 'Authorization' header is provided in an invalid format.")
	}
	return c.Check(raw)
}

// refused turns a token's refusal into ARM's words.
func (c Checker) refused(err error) error {
	r, ok := errors.AsType[*token.Refusal](err)
	if !ok {
		return fault.Wrap(err, "check token")
	}
	var f *fault.Error
	switch r.Reason {
	case token.Expired:
		f = fault.New(fault.Unauthenticated, ExpiredToken,
			"The access token expiry UTC time '%s' is earlier than current UTC time '%s'.",
			time.Unix(r.Claims.Expires, 0).UTC().Format(usTime), c.Now().UTC().Format(usTime))
	case token.WrongAudience:
		f = fault.New(fault.Unauthenticated, WrongAudience,
			"The access token has been obtained for wrong audience or resource '%s'. It should exactly match with one of the allowed audiences '%s'.",
			r.Claims.Audience, strings.Join(c.Verifier.Audiences(), "','"))
	case token.WrongIssuer:
		f = fault.New(fault.Unauthenticated, InvalidToken, "The access token is from the wrong issuer.")
	case token.NotYetValid:
		f = fault.New(fault.Unauthenticated, InvalidToken, "The access token is not valid yet.")
	case token.BadKey, token.BadSig:
		f = fault.New(fault.Unauthenticated, InvalidToken, "The access token is invalid: its signature could not be verified.")
	default:
		f = fault.New(fault.Unauthenticated, InvalidToken, "The access token is invalid.")
	}
	return f.Because(r)
}

func gone(claims token.Access, text string) error {
	return fault.New(fault.Unauthenticated, InvalidToken, "%s", text).Because(revocation{capable(claims), true})
}

func revoked(claims token.Access) error {
	return fault.New(fault.Unauthenticated, InvalidToken,
		"The access token has been revoked. Sign in again.").Because(revocation{capable(claims), false})
}

// capable reports whether the client of a token understands claims challenges (continuous access evaluation).
func capable(claims token.Access) bool {
	return slices.ContainsFunc(claims.Capabilities, func(c string) bool { return strings.EqualFold(c, "CP1") })
}

// Revoked reports whether err refuses a token that was good until it, its session or its principal's were revoked.
func Revoked(err error) bool {
	r, ok := errors.AsType[revocation](err)
	return ok && !r.gone
}

// Challengeable reports whether err refuses a token that was good before, to a client that understands being told to get
// another one.
func Challengeable(err error) bool {
	r, ok := errors.AsType[revocation](err)
	return ok && r.challenge
}

// Challenge returns the WWW-Authenticate value that goes with a refusal (RFC 6750 3). login is the login address;
// tenant may be zero.
//
// A token that was revoked is answered with a claims challenge where its client declared that it understands one (az,
// azcore): it then asks for a new token at once instead of failing until the old one expires.
func Challenge(err error, login string, tenant ident.TenantID, now time.Time) string {
	segment := "common"
	if !tenant.IsZero() {
		segment = tenant.String()
	}
	where := fmt.Sprintf(`Bearer authorization_uri="%s/%s"`, login, segment)
	f := fault.As(err)
	if f == nil || f.Code == Failed {
		return where
	}
	if Challengeable(err) {
		claims := fmt.Sprintf(`{"access_token":{"nbf":{"essential":true,"value":"%d"}}}`, now.Unix())
		return where + fmt.Sprintf(`, error="insufficient_claims", claims="%s"`, base64.StdEncoding.EncodeToString([]byte(claims)))
	}
	return where + fmt.Sprintf(`, error="invalid_token", error_description="%s"`, quotable(f.Public))
}

// quotable keeps what may stand in a quoted string of a header (RFC 6750 3: no quotes, no backslashes).
func quotable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '"' || r == '\\':
			return '\''
		case r < 0x20 || r > 0x7e:
			return -1
		}
		return r
	}, s)
}

// ForGraph turns a refusal into Microsoft Graph's words: one code, and its own texts.
func ForGraph(err error) error {
	f := fault.As(err)
	if f == nil || f.Kind != fault.Unauthenticated {
		return err
	}
	text := f.Public
	switch f.Code {
	case Failed:
		text = "Access token is empty."
	case ExpiredToken:
		text = "Lifetime validation failed, the token is expired."
	case WrongAudience:
		text = "Access token validation failure. Invalid audience."
	case InvalidToken:
		text = "Access token validation failure. " + strings.TrimPrefix(f.Public, "The access token is invalid: ")
	}
	return fault.New(fault.Unauthenticated, InvalidToken, "%s", text).Because(err)
}
