// Package upkeep owns the work that nobody asks for: signing keys are there before they are needed and rotate, and
// what has ended is cleared away.
//
// Each job is a struct with Run(ctx), which returns when ctx ends. The decisions are pure rules elsewhere (keyring);
// jobs read, ask and write. Several processes may run the same job on one store.
package upkeep
