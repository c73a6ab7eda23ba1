package harness

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/internal/pki"
)

// Foreign is an API server that is no business of Keyreeve's: a localkube that the test starts by hand.
type Foreign struct {
	// Server is its base URL, CA the file that vouches for it, and Masters a kubeconfig of system:masters.
	Server, CA, Masters string

	t       testing.TB
	secrets pki.Secrets
	dir     string
	listen  string
}

// NewForeign makes the keys of such a cluster and chooses its address; Start runs it.
func NewForeign(t testing.TB) *Foreign {
	t.Helper()
	secrets, err := pki.NewSecrets("foreign", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	f := &Foreign{t: t, secrets: secrets, dir: t.TempDir(), listen: FreePort(t)}
	f.Server, f.CA = "https://"+f.listen, filepath.Join(f.dir, "ca.crt")
	f.write(f.CA, []byte(secrets.Cluster.Cert))
	f.Masters = f.Kubeconfig("masters", func() (pki.KeyPair, error) { return secrets.IssueMasters("root", time.Now(), time.Hour) })
	return f
}

// Kubeconfig writes a kubeconfig with a client certificate of the cluster's own authority.
func (f *Foreign) Kubeconfig(name string, issue func() (pki.KeyPair, error)) string {
	f.t.Helper()
	pair, err := issue()
	if err != nil {
		f.t.Fatal(err)
	}
	type object = map[string]any
	text, err := json.Marshal(object{
		"apiVersion": "v1", "kind": "Config", "current-context": "c",
		"clusters": []object{{"name": "c", "cluster": object{"server": f.Server, "certificate-authority-data": []byte(f.secrets.Cluster.Cert)}}},
		"users":    []object{{"name": "u", "user": object{"client-certificate-data": []byte(pair.Cert), "client-key-data": []byte(pair.Key)}}},
		"contexts": []object{{"name": "c", "context": object{"cluster": "c", "user": "u"}}},
	})
	if err != nil {
		f.t.Fatal(err)
	}
	path := filepath.Join(f.dir, name+".kubeconfig")
	f.write(path, text)
	return path
}

// Client issues a client certificate for any name and groups, as the cluster's owner may.
func (f *Foreign) Client(name string, groups ...string) (pki.KeyPair, error) {
	ca, err := pki.ParseAuthority(f.secrets.Cluster)
	if err != nil {
		return pki.KeyPair{}, err
	}
	return ca.Issue(pki.Template{CommonName: name, Organizations: groups, Now: time.Now(), Life: time.Hour})
}

func (f *Foreign) write(path string, text []byte) {
	f.t.Helper()
	if err := os.WriteFile(path, text, 0o600); err != nil {
		f.t.Fatal(err)
	}
}

// Start runs the API server with a gate's webhooks, by the files that the gate wrote for it, and waits until it is ready.
func (f *Foreign) Start(apiServerDir, gateURL, cluster string) {
	f.t.Helper()
	now := time.Now()
	host, _, err := net.SplitHostPort(f.listen)
	if err != nil {
		f.t.Fatal(err)
	}
	parts, err := f.secrets.IssueComponents(pki.ServingHosts("", host, "10.0.0.1"), now)
	if err != nil {
		f.t.Fatal(err)
	}
	public, err := f.secrets.ServiceAccountPublic()
	if err != nil {
		f.t.Fatal(err)
	}
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join(apiServerDir, name))
		if err != nil {
			f.t.Fatal(err)
		}
		return string(text)
	}
	type object = map[string]any
	hook := func(kind string) object {
		return object{
			"url": gateURL + "/clusters/" + cluster + "/" + kind, "ca": read("gate-ca.crt"),
			"client": pki.KeyPair{Cert: read("apiserver.crt"), Key: read("apiserver.key")},
		}
	}
	spec, err := json.Marshal(object{
		"name": "foreign", "generation": 1, "dataDir": filepath.Join(f.dir, "data"), "controlSocket": filepath.Join(f.dir, "s.sock"),
		"listen": f.listen, "externalHost": host, "serviceCIDR": "10.0.0.0/16", "podCIDR": "10.244.0.0/16",
		"pki": object{
			"clientCA": f.secrets.Cluster.Cert, "clusterCA": f.secrets.Cluster.Cert, "serving": parts.Serving,
			"serviceAccount": object{
				"signingKey": f.secrets.ServiceAccount, "verifyKeys": []string{public}, "issuer": "https://foreign.test",
			},
			"frontProxy":        object{"ca": f.secrets.FrontProxy.Cert, "client": parts.FrontProxyClient},
			"controllerManager": parts.ControllerManager, "scheduler": parts.Scheduler, "operator": parts.Operator,
		},
		"tokenReview": hook("tokenreview"), "authorization": hook("subjectaccessreview"),
		"nodes":         []object{{"name": "node-0", "pool": "pool", "vmSize": "Standard_DS2_v2"}},
		"orphanTimeout": "0s",
	})
	if err != nil {
		f.t.Fatal(err)
	}
	log := &logBuffer{}
	cmd := exec.Command(Program(f.t, "localkube"), "run")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(spec), log, log
	if err := cmd.Start(); err != nil {
		f.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { _ = cmd.Wait(); close(done) }()
	f.t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-done:
		case <-time.After(20 * time.Second):
			_ = cmd.Process.Kill()
			<-done
		}
		if f.t.Failed() {
			f.t.Logf("log of the foreign cluster:\n%s", log.tail())
		}
	})
	env := BareEnv(f.dir)
	for start := time.Now(); ; {
		if _, _, status := Run(f.t, env, "clients/kubectl", "--kubeconfig", f.Masters, "get", "--raw", "/readyz"); status == 0 {
			return
		}
		select {
		case <-done:
			f.t.Fatalf("localkube ended\n%s", log.tail())
		case <-time.After(100 * time.Millisecond):
		}
		if time.Since(start) > time.Minute {
			f.t.Fatalf("the foreign cluster was not ready within a minute\n%s", log.tail())
		}
	}
}

// FreePort finds a free port on loopback.
func FreePort(t testing.TB) string {
	t.Helper()
	var cfg net.ListenConfig
	l, err := cfg.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return fmt.Sprint(l.Addr())
}
