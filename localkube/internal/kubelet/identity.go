package kubelet

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"sync"
	"time"
)

// Credentials are what the API server knows kubelets by, and shows to them. In PEM form.
type Credentials struct {
	CA, Cert, Key []byte
}

// life outlasts any process; the keys end with it.
const life = 10 * 365 * 24 * time.Hour

// identity is an authority that lives and ends with the process.
type identity struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	now  time.Time
	ours func(node string) bool

	mu     sync.Mutex
	byNode map[string]*tls.Certificate
}

func newIdentity(now time.Time, ours func(node string) bool) (*identity, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "pretend kubelets"},
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	a := &identity{key: key, now: now, ours: ours, byNode: map[string]*tls.Certificate{}}
	der, err := a.sign(template, template, &key.PublicKey)
	if err != nil {
		return nil, err
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		return nil, fmt.Errorf("read certificate: %w", err)
	}
	return a, nil
}

func (a *identity) sign(template, parent *x509.Certificate, public *ecdsa.PublicKey) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, fmt.Errorf("make serial number: %w", err)
	}
	template.SerialNumber = serial
	template.NotBefore, template.NotAfter = a.now.Add(-time.Minute), a.now.Add(life)
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, a.key)
	if err != nil {
		return nil, fmt.Errorf("issue certificate: %w", err)
	}
	return der, nil
}

func (a *identity) issue(template *x509.Certificate) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	der, err := a.sign(template, a.cert, &key.PublicKey)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

// server is the certificate of a node of ours.
func (a *identity) server(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	node := hello.ServerName
	if !a.ours(node) {
		return nil, fmt.Errorf("%q is not a node of this cluster", node)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if c, ok := a.byNode[node]; ok {
		return c, nil
	}
	c, err := a.issue(&x509.Certificate{
		Subject: pkix.Name{CommonName: "system:node:" + node}, DNSNames: []string{node},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	if err == nil {
		a.byNode[node] = c
	}
	return c, err
}

// credentials are a new client certificate for the API server.
func (a *identity) credentials() (Credentials, error) {
	c, err := a.issue(&x509.Certificate{
		Subject: pkix.Name{CommonName: "kube-apiserver-kubelet-client"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return Credentials{}, err
	}
	key, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		return Credentials{}, fmt.Errorf("encode key: %w", err)
	}
	block := func(kind string, der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}) }
	return Credentials{CA: block("CERTIFICATE", a.cert.Raw), Cert: block("CERTIFICATE", c.Certificate[0]), Key: block("PRIVATE KEY", key)}, nil
}

// config lets in who shows a certificate of the authority.
func (a *identity) config() *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return &tls.Config{
		GetCertificate: a.server, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool, MinVersion: tls.VersionTLS13,
		// Streams are upgraded connections, which HTTP/2 has not.
		NextProtos: []string{"http/1.1"},
	}
}
