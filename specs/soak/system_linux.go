package main

import (
	"net"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// endWithParent has a command killed when this process ends, however it ends.
func endWithParent(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }

// connected reports whether the peer has not ended its direction, as the kernel knows it.
func connected(conn net.Conn) bool {
	const established = 1 // TCP_ESTABLISHED
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		return false
	}
	state := uint8(0)
	failed := raw.Control(func(fd uintptr) {
		if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			state = info.State
		}
	})
	return failed == nil && state == established
}
