package pki

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"time"
)

// Groups and names in the certificates of a cluster.
const (
	// AdminGroup is the organization of admin certificates. It is not system:masters, which precedes every authorizer: the
	// gate decides about it by the list of certificates that were issued and not revoked.
	AdminGroup = "keyreeve:cluster-admins"
	// GateUser reads the cluster's roles and bindings for the gate.
	GateUser = "system:keyreeve:gate"

	masters = "system:masters"
)

// Lives of a cluster's certificates.
const (
	clusterAuthorityLife = 30 * 365 * 24 * time.Hour // as AKS
	// ComponentLife is the life of the certificates of a cluster's own components, made at each start.
	ComponentLife = MaxServerLife
	// OperatorLife is the life of the system:masters certificates that are used in memory alone.
	OperatorLife = 10 * time.Minute
	// RecoverLife is the life of an emergency kubeconfig's certificate.
	RecoverLife = 15 * time.Minute
)

// Secrets are the authorities and keys of a cluster: what is sealed at rest, and what rotation replaces as a whole.
type Secrets struct {
	// Cluster vouches for the API server and for client certificates.
	Cluster KeyPair `json:"cluster"`
	// FrontProxy vouches for the API server before aggregated API servers.
	FrontProxy KeyPair `json:"frontProxy"`
	// ServiceAccount is the private key that signs service account tokens (RSA 2048, PKCS #8, PEM).
	ServiceAccount string `json:"serviceAccount"`
}

// WithServiceAccountKey returns the secrets with another key for service account tokens.
func (s Secrets) WithServiceAccountKey() (Secrets, error) {
	key, err := newServiceAccountKey()
	s.ServiceAccount = key
	return s, err
}

// newServiceAccountKey makes an RSA key, since whoever federates with a cluster's issuer expects RS256.
func newServiceAccountKey() (string, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return "", fmt.Errorf("pki: service account key: %w", err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", fmt.Errorf("pki: service account key: %w", err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})), nil
}

// SealName is the name under which a cluster's Secrets are sealed.
func SealName(cluster string) string { return "cluster:" + cluster }

// NewSecrets makes new authorities and keys. It takes about a tenth of a second, most of it for the RSA key.
func NewSecrets(name string, now time.Time) (Secrets, error) {
	ca, err := NewAuthority(name+" ca", now, clusterAuthorityLife)
	if err != nil {
		return Secrets{}, err
	}
	proxy, err := NewAuthority(name+" front-proxy ca", now, clusterAuthorityLife)
	if err != nil {
		return Secrets{}, err
	}
	key, err := newServiceAccountKey()
	if err != nil {
		return Secrets{}, err
	}
	return Secrets{
		Cluster: ca.Pair(), FrontProxy: proxy.Pair(),
		ServiceAccount: key,
	}, nil
}

// Marshal returns the form that is sealed.
func (s Secrets) Marshal() ([]byte, error) {
	b, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("pki: secrets: %w", err)
	}
	return b, nil
}

// ParseSecrets reads what Marshal wrote and checks that it is whole. Its errors hold no key.
func ParseSecrets(b []byte) (Secrets, error) {
	var s Secrets
	if err := json.Unmarshal(b, &s); err != nil {
		return Secrets{}, errors.New("pki: the secrets cannot be read")
	}
	for what, p := range map[string]KeyPair{"cluster": s.Cluster, "front proxy": s.FrontProxy} {
		if _, err := ParseAuthority(p); err != nil {
			return Secrets{}, fmt.Errorf("%s authority: %w", what, err)
		}
	}
	if _, err := parseKey(s.ServiceAccount); err != nil {
		return Secrets{}, fmt.Errorf("service account key: %w", err)
	}
	return s, nil
}

// ServiceAccountPublic returns the public half of the key that signs service account tokens, as PEM (PKIX).
func (s Secrets) ServiceAccountPublic() (string, error) {
	key, err := parseKey(s.ServiceAccount)
	if err != nil {
		return "", err
	}
	raw, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return "", fmt.Errorf("pki: service account key: %w", err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: raw})), nil
}

// Components are the certificates that a cluster's own parts use.
type Components struct {
	Serving           KeyPair
	FrontProxyClient  KeyPair
	ControllerManager KeyPair
	Scheduler         KeyPair
	Operator          KeyPair
}

// ServingHosts are the names and addresses that every API server answers to: loopback, its name, and the first service
// address.
func ServingHosts(fqdn, external, serviceIP string) []string {
	hosts := []string{
		"127.0.0.1", "::1", "localhost",
		"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
	}
	for _, h := range []string{fqdn, external, serviceIP} {
		if h != "" && h != "127.0.0.1" && h != "localhost" {
			hosts = append(hosts, h)
		}
	}
	return hosts
}

// IssueComponents makes the certificates that a cluster is started with.
func (s Secrets) IssueComponents(hosts []string, now time.Time) (Components, error) {
	ca, err := ParseAuthority(s.Cluster)
	if err != nil {
		return Components{}, err
	}
	proxy, err := ParseAuthority(s.FrontProxy)
	if err != nil {
		return Components{}, err
	}
	var c Components
	for _, leaf := range []struct {
		to   *KeyPair
		from *Authority
		Template
	}{
		{&c.Serving, ca, Template{CommonName: "kube-apiserver", Use: Server, Hosts: hosts}},
		{&c.FrontProxyClient, proxy, Template{CommonName: "front-proxy-client"}},
		{&c.ControllerManager, ca, Template{CommonName: "system:kube-controller-manager"}},
		{&c.Scheduler, ca, Template{CommonName: "system:kube-scheduler"}},
		{&c.Operator, ca, Template{CommonName: "localkube", Organizations: []string{masters}}},
	} {
		leaf.Now, leaf.Life = now, ComponentLife
		if *leaf.to, err = leaf.from.Issue(leaf.Template); err != nil {
			return Components{}, err
		}
	}
	return c, nil
}

// IssueGate makes the certificate with which the gate reads roles and bindings.
func (s Secrets) IssueGate(now time.Time) (KeyPair, error) {
	return s.issue(Template{CommonName: GateUser, Now: now, Life: ComponentLife})
}

// IssueMasters makes a system:masters certificate, for a name that says who uses it and for at most RecoverLife.
func (s Secrets) IssueMasters(name string, now time.Time, life time.Duration) (KeyPair, error) {
	return s.issue(Template{CommonName: name, Organizations: []string{masters}, Now: now, Life: min(life, RecoverLife)})
}

// IssueAdmin makes an admin's certificate for a person. name must not begin with "system:": the API server asks the
// gate about no such name.
func (s Secrets) IssueAdmin(name string, now time.Time, life time.Duration) (KeyPair, error) {
	return s.issue(Template{CommonName: name, Organizations: []string{AdminGroup}, Now: now, Life: life})
}

func (s Secrets) issue(t Template) (KeyPair, error) {
	ca, err := ParseAuthority(s.Cluster)
	if err != nil {
		return KeyPair{}, err
	}
	return ca.Issue(t)
}
