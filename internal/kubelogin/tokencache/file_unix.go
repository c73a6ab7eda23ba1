//go:build unix

package tokencache

import (
	"io/fs"
	"syscall"
)

// noWaiting opens a pipe without waiting for its other end.
const noWaiting = syscall.O_NONBLOCK

// ownerOf is who a file belongs to.
func ownerOf(info fs.FileInfo) (int, bool) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return int(stat.Uid), true
}
