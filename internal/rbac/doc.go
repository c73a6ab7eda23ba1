// Package rbac owns access decisions: Azure role definitions and assignments, and Kubernetes RBAC rules beside them.
//
// It is pure. A decision is made from a request and facts that the caller holds in memory, and explains itself as
// values: which assignment or binding, held how, at which scope. Nothing here knows HTTP, SQL or the clock.
package rbac
