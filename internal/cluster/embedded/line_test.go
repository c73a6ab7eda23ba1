package embedded

import (
	"bufio"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/internal/cluster"
)

// TestListenPrivate: only this user may open a socket, and what a dead process left is replaced.
func TestListenPrivate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.sock")
	if err := os.WriteFile(path, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	l, err := listenPrivate(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != os.ModeSocket|0o600 {
		t.Errorf("%v %v", info, err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("the socket is left behind")
	}
}

// TestLocalkubeLine lets the real API server ask the real gate at the socket: grants and revocations, with the control plane
// gone in between, and what the audit log says of it.
func TestLocalkubeLine(t *testing.T) {
	r := newRig(t)
	r.plan.Desired.Nodes = []cluster.Node{{Name: "aks-nodepool1-1-vmss000000", Pool: "nodepool1", VMSize: "Standard_DS2_v2"}}
	g := newGate(t, r.id)
	plane := func() *Supervisor {
		return r.plane(func(s *Supervisor) { s.Binary, s.Hooks, s.Detach = localkube(t), g.hooks(), true })
	}
	s := plane()
	pid := r.up(s)

	dave := newCaller(t, r.plan.Desired)
	dave.bearer = daveToken
	dave.client.Transport.(*http.Transport).TLSClientConfig.Certificates = nil
	const pods, secrets = "/api/v1/namespaces/default/pods", "/api/v1/namespaces/default/secrets"
	if code, body := dave.do(http.MethodGet, pods, ""); code != http.StatusOK {
		t.Fatalf("pods: %d %s", code, body)
	}
	if code, body := dave.do(http.MethodGet, secrets, ""); code != http.StatusForbidden || !strings.Contains(body, "Keyreeve: no access of this identity covers it (reference ") {
		t.Errorf("secrets: %d %s", code, body)
	}
	// What a webhook lists of rules is not all, and neither is this.
	code, body := dave.do(http.MethodPost, "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", `{"spec":{"namespace":"default"}}`)
	if code != http.StatusForbidden && !strings.Contains(body, `"incomplete":true`) {
		t.Errorf("rules: %d %s", code, body)
	}

	// The control plane goes; the process stays, and denies.
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if code, body := dave.do(http.MethodGet, pods, ""); code != http.StatusInternalServerError || time.Since(start) > 3*time.Second {
		t.Errorf("without a control plane: %d %s after %s", code, body, time.Since(start))
	}
	// It comes back, and the same process asks it.
	s = plane()
	if now := r.up(s); now != pid {
		t.Errorf("another process, %d, not %d", now, pid)
	}
	for start := time.Now(); ; {
		if code, body := dave.do(http.MethodGet, pods, ""); code == http.StatusOK {
			break
		} else if time.Since(start) > 5*time.Second {
			t.Fatalf("after the control plane came back: %d %s", code, body)
		}
	}
	g.revoke()
	if code, _ := dave.do(http.MethodGet, pods, ""); code != http.StatusForbidden {
		t.Errorf("revoked: %d", code)
	}
	checkAudit(t, g, r.folder().audit())

	// By webhook, the same process does not do: it is started anew.
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	s = r.plane(func(s *Supervisor) { s.Binary, s.Hooks = localkube(t), g.hooks(); s.Hooks.Line = nil })
	if now := r.up(s); now == pid {
		t.Error("a process that asks at the socket was kept")
	}
	if code, body := dave.do(http.MethodGet, pods, ""); code != http.StatusForbidden || !strings.Contains(body, "Keyreeve: no access") {
		t.Errorf("by webhook: %d %s", code, body)
	}
}

// auditEvent is what of an event is looked at.
type auditEvent struct {
	Level      string `json:"level"`
	Stage      string `json:"stage"`
	RequestURI string `json:"requestURI"`
	User       struct {
		Username string `json:"username"`
	} `json:"user"`
	ResponseStatus struct {
		Code int `json:"code"`
	} `json:"responseStatus"`
	Annotations map[string]string `json:"annotations"`
}

// checkAudit reads the audit log: why dave was let in is there in full, no token is, and only the owner may read it.
func checkAudit(t *testing.T, g *gate, path string) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.Stat(filepath.Dir(path))
	if err != nil || info.Mode().Perm() != 0o600 || dir.Mode().Perm() != 0o700 {
		t.Errorf("modes %v and %v, %v", info.Mode(), dir.Mode(), err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(raw), daveToken) {
		t.Error("the token is in the audit log")
	}
	found := map[string]bool{}
	lines := bufio.NewScanner(strings.NewReader(string(raw)))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e auditEvent
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatalf("%s: %v", lines.Text(), err)
		}
		if e.Level != "Metadata" || strings.Contains(lines.Text(), `"requestObject"`) || strings.Contains(lines.Text(), `"responseObject"`) {
			t.Errorf("an event with a body: %s", lines.Text())
		}
		if e.User.Username != "dave@contoso.com" || e.Stage != "ResponseComplete" {
			continue
		}
		decision, reason := e.Annotations["authorization.k8s.io/decision"], e.Annotations["authorization.k8s.io/reason"]
		switch {
		case decision == "allow":
			found["allow"] = true
			for _, part := range []string{
				`role "Azure Kubernetes Service RBAC Reader"`, `by assignment "` + g.assignment.ID.String() + `"`, `at "` + g.assignment.Scope + `"`, `("The devs")`, "; revision 7",
			} {
				if !strings.Contains(reason, part) {
					t.Errorf("%s: reason %q lacks %s", e.RequestURI, reason, part)
				}
			}
		case decision == "forbid" && strings.HasPrefix(reason, "Keyreeve: no access"):
			found["forbid"] = true
		}
	}
	if !found["allow"] || !found["forbid"] {
		t.Errorf("of dave it has %v", found)
	}
}
