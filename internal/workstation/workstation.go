// Package workstation owns what the clients on one machine need to reach a Keyreeve: the trust bundle, a configuration
// folder for az with the cloud registered, a kubeconfig and caches of their own.
//
// Everything it writes is below one folder that belongs to Keyreeve; ~/.azure and ~/.kube are never touched.
package workstation

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Settings say which Keyreeve to reach and where to write.
type Settings struct {
	// Dir is the folder for everything written.
	Dir string
	// Login, ARM and Graph are base URLs without a trailing slash, in lower case.
	Login, ARM, Graph string
	// CA holds the authorities that the listeners' certificates come from, PEM; empty if the machine trusts them anyway.
	CA []byte
	// SystemBundles are files with the machine's own authorities; the first that exists is taken into the bundle, so
	// that public hosts stay reachable.
	SystemBundles []string
}

// Variable is one environment variable.
type Variable struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// SystemBundles are the usual places of a machine's trust bundle.
func SystemBundles() []string {
	return []string{
		"/etc/ssl/certs/ca-certificates.crt",                // Debian, Alpine, Arch
		"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", // Fedora, RHEL
		"/etc/ssl/ca-bundle.pem",                            // SUSE
		"/etc/ssl/cert.pem",                                 // macOS, OpenBSD
	}
}

// CloudName is the name under which the cloud is registered with az.
const CloudName = "Keyreeve"

// Setup writes what the clients need and returns the variables that point to it. Doing it again brings it up to date
// and keeps what az has added, sign-ins included.
func Setup(s Settings) ([]Variable, error) {
	azure := filepath.Join(s.Dir, "azure")
	kube := filepath.Join(s.Dir, "kube")
	for _, d := range []string{s.Dir, azure, kube} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, fmt.Errorf("environment: %w", err)
		}
	}
	bundle := filepath.Join(s.Dir, "ca-bundle.pem")
	wrote, err := writeBundle(bundle, s)
	if err != nil {
		return nil, err
	}
	if err := mergeINI(filepath.Join(azure, "clouds.config"), CloudName, cloud(s)); err != nil {
		return nil, err
	}
	if err := configureAzureCLI(filepath.Join(azure, "config")); err != nil {
		return nil, err
	}
	if err := writeServer(s); err != nil {
		return nil, err
	}
	var trust []Variable
	if wrote {
		trust = []Variable{
			{"REQUESTS_CA_BUNDLE", bundle}, // az, MSAL for Python
			{"SSL_CERT_FILE", bundle},      // Go clients, urlopen
		}
	}
	return append(trust, []Variable{
		{"AZURE_CONFIG_DIR", azure},
		{"KUBECONFIG", filepath.Join(kube, "config")},
		{"KUBECACHEDIR", filepath.Join(kube, "cache")}, // kubectl and kubelogin
		{"KEYREEVE_WORKSTATION", s.Dir},
		{"KEYREEVE_LOGIN_URL", s.Login},
		{"KEYREEVE_ARM_URL", s.ARM},
		{"KEYREEVE_GRAPH_URL", s.Graph},
	}...), nil
}

type setting struct{ name, value string }

// cloud is what `az cloud register` would write. The path /adfs/t makes az 2.45's MSAL take a private authority
// without asking a public host about it; newer ones take it as well.
func cloud(s Settings) []setting {
	return []setting{
		{"profile", "latest"},
		{"endpoint_management", s.ARM + "/"},
		{"endpoint_resource_manager", s.ARM},
		{"endpoint_active_directory", s.Login + "/adfs/t"},
		{"endpoint_active_directory_resource_id", "https://management.core.windows.net/"},
		{"endpoint_active_directory_graph_resource_id", "https://graph.windows.net/"},
		{"endpoint_microsoft_graph_resource_id", s.Graph + "/"},
		{"suffix_storage_endpoint", "core.keyreeve.test"},
	}
}

func configureAzureCLI(path string) error {
	if err := mergeINI(path, "cloud", []setting{{"name", CloudName}}); err != nil {
		return err
	}
	return mergeINI(path, "core", []setting{
		{"collect_telemetry", "no"},
		{"survey_message", "no"},
		{"instance_discovery", "false"}, // az 2.54 and later
		{"login_experience_v2", "off"},  // no question which subscription
		// Two versions of az cannot read each other's copy of it, and it would hide a change of our metadata for a day.
		{"use_msal_http_cache", "false"},
	})
}

// writeBundle writes the machine's authorities and the server's to one file; with neither it writes none, and each client
// trusts what it finds.
func writeBundle(path string, s Settings) (bool, error) {
	var b bytes.Buffer
	for _, file := range s.SystemBundles {
		text, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return false, fmt.Errorf("environment: the machine's authorities: %w", err)
		}
		b.Write(bytes.TrimRight(text, "\n"))
		b.WriteByte('\n')
		break
	}
	b.Write(s.CA)
	if b.Len() == 0 {
		return false, nil
	}
	return true, replace(path, b.Bytes())
}

// mergeINI sets values in one section of an INI file and keeps every other line.
func mergeINI(path, section string, values []setting) error {
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("environment: %w", err)
	}
	merged := []byte(setINI(string(text), section, values))
	if err == nil && bytes.Equal(merged, text) {
		return nil
	}
	return replace(path, merged)
}

func setINI(text, section string, values []setting) string {
	left := slices.Clone(values)
	var out []string
	in, seen := false, false
	flush := func() {
		if !in {
			return
		}
		for len(out) > 0 && out[len(out)-1] == "" {
			out = out[:len(out)-1]
		}
		for _, v := range left {
			out = append(out, v.name+" = "+v.value)
		}
		left = nil
	}
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		trimmed := strings.TrimSpace(line)
		if strings.HasPrefix(trimmed, "[") && strings.HasSuffix(trimmed, "]") {
			flush()
			in = trimmed == "["+section+"]" && !seen
			seen = seen || in
			if len(out) > 0 && out[len(out)-1] != "" {
				out = append(out, "")
			}
			out = append(out, line)
			continue
		}
		name, _, isSetting := strings.Cut(trimmed, "=")
		if in && isSetting {
			i := slices.IndexFunc(left, func(v setting) bool { return v.name == strings.TrimSpace(name) })
			if i >= 0 {
				line = left[i].name + " = " + left[i].value
				left = slices.Delete(left, i, i+1)
			}
		}
		out = append(out, line)
	}
	flush()
	if !seen {
		if len(out) > 0 && out[len(out)-1] != "" {
			out = append(out, "")
		}
		out = append(out, "["+section+"]")
		for _, v := range left {
			out = append(out, v.name+" = "+v.value)
		}
	}
	return strings.Join(out, "\n") + "\n"
}

func replace(path string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return fmt.Errorf("environment: %w", err)
	}
	defer func() { _ = os.Remove(f.Name()) }() // gone after the rename
	_, err = f.Write(b)
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("environment: %w", err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return fmt.Errorf("environment: %w", err)
	}
	return nil
}
