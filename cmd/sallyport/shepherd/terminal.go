//go:build unix

package shepherd

import (
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// terminal is the terminal on standard input. Nil means that there is none.
type terminal struct{ own int } // process group of this process

func openTerminal() *terminal {
	if _, err := unix.IoctlGetInt(unix.Stdin, unix.TIOCGPGRP); err != nil {
		return nil
	}
	return &terminal{unix.Getpgrp()}
}

// give gives a process group the foreground, if this process has it.
func (t *terminal) give(group int) {
	if t != nil {
		move(t.own, group)
	}
}

// take takes the foreground back from a process group.
func (t *terminal) take(group int) {
	if t != nil {
		move(group, t.own)
	}
}

// move makes group to the foreground, if from is. SIGTTOU would stop a process that does this in the background.
func move(from, to int) {
	signal.Ignore(syscall.SIGTTOU)
	defer signal.Reset(syscall.SIGTTOU)
	if foreground, err := unix.IoctlGetInt(unix.Stdin, unix.TIOCGPGRP); err == nil && foreground == from {
		_ = unix.IoctlSetPointerInt(unix.Stdin, unix.TIOCSPGRP, to)
	}
}

// stop stops the group of this process, as Ctrl-Z does. It returns when the process goes on, and after a second if
// nobody could make it go on. One signal stops all, because a second one could come after the shell has continued it.
func (t *terminal) stop() {
	goOn := continued()
	defer signal.Stop(goOn)
	_ = unix.Kill(-t.own, unix.SIGTSTP)
	select {
	case <-goOn:
	case <-time.After(time.Second):
	}
}

// exitCode returns the code that a shell gives a status: after signal n it is 128 + n.
func exitCode(status syscall.WaitStatus) int {
	if status.Signaled() {
		return 128 + int(status.Signal())
	}
	return status.ExitStatus()
}

// continued returns a channel that gets a value after each SIGCONT: the shell has said fg or bg.
func continued() chan os.Signal {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGCONT)
	return c
}
