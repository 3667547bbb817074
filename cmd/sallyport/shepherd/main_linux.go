package shepherd

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Subcommand is the hidden subcommand that must call Main.
const Subcommand = "shepherd"

// Descriptors of the shepherd. The connection is only kept open.
const (
	controlFD    = 3
	connectionFD = 4
)

const (
	// rescan is the time between two searches for new descendants while the shepherd ends all processes.
	rescan = 50 * time.Millisecond
	// minRescan is the least such time, when SIGKILL begins: processes may be forking all the time.
	minRescan = time.Millisecond
	// lookAtTime is the time between two looks at the clock. A single timer would stand still while the machine
	// sleeps, and after that the command runs until the next look.
	lookAtTime = 100 * time.Millisecond
	// maxPauseRounds bounds how often the shepherd looks for what has been started while it stopped the rest.
	maxPauseRounds = 50
)

// The first argument of a shepherd says whose command it runs.
const (
	onTerminal = "terminal" // that of a client on a terminal
	inBatch    = "batch"    // that of another client
	ofServer   = "backend"  // that of a server
)

// Main runs a command as its shepherd, in the process that [Start] has made, with the arguments that Start
// gave to it. It returns the exit code of the command after all processes have ended.
func Main(args []string) (int, error) {
	runtime.LockOSThread() // Pdeathsig kills the command when this thread ends
	if _, err := unix.FcntlInt(controlFD, unix.F_GETFD, 0); err != nil || len(args) < 3 {
		return 0, errors.New("this is started by sallyport hold and sallyport serve alone")
	}
	syscall.CloseOnExec(controlFD)
	syscall.CloseOnExec(connectionFD)
	how, err := howToRun(args[0])
	if err != nil {
		return 0, err
	}
	ignoreSignals()
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return 0, fmt.Errorf("subreaper: %w", err)
	}
	s := &herd{control: os.NewFile(controlFD, "control"), messages: make(chan int64), events: make(chan event), terminal: args[0] == onTerminal}
	go s.listen()
	first, ok := <-s.messages
	if !ok || first == stopNow {
		return 0, errors.New("ended before the command was started")
	}
	s.until = first
	if err := s.start(args[2:], how); err != nil {
		return 0, err
	}
	if args[0] == ofServer {
		leaveInputAndOutput()
	}
	go s.wait()
	return s.run(), nil
}

// ignoreSignals keeps the shepherd alive when the terminal or the group gets a signal, which is meant for the
// command. It catches the signals, because the command would inherit that they are ignored.
func ignoreSignals() {
	for _, s := range []os.Signal{
		syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU,
	} {
		if !signal.Ignored(s) {
			signal.Notify(make(chan os.Signal, 1), s)
		}
	}
}

// herd is the command and all that it has started.
type herd struct {
	control  *os.File
	messages chan int64
	events   chan event
	terminal bool
	pid      int   // of the command
	until    int64 // the latest time in a message
	status   syscall.WaitStatus

	continues byte         // the number of messages continueIt
	paused    map[int]bool // what was stopped because the command has stopped; nil if it has not
	stopping  bool
	killAt    int64
	told      map[int]bool // got SIGTERM
}

// event says that the command has ended or stopped. A pid of 0 means that no child is left.
type event struct {
	pid    int
	status syscall.WaitStatus
}

// listen receives the messages of the client. It notices the end of the client, whatever the reason, even if
// the client ended before this process began. PR_SET_PDEATHSIG would report the end of a thread of the
// client.
func (s *herd) listen() {
	defer close(s.messages)
	for b := make([]byte, 8); ; {
		if _, err := io.ReadFull(s.control, b); err != nil {
			return
		}
		s.messages <- int64(binary.BigEndian.Uint64(b))
	}
}

func (s *herd) start(args []string, how *syscall.ProcAttr) error {
	path, err := exec.LookPath(args[0])
	if err != nil {
		return err
	}
	how.Files, how.Sys.Pdeathsig = []uintptr{0, 1, 2}, syscall.SIGKILL // if the shepherd is killed
	s.pid, err = syscall.ForkExec(path, args, how)
	return err
}

// wait reaps all children, with those that were adopted, until none is left. It waits for nothing else: ten
// thousand that end at once must not delay SIGKILL for the others.
func (s *herd) wait() {
	for ended := false; ; {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WUNTRACED, nil)
		switch {
		case err == syscall.EINTR:
		case err != nil:
			s.events <- event{}
			return
		case pid == s.pid && !ended:
			ended = !status.Stopped()
			s.events <- event{pid, status}
		}
	}
}

// run waits until all processes have ended, and returns the exit code of the command.
func (s *herd) run() int {
	for {
		select {
		case message, ok := <-s.messages:
			if !ok {
				s.messages = nil
			}
			s.obey(message, ok)
		case e := <-s.events:
			if e.pid == 0 {
				return exitCode(s.status)
			}
			s.notice(e)
		case <-time.After(s.pace()):
		}
		switch {
		case s.stopping:
			s.signal()
		case s.over():
			_, _ = s.control.Write([]byte{timeIsOver, s.continues})
			s.stop() // also if the command is paused: anybody can continue it
		}
	}
}

// pace returns how long to wait for a message or an event.
func (s *herd) pace() time.Duration {
	if s.stopping {
		if killing := s.killing(); killing >= 0 {
			return min(max(killing/100, minRescan), rescan)
		}
		return rescan
	}
	if s.until > 0 {
		return max(0, min(lookAtTime, time.Duration(s.until-sinceBoot())))
	}
	return lookAtTime
}

// over reports whether the command's time is over.
func (s *herd) over() bool { return s.until > 0 && sinceBoot() >= s.until }

func (s *herd) obey(message int64, ok bool) {
	switch {
	case !ok || message == stopNow:
		s.stop()
	case message == continueIt:
		s.continues++
		s.resume()
	default:
		s.until = message
	}
}

func (s *herd) notice(e event) {
	if e.status.Stopped() {
		s.pause()
		return
	}
	s.status = e.status
	s.stop() // for the processes that it has left behind
}

// pause stops all processes and tells the client, if the command is on a terminal.
func (s *herd) pause() {
	if s.stopping || !s.terminal {
		return
	}
	if s.paused == nil { // otherwise somebody else has continued the command
		s.paused = map[int]bool{}
	}
	told := map[int]bool{}
	for found, rounds := true, 0; found && rounds < maxPauseRounds; rounds++ {
		found = false
		eachDescendant(os.Getpid(), func(pid int) {
			if p, ok := readProcess(pid); ok && p.runs() && !told[pid] {
				s.paused[pid], told[pid], found = true, true, true
				_ = unix.Kill(pid, unix.SIGSTOP)
			}
		})
	}
	_, _ = s.control.Write([]byte{hasPaused, s.continues})
}

// resume continues what pause has stopped, and the command.
func (s *herd) resume() {
	for pid := range s.paused {
		_ = unix.Kill(pid, unix.SIGCONT)
	}
	s.paused = nil
	_ = unix.Kill(-unix.Getpgrp(), unix.SIGCONT)
}

// stop begins to end all processes.
func (s *herd) stop() {
	if s.stopping {
		return
	}
	s.stopping, s.told = true, map[int]bool{}
	s.killAt = sinceBoot() + int64(KillAfter)
	if s.until > 0 { // the shepherd may have been stopped, or the machine asleep, when the time was over
		s.killAt = max(min(s.killAt, s.until+int64(KillAfter)), sinceBoot())
	}
	s.signal()
}

// signal sends SIGTERM, once, or SIGKILL to each process that is left.
func (s *herd) signal() {
	kill := s.killing() >= 0
	eachDescendant(os.Getpid(), func(pid int) {
		switch {
		case kill:
			_ = unix.Kill(pid, unix.SIGKILL)
		case !s.told[pid]:
			s.told[pid] = true
			_ = unix.Kill(pid, unix.SIGTERM)
			_ = unix.Kill(pid, unix.SIGCONT) // a process that has stopped could not handle it
		}
	})
}

// killing returns for how long the shepherd has sent SIGKILL. It is negative before.
func (s *herd) killing() time.Duration { return time.Duration(sinceBoot() - s.killAt) }
