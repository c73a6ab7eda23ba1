package mirror

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func writeKubeconfig(t *testing.T, cluster, user string) string {
	t.Helper()
	dir := t.TempDir()
	text := "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts:\n- name: other\n  context: {cluster: x, user: x}\n- name: c\n  context: {cluster: c, user: u}\n" +
		"clusters:\n- name: c\n  cluster: {" + cluster + "}\nusers:\n- name: u\n  user: {" + user + "}\n"
	for name, content := range map[string]string{"config": text, "ca.crt": "CA", "u.crt": "CERT", "u.key": "KEY", "token": "from file\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "config")
}

func TestFromKubeconfig(t *testing.T) {
	const server, data = "server: 'https://k.test:6443/', ", "certificate-authority-data: Q0E="
	for _, tt := range []struct {
		name, cluster, user string
		want                func(c Config) bool
		trouble             string
	}{
		{"data", server + data, "client-certificate-data: Q0VSVA==, client-key-data: S0VZ", func(c Config) bool { return string(c.Cert) == "CERT" && string(c.Key) == "KEY" }, ""},
		{"files", server + "certificate-authority: ca.crt", "client-certificate: u.crt, client-key: u.key", func(c Config) bool { return string(c.Cert) == "CERT" && string(c.Key) == "KEY" }, ""},
		{"token", server + data, "token: abc", func(c Config) bool { return c.Token == "abc" }, ""},
		{"token file", server + data, "tokenFile: token", func(c Config) bool { return filepath.IsAbs(c.TokenFile) }, ""},
		{"a program", server + data, "token: abc, exec: {command: x}", nil, "exec"},
		{"unverified", server + "insecure-skip-tls-verify: true", "token: abc", nil, "insecure"},
		{"nobody", server + data, "", nil, "names no cluster"},
		{"no server", data, "token: abc", nil, "names no cluster"},
		{"a file that is not there", server + "certificate-authority: nope", "token: abc", nil, "nope"},
		{"not base64", server + "certificate-authority-data: '%'", "token: s3cret", nil, "not a kubeconfig"},
	} {
		c, err := FromKubeconfig(writeKubeconfig(t, tt.cluster, tt.user))
		switch {
		case tt.want == nil:
			if err == nil || !strings.Contains(err.Error(), tt.trouble) || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("%s: %v", tt.name, err)
			}
		case err != nil || c.Host != "https://k.test:6443" || string(c.CA) != "CA" || !tt.want(c):
			t.Errorf("%s: %+v, %v", tt.name, c, err)
		}
	}
}

// TestBearer: a token from a file is the one that is in it now.
func TestBearer(t *testing.T) {
	var got string
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.Header.Get("Authorization") }))
	defer server.Close()
	file := filepath.Join(t.TempDir(), "token")
	c := &http.Client{Transport: bearer{next: http.DefaultTransport, file: file}}
	ask := func() error {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := c.Do(req)
		if err == nil {
			_ = res.Body.Close()
		}
		return err
	}
	if err := ask(); err == nil {
		t.Error("a request without a token")
	}
	for _, token := range []string{"one", "two"} {
		if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := ask(); err != nil || got != "Bearer "+token {
			t.Errorf("%q, %v", got, err)
		}
	}
}
