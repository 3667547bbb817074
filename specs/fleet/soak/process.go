//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
)

// process is a child process. It ends with this program at the latest.
type process struct {
	cmd    *exec.Cmd
	done   chan struct{} // closed when it has ended
	wanted atomic.Bool   // its end is
}

// spawn starts a program whose output is appended to a file.
func spawn(log, path string, args ...string) (*process, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	p := &process{cmd: exec.Command(path, args...), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.TempDir()}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait()
	}()
	return p, nil
}

func (p *process) signal(sig syscall.Signal) {
	if !p.ended() {
		_ = p.cmd.Process.Signal(sig)
	}
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// kill ends the process at once.
func (p *process) kill() {
	p.wanted.Store(true)
	p.signal(syscall.SIGKILL)
	<-p.done
}

// leave asks the process to end, and returns an error unless it ends well.
func (p *process) leave(within time.Duration) error {
	p.wanted.Store(true)
	p.signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(within):
		p.kill()
		return fmt.Errorf("%s does not end in %v", filepath.Base(p.cmd.Path), within)
	}
	if !p.cmd.ProcessState.Success() {
		return fmt.Errorf("%s: %v", filepath.Base(p.cmd.Path), p.cmd.ProcessState)
	}
	return nil
}

// descriptors returns the number of open files.
func (p *process) descriptors() int {
	entries, _ := os.ReadDir(filepath.Join("/proc", strconv.Itoa(p.cmd.Process.Pid), "fd"))
	return len(entries)
}
