package client

import (
	"context"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sallyport/sallyport/client/secure"
)

func userTimeout(t *testing.T, c net.Conn) (limit time.Duration) {
	t.Helper()
	raw, err := c.(*net.TCPConn).SyscallConn()
	check(t, err)
	check(t, raw.Control(func(fd uintptr) {
		ms, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT)
		check(t, err)
		limit = time.Duration(ms) * time.Millisecond
	}))
	return limit
}

// If the kernel of the server acknowledges no byte of a request for 30 s, the connection ends. A raw stream
// has no such limit, because the backend may be slow.
func TestUserTimeout(t *testing.T) {
	t.Parallel()
	var conn net.Conn
	d := dialer()
	d.DialContext = func(ctx context.Context, network, addr string) (_ net.Conn, err error) {
		conn, err = secure.DialTCP(ctx, network, addr)
		return conn, err
	}
	c := seatedBy(t, d, func(s *session) {
		s.expect("OPEN")
		s.send("252 open")
		s.atEnd()
	})
	if got := userTimeout(t, conn); got != 30*time.Second {
		t.Error(got)
	}
	_, err := c.Open(testContext(t))
	check(t, err)
	if got := userTimeout(t, conn); got != 0 {
		t.Error(got)
	}
}
