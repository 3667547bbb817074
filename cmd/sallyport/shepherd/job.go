//go:build unix

package shepherd

import (
	"os"
	"os/exec"
	"os/signal"
	"syscall"
)

// job is a command under a shell's job control.
type job struct {
	cmd       *exec.Cmd
	terminal  *terminal
	paused    chan struct{}
	continued chan os.Signal
}

func newJob(name string, args ...string) job {
	j := job{
		cmd: exec.Command(name, args...), terminal: openTerminal(),
		paused: make(chan struct{}, 1), continued: make(chan os.Signal, 1),
	}
	j.cmd.Stdin, j.cmd.Stdout, j.cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	j.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	signal.Notify(j.continued, syscall.SIGCONT)
	return j
}

// hasStopped makes Paused report that the command has stopped.
func (j *job) hasStopped() {
	select {
	case j.paused <- struct{}{}:
	default:
	}
}

// Paused gets a value when the command has stopped on a terminal (Ctrl-Z). The caller then calls Pause, and
// Continue after it.
func (j *job) Paused() <-chan struct{} { return j.paused }

// Continued gets a value when this process got SIGCONT. The caller then calls Continue.
func (j *job) Continued() <-chan os.Signal { return j.continued }

// Pause gives the terminal back to the shell and stops this process. It returns when the shell continues it. That is
// at once if the shell has done so before: a command that reads in the background stops, and then comes fg. Continued
// forgets the signal that has ended Pause: a second Continue would undo a Ctrl-Z that comes soon after the first.
func (j *job) Pause() {
	if j.terminal != nil && !j.terminal.has() {
		j.terminal.take(j.cmd.Process.Pid)
		j.terminal.stop()
	}
	select {
	case <-j.continued:
	default:
	}
}

// forgetStop makes Paused forget that the command has stopped, because it is continued.
func (j *job) forgetStop() {
	select {
	case <-j.paused:
	default:
	}
}
