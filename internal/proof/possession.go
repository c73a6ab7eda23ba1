package proof

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/keyreeve/keyreeve/internal/ident"
)

// PossessionAudience is the audience of a proof of possession: the directory itself.
const PossessionAudience = "00000002-0000-0000-c000-000000000000"

const (
	maxPossession  = 8 << 10
	possessionLife = 10 * time.Minute
	possessionSkew = time.Minute
)

// Validity returns the times between which the certificate itself is valid.
func (k ClientKey) Validity() (from, to time.Time) {
	cert, err := x509.ParseCertificate(k.Certificate)
	if err != nil {
		return time.Time{}, time.Time{}
	}
	return cert.NotBefore, cert.NotAfter
}

// CheckPossession checks that a token was signed, lately and for this purpose, by who holds the private key of one of an
// object's certificates (Microsoft Graph, application: addKey).
func CheckPossession(keys []ClientKey, signed string, object ident.ObjectID, now time.Time) error {
	if len(signed) > maxPossession {
		return errors.New("proof: the token is too long")
	}
	jws, err := jose.ParseSignedCompact(signed, []jose.SignatureAlgorithm{jose.RS256, jose.PS256, jose.ES256})
	if err != nil {
		return fmt.Errorf("proof: %w", err)
	}
	payload, err := verifiedBy(keys, jws, now)
	if err != nil {
		return err
	}
	var claims struct {
		Audience  string `json:"aud"`
		Issuer    string `json:"iss"`
		NotBefore int64  `json:"nbf"`
		Expires   int64  `json:"exp"`
	}
	if err := json.Unmarshal(payload, &claims); err != nil {
		return fmt.Errorf("proof: %w", err)
	}
	from, to := time.Unix(claims.NotBefore, 0), time.Unix(claims.Expires, 0)
	switch {
	case claims.Audience != PossessionAudience:
		return errors.New("proof: the token is for another audience")
	case claims.Issuer != object.String():
		return errors.New("proof: the token is another object's")
	case to.Sub(from) > possessionLife || now.Before(from.Add(-possessionSkew)) || !now.Before(to.Add(possessionSkew)):
		return errors.New("proof: the token is too old, or good for too long")
	}
	return nil
}

func verifiedBy(keys []ClientKey, jws *jose.JSONWebSignature, now time.Time) ([]byte, error) {
	for _, k := range keys {
		cert, err := x509.ParseCertificate(k.Certificate)
		if err != nil || !k.Good(now) {
			continue
		}
		if payload, err := jws.Verify(cert.PublicKey); err == nil {
			return slices.Clone(payload), nil
		}
	}
	return nil, errors.New("proof: no key of the object signed the token")
}
