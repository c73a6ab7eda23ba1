// Package kubewire owns what an API server must be told to ask a gate: its authorization configuration, the kubeconfigs
// of its two webhooks, its flags, and where each distribution takes them.
//
// It is text made of values. It reads no file and asks no server. Facts about versions are from the Kubernetes, k3s, and
// Talos sources: kubeadm leaves out --authorization-mode when --authorization-config is given since 1.30 (kubernetes
// #123654), k3s and RKE2 since 1.29.16, 1.30.12, 1.31.8, 1.32.4 and 1.33.0 (k3s #12017), Talos has authorizationConfig
// since 1.9 (talos #9816).
package kubewire

import (
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"

	"sigs.k8s.io/yaml"
)

// MinMinor is the oldest Kubernetes 1.x whose API server takes an authorization configuration without a feature gate.
const MinMinor = 30

// Names of the files in the folder that API server and gate share.
const (
	AuthorizationFile        = "authorization.yaml"
	AuthorizationKubeconfig  = "authorization.kubeconfig"
	AuthenticationKubeconfig = "authentication.kubeconfig"
	GateCA                   = "gate-ca.crt"
	ClientCert               = "apiserver.crt"
	ClientKey                = "apiserver.key"
)

// Settings say which API server is told, and of which gate.
type Settings struct {
	// Minor is the API server's Kubernetes version, 1.Minor.
	Minor int
	// Dir is the folder that the gate writes and the API server reads, under the same name for both.
	Dir string
	// GateURL is where the gate listens, https://HOST:PORT, and Cluster the cluster's own id.
	GateURL, Cluster string
}

// ParseMinor reads a version such as 1.33, v1.33.4 or v1.33.4+k3s1.
func ParseMinor(version string) (int, error) {
	rest, ok := strings.CutPrefix(strings.TrimPrefix(version, "v"), "1.")
	digits, _, _ := strings.Cut(rest, ".")
	n, err := strconv.Atoi(digits)
	if !ok || err != nil || n < 0 {
		return 0, fmt.Errorf("%q is not a Kubernetes version such as 1.33", version)
	}
	if n < MinMinor {
		return 0, fmt.Errorf("kubernetes 1.%d cannot be told to ask a gate first: 1.%d is the oldest that can", n, MinMinor)
	}
	return n, nil
}

// The authorization configuration (apiserver.config.k8s.io), in the words of k8s.io/apiserver v0.37.
type authorizationConfiguration struct {
	APIVersion  string       `json:"apiVersion"`
	Kind        string       `json:"kind"`
	Authorizers []authorizer `json:"authorizers"`
}

type authorizer struct {
	Type    string   `json:"type"`
	Name    string   `json:"name"`
	Webhook *webhook `json:"webhook,omitempty"`
}

type webhook struct {
	Timeout                                  string      `json:"timeout"`
	FailurePolicy                            string      `json:"failurePolicy"`
	SubjectAccessReviewVersion               string      `json:"subjectAccessReviewVersion"`
	MatchConditionSubjectAccessReviewVersion string      `json:"matchConditionSubjectAccessReviewVersion"`
	AuthorizedTTL                            string      `json:"authorizedTTL"`
	UnauthorizedTTL                          string      `json:"unauthorizedTTL"`
	CacheAuthorizedRequests                  *bool       `json:"cacheAuthorizedRequests,omitempty"`
	CacheUnauthorizedRequests                *bool       `json:"cacheUnauthorizedRequests,omitempty"`
	ConnectionInfo                           connection  `json:"connectionInfo"`
	MatchConditions                          []condition `json:"matchConditions"`
}

type connection struct {
	Type           string `json:"type"`
	KubeConfigFile string `json:"kubeConfigFile"`
}

type condition struct {
	Expression string `json:"expression"`
}

// v1Since is the Kubernetes 1.x from which the configuration is of version v1, cacheSwitchSince that from which caching can be
// switched off: before, 1 ms is the least, and 0 means 5 minutes.
const (
	v1Since          = 32
	cacheSwitchSince = 34
)

// authorizers is the chain: the gate first, for people and applications; then what Kubernetes itself decides by.
func (s Settings) authorizers() []authorizer {
	w := &webhook{
		Timeout: "3s", FailurePolicy: "Deny", SubjectAccessReviewVersion: "v1", MatchConditionSubjectAccessReviewVersion: "v1",
		AuthorizedTTL: "1ms", UnauthorizedTTL: "1ms",
		ConnectionInfo:  connection{Type: "KubeConfigFile", KubeConfigFile: path.Join(s.Dir, AuthorizationKubeconfig)},
		MatchConditions: []condition{{Expression: "!request.user.startsWith('system:')"}},
	}
	if s.Minor >= cacheSwitchSince {
		never := false
		w.CacheAuthorizedRequests, w.CacheUnauthorizedRequests = &never, &never
	}
	return []authorizer{{Type: "Webhook", Name: "keyreeve", Webhook: w}, {Type: "Node", Name: "node"}, {Type: "RBAC", Name: "rbac"}}
}

// AuthorizationConfiguration returns the file for --authorization-config.
func (s Settings) AuthorizationConfiguration() ([]byte, error) {
	if s.Minor < MinMinor {
		return nil, errors.New("kubewire: the Kubernetes version is missing or too old")
	}
	version := "v1"
	if s.Minor < v1Since {
		version = "v1beta1"
	}
	return encode(authorizationConfiguration{
		APIVersion: "apiserver.config.k8s.io/" + version, Kind: "AuthorizationConfiguration", Authorizers: s.authorizers(),
	})
}

// The members of a kubeconfig (k8s.io/client-go/tools/clientcmd/api/v1) that a webhook needs.
type kubeconfig struct {
	APIVersion     string         `json:"apiVersion"`
	Kind           string         `json:"kind"`
	Clusters       []namedCluster `json:"clusters"`
	Users          []namedUser    `json:"users"`
	Contexts       []namedContext `json:"contexts"`
	CurrentContext string         `json:"current-context"`
}

type namedCluster struct {
	Name    string `json:"name"`
	Cluster struct {
		Server string `json:"server"`
		CA     string `json:"certificate-authority"`
	} `json:"cluster"`
}

type namedUser struct {
	Name string `json:"name"`
	User struct {
		Cert string `json:"client-certificate"`
		Key  string `json:"client-key"`
	} `json:"user"`
}

type namedContext struct {
	Name    string `json:"name"`
	Context struct {
		Cluster string `json:"cluster"`
		User    string `json:"user"`
	} `json:"context"`
}

// webhookKubeconfig returns the kubeconfig by which the API server reaches a webhook. It names files, which the API server
// reads again when they change.
func (s Settings) webhookKubeconfig(hook string) ([]byte, error) {
	k := kubeconfig{APIVersion: "v1", Kind: "Config", CurrentContext: "gate"}
	cluster, user, context := namedCluster{Name: "gate"}, namedUser{Name: "apiserver"}, namedContext{Name: "gate"}
	cluster.Cluster.Server, cluster.Cluster.CA = s.GateURL+"/clusters/"+s.Cluster+"/"+hook, path.Join(s.Dir, GateCA)
	user.User.Cert, user.User.Key = path.Join(s.Dir, ClientCert), path.Join(s.Dir, ClientKey)
	context.Context.Cluster, context.Context.User = "gate", "apiserver"
	k.Clusters, k.Users, k.Contexts = []namedCluster{cluster}, []namedUser{user}, []namedContext{context}
	return encode(k)
}

// Files returns the files that hold no secret, by name.
func (s Settings) Files() (map[string][]byte, error) {
	authorization, err1 := s.AuthorizationConfiguration()
	sar, err2 := s.webhookKubeconfig("subjectaccessreview")
	tr, err3 := s.webhookKubeconfig("tokenreview")
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	return map[string][]byte{AuthorizationFile: authorization, AuthorizationKubeconfig: sar, AuthenticationKubeconfig: tr}, nil
}

// Flag is a flag of the API server.
type Flag struct{ Name, Value string }

// constrainedSince is the Kubernetes 1.x from which constrained impersonation is on by default. Its success is remembered for
// 10 s before any authorizer is asked.
const constrainedSince = 36

// Flags returns the flags that the API server needs. --authorization-mode must go.
func (s Settings) Flags() []Flag {
	flags := []Flag{
		{"authorization-config", path.Join(s.Dir, AuthorizationFile)},
		{"authentication-token-webhook-config-file", path.Join(s.Dir, AuthenticationKubeconfig)},
		{"authentication-token-webhook-version", "v1"},
		{"authentication-token-webhook-cache-ttl", "0s"},
	}
	if s.Minor >= constrainedSince {
		flags = append(flags, Flag{"feature-gates", "ConstrainedImpersonation=false"})
	}
	return flags
}

func encode(v any) ([]byte, error) {
	b, err := yaml.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("kubewire: %w", err)
	}
	return b, nil
}
