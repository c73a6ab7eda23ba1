// Package kubeconfig owns the conversion of kubeconfigs to the exec form: which users are converted, the arguments that they
// get, and how the files are read and written.
//
// The files are written as clientcmd writes them, and clientcmd is not used: it would double the time that every kubectl
// call waits for kubelogin to start, and it writes a file once for each user.
package kubeconfig

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	sjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// config is a kubeconfig file. Fields have the names, and are left out when empty, as in clientcmd's types.
type config struct {
	Kind           string          `json:"kind,omitempty"`
	APIVersion     string          `json:"apiVersion,omitempty"`
	Preferences    preferences     `json:"preferences"`
	Clusters       []*namedCluster `json:"clusters"`
	Users          []*namedUser    `json:"users"`
	Contexts       []*namedContext `json:"contexts"`
	CurrentContext string          `json:"current-context"`
	Extensions     []extension     `json:"extensions,omitempty"`

	size int // of the file that it was read from
}

type preferences struct {
	Colors     bool        `json:"colors,omitempty"`
	Extensions []extension `json:"extensions,omitempty"`
}

type extension struct {
	Name      string          `json:"name"`
	Extension json.RawMessage `json:"extension"`
}

type namedCluster struct {
	Name    string  `json:"name"`
	Cluster cluster `json:"cluster"`
}

type cluster struct {
	Server                string      `json:"server"`
	TLSServerName         string      `json:"tls-server-name,omitempty"`
	InsecureSkipTLSVerify bool        `json:"insecure-skip-tls-verify,omitempty"`
	CA                    string      `json:"certificate-authority,omitempty"`
	CAData                []byte      `json:"certificate-authority-data,omitempty"`
	ProxyURL              string      `json:"proxy-url,omitempty"`
	DisableCompression    bool        `json:"disable-compression,omitempty"`
	Extensions            []extension `json:"extensions,omitempty"`
}

type namedContext struct {
	Name    string      `json:"name"`
	Context contextBody `json:"context"`
}

type contextBody struct {
	Cluster    string      `json:"cluster"`
	User       string      `json:"user"`
	Namespace  string      `json:"namespace,omitempty"`
	Extensions []extension `json:"extensions,omitempty"`
}

type namedUser struct {
	Name string `json:"name"`
	User user   `json:"user"`
}

type user struct {
	ClientCertificate     string              `json:"client-certificate,omitempty"`
	ClientCertificateData []byte              `json:"client-certificate-data,omitempty"`
	ClientKey             string              `json:"client-key,omitempty"`
	ClientKeyData         []byte              `json:"client-key-data,omitempty"`
	Token                 string              `json:"token,omitempty"`
	TokenFile             string              `json:"tokenFile,omitempty"`
	Impersonate           string              `json:"as,omitempty"`
	ImpersonateUID        string              `json:"as-uid,omitempty"`
	ImpersonateGroups     []string            `json:"as-groups,omitempty"`
	ImpersonateUserExtra  map[string][]string `json:"as-user-extra,omitempty"`
	Username              string              `json:"username,omitempty"`
	Password              string              `json:"password,omitempty"`
	AuthProvider          *authProvider       `json:"auth-provider,omitempty"`
	Exec                  *execConfig         `json:"exec,omitempty"`
	Extensions            []extension         `json:"extensions,omitempty"`
}

type authProvider struct {
	Name   string            `json:"name"`
	Config map[string]string `json:"config"`
}

type execConfig struct {
	Command            string        `json:"command"`
	Args               []string      `json:"args"`
	Env                []environment `json:"env"`
	APIVersion         string        `json:"apiVersion,omitempty"`
	InstallHint        string        `json:"installHint,omitempty"`
	ProvideClusterInfo bool          `json:"provideClusterInfo"`
	InteractiveMode    string        `json:"interactiveMode,omitempty"`
}

type environment struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// parse reads a kubeconfig.
func parse(data []byte) (*config, error) {
	c := &config{size: len(data)}
	if len(data) == 0 {
		return c, nil
	}
	text, ok := quickJSON(data)
	if !ok {
		var err error
		if text, err = yaml.YAMLToJSON(data); err != nil {
			return nil, err
		}
	}
	if !bytes.HasPrefix(text, []byte("{")) {
		return nil, errors.New("it is no YAML object")
	}
	if err := sjson.UnmarshalCaseSensitivePreserveInts(text, c); err != nil {
		return nil, err
	}
	if (c.Kind != "" && c.Kind != "Config") || (c.APIVersion != "" && c.APIVersion != "v1") {
		return nil, fmt.Errorf("it is no kubeconfig but a %s of %s", c.Kind, c.APIVersion)
	}
	return c, c.check()
}

// check refuses what clientcmd refuses: names that occur twice.
func (c *config) check() error {
	seen := make(map[string]bool, len(c.Users)+len(c.Clusters)+len(c.Contexts))
	once := func(kind, name string) error {
		if seen[kind+name] {
			return fmt.Errorf("there are two %ss named %q", kind, name)
		}
		seen[kind+name] = true
		return nil
	}
	var errs []error
	for i, x := range c.Clusters {
		if x == nil {
			c.Clusters[i] = &namedCluster{}
		}
		errs = append(errs, once("cluster", c.Clusters[i].Name))
	}
	for i, x := range c.Users {
		if x == nil {
			c.Users[i] = &namedUser{}
		}
		errs = append(errs, once("user", c.Users[i].Name))
	}
	for i, x := range c.Contexts {
		if x == nil {
			c.Contexts[i] = &namedContext{}
		}
		errs = append(errs, once("context", c.Contexts[i].Name))
	}
	return errors.Join(errs...)
}

// text is the file as clientcmd writes it: lists by name, defaults filled in.
func (c *config) text() ([]byte, error) {
	c.Kind, c.APIVersion = "Config", "v1"
	sort.SliceStable(c.Clusters, func(i, j int) bool { return c.Clusters[i].Name < c.Clusters[j].Name })
	sort.SliceStable(c.Contexts, func(i, j int) bool { return c.Contexts[i].Name < c.Contexts[j].Name })
	c.sortUsers()
	lists := []*[]extension{&c.Extensions, &c.Preferences.Extensions}
	for _, x := range c.Clusters {
		lists = append(lists, &x.Cluster.Extensions)
	}
	for _, x := range c.Contexts {
		lists = append(lists, &x.Context.Extensions)
	}
	for _, x := range c.Users {
		lists = append(lists, &x.User.Extensions)
	}
	for _, l := range lists {
		sort.SliceStable(*l, func(i, j int) bool { return (*l)[i].Name < (*l)[j].Name })
	}
	// An empty list is written as one that is not there.
	if len(c.Clusters) == 0 {
		c.Clusters = nil
	}
	if len(c.Contexts) == 0 {
		c.Contexts = nil
	}
	if text, ok := c.quickText(); ok {
		return text, nil
	}
	return c.slowText()
}

func (c *config) slowText() ([]byte, error) {
	data, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	return yaml.JSONToYAML(data)
}

func (c *config) sortUsers() {
	sort.SliceStable(c.Users, func(i, j int) bool { return c.Users[i].Name < c.Users[j].Name })
}

// rebase makes the paths of a converted user what clientcmd makes of them: relative to the file where they lie below it,
// absolute otherwise.
func (u *user) rebase(base string) error {
	for _, ref := range []*string{&u.ClientCertificate, &u.ClientKey, &u.TokenFile} {
		if *ref == "" {
			continue
		}
		if !filepath.IsAbs(*ref) {
			*ref = filepath.Join(base, *ref)
		}
		rel, err := filepath.Rel(base, *ref)
		if err != nil {
			return err
		}
		if !strings.HasPrefix(rel, "../") {
			*ref = rel
		}
	}
	return nil
}

// lock keeps kubectl and others that heed it from changing a file meanwhile, as they do it among themselves.
func lock(path string) (release func(), err error) {
	name := path + ".lock"
	deadline := time.NewTimer(5 * time.Second)
	defer deadline.Stop()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL, 0)
		if err == nil {
			_ = f.Close()
			return func() { _ = os.Remove(name) }, nil
		}
		if !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		select {
		case <-deadline.C:
			return nil, fmt.Errorf("%s is there: another program is changing the kubeconfig; if none is, remove that file", name)
		case <-again.C:
		}
	}
}

// replace puts new content in a file's place: all of it or nothing, with the mode of the old one, behind any link.
func replace(path string, data []byte) error {
	target, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	mode := fs.FileMode(0o600)
	if info, err := os.Stat(target); err == nil {
		mode = info.Mode().Perm()
	}
	f, err := os.CreateTemp(filepath.Dir(target), "."+filepath.Base(target)+".new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(mode), f.Sync())
	if err = errors.Join(err, f.Close()); err == nil {
		if err = os.Rename(f.Name(), target); err == nil {
			return nil
		}
	}
	_ = os.Remove(f.Name())
	return err
}
