package server

import (
	"context"
	"errors"
	"time"

	"github.com/keyreeve/keyreeve/internal/arm/containerservice"
	"github.com/keyreeve/keyreeve/internal/cluster/embedded"
	"github.com/keyreeve/keyreeve/internal/datadir"
	"github.com/keyreeve/keyreeve/internal/kubehook"
	"github.com/keyreeve/keyreeve/internal/mirror"
	"github.com/keyreeve/keyreeve/internal/proof"
	"github.com/keyreeve/keyreeve/internal/upkeep"
)

// Run serves until ctx ends, and then stops in good order: no new requests, those under way end, then the clusters.
// ready is called once every listener answers. Run is called once.
func (s *Server) Run(ctx context.Context, ready func(datadir.Endpoints)) (err error) {
	defer func() { err = errors.Join(err, s.close()) }()
	mirrors := &mirror.Set{Log: s.log.With("room", "mirror"), Now: s.cfg.Now}
	defer mirrors.Close()
	hook, err := s.hook(mirrors)
	if err != nil {
		return err
	}
	driver := s.clusters(mirrors, hook)
	all, behind, aks, err := s.build(driver, mirrors, hook, ctx.Done())
	if err != nil {
		return err
	}
	bound, err := bind(ctx, all)
	if err != nil {
		return err
	}
	if err := s.cfg.Data.WriteEndpoints(s.cfg.endpoints()); err != nil {
		for _, b := range bound {
			err = errors.Join(err, b.Close())
		}
		return err
	}
	// What answers goes on for a while after ctx has ended, if load balancers must notice first.
	answering := func(ctx context.Context) context.Context { return ctx }
	tasks := []task{
		s.keys.Run,
		recoveries{db: s.db, dir: s.cfg.Data, log: s.log, now: s.cfg.Now}.run,
		s.renew,
		s.lead(
			behind.led,
			upkeep.Sweep{DB: s.db, Now: s.cfg.Now, Log: s.log.With("room", "upkeep")}.Run,
			func(ctx context.Context) error { return s.keepClusters(ctx, aks, driver) },
		),
	}
	if s.health != nil {
		longer, stop := context.WithCancel(context.WithoutCancel(ctx))
		defer stop()
		answering = func(context.Context) context.Context { return longer }
		tasks = append(tasks, func(ctx context.Context) error { return s.drain(ctx, stop) })
	}
	for _, t := range []task{behind.everywhere, s.db.Watch} {
		tasks = append(tasks, func(ctx context.Context) error { return t(answering(ctx)) })
	}
	for i, l := range all {
		tasks = append(tasks, func(ctx context.Context) error { return serve(answering(ctx), l, bound[i], s.log) })
	}
	ready(s.cfg.endpoints())
	return runTasks(ctx, tasks...)
}

// work is what the faces leave behind their answers: what one process does for all, and what each does for itself.
type work struct{ led, everywhere task }

// build makes the faces and their listeners, and the work that they leave behind.
func (s *Server) build(driver *embedded.Supervisor, mirrors *mirror.Set, hook *kubehook.Handler, stop <-chan struct{}) ([]listener, work, *containerservice.Handler, error) {
	hasher, err := proof.NewHasher(proof.DefaultParams(), passwordChecks)
	if err != nil {
		return nil, work{}, nil, err
	}
	armAPI, operations, aks, err := s.armFace(s.catalog, driver, mirrors)
	if err != nil {
		return nil, work{}, nil, err
	}
	login, err := s.loginFace(s.catalog, hasher)
	if err != nil {
		return nil, work{}, nil, err
	}
	graphAPI, err := s.graphFace(s.catalog, hasher)
	if err != nil {
		return nil, work{}, nil, err
	}
	gate := s.gateFace(hook, stop)
	clients, err := s.hookClients()
	if err != nil {
		return nil, work{}, nil, err
	}
	open := tlsConfig(s.serving.get, nil)
	all := []listener{
		{"sign-in", s.cfg.address(0), login, open},
		{"ARM", s.cfg.address(1), armAPI, open},
		{"Graph", s.cfg.address(2), graphAPI, open},
		{"the gate", s.cfg.address(3), gate, tlsConfig(s.serving.get, clients)},
	}
	if s.cfg.Serve != nil {
		all, err = s.forProduction(all)
	}
	return all, work{operations.Run, armAPI.KeepActivity}, aks, err
}

// lead runs tasks that one process at a time may do: on a database that others share, while this process leads them.
func (s *Server) lead(tasks ...task) task {
	if !s.db.Shared() {
		return func(ctx context.Context) error { return runTasks(ctx, tasks...) }
	}
	return func(process context.Context) error {
		return s.db.Lead(process, "work", 0, func(ctx context.Context) error {
			s.log.InfoContext(ctx, "this process leads")
			s.health.leads(true)
			defer s.health.leads(false)
			err := runTasks(ctx, tasks...)
			if s.cfg.embedded() && process.Err() == nil {
				// What runs the clusters is ended for good; whoever leads next, this process too, begins anew.
				return errors.Join(err, errNoLongerLeads)
			}
			return err
		})
	}
}

var errNoLongerLeads = errors.New("another process leads, or the database could not be reached for too long: start again")

// keepClusters brings back the clusters that should run, and stops the driver at the end.
func (s *Server) keepClusters(ctx context.Context, aks *containerservice.Handler, driver *embedded.Supervisor) error {
	if !s.cfg.embedded() {
		<-ctx.Done()
		return nil
	}
	err := aks.StartAll(ctx)
	if err == nil {
		<-ctx.Done()
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
	defer cancel()
	return errors.Join(err, driver.Close(grace))
}

// renew keeps the listeners' certificate good.
func (s *Server) renew(ctx context.Context) error {
	tick := time.NewTicker(time.Hour)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := s.serving.refresh(ctx); err != nil && ctx.Err() == nil {
				s.log.ErrorContext(ctx, "the listeners' certificate could not be renewed", "error", err)
			}
		}
	}
}
