package proof

import (
	"crypto/sha1" //nolint:gosec // x5t names a certificate by SHA-1 (RFC 7515 4.1.7); nothing is trusted for it
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"strings"
	"time"

	"github.com/keyreeve/keyreeve/internal/ident"
)

// ClientKey is a certificate that an application or one of its service principals signs assertions with
// (keyCredential). Only the public half is known, and only what names it is compared: chain and revocation mean nothing here.
type ClientKey struct {
	ID ident.CredentialID `json:"id"` // keyId; unique within its owner
	// Owner is the object that has it: the application, or a service principal, whose keys count in its own tenant only.
	Owner       ident.ObjectID `json:"owner"`
	AppID       ident.ClientID `json:"appId"`
	DisplayName string         `json:"displayName,omitempty"`
	// SHA1 and SHA256 are the certificate's thumbprints, upper-case hex. SHA1 is customKeyIdentifier unless CustomID says
	// otherwise; assertions name the certificate by x5t or x5t#S256.
	SHA1     string `json:"sha1"`
	SHA256   string `json:"sha256"`
	CustomID []byte `json:"customId,omitempty"`
	// Certificate is DER.
	Certificate []byte    `json:"certificate"`
	StartAt     time.Time `json:"startAt"`
	EndAt       time.Time `json:"endAt"`
}

// NewClientKey makes the record of a certificate. start and end may be zero: then the certificate's own count.
func NewClientKey(der []byte, start, end time.Time) (ClientKey, error) {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return ClientKey{}, err
	}
	if start.IsZero() {
		start = cert.NotBefore
	}
	if end.IsZero() {
		end = cert.NotAfter
	}
	one, two := sha1.Sum(der), sha256.Sum256(der) //nolint:gosec // see above
	return ClientKey{
		SHA1: hexUpper(one[:]), SHA256: hexUpper(two[:]), Certificate: der, StartAt: start.UTC(), EndAt: end.UTC(),
	}, nil
}

// Good reports whether the key counts at a time.
func (k ClientKey) Good(now time.Time) bool { return !now.Before(k.StartAt) && now.Before(k.EndAt) }

func hexUpper(b []byte) string { return strings.ToUpper(hex.EncodeToString(b)) }
