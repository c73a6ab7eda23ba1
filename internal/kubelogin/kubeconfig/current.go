package kubeconfig

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Current is a context with all that it names: which cluster, how it is reached, and as whom.
type Current struct {
	// Context, ClusterName and UserName are the names in the kubeconfig.
	Context, ClusterName, UserName string
	Namespace                      string

	Server, TLSServerName, ProxyURL string
	// CA holds the certificates that vouch for the API server, PEM; empty for those that the machine trusts.
	CA                    []byte
	InsecureSkipTLSVerify bool

	// Certificate and Key are a client certificate, PEM; Token is a static one.
	Certificate, Key []byte
	Token            string
	// Exec is the program that gets tokens; nil if there is none.
	Exec *Plugin
	// As is whom the user stands for (impersonation), if anybody.
	As Impersonation
}

// Impersonation is whom a user says to be in place of themselves.
type Impersonation struct {
	User, UID string
	Groups    []string
	Extra     map[string][]string
}

// Plugin is an exec section.
type Plugin struct {
	Command    string
	Args       []string
	APIVersion string
	// Env holds variables that are set for it, in order.
	Env [][2]string
	// Kubelogin says that it is kubelogin's get-token, by whatever path.
	Kubelogin bool
}

// Open finds a context in files as kubectl does: what is named first counts. An empty name means the current context.
func Open(files []string, explicit bool, context string) (Current, error) {
	if explicit {
		if _, err := os.Stat(files[0]); err != nil {
			return Current{}, fmt.Errorf("the kubeconfig cannot be read: %w", err)
		}
	}
	loaded, err := load(files)
	if err != nil {
		return Current{}, err
	}
	if len(loaded) == 0 {
		return Current{}, fmt.Errorf("there is no kubeconfig (%v): `az aks get-credentials` writes one", files)
	}
	for _, f := range loaded {
		if context == "" {
			context = f.config.CurrentContext
		}
	}
	if context == "" {
		return Current{}, errors.New("the kubeconfig has no current context: choose one with `kubectl config use-context`, or give --context")
	}
	out := Current{Context: context}
	c, _, ok := find(loaded, func(c *config) (contextBody, bool) {
		i := slices.IndexFunc(c.Contexts, func(x *namedContext) bool { return x.Name == context })
		if i < 0 {
			return contextBody{}, false
		}
		return c.Contexts[i].Context, true
	})
	if !ok {
		return out, fmt.Errorf("no context exists with the name: %q", context)
	}
	out.ClusterName, out.UserName, out.Namespace = c.Cluster, c.User, c.Namespace
	if err := out.cluster(loaded); err != nil {
		return out, err
	}
	return out, out.user(loaded)
}

// find returns what the first file has that has it, and that file.
func find[T any](files []loadedFile, get func(*config) (T, bool)) (T, string, bool) {
	for _, f := range files {
		if x, ok := get(f.config); ok {
			return x, f.path, true
		}
	}
	var none T
	return none, "", false
}

func (out *Current) cluster(files []loadedFile) error {
	c, path, ok := find(files, func(c *config) (cluster, bool) {
		i := slices.IndexFunc(c.Clusters, func(x *namedCluster) bool { return x.Name == out.ClusterName })
		if i < 0 {
			return cluster{}, false
		}
		return c.Clusters[i].Cluster, true
	})
	if !ok || c.Server == "" {
		return fmt.Errorf("the context %q names the cluster %q, which the kubeconfig does not have", out.Context, out.ClusterName)
	}
	out.Server, out.TLSServerName, out.ProxyURL, out.InsecureSkipTLSVerify = c.Server, c.TLSServerName, c.ProxyURL, c.InsecureSkipTLSVerify
	var err error
	out.CA, err = content(path, c.CA, c.CAData)
	return err
}

func (out *Current) user(files []loadedFile) error {
	u, path, ok := find(files, func(c *config) (user, bool) {
		i := slices.IndexFunc(c.Users, func(x *namedUser) bool { return x.Name == out.UserName })
		if i < 0 {
			return user{}, false
		}
		return c.Users[i].User, true
	})
	if !ok {
		return fmt.Errorf("the context %q names the user %q, which the kubeconfig does not have", out.Context, out.UserName)
	}
	if u.AuthProvider != nil {
		return fmt.Errorf("the user %q signs in by the %s provider, which kubectl does not have any more: run `kubelogin convert-kubeconfig`", out.UserName, u.AuthProvider.Name)
	}
	// As in kubectl, a file of tokens counts before a token, and the line it ends with does not.
	out.Token = u.Token
	if u.TokenFile != "" {
		token, err := content(path, u.TokenFile, nil)
		if err != nil {
			return err
		}
		out.Token = strings.TrimSpace(string(token))
	}
	out.As = Impersonation{u.Impersonate, u.ImpersonateUID, u.ImpersonateGroups, u.ImpersonateUserExtra}
	var err error
	if out.Certificate, err = content(path, u.ClientCertificate, u.ClientCertificateData); err != nil {
		return err
	}
	if out.Key, err = content(path, u.ClientKey, u.ClientKeyData); err != nil {
		return err
	}
	if e := u.Exec; e != nil {
		out.Exec = &Plugin{Command: e.Command, Args: e.Args, APIVersion: e.APIVersion}
		out.Exec.Kubelogin = byKubelogin(&u) && len(e.Args) > 0 && e.Args[0] == "get-token"
		for _, v := range e.Env {
			out.Exec.Env = append(out.Exec.Env, [2]string{v.Name, v.Value})
		}
	}
	return nil
}

// content is what a field holds itself, else what is in the file that another one names, from the kubeconfig's folder.
func content(kubeconfig, file string, data []byte) ([]byte, error) {
	if len(data) > 0 || file == "" {
		return data, nil
	}
	if !filepath.IsAbs(file) {
		file = filepath.Join(filepath.Dir(kubeconfig), file)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("%s names a file that cannot be read: %w", kubeconfig, err)
	}
	return text, nil
}
