package nodes

import (
	"context"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	klabels "k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/retry"

	"github.com/keyreeve/keyreeve/localkube/internal/spec"
)

func everything() klabels.Selector { return klabels.Everything() }

// ensure makes one node be there, as told, with a fresh lease, ready and without the taints of a node that is not.
func (k *Keeper) ensure(ctx context.Context, n *spec.Node, o *corev1.Node, place Place, heartbeat bool) error {
	want := wanted(k.Cluster, n)
	stale := heartbeat || !k.isKept(n.Name)
	if o == nil {
		made, err := k.create(ctx, n, want, place)
		if err != nil {
			return fmt.Errorf("node %s: %w", n.Name, err)
		}
		o, stale = made, heartbeat
	}
	if err := k.renew(ctx, o); err != nil {
		return fmt.Errorf("node %s: %w", n.Name, err)
	}
	if stale || !isReady(o) {
		if err := k.patchStatus(ctx, n, o, place); err != nil {
			return fmt.Errorf("node %s: %w", n.Name, err)
		}
	}
	if err := k.correct(ctx, o, want); err != nil {
		return fmt.Errorf("node %s: %w", n.Name, err)
	}
	k.mu.Lock()
	k.kept[n.Name] = true
	k.mu.Unlock()
	return nil
}

func (k *Keeper) isKept(name string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.kept[name]
}

// create makes the Node, or takes one of that name that is already there.
func (k *Keeper) create(ctx context.Context, n *spec.Node, want applied, place Place) (*corev1.Node, error) {
	o, err := newObject(n, want, place, k.Kubelet, k.Now())
	if err != nil {
		return nil, err
	}
	nodes := k.Client.CoreV1().Nodes()
	made, err := nodes.Create(ctx, o, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		made, err = nodes.Get(ctx, n.Name, metav1.GetOptions{})
	}
	if err != nil {
		return nil, fmt.Errorf("create: %w", err)
	}
	return made, nil
}

// patchStatus reports the node as healthy.
func (k *Keeper) patchStatus(ctx context.Context, n *spec.Node, o *corev1.Node, place Place) error {
	st := status(n, place, k.Kubelet)
	st.Conditions = conditions(o.Status.Conditions, k.Now())
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": o.UID}, "status": st})
	if err != nil {
		return fmt.Errorf("encode status: %w", err)
	}
	_, err = k.Client.CoreV1().Nodes().Patch(ctx, o.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
	if err != nil {
		return fmt.Errorf("report status: %w", err)
	}
	return nil
}

// correct brings labels and taints to what they should be, if they are not. The node lifecycle controller would take
// the first taints away too, but later.
func (k *Keeper) correct(ctx context.Context, o *corev1.Node, want applied) error {
	err := retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		changed := o.DeepCopy()
		if changed.Annotations == nil {
			changed.Annotations = map[string]string{}
		}
		merged, err := merge(changed, want)
		if err != nil {
			return err
		}
		if settled := settle(changed); !merged && !settled {
			return nil
		}
		_, err = k.Client.CoreV1().Nodes().Update(ctx, changed, metav1.UpdateOptions{})
		if apierrors.IsConflict(err) {
			if fresh, gerr := k.Client.CoreV1().Nodes().Get(ctx, o.Name, metav1.GetOptions{}); gerr == nil {
				o = fresh
			}
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("correct labels and taints: %w", err)
	}
	return nil
}

// remove takes a node away with its lease and what ran on it.
func (k *Keeper) remove(ctx context.Context, name string) error {
	gone := func(err error) error {
		if apierrors.IsNotFound(err) {
			return nil
		}
		return err
	}
	if err := gone(k.Client.CoreV1().Nodes().Delete(ctx, name, metav1.DeleteOptions{})); err != nil {
		return fmt.Errorf("remove node %s: %w", name, err)
	}
	k.mu.Lock()
	delete(k.kept, name)
	delete(k.leases, name)
	k.mu.Unlock()
	if err := gone(k.Client.CoordinationV1().Leases(corev1.NamespaceNodeLease).Delete(ctx, name, metav1.DeleteOptions{})); err != nil {
		return fmt.Errorf("remove lease of node %s: %w", name, err)
	}
	now := int64(0)
	pods, err := k.Client.CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{
		FieldSelector: fields.OneTermEqualSelector("spec.nodeName", name).String(),
	})
	if err != nil {
		return fmt.Errorf("list pods of node %s: %w", name, err)
	}
	for _, p := range pods.Items {
		opts := metav1.DeleteOptions{GracePeriodSeconds: &now, Preconditions: metav1.NewUIDPreconditions(string(p.UID))}
		if err := gone(k.Client.CoreV1().Pods(p.Namespace).Delete(ctx, p.Name, opts)); err != nil && !apierrors.IsConflict(err) {
			return fmt.Errorf("remove pod %s/%s of node %s: %w", p.Namespace, p.Name, name, err)
		}
	}
	k.Log.Info("removed node", "node", name, "pods", len(pods.Items))
	return nil
}
