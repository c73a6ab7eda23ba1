// Package slim owns what watchers in this process do not keep in memory of the objects they see.
package slim

import "k8s.io/apimachinery/pkg/api/meta"

// Transform drops the record of who set which field: it is often larger than the rest of an object.
func Transform(o any) (any, error) {
	if m, err := meta.Accessor(o); err == nil && m.GetManagedFields() != nil {
		m.SetManagedFields(nil)
	}
	return o, nil
}
