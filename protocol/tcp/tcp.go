// Package tcp sets the socket options with which both ends of a connection find a peer that no longer answers, and
// writes to sockets without waiting ([Trier]).
package tcp

import (
	"net"
	"time"
)

// FindDead makes the kernel end a TCP connection whose peer has acknowledged nothing for about limit. If data
// was sent, [SetUserTimeout] does that, and if not, keep-alive (RFC 9293 §3.8.4), whose resolution is a
// second. The kernel can't tell a dead peer from one that keeps its window closed. So the limit is at least
// window, the time for which a peer may do that. A negative limit means none. FindDead does nothing to a
// connection that is not TCP.
func FindDead(c net.Conn, limit, window time.Duration) {
	tcp, ok := c.(*net.TCPConn)
	if !ok || limit < 0 {
		return
	}
	// Three probes in the second half of the time, the last one at its end: the kernel looks at the limit with a probe.
	interval := max((limit / 6).Truncate(time.Second), time.Second)
	_ = tcp.SetKeepAliveConfig(net.KeepAliveConfig{
		Enable: true, Idle: max(limit-3*interval, time.Second), Interval: interval, Count: 3,
	})
	SetUserTimeout(c, max(limit, window))
}
