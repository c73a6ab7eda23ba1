// Package controllers owns the kube-controller-manager and the kube-scheduler: what they run with, and their life.
//
// They run beside the API server as its ordinary clients, each with its own certificate. Neither opens a port, and
// neither elects a leader: there is one of each.
package controllers

// Requests per second that each client of the API server may make. Nobody else shares this server's attention, so the
// limits only keep a runaway controller from starving the rest.
const (
	clientQPS   = 500
	clientBurst = 1000
)
