// Package gatefeed owns which part of the change feed a gate away from the control plane is told, and in what form.
//
//	change ── Index: whose is each object? ──► Attributed ── View of one cluster ──► the gate's events, cut to what decides
//
// A gate is told of its cluster's tenant alone: principals, groups, memberships, sessions, the roles that can matter at
// its cluster, the cluster itself, its certificates, and the keys that verify tokens. Of people it is told the name they
// sign in with and whether that still counts: no mail, no phone, no display name. The package is pure: it reads nothing.
package gatefeed
