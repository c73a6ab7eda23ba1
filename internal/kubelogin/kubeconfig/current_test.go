package kubeconfig

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestOpen: the current context with its cluster and user, from several files of which the first counts, with relative paths.
func TestOpen(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("ca.pem", "the CA")
	write("token", "the token\n")
	first := write("first", `{"current-context": "a", "contexts": [{"name": "a", "context": {"cluster": "c", "user": "u", "namespace": "n"}},
		{"name": "lost", "context": {"cluster": "gone", "user": "u"}}, {"name": "nobody", "context": {"cluster": "c", "user": "gone"}},
		{"name": "file", "context": {"cluster": "c", "user": "file"}}, {"name": "provider", "context": {"cluster": "c", "user": "old"}},
		{"name": "cert", "context": {"cluster": "c", "user": "cert"}}],
		"clusters": [{"name": "c", "cluster": {"server": "https://c:1", "certificate-authority": "ca.pem", "tls-server-name": "x", "proxy-url": "http://p:2"}}]}`)
	second := write("second", `{"current-context": "b", "contexts": [{"name": "b", "context": {"cluster": "d", "user": "u"}}, {"name": "a", "context": {"cluster": "other", "user": "other"}}],
		"clusters": [{"name": "d", "cluster": {"server": "https://d:1", "insecure-skip-tls-verify": true}}],
		"users": [{"name": "u", "user": {"exec": {"command": "/opt/kubelogin", "args": ["get-token", "--server-id", "s"], "env": [{"name": "A", "value": "1"}], "apiVersion": "v"}}},
		{"name": "file", "user": {"tokenFile": "token", "token": "old", "as": "erin", "as-groups": ["g"]}}, {"name": "old", "user": {"auth-provider": {"name": "azure"}}}, {"name": "cert", "user": {"client-certificate": "none.crt"}}]}`)
	files := []string{first, second, filepath.Join(dir, "missing")}
	c, err := Open(files, false, "")
	if err != nil || c.Context != "a" || c.ClusterName != "c" || c.UserName != "u" || c.Namespace != "n" || c.Server != "https://c:1" || string(c.CA) != "the CA" ||
		c.TLSServerName != "x" || c.ProxyURL != "http://p:2" || c.InsecureSkipTLSVerify || c.Exec == nil || !c.Exec.Kubelogin || c.Exec.Env[0] != [2]string{"A", "1"} {
		t.Errorf("%+v, %v", c, err)
	}
	if c, err := Open(files, false, "b"); err != nil || !c.InsecureSkipTLSVerify || c.CA != nil {
		t.Errorf("%+v, %v", c, err)
	}
	if c, err := Open(files, false, "file"); err != nil || c.Token != "the token" || c.Exec != nil || c.As.User != "erin" || len(c.As.Groups) != 1 {
		t.Errorf("%+v, %v", c, err)
	}
	broken := write("broken", "a: [")
	empty := write("empty", "")
	for want, open := range map[string]func() (Current, error){
		"no context exists":  func() (Current, error) { return Open(files, false, "none") },
		"does not have":      func() (Current, error) { return Open(files, false, "lost") },
		"names the user":     func() (Current, error) { return Open(files, false, "nobody") },
		"convert-kubeconfig": func() (Current, error) { return Open(files, false, "provider") },
		"cannot be read":     func() (Current, error) { return Open(files, false, "cert") },
		"there is no":        func() (Current, error) { return Open([]string{filepath.Join(dir, "missing")}, false, "") },
		"no such file":       func() (Current, error) { return Open([]string{filepath.Join(dir, "missing")}, true, "") },
		"unable to load":     func() (Current, error) { return Open([]string{broken}, true, "") },
		"has no current":     func() (Current, error) { return Open([]string{empty}, true, "") },
		`name: "a"`:          func() (Current, error) { return Open([]string{empty}, true, "a") },
	} {
		if _, err := open(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}
