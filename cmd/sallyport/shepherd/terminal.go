//go:build unix

package shepherd

import (
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// terminal is the standard input of this process, which is a terminal. A nil *terminal means that it is not one.
type terminal struct {
	own int // the process group of this process
}

func openTerminal() *terminal {
	if _, err := unix.IoctlGetInt(unix.Stdin, unix.TIOCGPGRP); err != nil {
		return nil
	}
	return &terminal{unix.Getpgrp()}
}

// has reports whether this process has the foreground.
func (t *terminal) has() bool {
	foreground, err := unix.IoctlGetInt(unix.Stdin, unix.TIOCGPGRP)
	return err == nil && foreground == t.own
}

// give moves the foreground from this process to a process group. It does nothing if this process does not
// have the foreground.
func (t *terminal) give(group int) {
	if t != nil {
		move(t.own, group)
	}
}

// take moves the foreground from a process group back to this process.
func (t *terminal) take(group int) {
	if t != nil {
		move(group, t.own)
	}
}

// move moves the foreground to a process group, if the group from has it. It ignores SIGTTOU, which would
// stop a process that does this in the background.
func move(from, to int) {
	signal.Ignore(syscall.SIGTTOU)
	defer signal.Reset(syscall.SIGTTOU)
	if foreground, err := unix.IoctlGetInt(unix.Stdin, unix.TIOCGPGRP); err == nil && foreground == from {
		_ = unix.IoctlSetPointerInt(unix.Stdin, unix.TIOCSPGRP, to)
	}
}

// stop stops the process group of this process, as Ctrl-Z does. It returns when the shell continues the
// group. In an orphaned group, which has no shell to continue it, SIGTSTP has no effect, so stop returns
// after a second. It sends one signal to the whole group, because a second signal could arrive after the
// shell has continued the group.
func (t *terminal) stop() {
	continued := make(chan os.Signal, 1)
	signal.Notify(continued, syscall.SIGCONT)
	defer signal.Stop(continued)
	_ = unix.Kill(-t.own, unix.SIGTSTP)
	select {
	case <-continued:
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
