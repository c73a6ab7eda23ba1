package pki

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"slices"
	"time"
)

// Lifetimes.
const (
	// MaxServerLife is the longest life of a server's certificate that every client accepts (Apple: 398 days; one to spare).
	MaxServerLife = 397 * 24 * time.Hour
	// Skew is how long before its making a certificate is already good, for clocks that are behind.
	Skew = 5 * time.Minute
)

// KeyPair is a certificate with its private key (PKCS #8), both in PEM form.
type KeyPair struct {
	Cert string `json:"cert"`
	Key  string `json:"key"`
}

// Authority is a certificate authority that can issue.
type Authority struct {
	cert *x509.Certificate
	key  crypto.Signer
	pair KeyPair
}

// NewAuthority makes an authority with a new ECDSA P-256 key, good from now (less Skew) for a time.
func NewAuthority(name string, now time.Time, life time.Duration) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("pki: key of authority: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             now.Add(-Skew),
		NotAfter:              now.Add(life),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true, // it issues leaves only
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("pki: authority: %w", err)
	}
	pair, err := encode(der, key)
	if err != nil {
		return nil, err
	}
	return ParseAuthority(pair)
}

// ParseAuthority reads an authority from what Pair returned.
func ParseAuthority(p KeyPair) (*Authority, error) {
	cert, err := parseCert(p.Cert)
	if err != nil {
		return nil, err
	}
	if !cert.IsCA {
		return nil, errors.New("pki: the certificate is not an authority's")
	}
	key, err := parseKey(p.Key)
	if err != nil {
		return nil, err
	}
	if eq, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool }); !ok || !eq.Equal(cert.PublicKey) {
		return nil, errors.New("pki: certificate and key of the authority do not belong together")
	}
	return &Authority{cert: cert, key: key, pair: p}, nil
}

// Pair returns the authority with its private key, to be sealed.
func (a *Authority) Pair() KeyPair { return a.pair }

// CertPEM returns the authority's certificate.
func (a *Authority) CertPEM() string { return a.pair.Cert }

// NotAfter is when the authority ends.
func (a *Authority) NotAfter() time.Time { return a.cert.NotAfter }

// Use says what a certificate is for.
type Use int

// The uses.
const (
	Client Use = iota
	Server
)

// Template says what certificate to issue.
type Template struct {
	CommonName    string
	Organizations []string
	Use           Use
	// Hosts are DNS names and IP addresses; a server's certificate needs one.
	Hosts []string
	Now   time.Time
	// Life is how long it is good. It ends no later than its authority, and a server's no later than MaxServerLife.
	Life time.Duration
}

// Issue makes a certificate with a new ECDSA P-256 key.
func (a *Authority) Issue(t Template) (KeyPair, error) {
	if t.CommonName == "" && len(t.Hosts) == 0 {
		return KeyPair{}, errors.New("pki: a certificate needs a name")
	}
	if t.Use == Server && len(t.Hosts) == 0 {
		return KeyPair{}, errors.New("pki: a server's certificate needs a host")
	}
	if t.Life <= 0 {
		return KeyPair{}, errors.New("pki: a certificate needs a life")
	}
	if t.Use == Server {
		t.Life = min(t.Life, MaxServerLife)
	}
	end := t.Now.Add(t.Life)
	if end.After(a.cert.NotAfter) {
		end = a.cert.NotAfter
	}
	if !end.After(t.Now) {
		return KeyPair{}, fmt.Errorf("pki: the authority %q has expired", a.cert.Subject.CommonName)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return KeyPair{}, fmt.Errorf("pki: key: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{CommonName: t.CommonName, Organization: t.Organizations},
		NotBefore:             t.Now.Add(-Skew),
		NotAfter:              end,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true,
	}
	if template.NotBefore.Before(a.cert.NotBefore) {
		template.NotBefore = a.cert.NotBefore
	}
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	if t.Use == Server {
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	}
	for _, h := range t.Hosts {
		if ip := net.ParseIP(h); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, h)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		return KeyPair{}, fmt.Errorf("pki: issue: %w", err)
	}
	return encode(der, key)
}

// Fingerprint returns the lower-case hex SHA-256 of a certificate in PEM form, as Kubernetes names it in its credential
// id ("X509SHA256=" and this).
func Fingerprint(certPEM string) (string, error) {
	cert, err := parseCert(certPEM)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(cert.Raw)
	return hex.EncodeToString(sum[:]), nil
}

// Expiry returns when a certificate in PEM form ends.
func Expiry(certPEM string) (time.Time, error) {
	cert, err := parseCert(certPEM)
	if err != nil {
		return time.Time{}, err
	}
	return cert.NotAfter, nil
}

// NeedsRenewal reports whether a server's certificate should be replaced: two thirds of its life are over, it does not
// cover all hosts, or it cannot be read.
func NeedsRenewal(p KeyPair, hosts []string, now time.Time) bool {
	cert, err := parseCert(p.Cert)
	if err != nil {
		return true
	}
	if key, err := parseKey(p.Key); err != nil || !publicEqual(key, cert) {
		return true
	}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			if !slices.ContainsFunc(cert.IPAddresses, ip.Equal) {
				return true
			}
		} else if !slices.Contains(cert.DNSNames, h) {
			return true
		}
	}
	life := cert.NotAfter.Sub(cert.NotBefore)
	return now.After(cert.NotBefore.Add(life / 3 * 2))
}

func publicEqual(key crypto.Signer, cert *x509.Certificate) bool {
	eq, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	return ok && eq.Equal(cert.PublicKey)
}

// serial returns a random positive serial number of 126 bits (RFC 5280 4.1.2.2; more than 64 bits of output from a CSPRNG).
func serial() *big.Int {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails
	b[0] = b[0]&0x3f | 0x40
	return new(big.Int).SetBytes(b)
}

func encode(der []byte, key crypto.PrivateKey) (KeyPair, error) {
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return KeyPair{}, fmt.Errorf("pki: encode key: %w", err)
	}
	return KeyPair{
		Cert: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		Key:  string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})),
	}, nil
}

func parseCert(text string) (*x509.Certificate, error) {
	block, rest := pem.Decode([]byte(text))
	if block == nil || block.Type != "CERTIFICATE" || len(bytes.TrimSpace(rest)) > 0 {
		return nil, errors.New("pki: not one certificate in PEM form")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("pki: %w", err)
	}
	return cert, nil
}

func parseKey(text string) (crypto.Signer, error) {
	block, rest := pem.Decode([]byte(text))
	if block == nil || block.Type != "PRIVATE KEY" || len(bytes.TrimSpace(rest)) > 0 {
		return nil, errors.New("pki: not one private key in PEM form")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New("pki: the private key cannot be read")
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, errors.New("pki: the private key cannot sign")
	}
	return signer, nil
}

// Sign issues a client certificate for the key of a certificate request (PEM, RFC 2986). Nothing else of the request
// counts: name and life are the template's. The key must be ECDSA on P-256 or P-384.
func (a *Authority) Sign(csr string, t Template) (certPEM string, err error) {
	block, rest := pem.Decode([]byte(csr))
	if block == nil || block.Type != "CERTIFICATE REQUEST" || len(bytes.TrimSpace(rest)) > 0 {
		return "", errors.New("pki: not one certificate request in PEM form")
	}
	req, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return "", fmt.Errorf("pki: %w", err)
	}
	if err := req.CheckSignature(); err != nil {
		return "", fmt.Errorf("pki: %w", err)
	}
	key, ok := req.PublicKey.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() && key.Curve != elliptic.P384() {
		return "", errors.New("pki: the key of the request is not ECDSA on P-256 or P-384")
	}
	end := t.Now.Add(t.Life)
	if end.After(a.cert.NotAfter) {
		end = a.cert.NotAfter
	}
	if t.CommonName == "" || t.Use != Client || !end.After(t.Now) {
		return "", errors.New("pki: a signed certificate needs a name, a life and a client's use")
	}
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: t.CommonName, Organization: t.Organizations},
		NotBefore: t.Now.Add(-Skew), NotAfter: end, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key, a.key)
	if err != nil {
		return "", fmt.Errorf("pki: sign: %w", err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), nil
}

// NewRequest makes a key and a certificate request for it. The key is PKCS #8 in PEM form.
func NewRequest(name string) (csr, key string, err error) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", fmt.Errorf("pki: key: %w", err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: name}}, k)
	if err != nil {
		return "", "", fmt.Errorf("pki: request: %w", err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		return "", "", fmt.Errorf("pki: encode key: %w", err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})), nil
}
