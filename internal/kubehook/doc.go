// Package kubehook owns the gate's face to Kubernetes: the TokenReview and SubjectAccessReview webhooks of a cluster's
// API server.
//
//	POST /clusters/{cluster}/tokenreview          bearer token ──► who it stands for, with its live groups
//	POST /clusters/{cluster}/subjectaccessreview  who, what    ──► allow, deny, or no opinion; 503 when not known
//
// It answers from memory: the world and the mirror of the cluster's own rules. It never calls out, and it never turns
// "not known" into an answer. Callers are API servers with a client certificate for "cluster:" and the cluster's id.
package kubehook
