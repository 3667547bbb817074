//go:build unix && !linux

package shepherd

import (
	"net"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// Process is a command with a process group.
type Process struct {
	job
	stop sync.Once
}

// Start starts a command with the standard input, output and error of this process. Elsewhere than on Linux it
// ignores the other arguments.
func Start(args []string, _ net.Conn, _ time.Time) (*Process, error) {
	p := &Process{job: newJob(args[0], args[1:]...)}
	if p.terminal != nil && p.terminal.has() {
		// The command makes its group the foreground before it can read.
		p.cmd.SysProcAttr.Foreground, p.cmd.SysProcAttr.Ctty = true, syscall.Stdin
		signal.Ignore(syscall.SIGTTOU)
		defer signal.Reset(syscall.SIGTTOU)
	}
	return p, p.cmd.Start()
}

// Start starts the command in a session of its own.
func (c *Command) Start() (*Process, error) {
	how := c.attributes()
	how.Sys.Setsid = true
	p := &Process{job: job{cmd: exec.Command(c.Args[0], c.Args[1:]...)}}
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = c.Stdin, c.Stdout, c.Stderr
	p.cmd.Env, p.cmd.Dir, p.cmd.SysProcAttr = how.Env, how.Dir, how.Sys
	return p, p.cmd.Start()
}

// Renew does nothing.
func (p *Process) Renew(time.Time) {}

// Stop ends the group: SIGTERM, and SIGKILL after KillAfter.
func (p *Process) Stop() {
	p.stop.Do(func() {
		p.signal(syscall.SIGTERM)
		p.signal(syscall.SIGCONT) // a process that has stopped could not handle it
		for by := time.Now().Add(KillAfter); time.Now().Before(by); time.Sleep(KillAfter / 100) {
			if p.signal(0) != nil {
				return
			}
		}
		p.signal(syscall.SIGKILL)
	})
}

func (p *Process) signal(s syscall.Signal) error { return syscall.Kill(-p.cmd.Process.Pid, s) }

// Wait waits until the command's group has ended, and returns the command's exit code.
func (p *Process) Wait() (code int, err error) {
	var status syscall.WaitStatus
	for {
		_, err = syscall.Wait4(p.cmd.Process.Pid, &status, syscall.WUNTRACED, nil)
		switch {
		case err == syscall.EINTR:
			continue
		case err != nil:
			return 0, err
		case status.Stopped():
			p.hasStopped()
			continue
		}
		break
	}
	p.Stop()
	p.terminal.take(p.cmd.Process.Pid)
	return exitCode(status), nil
}

// Continue continues a command that has stopped, in the foreground if this process has that.
func (p *Process) Continue() {
	if p.terminal != nil {
		p.forgetStop()
		p.terminal.give(p.cmd.Process.Pid)
		_ = p.signal(syscall.SIGCONT)
	}
}
