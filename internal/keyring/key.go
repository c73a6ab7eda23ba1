package keyring

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // x5t is a SHA-1 thumbprint by definition (RFC 7515 4.1.7); it identifies, it does not protect
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/keyreeve/keyreeve/internal/seal"
)

// Algorithm is the only algorithm the ring signs and verifies with.
const Algorithm = jose.RS256

// keyBits is the size of a new key (RFC 7518 3.3 asks for at least this).
const keyBits = 2048

// certificateLife is how long the certificate in x5c says it lives; the ring retires keys long before.
const certificateLife = 5 * 365 * 24 * time.Hour

// Key is a signing key with its private half.
type Key struct {
	Public
	private *rsa.PrivateKey
}

// Generate makes a new key that starts to sign at activeFrom. It takes some 100 ms: never call it while others wait.
func Generate(now, activeFrom time.Time) (Key, error) {
	private, err := rsa.GenerateKey(rand.Reader, keyBits)
	if err != nil {
		return Key{}, fmt.Errorf("keyring: generate: %w", err)
	}
	return FromPrivate(private, now, activeFrom)
}

// FromPrivate makes a key of an RSA private key of at least 2048 bits.
func FromPrivate(private *rsa.PrivateKey, now, activeFrom time.Time) (Key, error) {
	if private.N.BitLen() < keyBits {
		return Key{}, fmt.Errorf("keyring: key has %d bits, want %d or more", private.N.BitLen(), keyBits)
	}
	now, activeFrom = now.UTC(), activeFrom.UTC()
	cert, err := selfSigned(private, now)
	if err != nil {
		return Key{}, err
	}
	thumb := sha1.Sum(cert) //nolint:gosec // see the import
	kid := base64.RawURLEncoding.EncodeToString(thumb[:])
	jwk, err := json.Marshal(publicJWK{
		Kty: "RSA", Use: "sig", KID: kid, X5t: kid, Alg: string(Algorithm),
		N:   base64.RawURLEncoding.EncodeToString(private.N.Bytes()),
		E:   base64.RawURLEncoding.EncodeToString(big.NewInt(int64(private.E)).Bytes()),
		X5c: []string{base64.StdEncoding.EncodeToString(cert)},
	})
	if err != nil {
		return Key{}, fmt.Errorf("keyring: %w", err)
	}
	return Key{
		Public:  Public{KID: kid, Algorithm: string(Algorithm), JWK: jwk, CreatedAt: now, ActiveFrom: activeFrom},
		private: private,
	}, nil
}

// publicJWK is a key as the key set publishes it (RFC 7517; the members Entra publishes).
type publicJWK struct {
	Kty string   `json:"kty"`
	Use string   `json:"use"`
	KID string   `json:"kid"`
	X5t string   `json:"x5t"`
	N   string   `json:"n"`
	E   string   `json:"e"`
	X5c []string `json:"x5c"`
	Alg string   `json:"alg"`
}

// selfSigned returns the DER of the certificate that carries the key in x5c. Some readers take keys only so.
func selfSigned(private *rsa.PrivateKey, now time.Time) ([]byte, error) {
	sum := sha256.Sum256(private.N.Bytes())
	template := &x509.Certificate{
		SerialNumber:       new(big.Int).SetBytes(sum[:16]),
		Subject:            pkix.Name{CommonName: "Keyreeve token signing"},
		NotBefore:          now.Truncate(time.Second),
		NotAfter:           now.Truncate(time.Second).Add(certificateLife),
		KeyUsage:           x509.KeyUsageDigitalSignature,
		SignatureAlgorithm: x509.SHA256WithRSA,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		return nil, fmt.Errorf("keyring: certificate: %w", err)
	}
	return der, nil
}

// sealName binds a sealed key to its id, so that it opens as no other.
func sealName(kid string) string { return "signing-key/" + kid }

// Seal returns the private half sealed.
func (k Key) Seal(s *seal.Sealer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(k.private)
	if err != nil {
		return nil, fmt.Errorf("keyring: %w", err)
	}
	return s.Seal(sealName(k.KID), der), nil
}

// Open returns the key whose private half was sealed. It fails if the halves do not belong together.
func Open(p Public, sealed []byte, s *seal.Sealer) (Key, error) {
	der, err := s.Open(sealName(p.KID), sealed)
	if err != nil {
		return Key{}, fmt.Errorf("keyring: key %s: %w", p.KID, err)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return Key{}, fmt.Errorf("keyring: key %s: %w", p.KID, err)
	}
	private, ok := parsed.(*rsa.PrivateKey)
	if !ok {
		return Key{}, fmt.Errorf("keyring: key %s is not RSA", p.KID)
	}
	public, err := p.VerifyKey()
	if err != nil {
		return Key{}, err
	}
	if !private.PublicKey.Equal(public) {
		return Key{}, fmt.Errorf("keyring: key %s: its halves do not belong together", p.KID)
	}
	return Key{Public: p, private: private}, nil
}

// VerifyKey returns the key that checks signatures.
func (p Public) VerifyKey() (crypto.PublicKey, error) {
	var jwk jose.JSONWebKey
	if err := json.Unmarshal(p.JWK, &jwk); err != nil {
		return nil, fmt.Errorf("keyring: key %s: %w", p.KID, err)
	}
	// What a key says of its purpose binds us too (RFC 7517 4.2 to 4.4).
	var purpose struct {
		Use, Alg string
		Ops      []string `json:"key_ops"`
	}
	if err := json.Unmarshal(p.JWK, &purpose); err != nil {
		return nil, fmt.Errorf("keyring: key %s: %w", p.KID, err)
	}
	if purpose.Use != "" && purpose.Use != "sig" || purpose.Alg != "" && purpose.Alg != string(Algorithm) ||
		purpose.Ops != nil && !slices.Contains(purpose.Ops, "verify") {
		return nil, fmt.Errorf("keyring: key %s is not for checking %s signatures", p.KID, Algorithm)
	}
	public, ok := jwk.Key.(*rsa.PublicKey)
	if !ok || jwk.KeyID != p.KID || p.Algorithm != string(Algorithm) {
		return nil, fmt.Errorf("keyring: key %s is not an %s key of that id", p.KID, Algorithm)
	}
	return public, nil
}

// Signer signs tokens with one key. It is safe for concurrent use.
type Signer struct {
	kid  string
	jose jose.Signer
}

// Signer returns what signs with the key. Its tokens have the header {alg, kid, typ: JWT, x5t}.
func (k Key) Signer() (*Signer, error) {
	opts := (&jose.SignerOptions{}).WithType("JWT").WithHeader("x5t", k.KID)
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: Algorithm, Key: jose.JSONWebKey{Key: k.private, KeyID: k.KID}}, opts)
	if err != nil {
		return nil, fmt.Errorf("keyring: key %s: %w", k.KID, err)
	}
	return &Signer{kid: k.KID, jose: s}, nil
}

// KID returns the id of the key.
func (s *Signer) KID() string { return s.kid }

// Sign returns payload signed, in JWS compact form (RFC 7515 7.1).
func (s *Signer) Sign(payload []byte) (string, error) {
	jws, err := s.jose.Sign(payload)
	if err != nil {
		return "", fmt.Errorf("keyring: sign with %s: %w", s.kid, err)
	}
	compact, err := jws.CompactSerialize()
	if err != nil {
		return "", fmt.Errorf("keyring: sign with %s: %w", s.kid, err)
	}
	return compact, nil
}
