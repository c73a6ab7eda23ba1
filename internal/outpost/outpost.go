package outpost

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/keyreeve/keyreeve/internal/mirror"
	"github.com/keyreeve/keyreeve/internal/rbac"
)

// Gate is a gate that is built and does not run yet.
type Gate struct {
	s       settings
	log     *slog.Logger
	now     func() time.Time
	link    *link
	local   *local
	mirror  *mirror.Set
	hooks   *hooks
	follow  *follower
	counts  counts
	release func() error
}

// Deps are what a gate works with.
type Deps struct {
	Version string
	Now     func() time.Time
	Log     *slog.Logger
}

// New makes a gate of a checked configuration and takes its state folder. It asks nobody yet.
func New(c Config, d Deps) (_ *Gate, err error) {
	s, err := c.resolve()
	if err != nil {
		return nil, fmt.Errorf("gate: %w", err)
	}
	g := &Gate{s: s, log: d.Log, now: d.Now}
	if g.link, err = newLink(s, d.Version, d.Now, d.Log); err != nil {
		return nil, err
	}
	if _, err := mirror.FromKubeconfig(s.Kubeconfig); err != nil {
		return nil, err
	}
	if g.release, err = state(s.StateDir).open(); err != nil {
		return nil, err
	}
	g.local = &local{settings: s, state: state(s.StateDir), now: d.Now}
	g.mirror = &mirror.Set{Log: d.Log.With("room", "mirror"), Now: d.Now}
	g.follow = &follower{
		link: g.link, journal: &journal{state: state(s.StateDir)}, now: d.Now, log: d.Log, moved: make(chan struct{}, 1),
	}
	g.hooks = &hooks{mirror: g.mirror, heard: g.follow.Heard, staleness: s.staleness, now: d.Now, log: d.Log}
	g.follow.replaced, g.follow.withdrawn = g.hooks.replace, func() { g.hooks.current.Store(nil) }
	return g, nil
}

// Run answers the API server until ctx ends. ready is called once the listeners answer; the gate may know nothing yet
// then, and says so.
func (g *Gate) Run(ctx context.Context, ready func()) (err error) {
	defer func() { err = errors.Join(err, g.release()) }()
	defer func() { err = errors.Join(err, g.follow.journal.close()) }()
	enrolled, err := g.link.load()
	if err != nil {
		return err
	}
	if !enrolled {
		if err := g.link.enroll(ctx, g.s.EnrollmentTokenFile); err != nil {
			return err
		}
	}
	if err := g.local.open(); err != nil {
		return err
	}
	if err := g.follow.restore(g.link.identity().Issuer); err != nil {
		return err
	}
	if err := g.look(ctx); err != nil {
		return err
	}
	defer g.mirror.Close()
	var cfg net.ListenConfig
	hook, err := cfg.Listen(ctx, "tcp", g.s.Listen)
	if err != nil {
		return fmt.Errorf("gate: listen: %w", err)
	}
	health, err := cfg.Listen(ctx, "tcp", g.s.Health)
	if err != nil {
		return errors.Join(fmt.Errorf("gate: health: %w", err), hook.Close())
	}
	ready()
	return g.run(ctx,
		g.follow.Run, g.link.renew, g.keep,
		func(ctx context.Context) error { return g.link.report(ctx, g.follow.moved, g.follow.revision.Load) },
		func(ctx context.Context) error { return g.link.tellRules(ctx, g.ownRules) },
		func(ctx context.Context) error {
			return g.serve(ctx, tls.NewListener(hook, g.local.tls()), g.counts.around(g.hooks))
		},
		func(ctx context.Context) error { return g.serve(ctx, health, g.healthMux()) },
	)
}

// ownRules returns the cluster's own roles and bindings; nil while they are not known.
func (g *Gate) ownRules() *rbac.ClusterRBAC {
	if own, status := g.mirror.View(g.s.cluster); status.Known() {
		return own
	}
	return nil
}

// look mirrors the cluster by what the kubeconfig says now.
func (g *Gate) look(ctx context.Context) error {
	cfg, err := mirror.FromKubeconfig(g.s.Kubeconfig)
	if err != nil {
		return err
	}
	return g.mirror.Ensure(ctx, g.s.cluster, cfg)
}

// keep renews certificates and reads the kubeconfig again, until ctx ends.
func (g *Gate) keep(ctx context.Context) error {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := errors.Join(g.local.refresh(), g.look(ctx)); err != nil && ctx.Err() == nil {
			g.log.Error("the gate goes on with what it has", "error", err)
		}
	}
}

// run runs all parts together; the first error stops the others.
func (g *Gate) run(ctx context.Context, parts ...func(context.Context) error) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	errs := make([]error, len(parts))
	var wg sync.WaitGroup
	for i, p := range parts {
		wg.Go(func() {
			defer stop()
			errs[i] = p(ctx)
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (g *Gate) serve(ctx context.Context, on net.Listener, h http.Handler) error {
	s := &http.Server{
		Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 64 << 10, ErrorLog: slog.NewLogLogger(g.log.Handler(), slog.LevelDebug),
	}
	stopped := make(chan error, 1)
	go func() {
		<-ctx.Done()
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
		defer cancel()
		err := s.Shutdown(grace)
		if errors.Is(err, context.DeadlineExceeded) {
			err = s.Close()
		}
		stopped <- err
	}()
	if err := s.Serve(on); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("gate: %w", err)
	}
	return <-stopped
}
