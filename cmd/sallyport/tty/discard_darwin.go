package tty

import "golang.org/x/sys/unix"

// input is FREAD of sys/fcntl.h.
const input = 1

func flush(fd int) error { return unix.IoctlSetPointerInt(fd, unix.TIOCFLUSH, input) }
