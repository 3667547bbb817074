//go:build !unix

package shepherd

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"time"
)

// Process is a command.
type Process struct{ cmd *exec.Cmd }

// Start starts a command with the standard input, output and error of this process. Elsewhere than on Linux it
// ignores the other arguments.
func Start(args []string, _ net.Conn, _ time.Time) (*Process, error) {
	p := &Process{exec.Command(args[0], args[1:]...)}
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	return p, p.cmd.Start()
}

// Renew does nothing.
func (p *Process) Renew(time.Time) {}

// Stop kills the command: this system has no SIGTERM.
func (p *Process) Stop() { _ = p.cmd.Process.Kill() }

// Wait returns the command's exit code.
func (p *Process) Wait() (code int, err error) {
	if err = p.cmd.Wait(); p.cmd.ProcessState == nil {
		return 0, err
	}
	return p.cmd.ProcessState.ExitCode(), nil
}

// Paused gets nothing: this system has no job control.
func (p *Process) Paused() <-chan struct{} { return nil }

// Continued gets nothing.
func (p *Process) Continued() <-chan os.Signal { return nil }

// Pause does nothing.
func (p *Process) Pause() {}

// Continue does nothing.
func (p *Process) Continue() {}

// Start fails: this system has no shell, and no users that a process could be of.
func (c *Command) Start() (*Process, error) { return nil, errors.ErrUnsupported }
