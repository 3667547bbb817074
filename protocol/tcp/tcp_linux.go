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
	control(c, func(fd int) {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(limit.Milliseconds()))
	})
}

// Dead reports whether the peer has acknowledged nothing for limit, although the kernel has asked it twice since: by
// a retransmission, a keep-alive or a probe of a closed window. A living kernel acknowledges those, also if its
// program reads nothing. While a window stays closed the kernel asks ever more rarely, in the end every two minutes,
// so a peer that dies then is found some minutes later. Only Linux has this; elsewhere Dead reports false.
func Dead(c net.Conn, limit time.Duration) (dead bool) {
	control(c, func(fd int) {
		info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		dead = err == nil && time.Duration(info.Last_ack_recv)*time.Millisecond >= limit && unanswered(info)
	})
	return dead
}

// unanswered reports whether the peer has not answered the last two questions. Retransmissions into a closed window
// are not counted by the kernel, but each doubles the time to the next one, in which a living peer answers.
func unanswered(info *unix.TCPInfo) bool {
	waited, next := time.Duration(info.Last_ack_recv)*time.Millisecond, time.Duration(info.Rto)*time.Microsecond
	return max(info.Probes, info.Retransmits) >= 2 || info.Unacked > 0 && waited > next*8/5
}

// control calls f with the descriptor of a TCP connection.
func control(c net.Conn, f func(fd int)) {
	if tcp, ok := c.(*net.TCPConn); ok {
		if raw, err := tcp.SyscallConn(); err == nil {
			_ = raw.Control(func(fd uintptr) { f(int(fd)) })
		}
	}
}
