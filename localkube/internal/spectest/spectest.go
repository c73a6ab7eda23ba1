// Package spectest owns throwaway authorities and complete, valid specs for tests. Nothing else may import it.
package spectest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/localkube/internal/spec"
)

// Authority is a certificate authority whose key lives as long as the test.
type Authority struct {
	tb   testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	// PEM is the authority's certificate.
	PEM string
}

// NewAuthority makes an authority.
func NewAuthority(tb testing.TB, name string) *Authority {
	tb.Helper()
	key := newKey(tb)
	template := &x509.Certificate{
		SerialNumber: serial(tb), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		tb.Fatalf("make authority %s: %v", name, err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatalf("read authority %s: %v", name, err)
	}
	return &Authority{tb: tb, cert: cert, key: key, PEM: encode("CERTIFICATE", der)}
}

// Client issues a client certificate.
func (a *Authority) Client(name string, groups ...string) spec.KeyPair {
	a.tb.Helper()
	return a.issue(&x509.Certificate{
		Subject:     pkix.Name{CommonName: name, Organization: groups},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
}

// Server issues a server certificate for this machine.
func (a *Authority) Server() spec.KeyPair {
	a.tb.Helper()
	return a.issue(&x509.Certificate{
		Subject:     pkix.Name{CommonName: "server"},
		DNSNames:    []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
}

// Pool is a pool with the authority alone.
func (a *Authority) Pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

func (a *Authority) issue(template *x509.Certificate) spec.KeyPair {
	a.tb.Helper()
	key := newKey(a.tb)
	template.SerialNumber = serial(a.tb)
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Minute), time.Now().Add(time.Hour)
	template.KeyUsage = x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		a.tb.Fatalf("issue certificate: %v", err)
	}
	return spec.KeyPair{Cert: encode("CERTIFICATE", der), Key: encode("PRIVATE KEY", private(a.tb, key))}
}

// TLS is a pair as crypto/tls takes it.
func TLS(tb testing.TB, p spec.KeyPair) tls.Certificate {
	tb.Helper()
	c, err := tls.X509KeyPair([]byte(p.Cert), []byte(p.Key))
	if err != nil {
		tb.Fatalf("read key pair: %v", err)
	}
	return c
}

// Cluster is a valid spec with the authorities behind it.
type Cluster struct {
	Spec    *spec.Spec
	Clients *Authority
	Servers *Authority
	Hooks   *Authority
}

// New makes a spec of a cluster with as many nodes, in directories that end with the test.
func New(tb testing.TB, nodes int) *Cluster {
	tb.Helper()
	c := &Cluster{
		Clients: NewAuthority(tb, "clients"), Servers: NewAuthority(tb, "servers"), Hooks: NewAuthority(tb, "webhooks"),
	}
	front := NewAuthority(tb, "front proxy")
	account := newKey(tb)
	public, err := x509.MarshalPKIXPublicKey(account.Public())
	if err != nil {
		tb.Fatalf("encode public key: %v", err)
	}
	dir := tb.TempDir()
	c.Spec = &spec.Spec{
		Name: "c1", Generation: 7,
		DataDir:       filepath.Join(dir, "data"),
		ControlSocket: filepath.Join(dir, "x.sock"),
		Listen:        "127.0.0.1:10443", ExternalHost: "127.0.0.1",
		ServiceCIDR: "10.0.0.0/16", PodCIDR: "10.244.0.0/16",
		PKI: spec.PKI{
			ClientCA: c.Clients.PEM, ClusterCA: c.Servers.PEM, Serving: c.Servers.Server(),
			ServiceAccount: spec.ServiceAccount{
				SigningKey: encode("PRIVATE KEY", private(tb, account)),
				VerifyKeys: []string{encode("PUBLIC KEY", public)},
				Issuer:     "https://issuer.example/c1",
			},
			FrontProxy:        spec.FrontProxy{CA: front.PEM, Client: front.Client("front-proxy")},
			ControllerManager: c.Clients.Client("system:kube-controller-manager"),
			Scheduler:         c.Clients.Client("system:kube-scheduler"),
			Operator:          c.Clients.Client("localkube", "system:masters"),
		},
		Nodes: Nodes(nodes),
	}
	return c
}

// Hook is the webhook at a URL that serves by a certificate of Hooks.
func (c *Cluster) Hook(url string) *spec.Webhook {
	return &spec.Webhook{URL: url, CA: c.Hooks.PEM, Client: c.Hooks.Client("apiserver")}
}

// Nodes is a list of nodes.
func Nodes(n int) []spec.Node {
	list := make([]spec.Node, n)
	for i := range list {
		list[i] = spec.Node{
			Name: fmt.Sprintf("aks-nodepool1-15306047-vmss%06d", i), Pool: "nodepool1", VMSize: "Standard_DS2_v2",
			OSImage: "Ubuntu 22.04.5 LTS",
		}
	}
	return list
}

func newKey(tb testing.TB) *ecdsa.PrivateKey {
	tb.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatalf("make key: %v", err)
	}
	return k
}

func private(tb testing.TB, k crypto.PrivateKey) []byte {
	tb.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		tb.Fatalf("encode key: %v", err)
	}
	return der
}

func serial(tb testing.TB) *big.Int {
	tb.Helper()
	n, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		tb.Fatalf("make serial number: %v", err)
	}
	return n
}

func encode(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}
