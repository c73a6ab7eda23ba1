//go:build !unix

package embedded

import (
	"io/fs"
	"syscall"
)

// Embedded clusters run on Linux. Elsewhere no folder is known to be this user's own, so that nothing is started.

func placeOf(fs.FileInfo) string { return "" }

func isOwn(fs.FileInfo) bool { return false }

func ownSession() *syscall.SysProcAttr { return nil }
