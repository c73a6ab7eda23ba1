//go:build amd64 || arm64

package rbac

import "unsafe"

//go:noescape
func fetch(p unsafe.Pointer)
