// Package outpost owns the gate beside somebody else's API server (`keyreeve gate`): it enrols once, follows its part of
// the feed over one stream, and answers the API server from memory by the same rooms as the gate inside the control plane.
//
//	control plane ── stream ──► follower ──► journal on disk
//	                               │
//	                               ▼
//	                             world ◄── kubehook ◄── TokenReview, SubjectAccessReview ── API server
//	                                           ▲
//	                              mirror ── its roles and bindings
//
// While the control plane is away it goes on from its last world, also after a restart, until that is older than the
// staleness bound; then it answers that it does not know. Private keys are made here and never leave.
package outpost
