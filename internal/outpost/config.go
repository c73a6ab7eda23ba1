package outpost

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/kubewire"
)

// Config is gate.yaml. File names in it are relative to its folder.
type Config struct {
	// ControlPlane is the base URL of the control plane's gate listener, https://HOST:PORT. Required.
	ControlPlane string `json:"controlPlane"`
	// ControlPlaneCA is the file with the certificates that vouch for it, PEM. Required.
	ControlPlaneCA string `json:"controlPlaneCA"`
	// Cluster is the cluster's own id, as `keyreeve cluster attach` printed it. Required.
	Cluster string `json:"cluster"`
	// EnrollmentTokenFile holds the one-time token. It is read until the gate has enrolled, and may be removed then.
	EnrollmentTokenFile string `json:"enrollmentTokenFile,omitempty"`
	// Name is what the control plane shows this gate as. Default: the host's name.
	Name string `json:"name,omitempty"`
	// StateDir is the gate's own folder, for its owner alone. Default /var/lib/keyreeve-gate/state.
	StateDir string `json:"stateDir,omitempty"`
	// Listen is where the API server asks, HOST:PORT. Default 127.0.0.1:9443.
	Listen string `json:"listen,omitempty"`
	// Health is where /healthz, /readyz and /metrics answer, HOST:PORT on loopback, without TLS. Default 127.0.0.1:9444.
	Health string `json:"health,omitempty"`
	// Kubeconfig names the API server and who may read its roles and bindings. Required.
	Kubeconfig string `json:"kubeconfig"`
	// KubernetesVersion is the API server's, such as 1.33: the form of its files depends on it. Required.
	KubernetesVersion string `json:"kubernetesVersion"`
	// APIServerDir is the folder that is written for the API server. Default /var/lib/keyreeve-gate/apiserver.
	APIServerDir string `json:"apiServerDir,omitempty"`
	// APIServerFilesGroup is the numeric group that may read what is in it; 0 leaves it to the owner.
	APIServerFilesGroup int `json:"apiServerFilesGroup,omitempty"`
	// MaxStaleness is how long the gate decides by what it knew while the control plane is away, such as 15m (the default) or
	// 5s; at least 2s.
	MaxStaleness string `json:"maxStaleness,omitempty"`
	// LogLevel is debug, info (default), warn or error.
	LogLevel string `json:"logLevel,omitempty"`
}

// minStaleness lets two heartbeats be late.
const minStaleness = 2 * time.Second

// settings are a Config with its defaults, checked, and what follows from it.
type settings struct {
	Config
	cluster   ident.ClusterID
	staleness time.Duration
	minor     int
}

// Load reads and checks a gate.yaml. A field it does not know is refused.
func Load(path string) (Config, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return Config{}, fmt.Errorf("gate: %w", err)
	}
	var c Config
	if err := yaml.UnmarshalStrict(text, &c); err != nil {
		return Config{}, fmt.Errorf("gate: %s: %w", path, err)
	}
	dir, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return Config{}, fmt.Errorf("gate: %w", err)
	}
	for _, f := range []*string{&c.ControlPlaneCA, &c.EnrollmentTokenFile, &c.StateDir, &c.Kubeconfig, &c.APIServerDir} {
		if *f != "" && !filepath.IsAbs(*f) {
			*f = filepath.Join(dir, *f)
		}
	}
	if _, err := c.resolve(); err != nil {
		return Config{}, fmt.Errorf("gate: %s: %w", path, err)
	}
	return c, nil
}

// resolve fills in the defaults and checks everything that can be checked without the network.
func (c Config) resolve() (settings, error) {
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	fill := func(s *string, value string) {
		if *s == "" {
			*s = value
		}
	}
	fill(&c.StateDir, "/var/lib/keyreeve-gate/state")
	fill(&c.APIServerDir, "/var/lib/keyreeve-gate/apiserver")
	fill(&c.Listen, "127.0.0.1:9443")
	fill(&c.Health, "127.0.0.1:9444")
	fill(&c.MaxStaleness, "15m")
	fill(&c.LogLevel, "info")
	if c.Name == "" {
		c.Name, _ = os.Hostname() // an empty one is refused below
	}
	s := settings{}
	var err error
	c.ControlPlane = strings.TrimSuffix(c.ControlPlane, "/")
	if u, err := url.Parse(c.ControlPlane); err != nil || u.Scheme != "https" || u.Host == "" || u.Path != "" {
		fail("controlPlane %q is not of the form https://HOST:PORT", c.ControlPlane)
	}
	if s.cluster, err = ident.Parse[ident.ClusterID](c.Cluster); err != nil {
		fail("cluster is not a cluster's id")
	}
	if s.staleness, err = time.ParseDuration(c.MaxStaleness); err != nil || s.staleness < minStaleness {
		fail("maxStaleness %q is not a duration of at least %s, such as 15m", c.MaxStaleness, minStaleness)
	}
	if s.minor, err = kubewire.ParseMinor(c.KubernetesVersion); err != nil {
		fail("kubernetesVersion: %w", err)
	}
	if host, _, err := net.SplitHostPort(c.Listen); err != nil || host == "" || net.ParseIP(host).IsUnspecified() {
		fail("listen %q is not HOST:PORT with a host that the API server reaches", c.Listen)
	}
	if host, _, err := net.SplitHostPort(c.Health); err != nil || !net.ParseIP(host).IsLoopback() {
		fail("health %q is not ADDRESS:PORT on loopback", c.Health)
	}
	if c.Name == "" || len(c.Name) > 128 {
		fail("name must have 1 to 128 characters")
	}
	for name, file := range map[string]string{"controlPlaneCA": c.ControlPlaneCA, "kubeconfig": c.Kubeconfig} {
		if file == "" {
			fail("%s is missing", name)
		} else if _, err := os.Stat(file); err != nil {
			fail("%s: %w", name, err)
		}
	}
	switch c.LogLevel {
	case "debug", "info", "warn", "error":
	default:
		fail("logLevel %q is not one of debug, info, warn, error", c.LogLevel)
	}
	s.Config = c
	return s, errors.Join(errs...)
}
