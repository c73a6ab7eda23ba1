package pki

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"
	"time"
)

// TestSign: only the key of a request counts, and only one that is meant for this.
func TestSign(t *testing.T) {
	a := newAuthority(t, 1000*day)
	csr, key, err := NewRequest("asked for")
	if err != nil {
		t.Fatal(err)
	}
	good := Template{CommonName: "given", Now: noon(), Life: day}
	cert, err := a.Sign(csr, good)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tls.X509KeyPair([]byte(cert), []byte(key)); err != nil {
		t.Error(err)
	}
	l := leaf(t, KeyPair{Cert: cert, Key: key})
	if l.Subject.CommonName != "given" || !l.NotAfter.Equal(noon().Add(day)) || l.IsCA || len(l.ExtKeyUsage) != 1 || l.ExtKeyUsage[0] != x509.ExtKeyUsageClientAuth {
		t.Errorf("%s until %s, %v", l.Subject, l.NotAfter, l.ExtKeyUsage)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, rsaKey)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode([]byte(csr))
	forged := append([]byte(nil), block.Bytes...)
	forged[len(forged)-1] ^= 1
	encoded := func(der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
	}
	for name, tt := range map[string]struct {
		csr  string
		with Template
	}{
		"nothing": {"", good}, "text": {"x", good}, "a certificate": {a.CertPEM(), good}, "two": {csr + csr, good}, "cut": {csr[:100], good},
		"RSA": {encoded(der), good}, "another signature": {encoded(forged), good}, "no name": {csr, Template{Now: noon(), Life: day}},
		"a server": {csr, Template{CommonName: "x", Use: Server, Now: noon(), Life: day}}, "no life": {csr, Template{CommonName: "x", Now: noon()}},
		"after the authority": {csr, Template{CommonName: "x", Now: noon().Add(2000 * day), Life: day}},
	} {
		if _, err := a.Sign(tt.csr, tt.with); err == nil {
			t.Errorf("%s is signed", name)
		}
	}
	long, err := a.Sign(csr, Template{CommonName: "x", Now: noon(), Life: 100000 * time.Hour})
	if end, _ := Expiry(long); err != nil || !end.Equal(a.NotAfter()) {
		t.Errorf("until %s, %v", end, err)
	}
}

func FuzzSign(f *testing.F) {
	csr, _, err := NewRequest("x")
	if err != nil {
		f.Fatal(err)
	}
	a, err := NewAuthority("test", noon(), day)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(csr)
	f.Add(strings.ReplaceAll(csr, "A", "B"))
	f.Fuzz(func(t *testing.T, csr string) {
		cert, err := a.Sign(csr, Template{CommonName: "x", Now: noon(), Life: time.Hour})
		if err != nil {
			return
		}
		// Whatever was signed is a client's certificate of that name and nothing else.
		l, err := parseCert(cert)
		if err != nil || l.Subject.String() != "CN=x" || l.IsCA || len(l.DNSNames)+len(l.IPAddresses)+len(l.EmailAddresses)+len(l.URIs) != 0 {
			t.Errorf("%v %+v", err, l)
		}
	})
}
