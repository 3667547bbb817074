//go:build unix && !linux

package forward

import (
	"net"

	"golang.org/x/sys/unix"
)

// listenPrivately makes a Unix socket of mode 0600.
func listenPrivately(path string) (net.Listener, error) {
	old := unix.Umask(0o177)
	defer unix.Umask(old)
	return net.Listen("unix", path)
}
