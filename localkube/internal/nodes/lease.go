package nodes

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// leaseSeconds is how long a kubelet's lease lasts.
const leaseSeconds = int32(40)

// lease is the last known state of a node's lease.
type lease struct {
	object  *coordinationv1.Lease
	renewed time.Time
}

// renewAll renews the leases of all nodes that are up.
func (k *Keeper) renewAll(ctx context.Context) error {
	var errs []error
	var mu sync.Mutex
	group := errgroup.Group{}
	group.SetLimit(parallel)
	k.mu.Lock()
	var names []string
	for name := range k.kept {
		names = append(names, name)
	}
	k.mu.Unlock()
	for _, name := range names {
		o, err := k.lister.Get(name)
		if err != nil {
			continue // it went away: reconciling makes it again
		}
		group.Go(func() error {
			if err := k.renew(ctx, o); err != nil {
				mu.Lock()
				errs = append(errs, err)
				mu.Unlock()
			}
			return nil
		})
	}
	_ = group.Wait()
	return errors.Join(errs...)
}

// renew renews a node's lease, or makes it. Called again within half the usual time, it has nothing to do.
func (k *Keeper) renew(ctx context.Context, n *corev1.Node) error {
	k.mu.Lock()
	last := k.leases[n.Name]
	k.mu.Unlock()
	now := k.Now()
	if last != nil && now.Sub(last.renewed) < renewEvery/2 && ownedBy(last.object, n) {
		return nil
	}
	var current *coordinationv1.Lease
	if last != nil {
		current = last.object
	}
	fresh, err := k.writeLease(ctx, n, current, now)
	if err != nil {
		k.mu.Lock()
		delete(k.leases, n.Name) // look at it anew next time
		k.mu.Unlock()
		return fmt.Errorf("renew lease: %w", err)
	}
	k.mu.Lock()
	k.leases[n.Name] = &lease{object: fresh, renewed: now}
	k.mu.Unlock()
	return nil
}

func (k *Keeper) writeLease(ctx context.Context, n *corev1.Node, current *coordinationv1.Lease, now time.Time) (*coordinationv1.Lease, error) {
	leases := k.Client.CoordinationV1().Leases(corev1.NamespaceNodeLease)
	if current == nil {
		found, err := leases.Get(ctx, n.Name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return leases.Create(ctx, leaseObject(&coordinationv1.Lease{}, n, now), metav1.CreateOptions{})
		}
		if err != nil {
			return nil, err
		}
		current = found
	}
	return leases.Update(ctx, leaseObject(current, n, now), metav1.UpdateOptions{})
}

func leaseObject(from *coordinationv1.Lease, n *corev1.Node, now time.Time) *coordinationv1.Lease {
	l := from.DeepCopy()
	seconds, renewed := leaseSeconds, metav1.NewMicroTime(now)
	l.Name, l.Namespace = n.Name, corev1.NamespaceNodeLease
	l.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: n.Name, UID: n.UID}}
	l.Spec.HolderIdentity = &n.Name
	l.Spec.LeaseDurationSeconds = &seconds
	l.Spec.RenewTime = &renewed
	return l
}

func ownedBy(l *coordinationv1.Lease, n *corev1.Node) bool {
	return len(l.OwnerReferences) == 1 && l.OwnerReferences[0].UID == n.UID
}
