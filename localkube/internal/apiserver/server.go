package apiserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	genericapiserver "k8s.io/apiserver/pkg/server"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/rest"
	"k8s.io/kube-aggregator/pkg/apiserver"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"

	"github.com/keyreeve/keyreeve/localkube/internal/kubelet"
	"github.com/keyreeve/keyreeve/localkube/internal/ramdir"
	"github.com/keyreeve/keyreeve/localkube/internal/spec"
	"github.com/keyreeve/keyreeve/localkube/internal/streams"
)

const (
	readyPoll    = 20 * time.Millisecond
	readyTimeout = 90 * time.Second
	askTimeout   = 10 * time.Second
)

// Server is an API server that is ready to run.
type Server struct {
	aggregator *apiserver.APIAggregator
	loopback   *rest.Config
	streams    *streams.Watch
}

// featureGates are the gates that differ from the release's defaults. Constrained impersonation remembers a success for
// 10 s before any authorizer is asked.
const featureGates = "ConstrainedImpersonation=false"

// Behind is what an API server stands on: where etcd is, and the kubelet of the pretend nodes.
type Behind struct {
	Etcd  string
	Nodes *kubelet.Kubelet
}

// New builds an API server that stores in etcd and reads keys from files in dir. It takes the listener over.
func New(ctx context.Context, s *spec.Spec, dir *ramdir.Dir, listener net.Listener, b Behind, log *slog.Logger) (*Server, error) {
	if err := utilfeature.DefaultMutableFeatureGate.Set(featureGates); err != nil {
		return nil, fmt.Errorf("set feature gates: %w", err)
	}
	f, err := writeFiles(s, dir)
	if err != nil {
		return nil, err
	}
	opts, err := buildOptions(ctx, s, f, listener, b.Etcd)
	if err != nil {
		return nil, err
	}
	config, err := newConfig(ctx, opts, s.AuthorizationSocket, log)
	if err != nil {
		return nil, err
	}
	if err := bootstrapFast(config.KubeAPIs); err != nil {
		return nil, err
	}
	if err := reachNodes(config.KubeAPIs, dir, b.Nodes); err != nil {
		return nil, err
	}
	watch := keepWatch(config, log)
	loopback := rest.CopyConfig(config.KubeAPIs.ControlPlane.Generic.LoopbackClientConfig)
	completed, err := config.Complete()
	if err != nil {
		return nil, fmt.Errorf("complete API server: %w", err)
	}
	aggregator, err := app.CreateServerChain(completed)
	if err != nil {
		return nil, fmt.Errorf("create API server: %w", err)
	}
	return &Server{aggregator: aggregator, loopback: loopback, streams: watch}, nil
}

// keepWatch puts the watch on open streams into the chain that every request takes: the aggregator's.
func keepWatch(config *app.Config, log *slog.Logger) *streams.Watch {
	generic := &config.Aggregator.GenericConfig.Config
	w := &streams.Watch{Authorizer: generic.Authorization.Authorizer, LongRunning: generic.LongRunningFunc, Log: log}
	generic.Authentication.Authenticator = w.Authenticator(generic.Authentication.Authenticator)
	build := generic.BuildHandlerChainFunc
	generic.BuildHandlerChainFunc = func(api http.Handler, c *genericapiserver.Config) http.Handler {
		return keepCredentialID(w.Outer(build(w.Inner(api), c)))
	}
	return w
}

// Run serves until ctx ends, and then until the requests in flight are answered.
func (s *Server) Run(ctx context.Context) error {
	prepared, err := s.aggregator.PrepareRun()
	if err != nil {
		return fmt.Errorf("prepare API server: %w", err)
	}
	go s.streams.Run(ctx)
	if err := prepared.Run(ctx); err != nil {
		return fmt.Errorf("run API server: %w", err)
	}
	if ctx.Err() == nil {
		return errors.New("the API server stopped by itself")
	}
	return nil
}

// Client is a configuration for a client inside this process that shows the given certificate. It does not depend on
// the names in the API server's own certificate.
func (s *Server) Client(pair spec.KeyPair) *rest.Config {
	return &rest.Config{
		Host: s.loopback.Host,
		TLSClientConfig: rest.TLSClientConfig{
			ServerName: s.loopback.ServerName, CAData: s.loopback.CAData,
			CertData: []byte(pair.Cert), KeyData: []byte(pair.Key),
		},
		DisableCompression: true,
		QPS:                -1,
	}
}

// WaitReady waits until the API server says that it is ready.
func (s *Server) WaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, readyTimeout, errors.New("it is not ready in time"))
	defer cancel()
	transport, err := rest.TransportFor(s.loopback)
	if err != nil {
		return fmt.Errorf("make client: %w", err)
	}
	client := &http.Client{Transport: transport, Timeout: askTimeout}
	tick := time.NewTicker(readyPoll)
	defer tick.Stop()
	for {
		if answersOK(ctx, client, s.loopback.Host+"/readyz") {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("wait for API server: %w", context.Cause(ctx))
		}
	}
}

func answersOK(ctx context.Context, client *http.Client, url string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return false
	}
	res, err := client.Do(req)
	if err != nil {
		return false
	}
	_ = res.Body.Close()
	return res.StatusCode == http.StatusOK
}
