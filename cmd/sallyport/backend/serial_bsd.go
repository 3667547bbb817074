//go:build unix && !linux

package backend

import "golang.org/x/sys/unix"

// setFlowControl sets flow control by RTS and CTS. It does not know the speed. These systems refuse a speed that the
// device does not have.
func setFlowControl(fd int, rtscts bool) (speed int, err error) {
	if !rtscts {
		return unknownSpeed, nil
	}
	t, err := unix.IoctlGetTermios(fd, unix.TIOCGETA)
	if err != nil {
		return 0, err
	}
	t.Cflag |= unix.CRTSCTS
	return unknownSpeed, unix.IoctlSetTermios(fd, unix.TIOCSETA, t)
}
