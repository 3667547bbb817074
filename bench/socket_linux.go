package bench

import (
	"net"

	"golang.org/x/sys/unix"
)

func setUserTimeout(c *net.TCPConn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(vanish.Milliseconds()))
	})
	if err != nil {
		return err
	}
	return failed
}
