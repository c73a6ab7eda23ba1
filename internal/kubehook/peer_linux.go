package kubehook

import (
	"fmt"
	"net"
	"syscall"
)

// peerOf checks that a process of a user is at the other end of a Unix socket.
func peerOf(c net.Conn, uid int) error {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return errStranger
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return fmt.Errorf("who asks: %w", err)
	}
	var cred *syscall.Ucred
	var failed error
	if err := raw.Control(func(fd uintptr) {
		cred, failed = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	}); err != nil {
		return fmt.Errorf("who asks: %w", err)
	}
	if failed != nil {
		return fmt.Errorf("who asks: %w", failed)
	}
	if int(cred.Uid) != uid {
		return errStranger
	}
	return nil
}
