package shepherd

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Messages to the shepherd. Any other number is the time, in nanoseconds of CLOCK_BOOTTIME, when the command
// must end.
const (
	stopNow    = 0  // end everything
	continueIt = -1 // continue what Ctrl-Z has stopped
	endless    = -2 // run without limit
)

// Messages of the shepherd. A second byte is the number of messages continueIt that it has obeyed.
const (
	hasPaused  = 1 // the command has stopped on a terminal
	timeIsOver = 2 // the shepherd begins to end the command, because the time is over
)

// Process is a command that runs under a shepherd.
type Process struct {
	job
	control *os.File
	others  *others
	gone    chan struct{} // closed when the shepherd has ended
	heard   chan error    // gets ErrOver or nil after the last message of the shepherd

	mu        sync.Mutex // orders messages
	continues byte       // the number of messages continueIt
}

// Start starts a command with the standard input, output and error of this process. The command must end at
// stopBy. The zero time means no limit. The shepherd keeps a descriptor of conn until all processes have
// ended.
func Start(args []string, conn net.Conn, stopBy time.Time) (*Process, error) {
	socket, err := duplicate(conn)
	if err != nil {
		return nil, err
	}
	defer socket.Close()
	p := &Process{job: newJob("/proc/self/exe", supervised(mode(), args)...)}
	return p, p.start(stopBy, socket)
}

// supervised returns the arguments of the shepherd of a command.
func supervised(mode string, args []string) []string {
	return append([]string{Subcommand, mode, "--"}, args...)
}

// start starts the shepherd, which also keeps the descriptors of keep.
func (p *Process) start(stopBy time.Time, keep ...*os.File) error {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return err
	}
	theirs := os.NewFile(uintptr(pair[1]), "shepherd")
	defer theirs.Close()
	p.control, p.gone = os.NewFile(uintptr(pair[0]), "shepherd"), make(chan struct{})
	p.heard = make(chan error, 1)
	// If the shepherd is killed, this process adopts its children.
	_ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
	p.others = findOthers(p.cmd.SysProcAttr.Setsid)
	p.cmd.Args[0], p.cmd.ExtraFiles = os.Args[0], append([]*os.File{theirs}, keep...)
	if err := p.cmd.Start(); err != nil {
		_ = p.control.Close()
		return fmt.Errorf("the command can't be supervised: %w", err)
	}
	p.terminal.give(p.cmd.Process.Pid)
	p.Renew(stopBy) // the shepherd starts the command then
	go p.listen()
	return nil
}

// mode returns the shepherd's first argument.
func mode() string {
	if openTerminal() == nil {
		return inBatch
	}
	return onTerminal
}

// duplicate returns another descriptor of a connection. It avoids conn.File, because some uses of that file
// make the connection blocking.
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

// listen receives the messages of the shepherd until it ends.
func (p *Process) listen() {
	var over error
	defer func() { p.heard <- over }()
	for b := make([]byte, 2); ; {
		switch _, err := io.ReadFull(p.control, b); {
		case err != nil:
			return
		case b[0] == timeIsOver:
			over = ErrOver
		default:
			p.stoppedAfter(b[1])
		}
	}
}

// stoppedAfter notes that the command has stopped, unless it has been continued since.
func (p *Process) stoppedAfter(continues byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if continues == p.continues {
		p.hasStopped()
	}
}

// send sends a message. It ignores an error, because Stop kills a shepherd that does not react.
func (p *Process) send(message int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.control.SetWriteDeadline(time.Now().Add(time.Second))
	_, _ = p.control.Write(binary.BigEndian.AppendUint64(nil, uint64(message)))
}

// Renew lets the command run until stopBy. The zero time means no limit.
func (p *Process) Renew(stopBy time.Time) {
	if stopBy.IsZero() {
		p.send(endless)
		return
	}
	p.send(max(1, sinceBoot()+int64(time.Until(stopBy))))
}

// Stop ends all processes by SIGTERM, and by SIGKILL after KillAfter. If the shepherd doesn't, for example
// because it was stopped, Stop kills it. Wait then kills the processes that are left.
func (p *Process) Stop() {
	p.send(stopNow)
	select {
	case <-p.gone:
	case <-time.After(KillAfter + KillAfter/20):
		_ = p.cmd.Process.Kill()
	}
}

// Wait waits until all processes have ended, and returns the command's exit code. Except for [ErrOver] an error
// means that the code is unknown, or that the shepherd was killed and some of its processes go on.
func (p *Process) Wait() (code int, err error) {
	_ = p.cmd.Wait()
	close(p.gone)
	status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if ok && status.Signaled() { // otherwise the shepherd has left nothing
		err = p.others.endOrphans(time.Now().Add(KillAfter))
	}
	reap() // what the others have left to this process
	p.terminal.take(p.cmd.Process.Pid)
	over := <-p.heard
	_ = p.control.Close()
	switch {
	case !ok:
		return 0, errors.New("the command's exit code is unknown")
	case over != nil:
		err = over
	}
	return exitCode(status), err
}

// Continue continues a command that has stopped, in the foreground if this process has that.
func (p *Process) Continue() {
	p.mu.Lock()
	p.continues++
	p.forgetStop()
	p.mu.Unlock()
	p.terminal.give(p.cmd.Process.Pid)
	p.send(continueIt)
}

// sinceBoot returns the time since the machine was started. It goes on while the machine sleeps.
func sinceBoot() int64 {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &t)
	return t.Nano()
}
