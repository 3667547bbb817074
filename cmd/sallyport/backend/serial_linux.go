package backend

import "golang.org/x/sys/unix"

// setFlowControl sets flow control by RTS and CTS, and returns the line's speed.
func setFlowControl(fd int, rtscts bool) (speed int, err error) {
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS2) // which has every speed
	if err != nil {
		return 0, err
	}
	if rtscts {
		t.Cflag |= unix.CRTSCTS
		if err := unix.IoctlSetTermios(fd, unix.TCSETS2, t); err != nil {
			return 0, err
		}
		if t, err = unix.IoctlGetTermios(fd, unix.TCGETS2); err != nil {
			return 0, err
		}
	}
	if rtscts && t.Cflag&unix.CRTSCTS == 0 {
		return 0, errNoFlowControl
	}
	return int(t.Ospeed), nil
}
