package kubelet

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// headerTimeout bounds how long a request's header may take.
const headerTimeout = 10 * time.Second

// Cluster is what is known of the nodes and pods that are served.
type Cluster struct {
	// Pod finds a pod by namespace and name.
	Pod func(namespace, name string) (*corev1.Pod, bool)
	// Ours says whether a node is one of the pretend ones.
	Ours func(node string) bool
	// Token makes a token of a pod's service account, as a projected volume of the pod wants it.
	Token func(context.Context, *corev1.Pod, *corev1.ServiceAccountTokenProjection) (string, error)
}

// Config is what a Kubelet needs.
type Config struct {
	// Socket is where it listens, in a folder of the process's own.
	Socket string
	Log    *slog.Logger
	Now    func() time.Time
}

// Kubelet serves for all pretend nodes of a cluster.
type Kubelet struct {
	Config
	// Credentials are for the API server.
	Credentials Credentials

	identity *identity
	listener net.Listener
	cluster  atomic.Pointer[Cluster]
	shelf    shelf
}

// New listens and makes keys. There is no pod before Attach.
func New(ctx context.Context, c Config) (*Kubelet, error) {
	k := &Kubelet{Config: c}
	k.Attach(Cluster{
		Pod:  func(string, string) (*corev1.Pod, bool) { return nil, false },
		Ours: func(string) bool { return false },
	})
	var err error
	k.identity, err = newIdentity(c.Now(), func(node string) bool { return k.cluster.Load().Ours(node) })
	if err != nil {
		return nil, fmt.Errorf("kubelet: %w", err)
	}
	if k.Credentials, err = k.identity.credentials(); err != nil {
		return nil, fmt.Errorf("kubelet: %w", err)
	}
	if k.listener, err = (&net.ListenConfig{}).Listen(ctx, "unix", c.Socket); err != nil {
		return nil, fmt.Errorf("kubelet: %w", err)
	}
	if err := os.Chmod(c.Socket, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("kubelet: %w", err), k.listener.Close())
	}
	return k, nil
}

// Attach says what there is to serve.
func (k *Kubelet) Attach(c Cluster) { k.cluster.Store(&c) }

// Run serves until ctx ends.
func (k *Kubelet) Run(ctx context.Context) error {
	server := &http.Server{
		Handler: k.routes(), TLSConfig: k.identity.config(), ReadHeaderTimeout: headerTimeout,
		ErrorLog:    log.New(debugWriter{k.Log}, "", 0),
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	stopped := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stopped()
	if err := server.ServeTLS(k.listener, "", ""); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("kubelet: %w", err)
	}
	return nil
}

// Dial connects to the kubelet, whatever address a Node gives for it.
func (k *Kubelet) Dial(ctx context.Context, _, _ string) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, "unix", k.Socket)
}

// DialPod connects to what answers at a pretended pod's address.
func (*Kubelet) DialPod(_ context.Context, _, address string) (net.Conn, error) {
	near, far := net.Pipe()
	go serveHTTP(far, responder("the address "+address))
	return near, nil
}

// debugWriter takes the lines of the standard library's logger.
type debugWriter struct{ log *slog.Logger }

func (w debugWriter) Write(p []byte) (int, error) {
	w.log.Debug("kubelet", "said", string(p))
	return len(p), nil
}
