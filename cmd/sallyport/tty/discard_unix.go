//go:build linux || darwin

package tty

import "golang.org/x/sys/unix"

// Discard discards what was typed on a terminal and not read. It reports whether there was something to read.
func Discard(fd int) bool {
	waiting := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n, err := unix.Poll(waiting, 0)
	return flush(fd) == nil && err == nil && n > 0
}
