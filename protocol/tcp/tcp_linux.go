package tcp

import (
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// SetUserTimeout bounds the time for which sent bytes may stay unacknowledged (RFC 5482, TCP_USER_TIMEOUT).
// Keep-alive doesn't, because it pauses while there are such bytes. SetUserTimeout also bounds the time for
// which the peer may keep its window closed. Zero means the system's default, about 15 minutes. Only Linux
// has this; elsewhere SetUserTimeout does nothing.
func SetUserTimeout(c net.Conn, limit time.Duration) {
	control(c, func(fd int) {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(limit.Milliseconds()))
	})
}

// Dead reports whether the peer has acknowledged nothing for limit, although the kernel has asked it at least
// twice since: by a retransmission, a keep-alive or a probe of a closed window. The kernel of a living peer
// answers, even if its program reads nothing. While a window stays closed, the kernel asks more and more
// rarely, in the end every two minutes, so it takes some minutes to find a peer that dies then. Only Linux
// has this; elsewhere Dead reports false.
func Dead(c net.Conn, limit time.Duration) (dead bool) {
	control(c, func(fd int) {
		info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		dead = err == nil && time.Duration(info.Last_ack_recv)*time.Millisecond >= limit && unanswered(info)
	})
	return dead
}

// unanswered reports whether the peer has left the last two questions unanswered. The kernel doesn't count
// retransmissions into a closed window, but each of them doubles the time to the next one, and a living peer
// answers within that time.
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
