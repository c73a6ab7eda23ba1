package pods

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"

	"github.com/keyreeve/keyreeve/localkube/internal/slim"
)

const (
	workers = 16
	// bound selects the pods that are on a node.
	bound = "spec.nodeName!="

	firstRetry = 20 * time.Millisecond
	lastRetry  = 5 * time.Second
)

// Place answers the address of one of our nodes and the range of its pods; nodes that are not ours have none.
type Place func(node string) (host netip.Addr, pods netip.Prefix, ok bool)

// Config is what a Runner needs.
type Config struct {
	Client kubernetes.Interface
	Place  Place
	Log    *slog.Logger
	Now    func() time.Time
}

// Runner pretends to run pods.
type Runner struct {
	Config
	start  func(stop <-chan struct{})
	synced cache.InformerSynced
	lister listers.PodLister
	queue  workqueue.TypedRateLimitingInterface[cache.ObjectName]
	ips    *addresses
}

// New prepares a runner.
func New(c Config) (*Runner, error) {
	factory := informers.NewSharedInformerFactoryWithOptions(c.Client, 0,
		informers.WithTransform(slim.Transform),
		informers.WithTweakListOptions(func(o *metav1.ListOptions) { o.FieldSelector = bound }))
	pods := factory.Core().V1().Pods()
	limiter := workqueue.NewTypedItemExponentialFailureRateLimiter[cache.ObjectName](firstRetry, lastRetry)
	r := &Runner{
		Config: c, start: factory.Start, synced: pods.Informer().HasSynced, lister: pods.Lister(),
		queue: workqueue.NewTypedRateLimitingQueue(limiter), ips: newAddresses(),
	}
	_, err := pods.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    r.seen,
		UpdateFunc: func(_, o any) { r.seen(o) },
		DeleteFunc: r.gone,
	})
	if err != nil {
		return nil, fmt.Errorf("watch pods: %w", err)
	}
	return r, nil
}

// Run runs pods until ctx ends.
func (r *Runner) Run(ctx context.Context) error {
	r.start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), r.synced) {
		return nil
	}
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for r.next(ctx) {
			}
		})
	}
	<-ctx.Done()
	r.queue.ShutDown()
	wg.Wait()
	return nil
}

// Pod finds a pod that is bound to a node.
func (r *Runner) Pod(namespace, name string) (*corev1.Pod, bool) {
	p, err := r.lister.Pods(namespace).Get(name)
	return p, err == nil
}

func (r *Runner) seen(o any) {
	p, ok := o.(*corev1.Pod)
	if !ok {
		return
	}
	if isOver(p) {
		r.ips.free(p.UID)
	} else if ip, err := netip.ParseAddr(p.Status.PodIP); err == nil && !p.Spec.HostNetwork {
		r.ips.hold(p.UID, ip)
	}
	r.queue.Add(cache.MetaObjectToName(p))
}

func (r *Runner) gone(o any) {
	if last, ok := o.(cache.DeletedFinalStateUnknown); ok {
		o = last.Obj
	}
	if p, ok := o.(*corev1.Pod); ok {
		r.ips.free(p.UID)
	}
}

func (r *Runner) next(ctx context.Context) bool {
	name, quit := r.queue.Get()
	if quit {
		return false
	}
	defer r.queue.Done(name)
	again, err := r.sync(ctx, name)
	switch {
	case err != nil && ctx.Err() == nil:
		r.Log.Debug("will try again", "pod", name.String(), "error", err)
		r.queue.AddRateLimited(name)
		return true
	case again > 0:
		r.queue.AddAfter(name, again)
	}
	r.queue.Forget(name)
	return true
}

// sync does the next thing to a pod, and answers when there will be another, if that is known.
func (r *Runner) sync(ctx context.Context, name cache.ObjectName) (time.Duration, error) {
	p, err := r.lister.Pods(name.Namespace).Get(name.Name)
	if err != nil {
		return 0, nil //nolint:nilerr // it is no longer there
	}
	host, from, ours := r.Place(p.Spec.NodeName)
	if !ours {
		return 0, nil
	}
	if p.DeletionTimestamp != nil {
		return 0, r.letGo(ctx, p)
	}
	if isOver(p) {
		return 0, nil
	}
	if p.Status.Phase != corev1.PodRunning {
		return 0, r.begin(ctx, p, host, from)
	}
	if !readinessIsRight(p) {
		ip, _ := netip.ParseAddr(p.Status.PodIP)
		return 0, r.write(ctx, p, running(p, host, ip, r.Now()))
	}
	if !ends(p) || p.Status.StartTime == nil {
		return 0, nil
	}
	if left := workTime - r.Now().Sub(p.Status.StartTime.Time); left > 0 {
		return left, nil
	}
	return 0, r.write(ctx, p, over(p, corev1.PodSucceeded, r.Now()))
}

func (r *Runner) begin(ctx context.Context, p *corev1.Pod, host netip.Addr, from netip.Prefix) error {
	ip := host
	if !p.Spec.HostNetwork {
		var err error
		if ip, err = r.ips.take(p.UID, from); err != nil {
			return err
		}
	}
	return r.write(ctx, p, running(p, host, ip, r.Now()))
}

// letGo lets a pod be deleted. One that something still holds on to is told to have failed, as a kubelet does.
func (r *Runner) letGo(ctx context.Context, p *corev1.Pod) error {
	if grace := p.DeletionGracePeriodSeconds; grace == nil || *grace > 0 {
		now := int64(0)
		err := r.Client.CoreV1().Pods(p.Namespace).Delete(ctx, p.Name, metav1.DeleteOptions{
			GracePeriodSeconds: &now, Preconditions: metav1.NewUIDPreconditions(string(p.UID)),
		})
		if passable(err) != nil {
			return fmt.Errorf("delete: %w", err)
		}
	}
	if len(p.Finalizers) > 0 && !isOver(p) {
		return r.write(ctx, p, over(p, corev1.PodFailed, r.Now()))
	}
	return nil
}

func (r *Runner) write(ctx context.Context, p *corev1.Pod, st corev1.PodStatus) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": p.UID}, "status": st})
	if err != nil {
		return fmt.Errorf("encode status: %w", err)
	}
	_, err = r.Client.CoreV1().Pods(p.Namespace).Patch(ctx, p.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
	return passable(err)
}

// passable lets errors pass that say the pod is another by now, or none.
func passable(err error) error {
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return err
}

// readinessIsRight says whether a running pod's readiness agrees with its gates.
func readinessIsRight(p *corev1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return (c.Status == corev1.ConditionTrue) == gatesOpen(p)
		}
	}
	return false
}
