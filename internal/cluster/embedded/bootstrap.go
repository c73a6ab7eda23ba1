package embedded

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/keyreeve/keyreeve/internal/cluster"
	"github.com/keyreeve/keyreeve/internal/pki"
)

// gateRole is the name of the role by which the gate reads a cluster's roles and bindings, and of its binding.
const gateRole = "keyreeve:gate"

type meta struct {
	Name   string            `json:"name"`
	Labels map[string]string `json:"labels,omitempty"`
}

type subject struct {
	Kind     string `json:"kind"`
	Name     string `json:"name"`
	APIGroup string `json:"apiGroup"`
}

type rule struct {
	APIGroups []string `json:"apiGroups"`
	Resources []string `json:"resources"`
	Verbs     []string `json:"verbs"`
}

type rbacObject struct {
	APIVersion string    `json:"apiVersion"`
	Kind       string    `json:"kind"`
	Metadata   meta      `json:"metadata"`
	Rules      []rule    `json:"rules,omitempty"`
	RoleRef    *subject  `json:"roleRef,omitempty"`
	Subjects   []subject `json:"subjects,omitempty"`
}

// gateObjects let the gate read roles and bindings, and nothing else.
func gateObjects() map[string]rbacObject {
	const group = "rbac.authorization.k8s.io"
	m := meta{Name: gateRole, Labels: map[string]string{"app.kubernetes.io/managed-by": "keyreeve"}}
	return map[string]rbacObject{
		"clusterroles": {
			APIVersion: group + "/v1", Kind: "ClusterRole", Metadata: m,
			Rules: []rule{{
				APIGroups: []string{group}, Resources: []string{"roles", "clusterroles", "rolebindings", "clusterrolebindings"},
				Verbs: []string{"get", "list", "watch"},
			}},
		},
		"clusterrolebindings": {
			APIVersion: group + "/v1", Kind: "ClusterRoleBinding", Metadata: m,
			RoleRef:  &subject{APIGroup: group, Kind: "ClusterRole", Name: gateRole},
			Subjects: []subject{{APIGroup: group, Kind: "User", Name: pki.GateUser}},
		},
	}
}

// letGateIn makes the gate's role and binding, with a certificate that is good for ten minutes and never leaves memory,
// and returns what the gate needs. Doing it again changes nothing.
func (s *Supervisor) letGateIn(ctx context.Context, d cluster.Desired) (cluster.Access, error) {
	operator, err := d.Secrets.IssueMasters("keyreeve-bootstrap", s.Now(), pki.OperatorLife)
	if err != nil {
		return cluster.Access{}, err
	}
	client, err := apiClient(d.Secrets.Cluster.Cert, operator)
	if err != nil {
		return cluster.Access{}, err
	}
	defer client.CloseIdleConnections()
	host := "https://" + d.Endpoint
	for resource, object := range gateObjects() {
		// Server-side apply: one call that makes, repairs or leaves alone.
		url := host + "/apis/rbac.authorization.k8s.io/v1/" + resource + "/" + gateRole + "?fieldManager=keyreeve&force=true"
		if err := apply(ctx, client, url, object); err != nil {
			return cluster.Access{}, fmt.Errorf("let the gate in: %s: %w", resource, err)
		}
	}
	gate, err := d.Secrets.IssueGate(s.Now())
	if err != nil {
		return cluster.Access{}, err
	}
	return cluster.Access{Host: host, CA: []byte(d.Secrets.Cluster.Cert), Cert: []byte(gate.Cert), Key: []byte(gate.Key)}, nil
}

func apiClient(ca string, pair pki.KeyPair) (*http.Client, error) {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(ca)) {
		return nil, errors.New("the cluster's authority is not a certificate")
	}
	cert, err := tls.X509KeyPair([]byte(pair.Cert), []byte(pair.Key))
	if err != nil {
		return nil, fmt.Errorf("client certificate: %w", err)
	}
	return &http.Client{
		Timeout: 10 * time.Second,
		Transport: &http.Transport{
			ForceAttemptHTTP2: true,
			TLSClientConfig:   &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12},
		},
	}, nil
}

func apply(ctx context.Context, client *http.Client, url string, object any) error {
	body, err := json.Marshal(object)
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPatch, url, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("request: %w", err)
	}
	req.Header.Set("Content-Type", "application/apply-patch+yaml") // JSON is YAML
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("request: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
	if err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("%s: %s", resp.Status, bytes.TrimSpace(text))
	}
	return nil
}
