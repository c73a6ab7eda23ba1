package spec

import (
	"encoding/json"
	"fmt"
	"time"
)

// MaxBytes bounds the document.
const MaxBytes = 8 << 20

// Spec describes one cluster.
type Spec struct {
	// Name is used in logs and node labels.
	Name string `json:"name"`
	// Generation is an opaque number that the supervisor chooses; status reports it.
	Generation int64 `json:"generation"`
	// DataDir is owned by one process at a time.
	DataDir string `json:"dataDir"`
	// ControlSocket is where the control API listens.
	ControlSocket string `json:"controlSocket"`
	// Listen is the API server's address.
	Listen string `json:"listen"`
	// ExternalHost is the host that the API server advertises.
	ExternalHost string `json:"externalHost"`
	// ServiceCIDR is the range of service addresses.
	ServiceCIDR string `json:"serviceCIDR"`
	// PodCIDR is the range of pod addresses; each node takes a /24 of it.
	PodCIDR string `json:"podCIDR"`
	// PKI holds certificates and keys.
	PKI PKI `json:"pki"`
	// TokenReview is the webhook asked about bearer tokens; nil asks none.
	TokenReview *Webhook `json:"tokenReview"`
	// Authorization is the webhook asked before Node and RBAC; nil asks none.
	Authorization *Webhook `json:"authorization"`
	// AuthorizationSocket is the Unix socket of the authorizer asked in the webhook's place, see package line.
	AuthorizationSocket string `json:"authorizationSocket"`
	// AuditLog is the file that the API server's audit log goes to; empty writes none.
	AuditLog string `json:"auditLog"`
	// Nodes are the pretend nodes.
	Nodes []Node `json:"nodes"`
	// OrphanTimeout, when positive, stops the process after nobody held GET /alive for so long.
	OrphanTimeout Duration `json:"orphanTimeout"`
}

// PKI holds certificates and keys in PEM form. No authority's private key is among them.
type PKI struct {
	// ClientCA verifies client certificates.
	ClientCA string `json:"clientCA"`
	// ClusterCA is what pods and kubeconfig files trust the API server by.
	ClusterCA string `json:"clusterCA"`
	// Serving is the API server's own certificate.
	Serving KeyPair `json:"serving"`
	// ServiceAccount signs and verifies service account tokens.
	ServiceAccount ServiceAccount `json:"serviceAccount"`
	// FrontProxy is for aggregated API servers.
	FrontProxy FrontProxy `json:"frontProxy"`
	// ControllerManager is the certificate of system:kube-controller-manager.
	ControllerManager KeyPair `json:"controllerManager"`
	// Scheduler is the certificate of system:kube-scheduler.
	Scheduler KeyPair `json:"scheduler"`
	// Operator is a certificate in system:masters, used by the keeper of the pretend nodes.
	Operator KeyPair `json:"operator"`
}

// KeyPair is a certificate with its key.
type KeyPair struct {
	Cert string `json:"cert"`
	Key  string `json:"key"`
}

// ServiceAccount holds what service account tokens are made and checked with.
type ServiceAccount struct {
	SigningKey string   `json:"signingKey"`
	VerifyKeys []string `json:"verifyKeys"`
	Issuer     string   `json:"issuer"`
	JWKSURI    string   `json:"jwksURI"`
}

// FrontProxy is the identity that the API server shows to aggregated API servers, and its authority.
type FrontProxy struct {
	CA     string  `json:"ca"`
	Client KeyPair `json:"client"`
}

// Webhook is an HTTPS endpoint that the API server asks.
type Webhook struct {
	URL    string  `json:"url"`
	CA     string  `json:"ca"`
	Client KeyPair `json:"client"`
}

// Duration is written as Go writes durations: "1m30s".
type Duration time.Duration

// UnmarshalJSON reads a duration from its string form.
func (d *Duration) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("a duration is a string such as %q", "30s")
	}
	v, err := time.ParseDuration(s)
	if err != nil {
		return fmt.Errorf("%q is not a duration such as %q", s, "30s")
	}
	*d = Duration(v)
	return nil
}

// MarshalJSON writes the string form.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(time.Duration(d).String()) }
