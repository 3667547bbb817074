package control

import (
	"net"

	"golang.org/x/sys/unix"
)

// peerOf asks the kernel for the user at the other end (unix(7), SO_PEERCRED).
func peerOf(c *net.UnixConn) (p peer) {
	raw, err := c.SyscallConn()
	if err != nil {
		return p
	}
	_ = raw.Control(func(fd uintptr) {
		if cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			p = peer{cred.Uid, true}
		}
	})
	return p
}
