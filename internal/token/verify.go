package token

import (
	"bytes"
	"crypto"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/keyreeve/keyreeve/internal/keyring"
)

// MaxSize is the longest token that is looked at, in bytes. 200 groups make some 12,000.
const MaxSize = 32 << 10

// DefaultSkew is how far clocks may differ.
const DefaultSkew = time.Minute

// Reason says why a token was refused.
type Reason int

// The reasons.
const (
	Malformed   Reason = iota + 1 // not a token of our form
	BadKey                        // signed with an algorithm or a key we do not have
	BadSig                        // the signature is wrong
	WrongIssuer                   // not issued by this service for its tenant
	WrongAudience
	NotYetValid
	Expired
)

// Refusal is why a token was refused. Its text is for logs; faces have their own words.
type Refusal struct {
	Reason Reason
	// Claims are those of a token whose signature was good; else zero.
	Claims Access
	cause  error
}

// Error says why, without quoting the token.
func (r *Refusal) Error() string {
	names := [...]string{"", "malformed", "unknown key", "bad signature", "wrong issuer", "wrong audience", "not yet valid", "expired"}
	s := "token: "
	if r.Reason > 0 && int(r.Reason) < len(names) {
		s += names[r.Reason]
	}
	if r.cause != nil {
		s += ": " + r.cause.Error()
	}
	return s
}

// Unwrap returns the cause.
func (r *Refusal) Unwrap() error { return r.cause }

// Keys finds published signing keys; the world is one.
type Keys interface {
	SigningKey(kid string) (keyring.Public, bool)
}

// Config says what a Verifier accepts. Everything but Skew is required.
type Config struct {
	// Issuer is the login address without a trailing slash; a token's iss must be its tenant's v1 issuer there.
	Issuer string
	// Audiences are the exact aud values accepted.
	Audiences []string
	Keys      Keys
	Now       func() time.Time
	// Skew is how far clocks may differ; 0 means DefaultSkew.
	Skew time.Duration
}

// Verifier checks access tokens. It is safe for concurrent use.
type Verifier struct {
	cfg Config
	// parsed remembers the form of keys that checks signatures, by kid; its size is that of the key set.
	parsed sync.Map
}

type parsedKey struct {
	jwk []byte
	key crypto.PublicKey
}

// NewVerifier refuses to make a Verifier that would not check issuer and audience.
func NewVerifier(c Config) (*Verifier, error) {
	switch {
	case c.Issuer == "" || strings.HasSuffix(c.Issuer, "/"):
		return nil, errors.New("token: a verifier needs an issuer, without a trailing slash")
	case len(c.Audiences) == 0 || slices.Contains(c.Audiences, ""):
		return nil, errors.New("token: a verifier needs audiences, none of them empty")
	case c.Keys == nil:
		return nil, errors.New("token: a verifier needs keys")
	case c.Now == nil:
		return nil, errors.New("token: a verifier needs a clock")
	}
	if c.Skew == 0 {
		c.Skew = DefaultSkew
	}
	c.Audiences = slices.Clone(c.Audiences)
	return &Verifier{cfg: c}, nil
}

// Audiences returns the accepted audiences.
func (v *Verifier) Audiences() []string { return slices.Clone(v.cfg.Audiences) }

// Verify returns the claims of a good token; every error is a *Refusal.
func (v *Verifier) Verify(raw string) (Access, error) { return v.VerifyFor(raw, v.cfg.Audiences) }

// VerifyFor is Verify with other exact aud values than the verifier's own. Without any, no token is good.
func (v *Verifier) VerifyFor(raw string, audiences []string) (Access, error) {
	payload, err := v.checkSignature(raw)
	if err != nil {
		return Access{}, err
	}
	var c Access
	if err := json.Unmarshal(payload, &c); err != nil {
		return Access{}, &Refusal{Reason: Malformed, cause: err}
	}
	refuse := func(why Reason, format string, args ...any) (Access, error) {
		return Access{}, &Refusal{Reason: why, Claims: c, cause: fmt.Errorf(format, args...)}
	}
	if c.Tenant.IsZero() || c.Object.IsZero() || c.AppID.IsZero() || c.ID == "" || c.Version != "1.0" ||
		(c.IdentityType != TypeUser && c.IdentityType != TypeApp) {
		return refuse(Malformed, "a claim that access tokens have is missing")
	}
	if want := IssuerV1(v.cfg.Issuer, c.Tenant); c.Issuer != want {
		return refuse(WrongIssuer, "iss is %q, want %q", c.Issuer, want)
	}
	if !slices.Contains(audiences, c.Audience) {
		return refuse(WrongAudience, "aud is %q", c.Audience)
	}
	now := v.cfg.Now()
	switch {
	case c.Expires == 0 || !now.Before(time.Unix(c.Expires, 0).Add(v.cfg.Skew)):
		return refuse(Expired, "exp is %d", c.Expires)
	case now.Before(time.Unix(c.NotBefore, 0).Add(-v.cfg.Skew)), now.Before(time.Unix(c.IssuedAt, 0).Add(-v.cfg.Skew)):
		return refuse(NotYetValid, "nbf is %d, iat is %d", c.NotBefore, c.IssuedAt)
	}
	return c, nil
}

// checkSignature returns the payload of a compact JWS that one of our keys signed.
func (v *Verifier) checkSignature(raw string) ([]byte, error) {
	if len(raw) > MaxSize {
		return nil, &Refusal{Reason: Malformed, cause: fmt.Errorf("longer than %d bytes", MaxSize)}
	}
	if !canonical(raw) {
		return nil, &Refusal{Reason: Malformed, cause: errors.New("not a compact JWS")}
	}
	jws, err := jose.ParseSignedCompact(raw, keyring.Algorithms())
	if err != nil {
		if _, ok := errors.AsType[*jose.ErrUnexpectedSignatureAlgorithm](err); ok {
			return nil, &Refusal{Reason: BadKey, cause: errors.New("algorithm is none of ours")}
		}
		// The parser's text may quote the token.
		return nil, &Refusal{Reason: Malformed, cause: errors.New("not a compact JWS")}
	}
	header := jws.Signatures[0].Protected
	key, err := v.key(header.KeyID, header.Algorithm)
	if err != nil {
		return nil, &Refusal{Reason: BadKey, cause: err}
	}
	payload, err := jws.Verify(key)
	if err != nil {
		return nil, &Refusal{Reason: BadSig, cause: err}
	}
	if typ, ok := header.ExtraHeaders[jose.HeaderType].(string); !ok || !strings.EqualFold(typ, "JWT") {
		return nil, &Refusal{Reason: Malformed, cause: errors.New("typ is not JWT")}
	}
	return payload, nil
}

// canonical reports whether raw is three parts in the one base64url spelling that each has (RFC 7515 2): the parser
// would let white space and stray last bits through, and so several texts be one token.
func canonical(raw string) bool {
	buf := make([]byte, base64.RawURLEncoding.DecodedLen(len(raw)))
	parts := 0
	for part := range strings.SplitSeq(raw, ".") {
		parts++
		if strings.ContainsAny(part, "\r\n") { // which encoding/base64 skips
			return false
		}
		if _, err := base64.RawURLEncoding.Strict().Decode(buf, []byte(part)); err != nil {
			return false
		}
	}
	return parts == 3
}

// key returns a key of ours, for the one algorithm that it signs with: a header does not choose another.
func (v *Verifier) key(kid, alg string) (crypto.PublicKey, error) {
	public, ok := v.cfg.Keys.SigningKey(kid)
	if !ok || public.Algorithm != alg || !public.Verifies(v.cfg.Now()) {
		return nil, errors.New("no such key")
	}
	if p, ok := v.parsed.Load(kid); ok {
		if p, ok := p.(parsedKey); ok && bytes.Equal(p.jwk, public.JWK) {
			return p.key, nil
		}
	}
	key, err := public.VerifyKey()
	if err != nil {
		return nil, err
	}
	v.parsed.Store(kid, parsedKey{jwk: public.JWK, key: key})
	return key, nil
}
