package tcp

import (
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// SetUserTimeout bounds how long sent bytes may stay unacknowledged (RFC 5482, TCP_USER_TIMEOUT), which
// keep-alive doesn't: it stops while they do. It also bounds how long a peer may leave its window closed.
// Zero means the system's default, about 15 minutes. Only Linux has this; elsewhere SetUserTimeout does nothing.
func SetUserTimeout(c net.Conn, limit time.Duration) {
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(limit.Milliseconds()))
	})
}
