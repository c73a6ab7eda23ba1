package keyring

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
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

// The algorithms that keys sign and verify with, each key with its own alone. Every ring has RS256, which all clients read;
// ES256 is for tokens that nobody but us checks: it signs some thirty times as fast.
const (
	RS256 = jose.RS256
	ES256 = jose.ES256
)

// Algorithms returns all of them.
func Algorithms() []jose.SignatureAlgorithm { return []jose.SignatureAlgorithm{RS256, ES256} }

// keyBits is the size of a new RSA key (RFC 7518 3.3 asks for at least this).
const keyBits = 2048

// certificateLife is how long the certificate in x5c says it lives; the ring retires keys long before.
const certificateLife = 5 * 365 * 24 * time.Hour

// Key is a signing key with its private half.
type Key struct {
	Public
	private crypto.Signer
}

// Generate makes a new key that starts to sign at activeFrom. It takes some 100 ms: never call it while others wait.
func Generate(now, activeFrom time.Time) (Key, error) {
	private, err := rsa.GenerateKey(rand.Reader, keyBits)
	if err != nil {
		return Key{}, fmt.Errorf("keyring: generate: %w", err)
	}
	return FromPrivate(private, now, activeFrom)
}

// GenerateES256 is Generate for a key on the curve P-256.
func GenerateES256(now, activeFrom time.Time) (Key, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Key{}, fmt.Errorf("keyring: generate: %w", err)
	}
	return FromPrivate(private, now, activeFrom)
}

// algorithmOf returns what a key signs with: RS256 for RSA of at least 2048 bits, ES256 for the curve P-256.
func algorithmOf(public crypto.PublicKey) (jose.SignatureAlgorithm, error) {
	switch public := public.(type) {
	case *rsa.PublicKey:
		if public.N.BitLen() < keyBits {
			return "", fmt.Errorf("keyring: key has %d bits, want %d or more", public.N.BitLen(), keyBits)
		}
		return RS256, nil
	case *ecdsa.PublicKey:
		if public.Curve == elliptic.P256() {
			return ES256, nil
		}
	}
	return "", fmt.Errorf("keyring: no tokens are signed with a %T of that kind", public)
}

// FromPrivate makes a key of an RSA private key of at least 2048 bits, or one on the curve P-256.
func FromPrivate(private crypto.Signer, now, activeFrom time.Time) (Key, error) {
	alg, err := algorithmOf(private.Public())
	if err != nil {
		return Key{}, err
	}
	now, activeFrom = now.UTC(), activeFrom.UTC()
	cert, err := selfSigned(private, now)
	if err != nil {
		return Key{}, err
	}
	thumb := sha1.Sum(cert) //nolint:gosec // see the import
	kid := base64.RawURLEncoding.EncodeToString(thumb[:])
	members := publicJWK{Use: "sig", KID: kid, X5t: kid, Alg: string(alg), X5c: []string{base64.StdEncoding.EncodeToString(cert)}}
	b64 := base64.RawURLEncoding.EncodeToString
	switch public := private.Public().(type) {
	case *rsa.PublicKey:
		members.Kty, members.N, members.E = "RSA", b64(public.N.Bytes()), b64(big.NewInt(int64(public.E)).Bytes())
	case *ecdsa.PublicKey:
		point, err := public.Bytes() // 4, x, y
		if err != nil {
			return Key{}, fmt.Errorf("keyring: %w", err)
		}
		members.Kty, members.Crv = "EC", "P-256"
		members.X, members.Y = b64(point[1:33]), b64(point[33:])
	}
	jwk, err := json.Marshal(members)
	if err != nil {
		return Key{}, fmt.Errorf("keyring: %w", err)
	}
	return Key{
		Public:  Public{KID: kid, Algorithm: string(alg), JWK: jwk, CreatedAt: now, ActiveFrom: activeFrom},
		private: private,
	}, nil
}

// publicJWK is a key as the key set publishes it (RFC 7517; the members Entra publishes).
type publicJWK struct {
	Kty string   `json:"kty"`
	Use string   `json:"use"`
	KID string   `json:"kid"`
	X5t string   `json:"x5t"`
	N   string   `json:"n,omitempty"`
	E   string   `json:"e,omitempty"`
	Crv string   `json:"crv,omitempty"`
	X   string   `json:"x,omitempty"`
	Y   string   `json:"y,omitempty"`
	X5c []string `json:"x5c"`
	Alg string   `json:"alg"`
}

// selfSigned returns the DER of the certificate that carries the key in x5c. Some readers take keys only so.
func selfSigned(private crypto.Signer, now time.Time) ([]byte, error) {
	public, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		return nil, fmt.Errorf("keyring: certificate: %w", err)
	}
	sum := sha256.Sum256(public)
	template := &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(sum[:16]),
		Subject:      pkix.Name{CommonName: "Keyreeve token signing"},
		NotBefore:    now.Truncate(time.Second),
		NotAfter:     now.Truncate(time.Second).Add(certificateLife),
		KeyUsage:     x509.KeyUsageDigitalSignature,
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
	private, ok := parsed.(crypto.Signer)
	if !ok {
		return Key{}, fmt.Errorf("keyring: key %s signs nothing", p.KID)
	}
	public, err := p.VerifyKey()
	if err != nil {
		return Key{}, err
	}
	own, ok := private.Public().(interface{ Equal(x crypto.PublicKey) bool })
	if !ok || !own.Equal(public) {
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
	if purpose.Use != "" && purpose.Use != "sig" || purpose.Alg != "" && purpose.Alg != p.Algorithm ||
		purpose.Ops != nil && !slices.Contains(purpose.Ops, "verify") {
		return nil, fmt.Errorf("keyring: key %s is not for checking %s signatures", p.KID, p.Algorithm)
	}
	if alg, err := algorithmOf(jwk.Key); err != nil || jwk.KeyID != p.KID || p.Algorithm != string(alg) {
		return nil, fmt.Errorf("keyring: key %s is not a key of that id for %s", p.KID, p.Algorithm)
	}
	return jwk.Key, nil
}

// Signer signs tokens with one key. It is safe for concurrent use.
type Signer struct {
	kid string
	// header is the first part of every token and the dot after it.
	header  string
	private crypto.Signer
}

// Signer returns what signs with the key. Its tokens have the header {alg, kid, typ: JWT, x5t}.
func (k Key) Signer() (*Signer, error) {
	if alg, err := algorithmOf(k.private.Public()); err != nil || k.Algorithm != string(alg) {
		return nil, fmt.Errorf("keyring: key %s is not for %s", k.KID, k.Algorithm)
	}
	header, err := json.Marshal(struct {
		Alg string `json:"alg"`
		KID string `json:"kid"`
		Typ string `json:"typ"`
		X5t string `json:"x5t"`
	}{k.Algorithm, k.KID, "JWT", k.KID})
	if err != nil {
		return nil, fmt.Errorf("keyring: key %s: %w", k.KID, err)
	}
	return &Signer{kid: k.KID, header: base64.RawURLEncoding.EncodeToString(header) + ".", private: k.private}, nil
}

// KID returns the id of the key.
func (s *Signer) KID() string { return s.kid }

// Sign returns payload signed, in JWS compact form (RFC 7515 7.1). It is written here, and held against go-jose in tests,
// since the header is the same each time.
func (s *Signer) Sign(payload []byte) (string, error) {
	b64 := base64.RawURLEncoding
	text := make([]byte, 0, len(s.header)+b64.EncodedLen(len(payload))+1+b64.EncodedLen(512))
	text = b64.AppendEncode(append(text, s.header...), payload)
	digest := sha256.Sum256(text)
	signature, err := s.sign(digest[:])
	if err != nil {
		return "", fmt.Errorf("keyring: sign with %s: %w", s.kid, err)
	}
	return string(b64.AppendEncode(append(text, '.'), signature)), nil
}

// sign signs a SHA-256 in the form of RFC 7518: 3.3 for RSA; for a curve 3.4, both numbers one after the other.
func (s *Signer) sign(digest []byte) ([]byte, error) {
	curve, ok := s.private.(*ecdsa.PrivateKey)
	if !ok {
		return s.private.Sign(rand.Reader, digest, crypto.SHA256)
	}
	r, t, err := ecdsa.Sign(rand.Reader, curve, digest)
	if err != nil {
		return nil, err
	}
	signature := make([]byte, 64)
	r.FillBytes(signature[:32])
	t.FillBytes(signature[32:])
	return signature, nil
}
