// Package token owns the claims of every token: what an access token and an id token say, how they are minted and how
// they are checked.
//
//	Access ── Mint(signer) ──► compact JWS ── Verifier.Verify ──► Access, or a Refusal that says why
//
// It proves where a token comes from and what it said when it was issued. Whether its principal and session still
// live is asked elsewhere (caller). It knows neither HTTP nor storage, and takes the time as an input.
package token

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"

	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/keyring"
)

// The client authentication methods (appidacr).
const (
	PublicClient = "0"
	ClientSecret = "1"
	ClientAssert = "2" // a certificate or a federated assertion
)

// The values of idtyp.
const (
	TypeApp  = "app"
	TypeUser = "user"
)

// MemberWID is in the wids of every user that is a member, not a guest.
const MemberWID = "b79fbf4d-3ef9-4689-8143-76b194e85509"

// GroupLimit is how many groups a token lists; with more it names where to ask (overage).
const GroupLimit = 200

// Access are the claims of a v1-form access token, the form that Azure Resource Manager, Microsoft Graph and the AKS
// server application take.
type Access struct {
	Audience     string                 `json:"aud"`
	Issuer       string                 `json:"iss"`
	IssuedAt     int64                  `json:"iat"` // seconds since 1970, as all times here
	NotBefore    int64                  `json:"nbf"`
	Expires      int64                  `json:"exp"`
	ClaimNames   map[string]string      `json:"_claim_names,omitempty"`
	ClaimSources map[string]ClaimSource `json:"_claim_sources,omitempty"`
	// ACR is "1" when a person proved who they are, and absent for applications.
	ACR string `json:"acr,omitempty"`
	// AMR are the authentication methods used (RFC 8176).
	AMR      []string         `json:"amr,omitempty"`
	AppID    ident.ClientID   `json:"appid"`
	AppIDACR string           `json:"appidacr"`
	Family   string           `json:"family_name,omitempty"`
	Given    string           `json:"given_name,omitempty"`
	Groups   []ident.ObjectID `json:"groups,omitempty"`
	// IdentityProvider is in application tokens, where Entra always writes it.
	IdentityProvider string          `json:"idp,omitempty"`
	IdentityType     string          `json:"idtyp"`
	IPAddress        string          `json:"ipaddr,omitempty"`
	Name             string          `json:"name,omitempty"`
	Object           ident.ObjectID  `json:"oid"`
	Roles            []string        `json:"roles,omitempty"`
	Scope            string          `json:"scp,omitempty"`
	Session          ident.SessionID `json:"sid,omitzero"`
	Subject          string          `json:"sub"`
	Tenant           ident.TenantID  `json:"tid"`
	UniqueName       string          `json:"unique_name,omitempty"`
	UPN              string          `json:"upn,omitempty"`
	// ID is unique for each token.
	ID      string `json:"uti"`
	Version string `json:"ver"`
	// DirectoryRoles are the template ids of the directory roles held.
	DirectoryRoles []string `json:"wids,omitempty"`
	// ManagedIdentity is the ARM id of a managed identity, or of the resource that one belongs to.
	ManagedIdentity string `json:"xms_mirid,omitempty"`
	// Capabilities are those the client claimed, such as CP1 (continuous access evaluation).
	Capabilities []string `json:"xms_cc,omitempty"`
}

// ClaimSource says where a claim that was too long can be asked for.
type ClaimSource struct {
	Endpoint string `json:"endpoint"`
}

// Identity are the claims of a v2 id token (OpenID Connect Core 2).
type Identity struct {
	Audience  ident.ClientID  `json:"aud"`
	Issuer    string          `json:"iss"`
	IssuedAt  int64           `json:"iat"`
	NotBefore int64           `json:"nbf"`
	Expires   int64           `json:"exp"`
	AMR       []string        `json:"amr,omitempty"`
	Email     string          `json:"email,omitempty"`
	Name      string          `json:"name,omitempty"`
	Nonce     string          `json:"nonce,omitempty"`
	Object    ident.ObjectID  `json:"oid"`
	Username  string          `json:"preferred_username,omitempty"`
	Session   ident.SessionID `json:"sid,omitzero"`
	Subject   string          `json:"sub"`
	Tenant    ident.TenantID  `json:"tid"`
	UPN       string          `json:"upn,omitempty"` // in the id tokens of the v1 endpoint
	ID        string          `json:"uti"`
	Version   string          `json:"ver"`
}

// Mint signs the claims.
func (a Access) Mint(s *keyring.Signer) (string, error) { return mint(s, a) }

// Mint signs the claims.
func (i Identity) Mint(s *keyring.Signer) (string, error) { return mint(s, i) }

func mint(s *keyring.Signer, claims any) (string, error) {
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("token: %w", err)
	}
	return s.Sign(payload)
}

// IssuerV1 is the issuer of v1-form tokens of a tenant; base is the login address without a trailing slash.
func IssuerV1(base string, t ident.TenantID) string { return base + "/" + t.String() + "/" }

// IssuerV2 is the issuer of v2 tokens of a tenant.
func IssuerV2(base string, t ident.TenantID) string { return base + "/" + t.String() + "/v2.0" }

// PairwiseSubject is the sub of a person at one application (OpenID Connect Core 8.1): the same every time there, and
// not comparable between applications.
func PairwiseSubject(t ident.TenantID, o ident.ObjectID, app ident.ClientID) string {
	h := sha256.New()
	h.Write([]byte("keyreeve pairwise subject"))
	h.Write(t[:])
	h.Write(o[:])
	h.Write(app[:])
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// NewID returns a fresh token id (uti).
func NewID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// IssuedAfter returns the iat of a token issued now to a principal whose earlier tokens ended at validFrom. iat has
// whole seconds: within the second of a revocation it is rounded up, so that "iat is not before validFrom" keeps the
// new token and ends every old one.
func IssuedAfter(now, validFrom time.Time) int64 {
	at := now.Unix()
	if validFrom.After(time.Unix(at, 0)) && !validFrom.After(now) {
		at++
	}
	return at
}
