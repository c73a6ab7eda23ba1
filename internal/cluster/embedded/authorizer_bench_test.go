package embedded

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/internal/cluster"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/pki"
)

// objects is how many config maps are read.
const objects = 500

// asker is a real API server that asks an authorizer about whoever reads config maps.
type asker struct {
	name   string
	url    string
	client *http.Client
	pid    int

	took, used time.Duration // by all turns, clock and processors
}

// BenchmarkCompareAuthorizers reads config maps from real API servers as a member of the directory, with a token, no object
// twice in a row: one that has only Kubernetes' RBAC, one with a webhook that always says yes, one with our webhook, one that asks at
// our socket, and that with its audit log. They take turns of some hundred requests, so that whatever else the machine does meets all.
func BenchmarkCompareAuthorizers(b *testing.B) {
	id := ident.New[ident.ClusterID]()
	g := newGate(b, id)
	secrets, err := pki.NewSecrets("c", time.Now())
	if err != nil {
		b.Fatal(err)
	}
	constant := func(doc *spec) { doc.Authorization.URL = g.server.URL + "/constant" }
	all := []*asker{
		newAsker(b, g, secrets, "rbac", nil, func(doc *spec) { doc.Authorization = nil }),
		newAsker(b, g, secrets, "constant", nil, constant),
		newAsker(b, g, secrets, "webhook", nil, func(*spec) {}),
		newAsker(b, g, secrets, "socket", g.ServeLine, func(*spec) {}),
		newAsker(b, g, secrets, "socket-audit", g.ServeLine, func(doc *spec) { doc.AuditLog = filepath.Join(b.TempDir(), "audit.log") }),
	}
	for _, senders := range []int{8, 32} {
		b.Run(fmt.Sprintf("%d_senders", senders), func(b *testing.B) {
			const turn = 400
			for _, a := range all {
				a.read(b, senders, turn) // connections, caches
				a.took, a.used = 0, 0
			}
			n := 0
			for b.Loop() {
				for _, a := range all {
					a.turn(b, senders, turn)
				}
				n += turn
			}
			b.ReportMetric(0, "ns/op")
			for _, a := range all {
				b.ReportMetric(float64(n)/a.took.Seconds(), a.name+"-req/s")
				b.ReportMetric(all[0].took.Seconds()/a.took.Seconds(), a.name+"/rbac")
				b.ReportMetric(all[0].used.Seconds()/a.used.Seconds(), a.name+"/rbac-cpu")
				b.ReportMetric(all[1].took.Seconds()/a.took.Seconds(), a.name+"/constant")
				b.ReportMetric(all[1].used.Seconds()/a.used.Seconds(), a.name+"/constant-cpu")
			}
		})
	}
}

// newAsker starts an API server with what change makes of its document.
func newAsker(b *testing.B, g *gate, secrets pki.Secrets, name string, line Line, change func(*spec)) *asker {
	b.Helper()
	dir := b.TempDir()
	s := &Supervisor{Binary: localkube(b), Dir: dir, SocketDir: b.TempDir(), Now: time.Now, Hooks: g.hooks()}
	s.Hooks.Line = line
	f := folder(filepath.Join(dir, "c"))
	d := cluster.Desired{
		ID: g.id, Name: "c", Generation: 1, Endpoint: freeEndpoint(b), FQDN: "c.test", ServiceCIDR: "10.0.0.0/16", PodCIDR: "10.244.0.0/16",
		ServiceIP: "10.0.0.1", Secrets: secrets, Nodes: []cluster.Node{},
	}
	doc, err := s.spec(b.Context(), d, f, filepath.Join(s.SocketDir, "x.sock"))
	if err != nil {
		b.Fatal(err)
	}
	doc.AuditLog = ""
	change(doc)
	if line != nil {
		l, err := listenPrivate(b.Context(), doc.AuthorizationSocket)
		if err != nil {
			b.Fatal(err)
		}
		ctx, cancel := context.WithCancel(b.Context())
		b.Cleanup(cancel)
		go func() { _ = line(ctx, g.id, l) }()
	}
	a := &asker{name: name, url: "https://" + d.Endpoint, pid: run(b, s.Binary, doc)}
	root, err := apiClient(secrets.Cluster.Cert, doc.PKI.Operator)
	if err != nil {
		b.Fatal(err)
	}
	a.fill(b, root)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(secrets.Cluster.Cert))
	a.client = &http.Client{Transport: &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}}
	b.Cleanup(a.client.CloseIdleConnections)
	return a
}

// run starts a process that ends with the benchmark, and returns when it is ready.
func run(b *testing.B, binary string, doc *spec) int {
	b.Helper()
	text, err := json.Marshal(doc)
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(binary, "run")
	cmd.Stdin = strings.NewReader(string(text))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
		b.Fatalf("localkube says %q, %v", line, err)
	}
	return cmd.Process.Pid
}

// fill makes the config maps, and lets dave read them by Kubernetes' own RBAC.
func (a *asker) fill(b *testing.B, root *http.Client) {
	b.Helper()
	post := func(path, body string) {
		resp, err := root.Post(a.url+path, "application/json", strings.NewReader(body))
		if err != nil {
			b.Fatal(err)
		}
		text, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusCreated {
			b.Fatalf("%s: %d %s", path, resp.StatusCode, text)
		}
	}
	post("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", `{"metadata":{"name":"dave"},"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"view"},`+
		`"subjects":[{"apiGroup":"rbac.authorization.k8s.io","kind":"User","name":"dave@contoso.com"}]}`)
	for i := range objects {
		post("/api/v1/namespaces/default/configmaps", fmt.Sprintf(`{"metadata":{"name":"object-%d"},"data":{"k":"v"}}`, i))
	}
}

// turn reads, and adds up how long that took by the clock, and by the processors of the API server and of this process, which
// holds the gate and the senders.
func (a *asker) turn(b *testing.B, senders int, n int64) {
	start, used := time.Now(), processorTime(b, a.pid)+processorTime(b, os.Getpid())
	a.read(b, senders, n)
	a.took += time.Since(start)
	a.used += processorTime(b, a.pid) + processorTime(b, os.Getpid()) - used
}

func (a *asker) read(b *testing.B, senders int, n int64) {
	var left atomic.Int64
	var failure atomic.Pointer[string]
	left.Store(n)
	var all sync.WaitGroup
	for range senders {
		all.Go(func() {
			for left.Add(-1) >= 0 {
				if err := a.get(b.Context()); err != nil {
					text := err.Error()
					failure.Store(&text)
					return
				}
			}
		})
	}
	all.Wait()
	if text := failure.Load(); text != nil {
		b.Fatalf("%s: %s", a.name, *text)
	}
}

func (a *asker) get(ctx context.Context) error {
	url := fmt.Sprintf("%s/api/v1/namespaces/default/configmaps/object-%d", a.url, rand.IntN(objects))
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+daveToken)
	resp, err := a.client.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%d %s", resp.StatusCode, text)
	}
	return err
}

// processorTime is what a process has used of the processors, in hundredths of a second.
func processorTime(b *testing.B, pid int) time.Duration {
	b.Helper()
	raw, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(raw), ") ")
	fields := strings.Fields(rest)
	user, err1 := strconv.Atoi(fields[11])
	system, err2 := strconv.Atoi(fields[12])
	if err1 != nil || err2 != nil {
		b.Fatalf("%v %v", err1, err2)
	}
	return time.Duration(user+system) * 10 * time.Millisecond
}
