package rbac

import (
	"cmp"
	"slices"
	"strings"
)

// Objects returns every role and binding of the set, ordered by namespace and name. They must not be changed.
func (c *ClusterRBAC) Objects() (roles []*KubeRole, bindings []*Binding) {
	for _, k := range c.roles.keys() {
		roles = append(roles, c.roles.get(k))
	}
	for _, k := range c.bindings.keys() {
		bindings = append(bindings, c.bindings.get(k))
	}
	slices.SortFunc(roles, func(a, b *KubeRole) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
	})
	slices.SortFunc(bindings, func(a, b *Binding) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
	})
	return roles, bindings
}
