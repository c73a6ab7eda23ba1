package onboard

import (
	"archive/zip"
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// offered serves a folder with some clients, and a secret beside it.
func offered(t *testing.T) *httptest.Server {
	t.Helper()
	root := t.TempDir()
	dir := filepath.Join(root, "clients")
	for path, text := range map[string]string{
		"secret": "secret",
		"clients/kubectl/v1.9.11/bin/linux/amd64/kubectl":       "old",
		"clients/kubectl/v1.37.2/bin/linux/amd64/kubectl":       "new",
		"clients/kubectl/v1.37.2/bin/windows/amd64/kubectl.exe": "windows",
		"clients/kubectl/v1.38.0-rc.1/bin/linux/arm64/kubectl":  "candidate",
		"clients/kubectl/v1.38.0-rc.1/bin/linux/arm64/note.txt": "no program",
		"clients/kubectl/strange/bin/linux/arm64/kubectl":       "no version",
		"clients/kubelogin/v0.2.21/bin/linux_amd64/kubelogin":   "login",
		"clients/kubelogin/v0.2.21/bin/darwin_arm64/kubelogin":  "login for a Mac",
		"clients/kubectl-notes":                                 "no program",
	} {
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	mux := http.NewServeMux()
	Handler{
		Login: "https://l", ARM: "https://a", Graph: "https://g", CA: "CA", Clients: dir, Now: time.Now, Log: slog.New(slog.DiscardHandler),
	}.Mount(mux)
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func TestPathsOfAz(t *testing.T) {
	s := offered(t)
	for path, want := range map[string]string{
		"/clients/kubectl/stable.txt":                             "v1.38.0-rc.1",
		"/clients/kubelogin/latest":                               `{"tag_name":"v0.2.21"}`,
		"/clients/kubectl/v1.37.2/bin/linux/amd64/kubectl":        "new",
		"/clients/kubectl/v1.9.11/bin/linux/amd64/kubectl":        "old",
		"/clients/kubectl/v1.37.2/bin/windows/amd64/kubectl.exe":  "windows",
		"/clients/kubectl/v1.37.2/bin/linux/amd64/kubectl.sha256": "11507a0e2f5e69d5dfa40a62a1bd7b6ee57e6bcd85c67c9b8431b36fff21c437",
		"/.well-known/keyreeve":                                   `{"arm":"https://a","ca":"CA","graph":"https://g","login":"https://l"}`,
	} {
		if status, got := get(t, s.URL+path); status != 200 || strings.TrimSpace(got) != want {
			t.Errorf("%s: %d %q, want %q", path, status, got, want)
		}
	}
}

func TestKubeloginArchive(t *testing.T) {
	_, text := get(t, offered(t).URL+"/clients/kubelogin/v0.2.21/kubelogin.zip")
	z, err := zip.NewReader(bytes.NewReader([]byte(text)), int64(len(text)))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range z.File {
		names = append(names, f.Name)
		if f.Mode().Perm() != 0o755 {
			t.Errorf("%s has mode %v", f.Name, f.Mode())
		}
	}
	slices.Sort(names)
	if diff := cmp.Diff([]string{"bin/darwin_arm64/kubelogin", "bin/linux_amd64/kubelogin"}, names); diff != "" {
		t.Error(diff)
	}
}

// TestNothingElseIsServed: no path leads to a file that is not one of the clients.
func TestNothingElseIsServed(t *testing.T) {
	s := offered(t)
	for _, path := range []string{
		"/clients/kubectl/v1.37.2/bin/linux/amd64/..%2f..%2f..%2f..%2f..%2f..%2fsecret",
		"/clients/kubectl/..%2f../bin/linux/amd64/kubectl", "/clients/kubectl/%2e%2e/bin/%2e%2e/%2e%2e/secret",
		"/clients/kubectl/strange/bin/linux/arm64/kubectl", "/clients/kubectl/v1.38.0-rc.1/bin/linux/arm64/note.txt",
		"/clients/kubectl/v1.37.2/bin/linux/arm64/kubectl", "/clients/kubectl/v1.37.2/bin/linux/amd64/kubectl.exe",
		"/clients/kubectl/v1.37.2/bin/linux/amd64/kubectl%00", "/clients/secret", "/clients/..%2fsecret", "/clients/kubelogin/..%2f..%2f/kubelogin.zip",
		"/clients/kubelogin/v9.9.9/kubelogin.zip", "/clients/kubectl-notes",
	} {
		if status, got := get(t, s.URL+path); status != http.StatusNotFound || strings.Contains(got, "secret\n") || got == "secret" {
			t.Errorf("%s: %d %q", path, status, got)
		}
	}
}

func TestNewer(t *testing.T) {
	list := []string{"v1.9.11", "v1.10.0-rc.1", "v1.10.0", "v1.37.2", "v2.0.0"}
	for i, a := range list {
		for j, b := range list {
			if newer(a, b) != (i > j) {
				t.Errorf("newer(%s, %s) is %v", a, b, newer(a, b))
			}
		}
	}
}
