package nodes

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/keyreeve/keyreeve/localkube/internal/slim"
	"github.com/keyreeve/keyreeve/localkube/internal/spec"
)

const (
	renewEvery     = 10 * time.Second
	heartbeatEvery = 5 * time.Minute
	retryEvery     = 250 * time.Millisecond
	parallel       = 8
)

// Config is what a Keeper needs.
type Config struct {
	Client  kubernetes.Interface
	Cluster string
	PodCIDR netip.Prefix
	// Kubelet is the version that nodes report.
	Kubelet string
	Nodes   []spec.Node
	Log     *slog.Logger
	Now     func() time.Time
}

// Keeper keeps the pretend nodes of one cluster.
type Keeper struct {
	Config
	lister listers.NodeLister
	synced cache.InformerSynced
	start  func(stop <-chan struct{})
	wake   chan struct{}

	mu     sync.Mutex
	want   []spec.Node
	places map[string]Place
	kept   map[string]bool // nodes that this process has brought up
	leases map[string]*lease
}

// New prepares a keeper.
func New(c Config) (*Keeper, error) {
	factory := informers.NewSharedInformerFactoryWithOptions(c.Client, 0, informers.WithTransform(slim.Transform))
	nodes := factory.Core().V1().Nodes()
	k := &Keeper{
		Config: c, lister: nodes.Lister(), synced: nodes.Informer().HasSynced, start: factory.Start,
		wake: make(chan struct{}, 1), want: c.Nodes,
		places: map[string]Place{}, kept: map[string]bool{}, leases: map[string]*lease{},
	}
	_, err := nodes.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		UpdateFunc: func(_, o any) { k.noticed(o) },
		DeleteFunc: k.noticed,
	})
	if err != nil {
		return nil, fmt.Errorf("watch nodes: %w", err)
	}
	return k, nil
}

// Set replaces the list of nodes.
func (k *Keeper) Set(nodes []spec.Node) {
	k.mu.Lock()
	k.want = nodes
	k.mu.Unlock()
	k.poke()
}

// Count answers how many nodes there should be and how many of them are ready.
func (k *Keeper) Count() (want, ready int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, n := range k.want {
		if o, err := k.lister.Get(n.Name); err == nil && k.kept[n.Name] && isReady(o) {
			ready++
		}
	}
	return len(k.want), ready
}

// Place answers where one of our nodes is.
func (k *Keeper) Place(name string) (Place, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	p, ok := k.places[name]
	return p, ok
}

// Run keeps the nodes until ctx ends.
func (k *Keeper) Run(ctx context.Context) error {
	k.start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), k.synced) {
		return nil
	}
	renew, heartbeat := time.NewTicker(renewEvery), time.NewTicker(heartbeatEvery)
	defer renew.Stop()
	defer heartbeat.Stop()
	k.poke()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-k.wake:
			if err := k.reconcile(ctx, false); err != nil && ctx.Err() == nil {
				k.Log.Warn("nodes are not as they should be", "error", err)
				time.AfterFunc(retryEvery, k.poke)
			}
		case <-renew.C:
			k.report(ctx, "renew leases", k.renewAll(ctx))
		case <-heartbeat.C:
			k.report(ctx, "report nodes' conditions", k.reconcile(ctx, true))
		}
	}
}

func (k *Keeper) report(ctx context.Context, what string, err error) {
	if err != nil && ctx.Err() == nil {
		k.Log.Warn("nodes could not be kept", "what", what, "error", err)
	}
}

func (k *Keeper) poke() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// noticed looks again when one of our nodes went away or stopped being ready.
func (k *Keeper) noticed(o any) {
	if gone, ok := o.(cache.DeletedFinalStateUnknown); ok {
		o = gone.Obj
	}
	n, ok := o.(*corev1.Node)
	if !ok || !isOurs(n) {
		return
	}
	if _, err := k.lister.Get(n.Name); err != nil || !isReady(n) {
		k.poke()
	}
}

// reconcile brings all nodes to what they should be. A heartbeat reports their conditions even if nothing changed.
func (k *Keeper) reconcile(ctx context.Context, heartbeat bool) error {
	k.mu.Lock()
	want := k.want
	k.mu.Unlock()
	live, err := k.lister.List(everything())
	if err != nil {
		return fmt.Errorf("list nodes: %w", err)
	}
	existing := make(map[string]*corev1.Node, len(live))
	for _, o := range live {
		existing[o.Name] = o
	}
	places, err := k.assign(want, existing)
	if err != nil {
		return err
	}
	k.mu.Lock()
	k.places = places
	k.mu.Unlock()

	var errs []error
	group := errgroup.Group{}
	group.SetLimit(parallel)
	var mu sync.Mutex
	do := func(f func() error) {
		group.Go(func() error {
			if err := f(); err != nil {
				mu.Lock()
				errs = append(errs, err)
				mu.Unlock()
			}
			return nil
		})
	}
	for i := range want {
		n := &want[i]
		do(func() error { return k.ensure(ctx, n, existing[n.Name], places[n.Name], heartbeat) })
	}
	for name, o := range existing {
		if _, keep := places[name]; !keep && isOurs(o) {
			do(func() error { return k.remove(ctx, name) })
		}
	}
	_ = group.Wait()
	return errors.Join(errs...)
}

// assign gives every wanted node a place: the one it has, or the lowest that is free.
func (k *Keeper) assign(want []spec.Node, existing map[string]*corev1.Node) (map[string]Place, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	taken := map[int]bool{}
	places := make(map[string]Place, len(want))
	for _, o := range existing {
		if i, ok := indexOf(k.PodCIDR, o.Spec.PodCIDR); ok {
			taken[i] = true
			places[o.Name] = placeAt(k.PodCIDR, i)
		}
	}
	// A node that was just made may not be in the informer's memory yet.
	for name, p := range k.places {
		if _, known := places[name]; !known {
			i, _ := indexOf(k.PodCIDR, p.Pods.String())
			taken[i] = true
			places[name] = p
		}
	}
	result := make(map[string]Place, len(want))
	next, room := 0, 1<<(nodeBits-k.PodCIDR.Bits())
	for _, n := range want {
		if p, ok := places[n.Name]; ok {
			result[n.Name] = p
			continue
		}
		for taken[next] {
			next++
		}
		if next >= room {
			return nil, fmt.Errorf("no room in pod range %s for node %s", k.PodCIDR, n.Name)
		}
		taken[next] = true
		result[n.Name] = placeAt(k.PodCIDR, next)
	}
	return result, nil
}
