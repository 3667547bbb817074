package shepherd

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Messages to the shepherd. All others are the time, in nanoseconds of CLOCK_BOOTTIME, until which the command may run.
const (
	stopNow    = 0  // end everything
	continueIt = -1 // continue what Ctrl-Z has stopped
	endless    = -2 // run without limit
)

// Process is a command that runs under a shepherd.
type Process struct {
	cmd      *exec.Cmd
	control  *os.File
	terminal *terminal
	paused   chan struct{}
	goOn     chan os.Signal
	gone     chan struct{} // closed when the shepherd has ended

	mu sync.Mutex // orders messages
}

// Start starts a command with the standard input, output and error of this process. It may run until stopBy, zero
// for no limit. conn is the connection that must stay open until everything has ended.
func Start(args []string, conn net.Conn, stopBy time.Time) (*Process, error) {
	socket, err := duplicate(conn)
	if err != nil {
		return nil, err
	}
	defer socket.Close()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	theirs := os.NewFile(uintptr(pair[1]), "shepherd")
	defer theirs.Close()
	p := &Process{
		control: os.NewFile(uintptr(pair[0]), "shepherd"), terminal: openTerminal(),
		paused: make(chan struct{}, 1), goOn: continued(), gone: make(chan struct{}),
	}
	// If the shepherd is killed, this process adopts what it leaves.
	_ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
	p.cmd = exec.Command("/proc/self/exe", append([]string{Subcommand, mode(p.terminal), "--"}, args...)...)
	p.cmd.Args[0] = os.Args[0]
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	p.cmd.ExtraFiles = []*os.File{theirs, socket}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("the command can't be supervised: %w", err)
	}
	p.terminal.give(p.cmd.Process.Pid)
	p.Renew(stopBy) // the shepherd waits for it
	go p.listen()
	return p, nil
}

// mode tells the shepherd whether it is on a terminal.
func mode(t *terminal) string {
	if t == nil {
		return "batch"
	}
	return onTerminal
}

// duplicate returns another descriptor of a connection. It does not go through conn.File, whose user could make the
// connection blocking.
func duplicate(conn net.Conn) (*os.File, error) {
	source, ok := conn.(syscall.Conn)
	if !ok {
		return nil, errors.New("the connection has no descriptor")
	}
	raw, err := source.SyscallConn()
	if err != nil {
		return nil, err
	}
	fd := -1
	err = errors.Join(raw.Control(func(original uintptr) { fd, err = unix.FcntlInt(original, unix.F_DUPFD_CLOEXEC, 0) }), err)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "connection"), nil
}

// listen hears that the command has stopped.
func (p *Process) listen() {
	for b := make([]byte, 1); ; {
		if _, err := p.control.Read(b); err != nil {
			return
		}
		select {
		case p.paused <- struct{}{}:
		default:
		}
	}
}

// send sends a message. A shepherd that takes none is dealt with by Stop.
func (p *Process) send(message int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.control.SetWriteDeadline(time.Now().Add(time.Second))
	_, _ = p.control.Write(binary.BigEndian.AppendUint64(nil, uint64(message)))
}

// Renew lets the command run until stopBy. Zero means no limit.
func (p *Process) Renew(stopBy time.Time) {
	if stopBy.IsZero() {
		p.send(endless)
		return
	}
	p.send(max(1, sinceBoot()+int64(time.Until(stopBy))))
}

// Stop ends everything: SIGTERM, and SIGKILL after KillAfter. If the shepherd doesn't, because somebody has stopped
// it, it is killed, and Wait kills the rest.
func (p *Process) Stop() {
	p.send(stopNow)
	select {
	case <-p.gone:
	case <-time.After(KillAfter + KillAfter/20):
		_ = p.cmd.Process.Kill()
	}
}

// Wait returns the command's exit code, when everything has ended. The error means that there is none.
func (p *Process) Wait() (code int, err error) {
	_ = p.cmd.Wait()
	close(p.gone)
	for killAll(); !reap(); killAll() { // only if the shepherd was killed
		time.Sleep(time.Millisecond)
	}
	p.terminal.take(p.cmd.Process.Pid)
	_ = p.control.Close()
	status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !ok {
		return 0, errors.New("the command's exit code is unknown")
	}
	return exitCode(status), nil
}

// killAll kills all descendants.
func killAll() {
	for _, d := range descendants(os.Getpid()) {
		_ = unix.Kill(d.pid, unix.SIGKILL)
	}
}

// reap reaps the children that have ended, and reports whether none is left.
func reap() bool {
	for {
		switch pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); {
		case err == unix.EINTR || pid > 0:
		default:
			return err == unix.ECHILD
		}
	}
}

// Paused gets a value when the command has stopped on a terminal (Ctrl-Z). Then call Pause, and Continue.
func (p *Process) Paused() <-chan struct{} { return p.paused }

// Continued gets a value when this process was continued. Then call Continue.
func (p *Process) Continued() <-chan os.Signal { return p.goOn }

// Pause gives the terminal back and stops this process, until the shell continues it.
func (p *Process) Pause() {
	if p.terminal != nil {
		p.terminal.take(p.cmd.Process.Pid)
		p.terminal.stop()
	}
}

// Continue continues a command that has stopped, in the foreground if this process has that.
func (p *Process) Continue() {
	p.terminal.give(p.cmd.Process.Pid)
	p.send(continueIt)
}

// sinceBoot returns the time since the machine was started. It goes on while the machine sleeps.
func sinceBoot() int64 {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &t)
	return t.Nano()
}
