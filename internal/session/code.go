package session

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"time"

	"github.com/keyreeve/keyreeve/internal/ident"
)

// Code is an authorization code (RFC 6749 4.1). It is bound to all that the request for it said; redeeming holds the
// token request against each.
type Code struct {
	// Hash is the hex SHA-256 of the code.
	Hash   string         `json:"hash"`
	Client ident.ClientID `json:"client"`
	// Tenant is the tenant that was asked, or zero for organizations and common.
	Tenant ident.TenantID `json:"tenant"`
	V1     bool           `json:"v1,omitempty"` // asked for at the v1 endpoint, with a resource
	// Public says that it was given to a client that keeps no secret, though the application may have one elsewhere.
	Public bool `json:"public,omitempty"`
	// RedirectURI as the request had it; empty if it had none.
	RedirectURI string `json:"redirectUri,omitempty"`
	// Scope, in v1 the resource, as requested.
	Scope string `json:"scope"`
	Nonce string `json:"nonce,omitempty"`
	// Challenge is that of S256 (RFC 7636); empty if a confidential client sent none.
	Challenge string          `json:"challenge,omitempty"`
	User      ident.ObjectID  `json:"user"`
	Session   ident.SessionID `json:"session"`
	CreatedAt time.Time       `json:"createdAt"`
	ExpiresAt time.Time       `json:"expiresAt"`
	// RedeemedAt is zero while the code may be used. One that was used is kept until it expires, to know it again.
	RedeemedAt time.Time `json:"redeemedAt"`
}

// CodeLife is how long a code waits to be redeemed (RFC 6749 4.1.2 advises at most ten minutes).
const CodeLife = 5 * time.Minute

// IsChallenge reports whether text can be an S256 challenge: a SHA-256, base64url, unpadded (RFC 7636 4.2).
func IsChallenge(text string) bool {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	return err == nil && len(raw) == sha256.Size && len(text) == 43
}

// Verifies reports whether a code_verifier is the one of the challenge. A code without a challenge takes none: else a
// code that was stolen from a request without one could be brought in with any (RFC 9700 4.8.2).
func (c Code) Verifies(verifier string) bool {
	if c.Challenge == "" || verifier == "" {
		return c.Challenge == "" && verifier == ""
	}
	if len(verifier) < 43 || len(verifier) > 128 { // RFC 7636 4.1
		return false
	}
	sum := sha256.Sum256([]byte(verifier))
	return subtle.ConstantTimeCompare([]byte(base64.RawURLEncoding.EncodeToString(sum[:])), []byte(c.Challenge)) == 1
}
