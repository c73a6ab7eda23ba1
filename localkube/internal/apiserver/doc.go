// Package apiserver owns the kube-apiserver: which options it runs with, the files it reads them from, and its life.
//
// Two of its choices carry the product's promise that access ends within a second. It asks the authorization webhook
// about every request of a user whose name does not begin with "system:", and keeps no answer; and it keeps the answer
// about a bearer token for at most half a second. Whoever begins with "system:" is decided by Node and RBAC alone, so
// the cluster runs on when the webhook is away.
package apiserver
