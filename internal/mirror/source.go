package mirror

import (
	"context"
	"errors"
	"fmt"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/keyreeve/keyreeve/internal/rbac"
)

const kindCount = 4

// kind is one of the four resources: its types, and how an object of it changes the set.
type kind struct {
	resource string
	example  runtime.Object
	list     func() runtime.Object
	put      func(*rbac.Edit, any) (namespace, name string, err error)
	drop     func(e *rbac.Edit, namespace, name string)
	// keep drops all objects of the kind but those named.
	keep func(e *rbac.Edit, keep func(namespace, name string) bool)
}

func kinds() [kindCount]kind {
	keepRoles := func(cluster bool) func(*rbac.Edit, func(string, string) bool) {
		return func(e *rbac.Edit, keep func(string, string) bool) { e.KeepRoles(cluster, keep) }
	}
	keepBindings := func(cluster bool) func(*rbac.Edit, func(string, string) bool) {
		return func(e *rbac.Edit, keep func(string, string) bool) { e.KeepBindings(cluster, keep) }
	}
	return [kindCount]kind{
		{
			"clusterroles", &rbacv1.ClusterRole{}, func() runtime.Object { return &rbacv1.ClusterRoleList{} },
			putClusterRole, (*rbac.Edit).DropRole, keepRoles(true),
		},
		{
			"roles", &rbacv1.Role{}, func() runtime.Object { return &rbacv1.RoleList{} },
			putRole, (*rbac.Edit).DropRole, keepRoles(false),
		},
		{
			"clusterrolebindings", &rbacv1.ClusterRoleBinding{}, func() runtime.Object { return &rbacv1.ClusterRoleBindingList{} },
			putClusterRoleBinding, (*rbac.Edit).DropBinding, keepBindings(true),
		},
		{
			"rolebindings", &rbacv1.RoleBinding{}, func() runtime.Object { return &rbacv1.RoleBindingList{} },
			putRoleBinding, (*rbac.Edit).DropBinding, keepBindings(false),
		},
	}
}

// source is one kind of one cluster: where its reflector lists and watches, and what it stores into.
type source struct {
	member *member
	index  int
	kind   kind
}

// ListWithContext and WatchWithContext serve the reflector.
func (s *source) ListWithContext(ctx context.Context, opts metav1.ListOptions) (runtime.Object, error) {
	out := s.kind.list()
	err := s.member.rest.Get().Resource(s.kind.resource).VersionedParams(&opts, metav1.ParameterCodec).Do(ctx).Into(out)
	if err != nil {
		s.lost(err)
		return nil, err
	}
	return out, nil
}

// WatchWithContext opens a watch. The copy is in touch from then on: what it listed before, the watch goes on from.
func (s *source) WatchWithContext(ctx context.Context, opts metav1.ListOptions) (watch.Interface, error) {
	opts.Watch = true
	w, err := s.member.rest.Get().Resource(s.kind.resource).VersionedParams(&opts, metav1.ParameterCodec).Watch(ctx)
	if err != nil {
		s.lost(err)
		return nil, err
	}
	s.member.touch(s.index, nil)
	return w, nil
}

// lost notes a failure, unless the cluster did answer and only wants to be listed again.
func (s *source) lost(err error) {
	if apierrors.IsResourceExpired(err) || apierrors.IsGone(err) {
		return
	}
	s.member.touch(s.index, err)
}

// List and Watch are the forms without a context, which the reflector does not use.
func (s *source) List(opts metav1.ListOptions) (runtime.Object, error) {
	return s.ListWithContext(s.member.ctx, opts)
}

// Watch is the form without a context.
func (s *source) Watch(opts metav1.ListOptions) (watch.Interface, error) {
	return s.WatchWithContext(s.member.ctx, opts)
}

// IsWatchListSemanticsUnSupported keeps the reflector to list and watch: streaming lists would hold every object twice
// while they last, and these lists are short.
func (s *source) IsWatchListSemanticsUnSupported() bool { return true }

// Add and Update take an object of the watch.
func (s *source) Add(obj any) error { return s.Update(obj) }

// Update takes an object of the watch.
func (s *source) Update(obj any) error {
	var err error
	s.member.update(func(st *state) {
		e := st.rbac.Edit()
		if _, _, err = s.kind.put(e, obj); err == nil {
			st.rbac = e.Done()
		}
	})
	return err
}

// Delete takes the last state of an object that is gone.
func (s *source) Delete(obj any) error {
	o, ok := obj.(metav1.Object)
	if !ok {
		return wrongType(obj)
	}
	s.member.update(func(st *state) {
		e := st.rbac.Edit()
		s.kind.drop(e, o.GetNamespace(), o.GetName())
		st.rbac = e.Done()
	})
	return nil
}

// Replace takes a whole list.
func (s *source) Replace(list []any, _ string) error {
	var errs []error
	s.member.update(func(st *state) {
		e := st.rbac.Edit()
		type key struct{ namespace, name string }
		seen := make(map[key]struct{}, len(list))
		for _, obj := range list {
			namespace, name, err := s.kind.put(e, obj)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			seen[key{namespace, name}] = struct{}{}
		}
		if len(errs) > 0 {
			return
		}
		s.kind.keep(e, func(namespace, name string) bool {
			_, ok := seen[key{namespace, name}]
			return ok
		})
		st.rbac = e.Done()
		st.listed[s.index] = true
	})
	return errors.Join(errs...)
}

// Resync serves the reflector; there is nothing to do.
func (s *source) Resync() error { return nil }

func wrongType(obj any) error { return fmt.Errorf("mirror: object of type %T", obj) }

func putRole(e *rbac.Edit, obj any) (string, string, error) {
	r, ok := obj.(*rbacv1.Role)
	if !ok {
		return "", "", wrongType(obj)
	}
	e.PutRole(&rbac.KubeRole{Namespace: r.Namespace, Name: r.Name, Rules: rules(r.Rules)})
	return r.Namespace, r.Name, nil
}

func putClusterRole(e *rbac.Edit, obj any) (string, string, error) {
	r, ok := obj.(*rbacv1.ClusterRole)
	if !ok {
		return "", "", wrongType(obj)
	}
	e.PutRole(&rbac.KubeRole{Name: r.Name, Rules: rules(r.Rules), AggregateTo: aggregates(r.Labels)})
	return "", r.Name, nil
}

// aggregates reads which of Kubernetes' own roles a ClusterRole adds to.
func aggregates(labels map[string]string) rbac.Aggregate {
	var to rbac.Aggregate
	if labels["rbac.authorization.k8s.io/aggregate-to-view"] == "true" {
		to |= rbac.AggregateView
	}
	if labels["rbac.authorization.k8s.io/aggregate-to-edit"] == "true" {
		to |= rbac.AggregateEdit
	}
	return to
}

func putRoleBinding(e *rbac.Edit, obj any) (string, string, error) {
	b, ok := obj.(*rbacv1.RoleBinding)
	if !ok {
		return "", "", wrongType(obj)
	}
	e.PutBinding(binding(b.Namespace, b.Name, b.RoleRef, b.Subjects))
	return b.Namespace, b.Name, nil
}

func putClusterRoleBinding(e *rbac.Edit, obj any) (string, string, error) {
	b, ok := obj.(*rbacv1.ClusterRoleBinding)
	if !ok {
		return "", "", wrongType(obj)
	}
	e.PutBinding(binding("", b.Name, b.RoleRef, b.Subjects))
	return "", b.Name, nil
}

// rules and binding keep what decides and let the rest go: labels, annotations and managed fields are most of an object.
func rules(in []rbacv1.PolicyRule) []rbac.PolicyRule {
	out := make([]rbac.PolicyRule, len(in))
	for i, r := range in {
		out[i] = rbac.PolicyRule{
			Verbs: r.Verbs, APIGroups: r.APIGroups, Resources: r.Resources,
			ResourceNames: r.ResourceNames, NonResourceURLs: r.NonResourceURLs,
		}
	}
	return out
}

func binding(namespace, name string, ref rbacv1.RoleRef, subjects []rbacv1.Subject) *rbac.Binding {
	b := &rbac.Binding{
		Namespace: namespace, Name: name, RoleRef: rbac.RoleRef{Kind: ref.Kind, Name: ref.Name},
		Subjects: make([]rbac.Subject, len(subjects)),
	}
	for i, s := range subjects {
		b.Subjects[i] = rbac.Subject{Kind: s.Kind, Namespace: s.Namespace, Name: s.Name}
	}
	return b
}
