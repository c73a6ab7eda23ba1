package kubeplugin_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/internal/kubeplugin"
)

// run runs the plugin with a kubeconfig.
func run(t *testing.T, kubeconfig string, args ...string) (out, errs string, status int) {
	t.Helper()
	var o, e bytes.Buffer
	home := t.TempDir()
	status = kubeplugin.Main(t.Context(), kubeplugin.Deps{Out: &o, Err: &e, Now: time.Now, Environ: func(name string) (string, bool) {
		switch name {
		case "HOME":
			return home, true
		case "KUBECONFIG":
			return kubeconfig, true
		}
		return "", false
	}}, append([]string{"kubectl-keyreeve"}, args...))
	return o.String(), e.String(), status
}

// configOf writes a kubeconfig of one user.
func configOf(t *testing.T, server string, ca []byte, user string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config")
	text := fmt.Sprintf(`{"current-context":"c","contexts":[{"name":"c","context":{"cluster":"k","user":"u"}}],
		"clusters":[{"name":"k","cluster":{"server":%q,"certificate-authority-data":%q}}],"users":[{"name":"u","user":%s}]}`,
		server, base64.StdEncoding.EncodeToString(ca), user)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestAPIServer: what the plugin asks an API server and makes of its answers, good and strange.
func TestAPIServer(t *testing.T) {
	answer := func(http.ResponseWriter, *http.Request) {}
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { answer(w, r) }))
	t.Cleanup(srv.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
	config := configOf(t, srv.URL, ca, `{"token":"the-token"}`)
	reply := func(status int, text string) {
		answer = func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") != "Bearer the-token" {
				w.WriteHeader(http.StatusTeapot)
				return
			}
			w.WriteHeader(status)
			_, _ = w.Write([]byte(text))
		}
	}
	reply(http.StatusCreated, `{"status":{"userInfo":{"username":"alice","uid":"7","groups":["a","b"]}}}`)
	if out, errs, status := run(t, config, "whoami"); status != 0 || !strings.Contains(out, "User     alice\n") || !strings.Contains(out, "Groups   a\n         b\n") {
		t.Errorf("%d\n%s%s", status, out, errs)
	}
	if out, _, _ := run(t, config, "whoami", "-o", "json"); !json.Valid([]byte(out)) || !strings.Contains(out, `"username": "alice"`) {
		t.Error(out)
	}
	var asked map[string]map[string]any
	answer = func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewDecoder(r.Body).Decode(&asked)
		_, _ = w.Write([]byte(`{"status":{"allowed":false,"reason":"because"}}`))
	}
	out, errs, status := run(t, config, "explain", "update", "deployments.apps/scale", "web", "-n", "dev")
	if status != 0 || out != "deny: because\n" || !strings.Contains(errs, "does not sign in at a directory") {
		t.Errorf("%d\n%s%s", status, out, errs)
	}
	want := map[string]any{"namespace": "dev", "verb": "update", "group": "apps", "resource": "deployments", "subresource": "scale", "name": "web"}
	if got := asked["spec"]["resourceAttributes"]; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("asked for %v", got)
	}
	for name, tt := range map[string]struct {
		status int
		text   string
		want   string
	}{
		"unknown":   {401, `{"message":"Unauthorized"}`, "does not know you"},
		"forbidden": {403, `{"message":"no review for you"}`, "no review for you"},
		"a page":    {200, "<html>", "something else than a review"},
		"broken":    {500, "", "500 Internal Server Error"},
	} {
		reply(tt.status, tt.text)
		if out, errs, status := run(t, config, "whoami"); status != 1 || out != "" || !strings.Contains(errs, tt.want) {
			t.Errorf("%s: %d\n%s%s", name, status, out, errs)
		}
	}
	for name, tt := range map[string]struct{ config, want string }{
		"untrusted":       {configOf(t, srv.URL, nil, `{"token":"x"}`), "does not answer"},
		"no certificates": {configOf(t, srv.URL, []byte("x"), `{"token":"x"}`), "no PEM certificates"},
		"dead":            {configOf(t, "https://127.0.0.1:1", ca, `{"token":"x"}`), "does not answer"},
		"other plugin":    {configOf(t, srv.URL, ca, `{"exec":{"command":"aws","args":["eks"]}}`), "another program than kubelogin: aws"},
		"strange flags":   {configOf(t, srv.URL, ca, `{"exec":{"command":"kubelogin","args":["get-token","--frobnicate"]}}`), "does not understand its arguments"},
		"no server":       {configOf(t, srv.URL, ca, `{"exec":{"command":"kubelogin","args":["get-token"]}}`), "server-id is required"},
		"bad key":         {configOf(t, srv.URL, ca, `{"client-certificate-data":"eA==","client-key-data":"eA=="}`), "client certificate of the user"},
	} {
		if out, errs, status := run(t, tt.config, "whoami"); status != 1 || out != "" || !strings.Contains(errs, tt.want) {
			t.Errorf("%s: %d\n%s%s", name, status, out, errs)
		}
	}
}

// TestPlainHTTP: a server without TLS is told nothing, as kubectl tells it nothing.
func TestPlainHTTP(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { t.Errorf("asked with %v", r.Header) }))
	t.Cleanup(srv.Close)
	for _, server := range []string{srv.URL, "HTTP" + srv.URL[4:], strings.TrimPrefix(srv.URL, "http://"), "unix:///x", "https://"} {
		if out, errs, status := run(t, configOf(t, server, nil, `{"token":"the-token"}`), "whoami"); status != 1 || out != "" || !strings.Contains(errs, "no https address") || strings.Contains(errs, "the-token") {
			t.Errorf("%s: %d\n%s%s", server, status, out, errs)
		}
	}
}

// TestImpersonation: the API server is asked as whom the kubeconfig says, and what it answers moves no cursor.
func TestImpersonation(t *testing.T) {
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"status": map[string]any{"userInfo": map[string]any{
			"username": r.Header.Get("Impersonate-User") + "\x1b[2J", "uid": r.Header.Get("Impersonate-Uid"),
			"groups": append(r.Header.Values("Impersonate-Group"), r.Header.Values("Impersonate-Extra-Example.test%2Fx")...),
		}}})
	}))
	t.Cleanup(srv.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
	config := configOf(t, srv.URL, ca, `{"token":"t","as":"erin","as-uid":"7","as-groups":["a","b"],"as-user-extra":{"example.test/x":["y"]}}`)
	out, errs, status := run(t, config, "whoami")
	for _, want := range []string{"User     erin[2J\n", "Object   7\n", "Groups   a\n         b\n         y\n"} {
		if status != 0 || !strings.Contains(out, want) {
			t.Errorf("no %q: %d\n%q%s", want, status, out, errs)
		}
	}
}

// TestAccountsOfOthers: a mode with one account says so, and how to change it.
func TestAccountsOfOthers(t *testing.T) {
	for args, want := range map[string]string{
		`"-l","azurecli"`: "az login", `"-l","spn","--client-id","c","--client-secret","s","-t","t"`: "login mode spn has one account",
		`"-l","devicecode","--client-id","c","-t","t","--token-cache","none"`: "no account is kept",
	} {
		config := configOf(t, "https://127.0.0.1:1", nil, `{"exec":{"command":"kubelogin","args":["get-token","--server-id","s",`+args+`]}}`)
		for _, more := range [][]string{nil, {"--new"}, {"--sign-out"}, {"dana"}} {
			if out, errs, status := run(t, config, append([]string{"switch", "account"}, more...)...); status != 1 || !strings.Contains(errs, want) {
				t.Errorf("%s %v: %d\n%s%s", args, more, status, out, errs)
			}
		}
	}
	config := configOf(t, "https://127.0.0.1:1", nil, `{"exec":{"command":"kubelogin","args":["get-token","--server-id","s","--client-id","c","-t","t"]}}`)
	if _, errs, status := run(t, config, "switch", "account", "--new", "dana"); status != 1 || !strings.Contains(errs, "--new takes no name") {
		t.Error(errs)
	}
	if out, _, status := run(t, config, "switch", "account", "-o", "json"); status != 0 || out != "[]\n" {
		t.Error(out)
	}
}
