//go:build unix

package main

import (
	"errors"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/term"
)

// ownGroup gives a command a process group of its own, so that a signal reaches all that it starts. On a
// terminal the command stays in the foreground group: only that may read there, and Ctrl-C reaches all of it.
func ownGroup(cmd *exec.Cmd) {
	if !term.IsTerminal(int(os.Stdin.Fd())) {
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	}
}

// terminate sends SIGTERM to a command, or to its group if it has its own.
func terminate(cmd *exec.Cmd) error {
	pid := cmd.Process.Pid
	if cmd.SysProcAttr != nil && cmd.SysProcAttr.Setpgid {
		pid = -pid
	}
	err := syscall.Kill(pid, syscall.SIGTERM)
	if errors.Is(err, syscall.ESRCH) {
		return os.ErrProcessDone
	}
	return err
}
