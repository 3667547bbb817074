package forward

import (
	"context"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// listenPrivately makes a Unix socket of mode 0600. On Linux the mode of the socket before bind(2) counts, so the
// process's umask, which is not this call's alone, stays as it is.
func listenPrivately(path string) (net.Listener, error) {
	config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) (err error) {
		if e := raw.Control(func(fd uintptr) { err = unix.Fchmod(int(fd), 0o600) }); e != nil {
			return e
		}
		return err
	}}
	return config.Listen(context.Background(), "unix", path)
}
