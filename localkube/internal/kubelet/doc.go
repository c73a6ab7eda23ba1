// Package kubelet owns what a kubelet serves to the API server, for all pretend nodes of one cluster: logs, exec, attach and
// port-forward, in Kubernetes' own streaming protocols. Nothing that it is asked to run runs on the host: exec knows a few
// built-in commands, and a forwarded port leads to a responder that says what it is, never to a network.
//
//	kubectl ── API server ── TLS over a socket of this process ──► routes ──► logs, shell, responder
//
// The socket is in the process's own folder, and both ends know each other by keys that are made at the start and kept in
// memory. A certificate is made for a node's name when the API server asks for that node, so a node that is not ours, or an
// address that somebody wrote into a Node, leads nowhere.
package kubelet
