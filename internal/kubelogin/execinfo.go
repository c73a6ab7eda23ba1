package kubelogin

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/keyreeve/keyreeve/internal/kubelogin/ask"
)

const (
	execV1      = "client.authentication.k8s.io/v1"
	execV1beta1 = "client.authentication.k8s.io/v1beta1"
)

// execInfo is what kubectl tells a plugin.
type execInfo struct {
	version string
	config  json.RawMessage
}

// readExecInfo reads $KUBERNETES_EXEC_INFO.
func readExecInfo(d Deps) (execInfo, error) {
	text := d.Getenv("KUBERNETES_EXEC_INFO")
	if text == "" {
		return execInfo{version: execV1beta1}, nil
	}
	var in struct {
		APIVersion string `json:"apiVersion"`
		Spec       struct {
			Cluster struct {
				Config json.RawMessage `json:"config"`
			} `json:"cluster"`
		} `json:"spec"`
	}
	if err := json.Unmarshal([]byte(text), &in); err != nil {
		return execInfo{}, fmt.Errorf("KUBERNETES_EXEC_INFO is not what kubectl writes: %w", err)
	}
	switch in.APIVersion {
	case "":
		in.APIVersion = execV1beta1
	case execV1, execV1beta1:
	default:
		return execInfo{}, fmt.Errorf("api version: %s is not supported; the kubeconfig has to name %s or %s", in.APIVersion, execV1, execV1beta1)
	}
	return execInfo{version: in.APIVersion, config: in.Spec.Cluster.Config}, nil
}

// authorityCA returns the certificates that vouch for a private authority: from the exec section's env, or from the cluster's
// exec extension, where provideClusterInfo lets kubectl hand it over.
func (i execInfo) authorityCA(d Deps) ([]byte, error) {
	if v := d.Getenv(ask.AuthorityCAVariable); v != "" {
		return pemOrBase64(v)
	}
	if len(i.config) == 0 {
		return nil, nil
	}
	var config struct {
		Data string `json:"authorityCertificateAuthorityData"`
	}
	if err := json.Unmarshal(i.config, &config); err != nil || config.Data == "" {
		return nil, nil //nolint:nilerr // an extension of somebody else's, for another plugin
	}
	return pemOrBase64(config.Data)
}

func pemOrBase64(v string) ([]byte, error) {
	if bytes.Contains([]byte(v), []byte("-----BEGIN ")) {
		return []byte(v), nil
	}
	data, err := base64.StdEncoding.DecodeString(v)
	if err != nil {
		return nil, fmt.Errorf("%s is neither PEM nor base64", ask.AuthorityCAVariable)
	}
	return data, nil
}

// writeCredential prints what kubectl waits for, in the order of Kubernetes' own types.
func writeCredential(w io.Writer, version, token string, expires time.Time) error {
	var out struct {
		Kind       string `json:"kind"`
		APIVersion string `json:"apiVersion"`
		Spec       struct {
			Interactive bool `json:"interactive"`
		} `json:"spec"`
		Status struct {
			Expiration string `json:"expirationTimestamp"`
			Token      string `json:"token"`
		} `json:"status"`
	}
	out.Kind, out.APIVersion = "ExecCredential", version
	out.Status.Expiration, out.Status.Token = expires.UTC().Format(time.RFC3339), token
	if err := json.NewEncoder(w).Encode(out); err != nil {
		return fmt.Errorf("the credential cannot be written: %w", err)
	}
	return nil
}
