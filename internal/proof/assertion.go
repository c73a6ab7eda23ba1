package proof

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	_ "crypto/sha512" // of PS384 and PS512
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	exactjson "github.com/go-jose/go-jose/v4/json"
)

// Assertion is a signed statement that an application presents instead of a secret (RFC 7521, 7523): about itself, signed
// with the key of a certificate that it registered, or a token of an issuer that it trusts. Nothing in it is proved
// until Verify.
type Assertion struct {
	Issuer, Subject string
	Audiences       []string
	ID              string // jti
	Expires         time.Time
	NotBefore       time.Time // zero if it says neither nbf nor iat
	IssuedAt        time.Time // zero if it does not say
	// KeyID is the kid, SHA1 and SHA256 the thumbprints of the certificate (x5t, x5t#S256), upper-case hex.
	KeyID, SHA1, SHA256 string
	jws                 signed
}

// signed is a JWS, and the text that it was read from: the library writes a header anew, and the signature is over the one that came.
type signed struct {
	*jose.JSONWebSignature
	text string
}

// MaxAssertion is the longest assertion that is looked at, in bytes: a chain in x5c takes some 6,000.
const MaxAssertion = 32 << 10

// assertionAlgorithms are those that real clients and issuers sign with. A list without symmetric ones and none is what
// keeps a public key from being taken for a secret (RFC 8725 3.1).
func assertionAlgorithms() []jose.SignatureAlgorithm {
	return []jose.SignatureAlgorithm{jose.RS256, jose.PS256, jose.RS384, jose.PS384, jose.RS512, jose.PS512, jose.ES256, jose.ES384, jose.ES512}
}

// ParseAssertion reads an assertion. White space around it is let through: clients send the content of files.
func ParseAssertion(text string) (Assertion, error) {
	jws, err := parseJWS(strings.TrimSpace(text))
	if err != nil {
		return Assertion{}, err
	}
	var c struct {
		Issuer    string          `json:"iss"`
		Subject   string          `json:"sub"`
		Audience  json.RawMessage `json:"aud"`
		ID        string          `json:"jti"`
		Expires   *float64        `json:"exp"` // MSAL for Python writes fractions
		NotBefore *float64        `json:"nbf"`
		IssuedAt  *float64        `json:"iat"`
	}
	// An issuer may let its people name claims of their own: SUB is not sub, and a claim that is there twice is no claim.
	if err := exactjson.Unmarshal(jws.UnsafePayloadWithoutVerification(), &c); err != nil {
		return Assertion{}, errors.New("its claims cannot be read")
	}
	a := Assertion{Issuer: c.Issuer, Subject: c.Subject, ID: c.ID, jws: jws}
	if a.Audiences, err = audiences(c.Audience); err != nil {
		return a, err
	}
	if c.Expires == nil {
		return a, errors.New("it does not say when it expires")
	}
	for _, t := range []struct {
		from *float64
		to   *time.Time
	}{{c.Expires, &a.Expires}, {c.NotBefore, &a.NotBefore}, {c.IssuedAt, &a.IssuedAt}} {
		if t.from != nil {
			if math.IsNaN(*t.from) || *t.from < 0 || *t.from > 253402300799 { // the year 9999
				return a, errors.New("a time in it is out of range")
			}
			*t.to = time.Unix(int64(*t.from), 0)
		}
	}
	header := jws.Signatures[0].Protected
	a.KeyID = header.KeyID
	if a.SHA1, err = thumbprint(header, "x5t", 20); err != nil {
		return a, err
	}
	a.SHA256, err = thumbprint(header, "x5t#S256", 32)
	return a, err
}

// parseJWS reads a JWS in compact form (RFC 7515 7.1), in the one spelling that it has, with an algorithm of the list.
func parseJWS(text string) (signed, error) {
	if len(text) > MaxAssertion {
		return signed{}, fmt.Errorf("it is longer than %d bytes", MaxAssertion)
	}
	for part := range strings.SplitSeq(text, ".") {
		// The library would let white space and stray last bits through, and several texts be one assertion.
		if _, err := base64.RawURLEncoding.Strict().DecodeString(part); err != nil || strings.ContainsAny(part, "\r\n") {
			return signed{}, errors.New("it is no JWS in compact form")
		}
	}
	jws, err := jose.ParseSignedCompact(text, assertionAlgorithms())
	if err != nil {
		// The parser's text may quote it.
		return signed{}, errors.New("it is no JWS in compact form, or its algorithm is not offered")
	}
	return signed{jws, text}, nil
}

// The sizes of RSA keys that count: smaller ones do not hold (RFC 7518 3.3), larger ones keep the processor busy.
const (
	minRSA = 2048
	maxRSA = 8192
)

// VerificationKey returns a published key (RFC 7517) if it is a public one of a good size that is meant for checking signatures.
func VerificationKey(raw []byte) (jose.JSONWebKey, bool) {
	var k jose.JSONWebKey
	var meant struct {
		Ops []string `json:"key_ops"`
	}
	if k.UnmarshalJSON(raw) != nil || json.Unmarshal(raw, &meant) != nil {
		return k, false
	}
	if p, ok := k.Key.(*rsa.PublicKey); ok && (p.N.BitLen() < minRSA || p.N.BitLen() > maxRSA || p.E < 3) {
		return k, false
	}
	ops := len(meant.Ops) == 0 || slices.Contains(meant.Ops, "verify")
	return k, k.IsPublic() && k.Valid() && ops && (k.Use == "" || k.Use == "sig")
}

// audiences reads aud: one text or a list of them (RFC 7519 4.1.3).
func audiences(raw json.RawMessage) ([]string, error) {
	var one string
	if json.Unmarshal(raw, &one) == nil {
		return []string{one}, nil
	}
	var many []string
	if err := json.Unmarshal(raw, &many); err != nil || len(many) == 0 {
		return nil, errors.New("its audience cannot be read")
	}
	return many, nil
}

// thumbprint reads a header in any base64: clients write each of the four.
func thumbprint(h jose.Header, name jose.HeaderKey, size int) (string, error) {
	v, ok := h.ExtraHeaders[name]
	if !ok {
		return "", nil
	}
	text, ok := v.(string)
	if !ok {
		return "", fmt.Errorf("its header %s is no text", name)
	}
	text = strings.NewReplacer("+", "-", "/", "_").Replace(strings.TrimRight(text, "="))
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(raw) != size {
		return "", fmt.Errorf("its header %s is no thumbprint", name)
	}
	return strings.ToUpper(hex.EncodeToString(raw)), nil
}

// Verify reports whether a key signed it.
func (a Assertion) Verify(key crypto.PublicKey) bool { return verifyJWS(a.jws, key) }

// VerifyPublished reports whether a published key signed it, by the algorithm that the key is for (RFC 8725 3.1).
func (a Assertion) VerifyPublished(k jose.JSONWebKey) bool { return verifyPublished(a.jws, k) }

func verifyPublished(jws signed, k jose.JSONWebKey) bool {
	return (k.Algorithm == "" || k.Algorithm == jws.Signatures[0].Protected.Algorithm) && verifyJWS(jws, k.Key)
}

// verifyJWS reports whether a key made the signature.
func verifyJWS(jws signed, key crypto.PublicKey) bool {
	if _, err := jws.Verify(key); err != nil {
		return false
	}
	hash, ok := map[string]crypto.Hash{"PS256": crypto.SHA256, "PS384": crypto.SHA384, "PS512": crypto.SHA512}[jws.Signatures[0].Protected.Algorithm]
	if !ok {
		return true
	}
	// The library takes a salt of any size; RFC 7518 3.5 wants that of the hash.
	public, isRSA := key.(*rsa.PublicKey)
	if !isRSA {
		return false
	}
	h := hash.New()
	h.Write([]byte(jws.text[:strings.LastIndexByte(jws.text, '.')]))
	return rsa.VerifyPSS(public, hash, h.Sum(nil), jws.Signatures[0].Signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) == nil
}

// ErrKey says that no registered certificate is named.
var ErrKey = errors.New("proof: no such certificate")

// ErrSignature says that the signature is not that of the certificate.
var ErrSignature = errors.New("proof: the signature is wrong")

// ErrKeyExpired says that the certificate does not count any more, or not yet.
var ErrKeyExpired = errors.New("proof: the certificate is not valid now")

// CheckKey reports whether one of an application's certificates signed the assertion. The certificate is found by what
// the header says of it: a thumbprint, or kid as one, and is never taken from the header itself (x5c, jwk, jku).
func (a Assertion) CheckKey(keys []ClientKey, now time.Time) error {
	result := ErrKey
	for _, k := range keys {
		if !a.names(k) {
			continue
		}
		if !k.Good(now) {
			result = ErrKeyExpired
			continue
		}
		cert, err := x509.ParseCertificate(k.Certificate)
		if err != nil {
			return fmt.Errorf("certificate %s: %w", k.ID, err)
		}
		if a.Verify(cert.PublicKey) {
			return nil
		}
		result = ErrSignature
	}
	return result
}

func (a Assertion) names(k ClientKey) bool {
	switch {
	case a.SHA256 != "":
		return a.SHA256 == k.SHA256 && (a.SHA1 == "" || a.SHA1 == k.SHA1)
	case a.SHA1 != "":
		return a.SHA1 == k.SHA1
	case a.KeyID != "":
		return strings.EqualFold(a.KeyID, k.SHA1) || strings.EqualFold(a.KeyID, k.SHA256) || a.KeyID == k.ID.String() || bytes.Equal([]byte(a.KeyID), k.CustomID)
	}
	return false
}

// AssertionSkew is how far the clocks of whoever signs assertions may differ.
const AssertionSkew = 5 * time.Minute

// maxOwnLife is how long an application's statement about itself may be good.
const maxOwnLife = 24 * time.Hour

// Timely reports whether the assertion is within its time at now. One that an application made about itself (own) must
// also be good for no longer than a day: a copy that leaks is then soon worth nothing.
func (a Assertion) Timely(now time.Time, own bool) bool {
	return now.Before(a.Expires.Add(AssertionSkew)) && !now.Before(a.NotBefore.Add(-AssertionSkew)) &&
		!now.Before(a.IssuedAt.Add(-AssertionSkew)) && (!own || a.Expires.Sub(now) <= maxOwnLife+AssertionSkew)
}

// For reports whether it is meant for one of some audiences.
func (a Assertion) For(list ...string) bool {
	return slices.ContainsFunc(a.Audiences, func(aud string) bool { return slices.Contains(list, aud) })
}

// Mismatch says in what an assertion differs from the federated credentials that there are.
type Mismatch int

// The differences, the nearest to a match last.
const (
	NoCredential Mismatch = iota
	IssuerMismatch
	SubjectMismatch
	AudienceMismatch
	Match
)

// Federated returns the federated credential that an assertion meets, compared exactly and with case.
func (a Assertion) Federated(list []FederatedCredential) (FederatedCredential, Mismatch) {
	best := NoCredential
	for _, c := range list {
		m := IssuerMismatch
		if c.Issuer == a.Issuer {
			m = SubjectMismatch
			if c.Subject == a.Subject {
				m = AudienceMismatch
				if a.For(c.Audiences...) {
					return c, Match
				}
			}
		}
		best = max(best, m)
	}
	return FederatedCredential{}, best
}
