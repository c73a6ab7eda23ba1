// Package nodes owns the pretend nodes: it makes their Node objects, keeps their leases and their readiness fresh as a
// kubelet would, and takes them away again.
//
// It touches only Node objects that it made, which its annotation tells, and of those only what it set itself: labels
// and taints that people add stay. What runs on the nodes is another package's business.
package nodes
