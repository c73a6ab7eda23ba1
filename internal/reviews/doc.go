// Package reviews owns the oracle: it asks two authorizers the same reviews over a made-up directory, and tells every
// difference with its explanation. It is a tool for tests and for comparisons; the product does not use it.
//
//	seed ─► Corpus (directory, assignments, clusters' own roles) ─► reviews ─┬─► left:  the gate, in process or at an address
//	                                                                         └─► right: Model, or any other webhook
//	                     every difference ◄── explained by Differences, or not: then something is wrong
//
// Model is slow and obvious on purpose: it is written from the published rules (how guard maps reviews to Azure's data
// actions, how Kubernetes decides by its own roles) and shares no code with the rooms that it checks.
package reviews
