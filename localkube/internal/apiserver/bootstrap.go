package apiserver

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/component-helpers/auth/rbac/reconciliation"
	scheduling "k8s.io/kubernetes/pkg/apis/scheduling/v1"
	"k8s.io/kubernetes/pkg/controlplane"
	rbacrest "k8s.io/kubernetes/pkg/registry/rbac/rest"
	"k8s.io/kubernetes/plugin/pkg/auth/authorizer/rbac/bootstrappolicy"
)

const (
	priorityHook  = "scheduling/bootstrap-system-priority-classes"
	bootstrapHook = "localkube/bootstrap"

	hookPoll     = 20 * time.Millisecond
	hookTimeout  = 30 * time.Second
	hookParallel = 8
)

// bootstrapFast makes the system's roles, their bindings and the system's priority classes with the API server's own
// reconciliation, but at once and side by side. The hooks that it takes the place of look for the first time after a
// second, and the API server is not ready until then.
func bootstrapFast(c *controlplane.Config) error {
	generic := c.ControlPlane.Generic
	generic.DisabledPostStartHooks.Insert(priorityHook, rbacrest.PostStartHookName)
	if err := generic.AddPostStartHook(bootstrapHook, bootstrap); err != nil {
		return fmt.Errorf("add hook: %w", err)
	}
	return nil
}

func bootstrap(hook genericapiserver.PostStartHookContext) error {
	config := rest.CopyConfig(hook.LoopbackClientConfig)
	config.QPS = -1
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("make client: %w", err)
	}
	left := append(policy(client), priorities(hook, client)...)
	ctx, cancel := context.WithTimeout(hook, hookTimeout)
	defer cancel()
	for {
		var failure error
		if left, failure = attempt(left); len(left) == 0 {
			return nil
		}
		select {
		case <-time.After(hookPoll):
		case <-ctx.Done():
			return fmt.Errorf("make roles and priority classes: %w", failure)
		}
	}
}

// step makes or corrects one object.
type step func() error

// attempt takes all steps, and answers those that failed with one of the reasons.
func attempt(steps []step) ([]step, error) {
	failed := make([]error, len(steps))
	group := errgroup.Group{}
	group.SetLimit(hookParallel)
	for i, s := range steps {
		group.Go(func() error {
			failed[i] = s()
			return nil
		})
	}
	_ = group.Wait()
	var left []step
	for i, err := range failed {
		if err != nil {
			left = append(left, steps[i])
		}
	}
	return left, errors.Join(failed...)
}

// policy are the steps that make the roles and bindings that every cluster begins with.
func policy(client kubernetes.Interface) []step {
	var steps []step
	role := func(owner reconciliation.RuleOwner, modifier reconciliation.RuleOwnerModifier) {
		o := reconciliation.ReconcileRoleOptions{Role: owner, Client: modifier, Confirm: true}
		steps = append(steps, func() error {
			_, err := o.Run()
			return err
		})
	}
	binding := func(b reconciliation.RoleBinding, modifier reconciliation.RoleBindingModifier) {
		o := reconciliation.ReconcileRoleBindingOptions{RoleBinding: b, Client: modifier, Confirm: true}
		steps = append(steps, func() error {
			_, err := o.Run()
			return err
		})
	}
	rbac, namespaces := client.RbacV1(), client.CoreV1().Namespaces()
	for _, r := range append(bootstrappolicy.ClusterRoles(), bootstrappolicy.ControllerRoles()...) {
		role(reconciliation.ClusterRoleRuleOwner{ClusterRole: &r}, reconciliation.ClusterRoleModifier{Client: rbac.ClusterRoles()})
	}
	for _, b := range append(bootstrappolicy.ClusterRoleBindings(), bootstrappolicy.ControllerRoleBindings()...) {
		binding(reconciliation.ClusterRoleBindingAdapter{ClusterRoleBinding: &b},
			reconciliation.ClusterRoleBindingClientAdapter{Client: rbac.ClusterRoleBindings()})
	}
	each(bootstrappolicy.NamespaceRoles(), func(r *rbacv1.Role) {
		role(reconciliation.RoleRuleOwner{Role: r}, reconciliation.RoleModifier{Client: rbac, NamespaceClient: namespaces})
	})
	each(bootstrappolicy.NamespaceRoleBindings(), func(b *rbacv1.RoleBinding) {
		binding(reconciliation.RoleBindingAdapter{RoleBinding: b},
			reconciliation.RoleBindingClientAdapter{Client: rbac, NamespaceClient: namespaces})
	})
	return steps
}

func each[T any](byNamespace map[string][]T, f func(*T)) {
	for _, list := range byNamespace {
		for i := range list {
			f(&list[i])
		}
	}
}

func priorities(ctx context.Context, client kubernetes.Interface) []step {
	var steps []step
	for _, class := range scheduling.SystemPriorityClasses() {
		steps = append(steps, func() error {
			_, err := client.SchedulingV1().PriorityClasses().Create(ctx, class, metav1.CreateOptions{})
			if apierrors.IsAlreadyExists(err) {
				return nil
			}
			return err
		})
	}
	return steps
}
