//go:build unix

package backend

import (
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/sallyport/sallyport/cmd/sallyport/shepherd"
	"github.com/sallyport/sallyport/protocol"
)

const hasShell = true

// lastWords is how long what a process has written may take to arrive when it has ended.
const lastWords = time.Second

// past is a deadline that ends reads and writes at once.
var past = time.Unix(1, 0)

// process is a running command. After its end Read returns io.EOF, or errNotStarted, and Write discards the bytes.
type process struct {
	in, out *os.File // to and from the command; one file for a terminal
	command *shepherd.Process
	closing sync.Once
	unread  sync.Once // when the first bytes are discarded
	closed  atomic.Bool
	code    chan int      // gets the exit code
	gone    chan struct{} // closed when all that the command has started has ended
}

// The exit codes of /bin/sh for a command that it can't run, and that is not there (POSIX, Shell Command Language,
// §2.8.2).
const (
	cantRun  = 126
	notFound = 127
)

// codeTime is how long the exit code of a command that has closed its output may take to arrive.
const codeTime = 200 * time.Millisecond

// errNotStarted means that the command could not be run. It is a reply, because without one the client would take the
// end of the stream for the end of a good command.
var errNotStarted = &protocol.ReplyError{
	Code: protocol.CodeFailed, Keyword: protocol.KeywordFailed,
	Text: "the backend's command can't be run: the operator finds the reason on the server's standard error",
}

// pipes is a command with pipes.
type pipes struct{ *process }

// CloseWrite ends the command's input.
func (p pipes) CloseWrite() error { return p.in.Close() }

// openPipes starts a command with pipes.
func (c *command) openPipes(cmd *shepherd.Command) (io.ReadWriteCloser, error) {
	var files []*os.File
	for range 3 {
		r, w, err := os.Pipe()
		if err != nil {
			closeAll(files)
			return nil, err
		}
		files = append(files, r, w)
	}
	p := &process{in: files[1], out: files[2]}
	err := p.start(c, cmd, files[0], files[3], files[5], files[4])
	if err != nil {
		closeAll(files)
		return nil, err
	}
	closeAll([]*os.File{files[0], files[3], files[5]})
	return pipes{p}, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close()
	}
}

// start starts the command with in, out and errs. stderr is the other end of errs, or nil for a terminal.
func (p *process) start(c *command, cmd *shepherd.Command, in, out, errs, stderr *os.File) (err error) {
	for _, f := range []*os.File{in, out, errs} {
		if err == nil && cmd.Owner != nil {
			err = give(f, cmd.Owner)
		}
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, out, errs
	if err == nil {
		p.command, err = cmd.Start()
	}
	if err != nil {
		return err
	}
	p.gone, p.code = make(chan struct{}), make(chan int, 1)
	go p.watch(c.b, stderr)
	return nil
}

// give makes a pipe or a terminal the user's, who can then open it by its name, as in /dev/stdin.
func give(f *os.File, to *shepherd.Owner) error {
	return errors.Join(f.Chown(int(to.UID), -1), f.Chmod(0o600))
}

// watch waits until all processes have ended, and then ends Read, Write and copyLines. Another program may keep the pipes
// open, if a process has sent it a descriptor through a socket.
func (p *process) watch(b *Backend, stderr *os.File) {
	defer close(p.gone)
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		copyLines(b.Stderr, stderr) // a nil file has no lines
	}()
	code, err := p.command.Wait()
	p.code <- code
	if err != nil {
		b.log().Error("the end of the backend's command is not known", "error", err)
	} else if code != 0 && !(p.closed.Load() && code > 128) { // not by a signal of Close
		b.log().Warn("the backend's command has failed", "exit code", code)
	}
	_ = p.out.SetReadDeadline(past)
	_ = p.in.SetWriteDeadline(past) // a terminal whose other end is closed would take bytes until it is full
	_ = stderr.SetReadDeadline(time.Now().Add(lastWords))
	<-copied
	_ = stderr.Close()
}

// Read returns io.EOF after all processes have ended and what they have written was read: one that closes its standard
// output early may still read its input.
func (p *process) Read(b []byte) (int, error) {
	n, err := p.out.Read(b)
	if errors.Is(err, os.ErrDeadlineExceeded) { // all processes have ended, and the rest can be read at once
		_ = p.out.SetReadDeadline(time.Now().Add(lastWords))
		n, err = p.out.Read(b)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, syscall.EIO) { // EIO is how Linux ends a terminal
		err = io.EOF
	}
	if err == io.EOF {
		if !p.closed.Load() && p.isNotStarted() {
			err = errNotStarted
		}
		<-p.gone
	}
	return n, err
}

// isNotStarted reports whether the shell has found no command to run. A command that has closed its output but goes on
// was started.
func (p *process) isNotStarted() bool {
	select {
	case code := <-p.code:
		p.code <- code // for the next Read
		return code == cantRun || code == notFound
	case <-time.After(codeTime):
		return false
	}
}

// awaitEnd gives Read time to report the end of the command. Otherwise the client would believe that the command has
// read the bytes that Write discards.
func (p *process) awaitEnd() {
	select {
	case <-p.gone:
	case <-time.After(codeTime):
	}
}

// Write discards bytes that no process can read any more.
func (p *process) Write(b []byte) (int, error) {
	n, err := p.in.Write(b)
	if errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.EIO) || errors.Is(err, os.ErrDeadlineExceeded) {
		p.unread.Do(p.awaitEnd)
		return len(b), nil
	}
	return n, err
}

// Close ends all processes by SIGTERM, and by SIGKILL 5 s later. A terminal sends SIGHUP before.
func (p *process) Close() error {
	p.closing.Do(func() {
		p.closed.Store(true)
		_ = p.in.Close()
		_ = p.out.Close()
		p.command.Stop()
	})
	<-p.gone
	return nil
}

// control calls f with the descriptor of a file.
func control(file *os.File, f func(fd int) error) error {
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) { failed = f(int(fd)) })
	return errors.Join(err, failed)
}
