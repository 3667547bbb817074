package server

import (
	"errors"
	"net"
	"slices"
	"syscall"
	"time"
)

// setSocket makes the kernel find out within about limit that a peer no longer answers.
func setSocket(c net.Conn, limit time.Duration) {
	tcp, ok := c.(*net.TCPConn)
	if !ok || limit < 0 {
		return
	}
	// Three probes in the second half of the time.
	_ = tcp.SetKeepAliveConfig(net.KeepAliveConfig{
		Enable: true, Idle: max(limit/2, time.Second), Interval: max(limit/6, time.Second), Count: 3,
	})
	setUserTimeout(tcp, limit)
}

// temporary reports whether accepting may work again later.
func temporary(err error) bool {
	number, ok := errors.AsType[syscall.Errno](err)
	return ok && slices.Contains([]syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.ECONNABORTED}, number)
}

// halfClose ends one direction of a connection that can do that.
func halfClose(c net.Conn) {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
}

// networkErrors are the ways in which a connection breaks, and the log's words for them.
var networkErrors = []struct {
	number syscall.Errno
	reason string
}{
	{syscall.ECONNRESET, "reset"},
	{syscall.EPIPE, "reset"},
	{syscall.ETIMEDOUT, "vanished"},
	{syscall.EHOSTUNREACH, "vanished"},
	{syscall.ENETUNREACH, "vanished"},
}
