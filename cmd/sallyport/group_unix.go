//go:build unix

package main

import (
	"errors"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/term"
)

// ownGroup gives a command a process group of its own, so that a signal reaches all that it starts.
// On a terminal it stays in the group that may read there, which Ctrl-C reaches as a whole.
func ownGroup(cmd *exec.Cmd) {
	if !term.IsTerminal(int(os.Stdin.Fd())) {
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	}
}

// terminate asks a command to end, and all of its group if it has one of its own.
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
