package mirror

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"sigs.k8s.io/yaml"
)

// kubeconfig is what is read of a kubeconfig file. It has other fields, which say nothing of how to reach a cluster.
type kubeconfig struct {
	CurrentContext string `json:"current-context"`
	Contexts       []struct {
		Name    string `json:"name"`
		Context struct {
			Cluster string `json:"cluster"`
			User    string `json:"user"`
		} `json:"context"`
	} `json:"contexts"`
	Clusters []struct {
		Name    string `json:"name"`
		Cluster struct {
			Server   string `json:"server"`
			CA       string `json:"certificate-authority"`
			CAData   []byte `json:"certificate-authority-data"`
			Insecure bool   `json:"insecure-skip-tls-verify"`
		} `json:"cluster"`
	} `json:"clusters"`
	Users []struct {
		Name string `json:"name"`
		User struct {
			Cert      string `json:"client-certificate"`
			CertData  []byte `json:"client-certificate-data"`
			Key       string `json:"client-key"`
			KeyData   []byte `json:"client-key-data"`
			Token     string `json:"token"`
			TokenFile string `json:"tokenFile"`
			Exec      any    `json:"exec"`
			Provider  any    `json:"auth-provider"`
		} `json:"user"`
	} `json:"users"`
}

// FromKubeconfig reads from a kubeconfig how to reach the cluster of its current context, with a client certificate or a
// token. File names in it are relative to its folder. Programs and servers without a verified name are refused: a gate
// runs unattended, and what it mirrors decides.
func FromKubeconfig(path string) (Config, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return Config{}, fmt.Errorf("mirror: %w", err)
	}
	var k kubeconfig
	if err := yaml.Unmarshal(text, &k); err != nil {
		return Config{}, fmt.Errorf("mirror: %s is not a kubeconfig", path) // the error would quote it
	}
	c, err := k.config(func(name string) string {
		if filepath.IsAbs(name) {
			return name
		}
		return filepath.Join(filepath.Dir(path), name)
	})
	if err != nil {
		return Config{}, fmt.Errorf("mirror: kubeconfig %s: %w", path, err)
	}
	return c, nil
}

func (k kubeconfig) config(resolve func(string) string) (Config, error) {
	cluster, user := "", ""
	for _, c := range k.Contexts {
		if c.Name == k.CurrentContext {
			cluster, user = c.Context.Cluster, c.Context.User
		}
	}
	var out Config
	var errs []error
	read := func(data []byte, name string) []byte {
		if len(data) > 0 || name == "" {
			return data
		}
		b, err := os.ReadFile(resolve(name))
		errs = append(errs, err)
		return b
	}
	for _, c := range k.Clusters {
		if c.Name == cluster {
			if c.Cluster.Insecure {
				return Config{}, errors.New("insecure-skip-tls-verify is not possible here")
			}
			out.Host, out.CA = strings.TrimSuffix(c.Cluster.Server, "/"), read(c.Cluster.CAData, c.Cluster.CA)
		}
	}
	for _, u := range k.Users {
		if u.Name != user {
			continue
		}
		if u.User.Exec != nil || u.User.Provider != nil {
			return Config{}, errors.New("exec and auth-provider are not possible here: give a client certificate or a token")
		}
		out.Cert, out.Key, out.Token = read(u.User.CertData, u.User.Cert), read(u.User.KeyData, u.User.Key), u.User.Token
		if u.User.TokenFile != "" {
			out.TokenFile = resolve(u.User.TokenFile)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return Config{}, err
	}
	if out.Host == "" || len(out.Cert) == 0 && out.Token == "" && out.TokenFile == "" {
		return Config{}, errors.New("its current context names no cluster, or a user without a client certificate and a token")
	}
	return out, nil
}

// bearer adds a token to every request. One from a file is read each time: who keeps the file renews it.
type bearer struct {
	next        http.RoundTripper
	token, file string
}

// RoundTrip sends the request with the token.
func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	token := b.token
	if b.file != "" {
		text, err := os.ReadFile(b.file)
		if err != nil {
			return nil, fmt.Errorf("mirror: token: %w", err)
		}
		token = strings.TrimSpace(string(text))
	}
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+token)
	return b.next.RoundTrip(r)
}

// CloseIdleConnections serves http.Client.
func (b bearer) CloseIdleConnections() {
	if c, ok := b.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}
