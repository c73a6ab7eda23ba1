//go:build !linux

package kubehook

import (
	"fmt"
	"net"
	"runtime"
)

// peerOf refuses: embedded clusters, which ask at a socket, run on Linux.
func peerOf(net.Conn, int) error {
	return fmt.Errorf("%w: who it is cannot be told on %s", errStranger, runtime.GOOS)
}
