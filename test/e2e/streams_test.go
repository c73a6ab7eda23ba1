package e2e

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/test/harness"
)

// open is a kubectl that holds a stream open.
type open struct {
	name  string
	ended chan struct{}
	at    time.Time
	out   *notices
}

// notices is what a kubectl prints.
type notices struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (n *notices) Write(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.b.Write(p)
}

func (n *notices) String() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.b.String()
}

// holding starts kubectls against a cluster, until its context ends.
type holding struct {
	ctx context.Context
	t   *testing.T
	w   *ways
	c   target
}

// hold starts kubectl and waits until it has printed what says that its stream is open.
func (h holding) hold(credential []string, name, sign string, args ...string) *open {
	t, w := h.t, h.w
	t.Helper()
	o := &open{name: name, ended: make(chan struct{}), out: &notices{}}
	args = append([]string{"--server", h.c.server, "--certificate-authority", h.c.ca}, append(credential, args...)...)
	cmd := exec.CommandContext(h.ctx, harness.Program(t, "clients/kubectl"), args...)
	cmd.Env = append(append([]string{}, w.p.env...), "KUBECONFIG=/dev/null")
	if strings.HasSuffix(name, "SPDY") {
		cmd.Env = append(cmd.Env, "KUBECTL_REMOTE_COMMAND_WEBSOCKETS=false", "KUBECTL_PORT_FORWARD_WEBSOCKETS=false")
	}
	cmd.Stdout, cmd.Stderr = o.out, o.out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = cmd.Wait() // how it ends does not matter, when does
		o.at = time.Now()
		close(o.ended)
	}()
	eventually(t, 20*time.Second, name+" is open", func() bool {
		select {
		case <-o.ended:
			t.Fatalf("%s ended: %s", name, o.out)
		default:
		}
		return strings.Contains(o.out.String(), sign)
	})
	return o
}

// openStreams: watch, log, exec, attach and port-forward, by the real kubectl, end within a second of the end of the right that
// let them in: a person's, an impersonator's, a certificate's, and that of all local accounts.
func openStreams(t *testing.T, w *ways, c target) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	h := holding{ctx, t, w, c}
	w.join(w.inner, w.bob)
	w.join(w.inner, w.dan)
	assignment := w.assign(c.id, writerRole, w.user("carol"), "User") // whom dan plays
	byToken := func(token string) []string { return []string{"--token", token} }
	kubectl := func(args ...string) string {
		args = append([]string{"--server", c.server, "--certificate-authority", c.ca, "--token", w.bobToken}, args...)
		return harness.Must(t, append(append([]string{}, w.p.env...), "KUBECONFIG=/dev/null"), "clients/kubectl", args...)
	}
	kubectl("run", "web", "--image", "nginx", "--env", "COLOUR=blue")
	kubectl("wait", "--for", "condition=Ready", "pod/web", "--timeout", "30s")
	if out := kubectl("exec", "web", "--", "printenv", "COLOUR"); out != "blue" {
		t.Errorf("exec: %q", out)
	}
	dir := t.TempDir()
	writeFile(t, dir+"/in", "copied")
	kubectl("cp", dir+"/in", "web:/tmp/in")
	kubectl("cp", "web:/tmp/in", dir+"/out")
	if text, err := os.ReadFile(dir + "/out"); string(text) != "copied" {
		t.Errorf("cp: %q %v", text, err)
	}
	if out := kubectl("logs", "web"); !strings.Contains(out, "is pretended") {
		t.Errorf("logs: %q", out)
	}

	// Each by itself and by the newer and the older way of kubectl, where there are two.
	credential := byToken(w.bobToken)
	var bobs, dans []*open
	execArgs := []string{"exec", "web", "--", "sh", "-c", "echo open; sleep 600"}
	for name, args := range map[string][]string{
		"watch":             {"get", "--raw", "/api/v1/namespaces?watch=1&timeoutSeconds=600"},
		"log":               {"logs", "-f", "web"},
		"exec":              execArgs,
		"exec, SPDY":        execArgs,
		"attach":            {"attach", "web"},
		"port-forward":      {"port-forward", "pod/web", ":80"},
		"port-forward SPDY": {"port-forward", "pod/web", ":80"},
	} {
		sign := map[string]string{"watch": "kube-system", "log": "is pretended", "attach": "is pretended", "exec": "open", "exec, SPDY": "open"}[name]
		if sign == "" {
			sign = "Forwarding from"
		}
		bobs = append(bobs, h.hold(credential, name, sign, args...))
	}
	playing := append(byToken(w.danToken), "--as", "carol@keyreeve.test")
	dans = append(dans, h.hold(playing, "exec, played", "open", execArgs...), h.hold(playing, "log, played", "is pretended", "logs", "-f", "web"))
	certificate := func() []*open {
		u := w.adminConfig(c).Users[0].User
		w.fingerprint = thumbprint(t, u.Cert)
		dir := t.TempDir()
		cert, key := filepath.Join(dir, "crt"), filepath.Join(dir, "key")
		for path, text := range map[string][]byte{cert: u.Cert, key: u.Key} {
			if err := os.WriteFile(path, text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		by := []string{"--client-certificate", cert, "--client-key", key}
		return []*open{h.hold(by, "exec, by certificate", "open", execArgs...), h.hold(by, "watch, by certificate", "kube-system", "get", "--raw", "/api/v1/namespaces?watch=1&timeoutSeconds=600")}
	}
	accounts := certificate()
	one := certificate()

	over := func(what string, list []*open) {
		t.Helper()
		end := time.Now()
		for _, o := range list {
			select {
			case <-o.ended:
				t.Logf("%s: %s ended %s later", what, o.name, o.at.Sub(end).Round(time.Millisecond))
			case <-time.After(time.Until(end.Add(bound))):
				t.Errorf("%s: %s goes on a second later", what, o.name)
			}
		}
	}
	going := func(list []*open) {
		t.Helper()
		for _, o := range list {
			select {
			case <-o.ended:
				t.Errorf("%s ended with no reason: %s", o.name, o.out)
			default:
			}
		}
	}
	all := append(append(append([]*open{}, dans...), accounts...), one...)
	going(append(append([]*open{}, bobs...), all...))
	w.leave(w.inner, w.bob)
	over("a membership", bobs)
	going(all)
	w.leave(w.inner, w.dan)
	over("an impersonator's membership", dans)
	going(append(append([]*open{}, accounts...), one...))
	w.manage(http.MethodPost, c.id+"/keyreeveCertificates/"+w.fingerprint+"/revoke", aksVersion, map[string]any{}, nil)
	over("one certificate", one)
	going(accounts)
	w.localAccounts(c, true)
	over("local accounts", accounts)
	w.localAccounts(c, false)
	w.unassign(assignment)
}

// foreignStreams: an API server that somebody else started, when it is a localkube, ends streams by what the gate beside it answers.
func foreignStreams(t *testing.T, w *ways, c target) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	w.join(w.inner, w.bob)
	w.until(everyWay()[0], c, "before", allowedCode)
	credential := []string{"--token", w.bobToken}
	env := append(append([]string{}, w.p.env...), "KUBECONFIG=/dev/null")
	for _, args := range [][]string{{"run", "web", "--image", "nginx"}, {"wait", "--for", "condition=Ready", "pod/web", "--timeout", "30s"}} {
		harness.Must(t, env, "clients/kubectl", append([]string{"--server", c.server, "--certificate-authority", c.ca, "--token", w.bobToken}, args...)...)
	}
	h := holding{ctx, t, w, c}
	list := []*open{
		h.hold(credential, "watch", "kube-system", "get", "--raw", "/api/v1/namespaces?watch=1&timeoutSeconds=600"),
		h.hold(credential, "exec", "open", "exec", "web", "--", "sh", "-c", "echo open; sleep 600"),
		h.hold(credential, "port-forward", "Forwarding from", "port-forward", "pod/web", ":80"),
	}
	w.leave(w.inner, w.bob)
	end := time.Now()
	for _, o := range list {
		select {
		case <-o.ended:
			t.Logf("%s ended %s later", o.name, o.at.Sub(end).Round(time.Millisecond))
		case <-time.After(time.Until(end.Add(bound))):
			t.Errorf("%s goes on a second later", o.name)
		}
	}
}
