// Package tcp sets the socket options with which both ends of a connection find a peer that no longer answers.
package tcp

import (
	"net"
	"time"
)

// FindDead makes the kernel end the connection when the peer has acknowledged nothing for about limit, whether
// data was sent (see [SetUserTimeout]) or not (keep-alive, RFC 9293 §3.8.4, which has a resolution of seconds).
// The kernel can't tell such a peer from one that leaves its window closed, so the limit is at least window, the
// time for which a peer may do that. A negative limit means none. FindDead does nothing for other connections than
// TCP.
func FindDead(c net.Conn, limit, window time.Duration) {
	tcp, ok := c.(*net.TCPConn)
	if !ok || limit < 0 {
		return
	}
	// Three probes in the second half of the time.
	_ = tcp.SetKeepAliveConfig(net.KeepAliveConfig{
		Enable: true, Idle: max(limit/2, time.Second), Interval: max(limit/6, time.Second), Count: 3,
	})
	SetUserTimeout(c, max(limit, window))
}
