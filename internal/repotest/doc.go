// Package repotest owns the rules that the repository keeps about itself: which room may import which, what stays out
// of the module, that every package says what it owns, and how long files and functions may get. It holds tests only;
// no other package imports it.
//
// The dependency line, left to right; a room knows only what is left of it:
//
//	words ← rules ← world ← store ← faces ← server ← cli ← cmd
package repotest
