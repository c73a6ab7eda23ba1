// Package e2e holds the end-to-end tests that are no page of the documentation: what happens when processes are killed,
// with old clients, and in an emergency. They use the built programs and the real clients of bin/.
package e2e
