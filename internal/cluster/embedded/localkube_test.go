package embedded

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/internal/cluster"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/pki"
)

// localkube returns the real program, which `make build` makes.
func localkube(t testing.TB) string {
	t.Helper()
	path := os.Getenv("KEYREEVE_LOCALKUBE")
	if path == "" {
		path = filepath.Join("..", "..", "..", "bin", "localkube")
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(abs); err != nil {
		t.Fatalf("this test needs the real localkube: run `make bin/localkube`, or set KEYREEVE_LOCALKUBE (%v)", err)
	}
	return abs
}

// hookServer stands in for the gate: it lets the admin group in, knows no tokens, and keeps what it was asked.
type hookServer struct {
	*httptest.Server
	mu    sync.Mutex
	asked []asked
}

type asked struct{ client, user, credential string }

func newHookServer(t *testing.T, ca *pki.Authority) *hookServer {
	t.Helper()
	pair, err := ca.Issue(pki.Template{CommonName: "hook", Use: pki.Server, Hosts: []string{"127.0.0.1"}, Now: time.Now(), Life: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	cert, err := tls.X509KeyPair([]byte(pair.Cert), []byte(pair.Key))
	if err != nil {
		t.Fatal(err)
	}
	h := &hookServer{}
	h.Server = httptest.NewUnstartedServer(http.HandlerFunc(h.serve))
	h.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAnyClientCert, MinVersion: tls.VersionTLS12}
	h.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	h.StartTLS()
	t.Cleanup(h.Close)
	return h
}

func (h *hookServer) serve(w http.ResponseWriter, r *http.Request) {
	var review struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Spec       struct {
			User   string              `json:"user"`
			Groups []string            `json:"groups"`
			Extra  map[string][]string `json:"extra"`
		} `json:"spec"`
	}
	_ = json.NewDecoder(r.Body).Decode(&review)
	status := map[string]any{"authenticated": false}
	if review.Kind == "SubjectAccessReview" {
		allowed := strings.Contains(strings.Join(review.Spec.Groups, " "), pki.AdminGroup)
		status = map[string]any{"allowed": allowed, "denied": !allowed}
		h.mu.Lock()
		h.asked = append(h.asked, asked{
			r.TLS.PeerCertificates[0].Subject.CommonName, review.Spec.User,
			strings.Join(review.Spec.Extra["authentication.kubernetes.io/credential-id"], ""),
		})
		h.mu.Unlock()
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"apiVersion": review.APIVersion, "kind": review.Kind, "status": status})
}

// TestLocalkube goes through the life of a cluster of real Kubernetes.
func TestLocalkube(t *testing.T) {
	ca, err := pki.NewAuthority("hooks", time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t)
	hook := newHookServer(t, ca)
	r.plan.Desired.Nodes = []cluster.Node{{Name: "aks-nodepool1-1-vmss000000", Pool: "nodepool1", VMSize: "Standard_DS2_v2"}}
	opened := make(chan cluster.Access, 8)
	s := r.plane(func(s *Supervisor) {
		s.Binary = localkube(t)
		s.Hooks = Hooks{TokenReviewURL: hook.URL + "/tokenreview", AuthorizationURL: hook.URL + "/authorize", CA: ca.CertPEM(), Authority: ca}
		s.Opened = func(_ context.Context, _ ident.ClusterID, a cluster.Access) error { opened <- a; return nil }
	})
	began := time.Now()
	first := r.up(s)
	t.Logf("ready after %s", time.Since(began).Round(time.Millisecond))
	access := <-opened

	admin := newCaller(t, r.plan.Desired)
	if code, body := admin.do(http.MethodGet, "/api/v1/nodes", ""); code != http.StatusOK || !strings.Contains(body, `"name":"aks-nodepool1-1-vmss000000"`) {
		t.Fatalf("nodes: %d %s", code, body)
	}
	hook.mu.Lock()
	want := asked{HookName(r.id), "clusterAdmin-x", "X509SHA256=" + admin.fingerprint}
	if len(hook.asked) == 0 || hook.asked[len(hook.asked)-1] != want {
		t.Errorf("the hook was asked %+v, want %+v", hook.asked, want)
	}
	hook.mu.Unlock()

	gate := &caller{t: t, host: access.Host}
	if gate.client, err = apiClient(string(access.CA), pki.KeyPair{Cert: string(access.Cert), Key: string(access.Key)}); err != nil {
		t.Fatal(err)
	}
	if code, body := gate.do(http.MethodGet, "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", ""); code != http.StatusOK {
		t.Errorf("bindings: %d %s", code, body)
	}
	if code, _ := gate.do(http.MethodGet, "/api/v1/pods", ""); code != http.StatusForbidden {
		t.Errorf("the gate may list pods: %d", code)
	}

	if code, body := admin.do(http.MethodPost, "/api/v1/namespaces/default/configmaps", `{"metadata":{"name":"kept"}}`); code != http.StatusCreated {
		t.Fatalf("configmap: %d %s", code, body)
	}
	token := admin.token()
	bearer := func(c *caller) int {
		anonymous := &caller{t: t, host: c.host, bearer: token, client: c.client}
		anonymous.client.Transport.(*http.Transport).TLSClientConfig.Certificates = nil
		anonymous.client.CloseIdleConnections()
		code, _ := anonymous.do(http.MethodGet, "/api/v1/namespaces/default", "")
		return code
	}
	if code := bearer(newCaller(t, r.plan.Desired)); code != http.StatusForbidden { // known, and nothing allowed
		t.Errorf("service account: %d", code)
	}

	// A process that dies comes back with its data.
	if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-opened
	r.ready(s)
	if code, body := admin.do(http.MethodGet, "/api/v1/namespaces/default/configmaps/kept", ""); code != http.StatusOK {
		t.Errorf("after the crash: %d %s", code, body)
	}

	// Rotation: nothing from before is good any more, and the data is there.
	old := admin
	if r.plan.Desired.Secrets, err = pki.NewSecrets("c", time.Now()); err != nil {
		t.Fatal(err)
	}
	r.plan.Desired.Generation++
	r.up(s)
	if _, err := old.try(http.MethodGet, "/api/v1/nodes", ""); err == nil || !strings.Contains(err.Error(), "unknown authority") {
		t.Errorf("old kubeconfig: %v", err)
	}
	admin = newCaller(t, r.plan.Desired)
	if code, body := admin.do(http.MethodGet, "/api/v1/namespaces/default/configmaps/kept", ""); code != http.StatusOK {
		t.Errorf("after rotation: %d %s", code, body)
	}
	stale := newCaller(t, r.plan.Desired) // trusts the new authority and shows the old certificate
	stale.client.Transport.(*http.Transport).TLSClientConfig.Certificates = old.client.Transport.(*http.Transport).TLSClientConfig.Certificates
	if code, _ := stale.do(http.MethodGet, "/api/v1/nodes", ""); code != http.StatusUnauthorized {
		t.Errorf("old certificate: %d", code)
	}
	if code := bearer(newCaller(t, r.plan.Desired)); code != http.StatusUnauthorized {
		t.Errorf("old service account token: %d", code)
	}
	if err := s.Delete(t.Context(), r.id); err != nil {
		t.Fatal(err)
	}
}

// caller is somebody with an admin's kubeconfig.
type caller struct {
	t           *testing.T
	host        string
	bearer      string
	fingerprint string
	client      *http.Client
}

func newCaller(t *testing.T, d cluster.Desired) *caller {
	t.Helper()
	pair, err := d.Secrets.IssueAdmin("clusterAdmin-x", time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	c := &caller{t: t, host: "https://" + d.Endpoint}
	if c.client, err = apiClient(d.Secrets.Cluster.Cert, pair); err != nil {
		t.Fatal(err)
	}
	if c.fingerprint, err = pki.Fingerprint(pair.Cert); err != nil {
		t.Fatal(err)
	}
	return c
}

type answer struct {
	code int
	body string
}

func (c *caller) try(method, path, body string) (answer, error) {
	req, err := http.NewRequestWithContext(c.t.Context(), method, c.host+path, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Content-Type", "application/json")
	if c.bearer != "" {
		req.Header.Set("Authorization", "Bearer "+c.bearer)
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, string(bytes.TrimSpace(text))}, err
}

func (c *caller) do(method, path, body string) (int, string) {
	c.t.Helper()
	a, err := c.try(method, path, body)
	if err != nil {
		c.t.Fatal(err)
	}
	return a.code, a.body
}

// token asks for a token of the default service account.
func (c *caller) token() string {
	c.t.Helper()
	var out struct {
		Status struct {
			Token string `json:"token"`
		} `json:"status"`
	}
	// The account is made by a controller, an instant after its namespace.
	for {
		code, body := c.do(http.MethodPost, "/api/v1/namespaces/default/serviceaccounts/default/token", `{"kind":"TokenRequest","apiVersion":"authentication.k8s.io/v1","spec":{}}`)
		if code == http.StatusCreated {
			if err := json.Unmarshal([]byte(body), &out); err != nil {
				c.t.Fatal(err)
			}
			return out.Status.Token
		}
		if code != http.StatusNotFound {
			c.t.Fatalf("token: %d %s", code, body)
		}
	}
}
