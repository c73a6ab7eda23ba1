// Package cluster owns the life of one cluster in this process: in which order its parts start, what happens when one
// of them fails, and in which order they stop.
//
//	claim on data ─► control API ─► etcd ─► kubelets ─► API server ─► controllers, scheduler, nodes, pods ─► ready
//
// Stopping goes the other way and takes a few seconds at most. What etcd has acknowledged is on disk by then, so
// stopping in haste, or being killed, loses nothing.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"syscall"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/keyreeve/keyreeve/localkube/internal/apiserver"
	"github.com/keyreeve/keyreeve/localkube/internal/control"
	"github.com/keyreeve/keyreeve/localkube/internal/controllers"
	"github.com/keyreeve/keyreeve/localkube/internal/datadir"
	"github.com/keyreeve/keyreeve/localkube/internal/etcd"
	"github.com/keyreeve/keyreeve/localkube/internal/kubelet"
	"github.com/keyreeve/keyreeve/localkube/internal/nodes"
	"github.com/keyreeve/keyreeve/localkube/internal/pods"
	"github.com/keyreeve/keyreeve/localkube/internal/ramdir"
	"github.com/keyreeve/keyreeve/localkube/internal/spec"
)

const (
	stopWithin  = 4 * time.Second
	readyPoll   = 20 * time.Millisecond
	headerLimit = 5 * time.Second
	// portWait is how long the port of a process that has just died may still be taken.
	portWait = time.Second
	portPoll = 10 * time.Millisecond
)

// Cluster is what Run needs.
type Cluster struct {
	Spec *spec.Spec
	// Version is the Kubernetes version, as v1.2.3.
	Version string
	Log     *slog.Logger
	// LogWriter is where etcd logs.
	LogWriter io.Writer
	// Announce is called once, when everything the spec asks for is up.
	Announce func()
	Now      func() time.Time
}

// errStopped says that stopping was asked for.
var errStopped = errors.New("stopped")

// Run runs the cluster until ctx ends, somebody asks the control API to stop, or a part fails.
func (c *Cluster) Run(ctx context.Context) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	claim, err := datadir.Take(c.Spec.DataDir)
	if err != nil {
		return err
	}
	defer func() { _ = claim.Release() }()
	dir, err := ramdir.Make(c.Spec.DataDir)
	if err != nil {
		return err
	}
	defer func() { _ = dir.Remove() }()

	st := newState(c.Spec, c.Version, c.Now())
	if err := c.serveControl(st, end); err != nil {
		return err
	}
	defer func() { _ = os.Remove(c.Spec.ControlSocket) }()

	stack, err := c.up(ctx, end, st, claim.Etcd(), dir)
	if err == nil {
		err = c.ready(ctx, st)
	}
	if err == nil {
		<-ctx.Done()
		err = context.Cause(ctx)
	}
	st.enter(control.Stopping)
	c.Log.Info("stopping")
	stack.stop(c.Log, time.Now().Add(stopWithin))
	if errors.Is(err, errStopped) || errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// serveControl serves the control API until the process ends: GET /alive is its last sign of life.
func (c *Cluster) serveControl(st *state, end context.CancelCauseFunc) error {
	l, err := control.Listen(c.Spec.ControlSocket)
	if err != nil {
		return err
	}
	holders := control.NewHolders()
	h := &control.Handler{
		Log: c.Log, PodCIDR: c.Spec.PodCIDR, Status: st.status, SetNodes: st.setNodes,
		Stop: func() { end(errStopped) }, Holders: holders,
	}
	server := &http.Server{Handler: h.Routes(), ReadHeaderTimeout: headerLimit}
	go func() { end(fmt.Errorf("control API: %w", server.Serve(l))) }()
	go func() {
		timeout := time.Duration(c.Spec.OrphanTimeout)
		if holders.Orphaned(context.Background(), timeout) {
			c.Log.Info("nobody looks after this process any more", "timeout", timeout.String())
			end(errStopped)
		}
	}()
	return nil
}

// stack is what has been started, lowest first.
type stack struct{ layers []layer }

type layer struct {
	name string
	stop func(deadline time.Time) bool
}

func (s *stack) push(name string, stop func(deadline time.Time) bool) {
	s.layers = append(s.layers, layer{name, stop})
}

func (s *stack) stop(log *slog.Logger, deadline time.Time) {
	for _, l := range slices.Backward(s.layers) {
		if !l.stop(deadline) {
			log.Warn("did not stop in time; ending without it", "layer", l.name)
		}
	}
}

// up starts everything. It answers what it started even when it fails.
func (c *Cluster) up(ctx context.Context, fail func(error), st *state, etcdDir string, dir *ramdir.Dir) (*stack, error) {
	up := &stack{}
	listener, err := listen(ctx, c.Spec.Listen)
	if err != nil {
		return up, err
	}
	db, err := etcd.Start(ctx, etcdDir, dir.Path("etcd.sock"), c.LogWriter)
	if err != nil {
		return up, errors.Join(err, listener.Close())
	}
	up.push("etcd", func(deadline time.Time) bool { return within(deadline, db.Close) })
	watch := start(ctx, fail, part{"etcd", db.Run})
	up.push("watch on etcd", watch.stop)
	c.Log.Info("etcd is up", "after", c.since(st))

	kubelets, err := kubelet.New(ctx, kubelet.Config{Socket: dir.Path("kubelet.sock"), Log: c.Log, Now: c.Now})
	if err != nil {
		return up, err
	}
	up.push("kubelets", start(ctx, fail, part{"kubelets", kubelets.Run}).stop)
	api, err := apiserver.New(ctx, c.Spec, dir, listener, apiserver.Behind{Etcd: db.Endpoint(), Nodes: kubelets}, c.Log)
	if err != nil {
		return up, err
	}
	serve := start(ctx, fail, part{"API server", api.Run})
	up.push("API server", serve.stop)
	if err := api.WaitReady(ctx); err != nil {
		return up, err
	}
	c.Log.Info("API server is ready", "after", c.since(st), "address", c.Spec.Listen)

	parts, err := c.clients(st, api, kubelets, dir)
	if err != nil {
		return up, err
	}
	up.push("clients", start(ctx, fail, parts...).stop)
	return up, nil
}

// clients are the parts that work by the API server.
func (c *Cluster) clients(st *state, api *apiserver.Server, kubelets *kubelet.Kubelet, dir *ramdir.Dir) ([]part, error) {
	manager, err := controllers.NewManager(c.Spec, dir, api.Client(c.Spec.PKI.ControllerManager))
	if err != nil {
		return nil, err
	}
	scheduler, err := controllers.NewScheduler(dir, api.Client(c.Spec.PKI.Scheduler))
	if err != nil {
		return nil, err
	}
	config := api.Client(c.Spec.PKI.Operator)
	config.ContentType = "application/vnd.kubernetes.protobuf"
	config.AcceptContentTypes = config.ContentType + ",application/json"
	config.UserAgent = "localkube"
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make client: %w", err)
	}
	podCIDR, err := netip.ParsePrefix(c.Spec.PodCIDR)
	if err != nil {
		return nil, fmt.Errorf("read podCIDR: %w", err)
	}
	keeper, err := nodes.New(nodes.Config{
		Client: client, Cluster: c.Spec.Name, PodCIDR: podCIDR, Kubelet: c.Version, Nodes: c.Spec.Nodes, Log: c.Log, Now: c.Now,
	})
	if err != nil {
		return nil, err
	}
	runner, err := pods.New(pods.Config{
		Client: client, Log: c.Log, Now: c.Now,
		Place: func(node string) (netip.Addr, netip.Prefix, bool) {
			p, ok := keeper.Place(node)
			return p.Host, p.Pods, ok
		},
	})
	if err != nil {
		return nil, err
	}
	st.attach(keeper)
	kubelets.Attach(kubelet.Cluster{
		Pod: runner.Pod, Ours: func(node string) bool { _, ok := keeper.Place(node); return ok },
		Token: func(ctx context.Context, p *corev1.Pod, t *corev1.ServiceAccountTokenProjection) (string, error) {
			return podToken(ctx, client, p, t)
		},
	})
	return []part{
		{"nodes", keeper.Run},
		{"pods", runner.Run},
		{"scheduler", scheduler.Run},
		{"controller manager", manager.Run},
	}, nil
}

// podToken asks for a token as a kubelet does: bound to the pod, so that it ends with it.
func podToken(ctx context.Context, client kubernetes.Interface, p *corev1.Pod, t *corev1.ServiceAccountTokenProjection) (string, error) {
	req := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		ExpirationSeconds: t.ExpirationSeconds,
		BoundObjectRef:    &authenticationv1.BoundObjectReference{Kind: "Pod", APIVersion: "v1", Name: p.Name, UID: p.UID},
	}}
	if t.Audience != "" {
		req.Spec.Audiences = []string{t.Audience}
	}
	got, err := client.CoreV1().ServiceAccounts(p.Namespace).CreateToken(ctx, p.Spec.ServiceAccountName, req, metav1.CreateOptions{})
	if err != nil {
		return "", err
	}
	return got.Status.Token, nil
}

// ready waits until all nodes are ready, and says so.
func (c *Cluster) ready(ctx context.Context, st *state) error {
	tick := time.NewTicker(readyPoll)
	defer tick.Stop()
	for {
		if s := st.status(); s.Nodes.Ready >= s.Nodes.Want {
			st.enter(control.Ready)
			c.Log.Info("ready", "after", c.since(st), "nodes", s.Nodes.Ready)
			c.Announce()
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (c *Cluster) since(st *state) string {
	return c.Now().Sub(st.started).Round(time.Millisecond).String()
}

// listen opens the API server's port. The port of a process that was killed an instant ago may not be free yet.
func listen(ctx context.Context, addr string) (net.Listener, error) {
	deadline := time.Now().Add(portWait)
	for {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
		if err == nil {
			return l, nil
		}
		if !errors.Is(err, syscall.EADDRINUSE) || time.Now().After(deadline) {
			return nil, fmt.Errorf("listen for the API server: %w", err)
		}
		select {
		case <-time.After(portPoll):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// within runs f and reports whether it returned before the deadline.
func within(deadline time.Time, f func()) bool {
	done := make(chan struct{})
	go func() {
		f()
		close(done)
	}()
	select {
	case <-done:
		return true
	case <-time.After(time.Until(deadline)):
		return false
	}
}
