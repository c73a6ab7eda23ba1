package embedded

import (
	"context"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/keyreeve/keyreeve/internal/cluster"
	"github.com/keyreeve/keyreeve/internal/managedcluster"
	"github.com/keyreeve/keyreeve/internal/pki"
)

// spec is the document that localkube reads from its standard input.
type spec struct {
	Name          string    `json:"name"`
	Generation    int64     `json:"generation"`
	DataDir       string    `json:"dataDir"`
	ControlSocket string    `json:"controlSocket"`
	Listen        string    `json:"listen"`
	ExternalHost  string    `json:"externalHost"`
	ServiceCIDR   string    `json:"serviceCIDR"`
	PodCIDR       string    `json:"podCIDR"`
	PKI           specPKI   `json:"pki"`
	TokenReview   *specHook `json:"tokenReview"`
	Authorization *specHook `json:"authorization"`
	// AuthorizationSocket is asked in the place of Authorization, if set.
	AuthorizationSocket string     `json:"authorizationSocket,omitempty"`
	AuditLog            string     `json:"auditLog"`
	Nodes               []specNode `json:"nodes"`
	OrphanTimeout       string     `json:"orphanTimeout"`
}

type specPKI struct {
	ClientCA          string             `json:"clientCA"`
	ClusterCA         string             `json:"clusterCA"`
	Serving           pki.KeyPair        `json:"serving"`
	ServiceAccount    specServiceAccount `json:"serviceAccount"`
	FrontProxy        specFrontProxy     `json:"frontProxy"`
	ControllerManager pki.KeyPair        `json:"controllerManager"`
	Scheduler         pki.KeyPair        `json:"scheduler"`
	Operator          pki.KeyPair        `json:"operator"`
}

type specServiceAccount struct {
	SigningKey string   `json:"signingKey"`
	VerifyKeys []string `json:"verifyKeys"`
	Issuer     string   `json:"issuer"`
}

type specFrontProxy struct {
	CA     string      `json:"ca"`
	Client pki.KeyPair `json:"client"`
}

type specHook struct {
	URL    string      `json:"url"`
	CA     string      `json:"ca"`
	Client pki.KeyPair `json:"client"`
}

type specNode struct {
	Name   string                 `json:"name"`
	Pool   string                 `json:"pool"`
	VMSize string                 `json:"vmSize"`
	Labels map[string]string      `json:"labels,omitempty"`
	Taints []managedcluster.Taint `json:"taints,omitempty"`
}

// Hooks say whom the API servers ask about tokens and access.
type Hooks struct {
	// TokenReviewURL and AuthorizationURL are https, with {cluster} in place of a cluster's id; CA is the PEM bundle by
	// which they are trusted.
	TokenReviewURL, AuthorizationURL string
	CA                               string
	// Authority issues the certificates by which the hooks know a cluster: common name HookName.
	Authority *pki.Authority
	// Line, if set, answers API servers about access in the place of AuthorizationURL.
	Line Line
}

// HookName is the common name of a cluster's client certificate towards the hooks.
func HookName(id fmt.Stringer) string { return "cluster:" + id.String() }

func hookURL(pattern string, id fmt.Stringer) string {
	return strings.ReplaceAll(pattern, "{cluster}", id.String())
}

// listenAddress returns the IP address and port to listen at for an endpoint, and the endpoint's host.
func listenAddress(ctx context.Context, endpoint string) (listen, host string, err error) {
	host, port, err := net.SplitHostPort(endpoint)
	if err != nil {
		return "", "", fmt.Errorf("endpoint of cluster: %w", err)
	}
	if net.ParseIP(host) != nil {
		return endpoint, host, nil
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return "", "", fmt.Errorf("endpoint of cluster: %w", err)
	}
	return net.JoinHostPort(ips[0].Unmap().String(), port), host, nil
}

// spec makes the document for a cluster. Its certificates are new each time.
func (s *Supervisor) spec(ctx context.Context, d cluster.Desired, f folder, socket string) (*spec, error) {
	now := s.Now()
	listen, host, err := listenAddress(ctx, d.Endpoint)
	if err != nil {
		return nil, err
	}
	parts, err := d.Secrets.IssueComponents(pki.ServingHosts(d.FQDN, host, d.ServiceIP), now)
	if err != nil {
		return nil, err
	}
	public, err := d.Secrets.ServiceAccountPublic()
	if err != nil {
		return nil, err
	}
	hook, err := s.Hooks.Authority.Issue(pki.Template{CommonName: HookName(d.ID), Now: now, Life: pki.ComponentLife})
	if err != nil {
		return nil, err
	}
	line, err := s.lineSocket(f)
	if err != nil {
		return nil, err
	}
	doc := &spec{
		Name: d.Name, Generation: d.Generation, DataDir: f.data(), ControlSocket: socket, Listen: listen,
		ExternalHost: host, ServiceCIDR: d.ServiceCIDR, PodCIDR: d.PodCIDR,
		PKI: specPKI{
			ClientCA: d.Secrets.Cluster.Cert, ClusterCA: d.Secrets.Cluster.Cert, Serving: parts.Serving,
			ServiceAccount:    specServiceAccount{SigningKey: d.Secrets.ServiceAccount, VerifyKeys: []string{public}, Issuer: "https://" + d.FQDN},
			FrontProxy:        specFrontProxy{CA: d.Secrets.FrontProxy.Cert, Client: parts.FrontProxyClient},
			ControllerManager: parts.ControllerManager, Scheduler: parts.Scheduler, Operator: parts.Operator,
		},
		TokenReview:         &specHook{URL: hookURL(s.Hooks.TokenReviewURL, d.ID), CA: s.Hooks.CA, Client: hook},
		AuthorizationSocket: line, AuditLog: f.audit(),
		Nodes: specNodes(d.Nodes), OrphanTimeout: s.OrphanTimeout.Round(time.Millisecond).String(),
	}
	if line == "" {
		doc.Authorization = &specHook{URL: hookURL(s.Hooks.AuthorizationURL, d.ID), CA: s.Hooks.CA, Client: hook}
	}
	return doc, nil
}

func specNodes(nodes []cluster.Node) []specNode {
	out := make([]specNode, len(nodes))
	for i, n := range nodes {
		out[i] = specNode{Name: n.Name, Pool: n.Pool, VMSize: n.VMSize, Labels: n.Labels, Taints: n.Taints}
	}
	return out
}
