package harness

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Fleet is a production installation: replicas of `keyreeve serve` on one database, behind a balancer that passes on
// connections.
type Fleet struct {
	// Login, ARM and Graph are the public origins.
	Login, ARM, Graph string
	Replicas          []*Replica
	t                 testing.TB
	dir               string
	gate              string
}

// Replica is one process of a fleet.
type Replica struct {
	fleet  *Fleet
	config string
	faces  []string // addresses of login, arm, graph
	health string
	cmd    *exec.Cmd
	done   chan struct{}
	log    logBuffer
}

// Names of the fleet's first administrator.
const (
	FleetDomain   = "fleet.test"
	FleetAdmin    = "admin@" + FleetDomain
	FleetPassword = "correct horse battery staple"
)

// NewFleet makes an installation on a PostgreSQL database and starts its replicas. They end with the test.
func NewFleet(t testing.TB, dsn string, replicas int) *Fleet {
	t.Helper()
	f := newFleet(t, dsn, replicas)
	f.write("password", FleetPassword+"\n")
	Must(t, BareEnv(f.dir), "keyreeve", "init", "--config", f.Replicas[0].config, "--domain", FleetDomain,
		"--password-file", filepath.Join(f.dir, "password"), "--allow-password-grant")
	for _, r := range f.Replicas {
		r.Start()
	}
	return f
}

// EmptyFleet makes an installation of one replica on an empty database, with the sealing key in a file, and does not start
// it.
func EmptyFleet(t testing.TB, dsn, sealKey string) *Fleet {
	t.Helper()
	f := newFleet(t, dsn, 1)
	key, err := os.ReadFile(sealKey)
	if err != nil {
		t.Fatal(err)
	}
	f.write("seal.key", string(key))
	return f
}

func newFleet(t testing.TB, dsn string, replicas int) *Fleet {
	t.Helper()
	f := &Fleet{t: t, dir: t.TempDir()}
	f.write("dsn", dsn)
	var public []net.Listener
	for range 3 {
		public = append(public, listen(t))
	}
	origin := func(l net.Listener) string { return "https://" + l.Addr().String() }
	f.Login, f.ARM, f.Graph = origin(public[0]), origin(public[1]), origin(public[2])
	f.gate = "https://gate." + FleetDomain + ":8443"
	for n := range replicas {
		f.Replicas = append(f.Replicas, f.replica(n))
	}
	for i, l := range public {
		go f.balance(l, i)
		t.Cleanup(func() { _ = l.Close() })
	}
	return f
}

// Config is the replica's configuration file.
func (r *Replica) Config() string { return r.config }

func (f *Fleet) write(name, text string) string {
	f.t.Helper()
	path := filepath.Join(f.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		f.t.Fatal(err)
	}
	return path
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	var cfg net.ListenConfig
	l, err := cfg.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// replica writes the configuration of a replica with addresses of its own.
func (f *Fleet) replica(n int) *Replica {
	r := &Replica{fleet: f}
	var free []string
	for range 5 {
		l := listen(f.t)
		free = append(free, l.Addr().String())
		defer func() { _ = l.Close() }()
	}
	r.faces, r.health = free[:3], free[4]
	r.config = f.write(fmt.Sprintf("replica%d.yaml", n), fmt.Sprintf(`
dataDir: data%d
sealKeyFile: seal.key
database: {postgres: {dsnFile: dsn}}
login: {url: %q, listen: %q}
arm: {url: %q, listen: %q}
graph: {url: %q, listen: %q}
gate: {url: %q, listen: %q}
health: %q
log: {format: json}
shutdownDelay: 1s
tokens: {signing: es256}
`, n, f.Login, free[0], f.ARM, free[1], f.Graph, free[2], f.gate, free[3], free[4]))
	f.t.Cleanup(func() {
		r.Stop()
		if f.t.Failed() {
			f.t.Logf("log of replica %d:\n%s", n, r.log.tail())
		}
	})
	return r
}

// ready asks as a load balancer does.
func (r *Replica) ready() bool {
	res, err := http.Get("http://" + r.health + "/readyz")
	if err != nil {
		return false
	}
	_ = res.Body.Close()
	return res.StatusCode == http.StatusOK
}

// balance passes connections on to the replicas in turn; to the next one, if one is not ready.
func (f *Fleet) balance(l net.Listener, face int) {
	for turn := 0; ; turn++ {
		client, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer client.Close()
			for i := range f.Replicas {
				r := f.Replicas[(turn+i)%len(f.Replicas)]
				if !r.ready() {
					continue
				}
				server, err := net.DialTimeout("tcp", r.faces[face], time.Second)
				if err != nil {
					continue
				}
				var both sync.WaitGroup
				both.Go(func() { _, _ = io.Copy(server, client); _ = server.(*net.TCPConn).CloseWrite() })
				_, _ = io.Copy(client, server)
				_ = client.(*net.TCPConn).CloseWrite()
				both.Wait()
				_ = server.Close()
				return
			}
		}()
	}
}

// Start starts the process and waits until it is ready.
func (r *Replica) Start() {
	t := r.fleet.t
	t.Helper()
	cmd := exec.Command(Program(t, "keyreeve"), "serve", "--config", r.config)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = &r.log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r.cmd, r.done = cmd, make(chan struct{})
	ready := make(chan struct{})
	go func() {
		for in := bufio.NewScanner(stdout); in.Scan(); {
			if in.Text() == "ready" {
				close(ready)
			}
		}
		_ = cmd.Wait()
		close(r.done)
	}()
	select {
	case <-ready:
	case <-r.done:
		t.Fatalf("keyreeve serve ended:\n%s", r.log.tail())
	case <-time.After(time.Minute):
		t.Fatalf("keyreeve serve is not ready after a minute:\n%s", r.log.tail())
	}
}

// Stop ends the process in good order.
func (r *Replica) Stop() {
	if r.cmd == nil {
		return
	}
	_ = r.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-r.done:
	case <-time.After(30 * time.Second):
		r.fleet.t.Error("keyreeve serve did not stop within 30 s")
		r.Kill()
	}
}

// Kill ends the process at once.
func (r *Replica) Kill() {
	_ = r.cmd.Process.Kill()
	<-r.done
}

// Health returns what a path of the health listener says.
func (r *Replica) Health(path string) (int, string) {
	r.fleet.t.Helper()
	return r.fleet.do(http.DefaultClient, http.MethodGet, "http://"+r.health+path, "", "", "")
}

// Do asks through the balancer, or one replica alone if r is not nil, on a connection of its own. A status of 0 means that
// there was no answer.
func (f *Fleet) Do(r *Replica, method, address, token, body string) (int, string) {
	f.t.Helper()
	pem, err := os.ReadFile(filepath.Join(f.dir, "data0", "ca.pem"))
	if err != nil {
		f.t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	var dialer net.Dialer
	client := &http.Client{Timeout: 40 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pool}, DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			for i, origin := range []string{f.Login, f.ARM, f.Graph} {
				if r != nil && origin == "https://"+addr {
					addr = r.faces[i]
					break
				}
			}
			return dialer.DialContext(ctx, network, addr)
		},
	}}
	kind := "application/json"
	if strings.Contains(body, "grant_type=") {
		kind = "application/x-www-form-urlencoded"
	}
	return f.do(client, method, address, token, kind, body)
}

func (f *Fleet) do(client *http.Client, method, address, token, kind, body string) (int, string) {
	req, err := http.NewRequestWithContext(f.t.Context(), method, address, strings.NewReader(body))
	if err != nil {
		f.t.Fatal(err)
	}
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := client.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, err.Error()
	}
	return res.StatusCode, string(text)
}

// Grant asks for a token with the administrator's password.
func (f *Fleet) Grant(r *Replica, resource string) (int, string) {
	return f.GrantAs(r, resource, FleetAdmin, FleetPassword)
}

// GrantAs is Grant for anybody.
func (f *Fleet) GrantAs(r *Replica, resource, user, password string) (int, string) {
	return f.Do(r, http.MethodPost, f.Login+"/organizations/oauth2/v2.0/token", "", url.Values{
		"grant_type": {"password"}, "client_id": {"04b07795-8ddb-461a-bbee-02f9e1bf7b46"}, "scope": {resource + "/.default"},
		"username": {user}, "password": {password},
	}.Encode())
}

// Token returns a token of the administrator's for a resource.
func (f *Fleet) Token(resource string) string {
	f.t.Helper()
	status, text := f.Grant(nil, resource)
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.Unmarshal([]byte(text), &answer); err != nil || status != http.StatusOK {
		f.t.Fatalf("token: %d %s", status, text)
	}
	return answer.AccessToken
}

// NewUser is the body that makes a user.
func (f *Fleet) NewUser(n int) (upn, body string) {
	upn = "user" + strconv.Itoa(n) + "@" + FleetDomain
	return upn, fmt.Sprintf(`{"userPrincipalName":%q,"displayName":"User %d","mailNickname":"user%d","accountEnabled":true,`+
		`"passwordProfile":{"password":"Passw0rd!%d","forceChangePasswordNextSignIn":false}}`, upn, n, n, n)
}
