//go:build amd64 || arm64

package rbac

import "unsafe"

// Fetch has the processor bring a line of memory near while it goes on with other work. It changes nothing else; any address will
// do.
//
//go:noescape
func Fetch(p unsafe.Pointer)
