package control

import (
	"net"

	"golang.org/x/sys/unix"
)

// peerOf asks the kernel for the user at the other end (unix(4), LOCAL_PEERCRED).
func peerOf(c *net.UnixConn) (p peer) {
	raw, err := c.SyscallConn()
	if err != nil {
		return p
	}
	_ = raw.Control(func(fd uintptr) {
		if cred, err := unix.GetsockoptXucred(int(fd), unix.SOL_LOCAL, unix.LOCAL_PEERCRED); err == nil {
			p = peer{cred.Uid, true}
		}
	})
	return p
}
