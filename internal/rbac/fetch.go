package rbac

import "unsafe"

// Fetch has the processor bring a line of memory near while it goes on with other work. It changes nothing else; where there is no
// such instruction, it does nothing.
func Fetch[T any](p *T) {
	fetch(unsafe.Pointer(p)) //nolint:gosec // G103: the address is told to the processor, and not followed
}
