// Package bench sets Keyreeve beside its peers: Kubernetes' own RBAC authorizer, Cedar and OPA, asked the same of the same
// facts in one process.
//
// It is a module of its own, so that the peers stay out of the program's.
package bench
