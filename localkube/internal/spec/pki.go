package spec

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/keyutil"
)

// Names that Kubernetes' own roles are bound to.
const (
	controllerManagerName = "system:kube-controller-manager"
	schedulerName         = "system:kube-scheduler"
	mastersGroup          = "system:masters"
)

func (p *PKI) validate(now time.Time) []error {
	var errs []error
	fault := func(path string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("pki.%s: %w", path, err))
		}
	}
	clients, err := certificates(p.ClientCA)
	fault("clientCA", err)
	servers, err := certificates(p.ClusterCA)
	fault("clusterCA", err)
	proxies, err := certificates(p.FrontProxy.CA)
	fault("frontProxy.ca", err)

	_, err = p.Serving.signedBy(servers, x509.ExtKeyUsageServerAuth, now)
	fault("serving", err)
	_, err = p.FrontProxy.Client.signedBy(proxies, x509.ExtKeyUsageClientAuth, now)
	fault("frontProxy.client", err)
	fault("controllerManager", p.ControllerManager.named(controllerManagerName, clients, now))
	fault("scheduler", p.Scheduler.named(schedulerName, clients, now))
	leaf, err := p.Operator.signedBy(clients, x509.ExtKeyUsageClientAuth, now)
	if err == nil && !slices.Contains(leaf.Subject.Organization, mastersGroup) {
		err = fmt.Errorf("the certificate's organization must be %s", mastersGroup)
	}
	fault("operator", err)
	return append(errs, p.ServiceAccount.validate()...)
}

func (a *ServiceAccount) validate() []error {
	var errs []error
	fault := func(path string, err error) {
		errs = append(errs, fmt.Errorf("pki.serviceAccount.%s: %w", path, err))
	}
	if err := checkHTTPS(a.Issuer); err != nil {
		fault("issuer", err)
	}
	if a.JWKSURI != "" {
		if err := checkHTTPS(a.JWKSURI); err != nil {
			fault("jwksURI", err)
		}
	}
	signer, err := signingKey(a.SigningKey)
	if err != nil {
		fault("signingKey", err)
	}
	if len(a.VerifyKeys) == 0 {
		fault("verifyKeys", errors.New("is empty"))
	}
	found := false
	for i, pem := range a.VerifyKeys {
		keys, err := keyutil.ParsePublicKeysPEM([]byte(pem))
		if err != nil {
			fault(fmt.Sprintf("verifyKeys[%d]", i), errors.New("is not a public key in PEM form"))
			continue
		}
		for _, k := range keys {
			if signer != nil && samePublicKey(signer.Public(), k) {
				found = true
			}
		}
	}
	if signer != nil && len(errs) == 0 && !found {
		fault("verifyKeys", errors.New("does not hold the public half of signingKey"))
	}
	return errs
}

// signingKey reads an RSA or ECDSA key: what the API server can sign tokens with.
func signingKey(pem string) (crypto.Signer, error) {
	k, err := keyutil.ParsePrivateKeyPEM([]byte(pem))
	if err != nil {
		return nil, errors.New("is not a private key in PEM form")
	}
	switch k := k.(type) {
	case *rsa.PrivateKey:
		return k, nil
	case *ecdsa.PrivateKey:
		return k, nil
	}
	return nil, errors.New("must be an RSA or ECDSA key")
}

func samePublicKey(a crypto.PublicKey, b any) bool {
	eq, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && eq.Equal(b)
}

// certificates reads a bundle with at least one certificate.
func certificates(pem string) ([]*x509.Certificate, error) {
	cs, err := cert.ParseCertsPEM([]byte(pem))
	if err != nil {
		return nil, errors.New("is not a bundle of certificates in PEM form")
	}
	return cs, nil
}

// leaf checks that key and certificate belong together.
func (k *KeyPair) leaf() (*x509.Certificate, error) {
	if k.Cert == "" || k.Key == "" {
		return nil, errors.New("cert and key are both needed")
	}
	pair, err := tls.X509KeyPair([]byte(k.Cert), []byte(k.Key))
	if err != nil {
		return nil, errors.New("cert and key are not a pair in PEM form")
	}
	return x509.ParseCertificate(pair.Certificate[0])
}

// signedBy checks that one of roots vouches for the certificate. With no roots, which is a fault of its own, it
// checks only the pair.
func (k *KeyPair) signedBy(roots []*x509.Certificate, use x509.ExtKeyUsage, now time.Time) (*x509.Certificate, error) {
	leaf, err := k.leaf()
	if err != nil || len(roots) == 0 {
		return leaf, err
	}
	opts := x509.VerifyOptions{
		Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(),
		KeyUsages: []x509.ExtKeyUsage{use}, CurrentTime: now,
	}
	for _, r := range roots {
		opts.Roots.AddCert(r)
	}
	opts.Intermediates.AppendCertsFromPEM([]byte(k.Cert))
	if _, err := leaf.Verify(opts); err != nil {
		return nil, fmt.Errorf("the certificate does not verify: %w", err)
	}
	return leaf, nil
}

// named checks a client certificate with a certain common name.
func (k *KeyPair) named(name string, roots []*x509.Certificate, now time.Time) error {
	leaf, err := k.signedBy(roots, x509.ExtKeyUsageClientAuth, now)
	if err != nil {
		return err
	}
	if leaf.Subject.CommonName != name {
		return fmt.Errorf("the certificate's common name must be %s", name)
	}
	return nil
}

// CommonName is the common name of the pair's certificate, empty when it cannot be read.
func (k *KeyPair) CommonName() string {
	leaf, err := k.leaf()
	if err != nil {
		return ""
	}
	return leaf.Subject.CommonName
}
