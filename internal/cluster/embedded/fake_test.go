package embedded

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestMain makes the test binary a localkube of few words when it is started as one, and a control plane to be killed.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "run":
			os.Exit(fakeMain())
		case "supervise":
			os.Exit(superviseMain(os.Args[2]))
		}
	}
	os.Exit(m.Run())
}

// fake is a localkube as its supervisor sees it: the contract's control API, claim on the data folder and exit codes, and
// an API server that takes what the supervisor applies and writes it down in its data folder.
type fake struct {
	spec    spec
	started time.Time
	stop    chan struct{}
	once    sync.Once

	mu    sync.Mutex
	nodes int
}

func fakeMain() int {
	f := &fake{started: time.Now(), stop: make(chan struct{})}
	if err := json.NewDecoder(os.Stdin).Decode(&f.spec); err != nil {
		fmt.Fprintln(os.Stderr, "bad spec:", err)
		return exitSpec
	}
	if f.spec.Name == "refused" {
		fmt.Fprintln(os.Stderr, "name: is refused by this fake")
		return exitSpec
	}
	lock, err := os.OpenFile(filepath.Join(f.spec.DataDir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil || syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		fmt.Fprintln(os.Stderr, "data folder is taken")
		return exitTaken
	}
	f.nodes = len(f.spec.Nodes)
	f.write("environment", strings.Join(os.Environ(), "\n"))
	if err := f.serve(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println("ready")
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	select {
	case <-f.stop:
	case <-term:
	}
	_ = os.Remove(f.spec.ControlSocket)
	return 0
}

func (f *fake) write(name, text string) {
	_ = os.WriteFile(filepath.Join(f.spec.DataDir, name), []byte(text), 0o600)
}

func (f *fake) serve() error {
	_ = os.Remove(f.spec.ControlSocket)
	l, err := net.Listen("unix", f.spec.ControlSocket)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		s := controlStatus{Name: f.spec.Name, PID: os.Getpid(), Generation: f.spec.Generation, Phase: "ready", Ready: true, StartedAt: f.started, Version: "v0.0.0"}
		s.Nodes.Want, s.Nodes.Ready = f.nodes, f.nodes
		_ = json.NewEncoder(w).Encode(s)
	})
	mux.HandleFunc("GET /alive", func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	mux.HandleFunc("PUT /nodes", func(_ http.ResponseWriter, r *http.Request) {
		var nodes []specNode
		_ = json.NewDecoder(r.Body).Decode(&nodes)
		f.mu.Lock()
		defer f.mu.Unlock()
		f.nodes = len(nodes)
	})
	mux.HandleFunc("POST /stop", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusAccepted)
		_ = http.NewResponseController(w).Flush()
		if f.spec.Name != "stubborn" {
			f.once.Do(func() { close(f.stop) })
		}
	})
	go func() { _ = (&http.Server{Handler: mux, ReadHeaderTimeout: time.Second}).Serve(l) }()
	return f.serveAPI()
}

func (f *fake) serveAPI() error {
	pair, err := tls.X509KeyPair([]byte(f.spec.PKI.Serving.Cert), []byte(f.spec.PKI.Serving.Key))
	if err != nil {
		return err
	}
	clients := x509.NewCertPool()
	clients.AppendCertsFromPEM([]byte(f.spec.PKI.ClientCA))
	l, err := tls.Listen("tcp", f.spec.Listen, &tls.Config{
		Certificates: []tls.Certificate{pair}, ClientCAs: clients, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS12,
	})
	if err != nil {
		return err
	}
	handle := func(w http.ResponseWriter, r *http.Request) {
		subject := r.TLS.PeerCertificates[0].Subject
		if subject.Organization == nil || subject.Organization[0] != "system:masters" || r.Method != http.MethodPatch {
			http.Error(w, "no", http.StatusForbidden)
			return
		}
		body, _ := io.ReadAll(r.Body)
		f.write("applied-"+filepath.Base(filepath.Dir(r.URL.Path)), string(body))
	}
	go func() {
		server := &http.Server{Handler: http.HandlerFunc(handle), ReadHeaderTimeout: time.Second, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
		_ = server.Serve(l)
	}()
	return nil
}

// superviseMain is a control plane with one cluster, described on its standard input. It runs until it is killed.
func superviseMain(dir string) int {
	var plan killedPlane
	if err := json.NewDecoder(os.Stdin).Decode(&plan); err != nil {
		return 1
	}
	s, err := plan.supervisor(dir)
	if err != nil {
		return 1
	}
	ctx := context.Background()
	if s.Ensure(ctx, plan.Desired) != nil || s.WaitReady(ctx, plan.Desired.ID) != nil {
		return 1
	}
	fmt.Println("up")
	select {}
}
