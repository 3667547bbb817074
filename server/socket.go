package server

import (
	"errors"
	"net"
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
	return isAny(err, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.ECONNABORTED)
}

func isReset(err error) bool {
	return isAny(err, syscall.ECONNRESET, syscall.EPIPE)
}

func isVanished(err error) bool {
	return isAny(err, syscall.ETIMEDOUT, syscall.EHOSTUNREACH, syscall.ENETUNREACH)
}

func isAny(err error, numbers ...syscall.Errno) bool {
	for _, number := range numbers {
		if errors.Is(err, number) {
			return true
		}
	}
	return false
}
