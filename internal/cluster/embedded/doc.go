// Package embedded owns the clusters that run on this machine: one localkube process for each, in a session of its own.
//
//	describe ─► adopt what runs, or start ─► wait for ready ─► let the gate in ─► watch ─┐
//	               ▲                                                                      │
//	               └───────────── it ended, or another generation is wanted ──────────────┘
//
// A process outlives a control plane that is killed, and is adopted by the next one. Two processes never share a data
// folder: localkube itself sees to that. Keys reach a process by its standard input alone. The package knows nothing of
// ARM, of the store, or of who may do what.
package embedded
