// Package pods owns what a kubelet would do to the pods on the pretend nodes: it starts them, ends those that are made
// to end, and lets go of those that are to be deleted. Nothing runs; only statuses are written.
//
//	bound to a node of ours ──► Running and Ready ──► Succeeded, if it is a job's or may not restart
//	deletion asked for      ──► deleted at once
//
// The annotation keyreeve.io/pretend: running keeps a pod running that would otherwise succeed.
package pods
