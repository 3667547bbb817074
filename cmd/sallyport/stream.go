package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/term"

	"github.com/sallyport/sallyport/client"
	"github.com/sallyport/sallyport/client/lease"
	"github.com/sallyport/sallyport/client/stream"
	"github.com/sallyport/sallyport/cmd/sallyport/spool"
	"github.com/sallyport/sallyport/cmd/sallyport/tty"
	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/server/audit/show"
)

// joint joins a stream to standard input and output.
type joint struct {
	*stream.Stream
	client   *client.Client
	screen   *tty.Screen
	messages *spool.Writer // below screen
	lease    lease.Lease
	live     bool // what the backend said before is skipped
	watches  bool // without the seat
	// restore gives the terminal back.
	restore func()
	// resized gets a value when the terminal may have changed, and resize handles that.
	resized <-chan os.Signal
	resize  func()
	// left is closed when the user leaves.
	left chan struct{}

	passed            atomic.Int64 // bytes of standard input so far
	taken             int64        // bytes that the backend took, after run
	waiting, watching atomic.Int64 // of the last notices
}

// join joins the backend to standard input and output: on a terminal as a console, otherwise byte for byte. A server
// without STREAM gets OPEN.
func (f *connectFlags) join(ctx context.Context, c *client.Client) error {
	isConsole := term.IsTerminal(int(os.Stdin.Fd()))
	begin := stream.OpenLive // a script must not take what the backend said before for an answer
	if isConsole {
		begin = stream.Open
	}
	s, err := begin(ctx, c)
	if reply, ok := errors.AsType[*protocol.ReplyError](err); ok && reply.Keyword == protocol.KeywordUnknownCommand {
		return open(ctx, c)
	}
	if err != nil {
		return notOpened(err)
	}
	messages := spool.New(os.Stderr) // which must not delay a ping
	defer messages.Close(time.Second)
	j := newJoint(s, c, messages)
	j.live = !isConsole
	if isConsole {
		return j.console(ctx, f)
	}
	return j.pipe(ctx, f)
}

func newJoint(s *stream.Stream, c *client.Client, messages *spool.Writer) *joint {
	return &joint{
		Stream: s, client: c, screen: &tty.Screen{Out: stdout, Messages: messages}, messages: messages,
		lease:   lease.NewSilence(lease.Limits(c.Timeouts()).Vanish),
		restore: func() {}, left: make(chan struct{}),
	}
}

// pipe passes standard input to its end, and then what the backend says until its end.
func (j *joint) pipe(ctx context.Context, f *connectFlags) error {
	if f.waited {
		j.screen.Printf("seated")
	}
	unread := make(chan error, 1)
	go func() {
		_, err := io.Copy(j.Stream, io.TeeReader(os.Stdin, counter{&j.passed}))
		unread <- ofInput(err)
		j.screen.AwaitQuiet(ctx, f.linger)
		_ = j.CloseWrite()
	}()
	if err := j.run(ctx); err != nil {
		return err
	}
	if passed := j.passed.Load(); j.taken < passed {
		return fmt.Errorf("the backend has ended the stream, and has taken only %d of %d bytes", j.taken, passed)
	}
	select {
	case err := <-unread:
		return err
	default:
		return nil // the backend has ended the stream, whatever comes
	}
}

// counter counts the bytes that are written to it.
type counter struct{ n *atomic.Int64 }

func (c counter) Write(p []byte) (int, error) {
	c.n.Add(int64(len(p)))
	return len(p), nil
}

// run passes on what the backend says, and shows notices, until the stream is over or the seat is lost. Then it
// gives the seat back.
func (j *joint) run(ctx context.Context) error {
	held, lose := context.WithCancelCause(ctx)
	defer lose(nil)
	stop := context.AfterFunc(held, func() { _ = j.client.Close() }) // which ends calls that block
	defer stop()
	output := make(chan error, 1)
	go j.guard(func() { _, err := j.WriteTo(j.screen); output <- err })
	watch := func(f func(context.Context) error) {
		j.guard(func() {
			if err := f(held); err != nil {
				lose(err)
			}
		})
	}
	go watch(j.keep)
	notices, left := j.client.Notices(), j.left
	for {
		select {
		case <-held.Done():
			return context.Cause(held)
		case n, isOpen := <-notices:
			if !isOpen {
				notices = nil // WriteTo returns why
				continue
			}
			j.notice(n)
		case <-j.resized:
			j.resize()
		case <-left:
			left = nil
			go watch(j.leave)
		case err := <-output:
			j.lastNotices(notices)
			return j.finish(held, err)
		}
	}
}

// guard calls f. If f panics, it restores the terminal before that ends the process.
func (j *joint) guard(f func()) {
	returned := false
	defer func() {
		if !returned {
			j.restore()
		}
	}()
	f()
	returned = true
}

// keep proves again and again that the server hears this client. It returns nil at the end of ctx or of the stream,
// and otherwise why the seat may be lost.
func (j *joint) keep(ctx context.Context) error {
	ping := func() error { _, err := j.Ping(ctx, false); return err }
	for {
		switch err := j.lease.Resume(ctx, ping); {
		case errors.Is(err, lease.ErrOver) && !j.screen.Flows() && j.watches:
			return errFellSilent
		case errors.Is(err, lease.ErrOver) && !j.screen.Flows():
			return err
		case errors.Is(err, lease.ErrOver): // the answer is behind what is being written
		case err != nil:
			<-ctx.Done() // WriteTo returns why
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Until(j.lease.NextPing())):
		}
	}
}

// finish returns how the stream ended, and gives the seat back. err is that of WriteTo, nil at the end of the
// backend's direction.
func (j *joint) finish(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil && !errors.Is(err, stream.ErrOver):
		_ = j.Abort() // if it was a write to standard output
		return broken(err)
	}
	if j.taken, err = j.end(ctx); err != nil {
		return broken(err)
	}
	// The stream is complete. The next client gets the seat also without a reply to QUIT.
	quit, cancel := context.WithTimeout(ctx, leaveAfter)
	defer cancel()
	_ = j.client.Quit(quit)
	return nil
}

// end ends the client's direction, and the whole stream if the backend's direction goes on for longer than
// leaveAfter. It returns how many bytes the backend has taken. A backend may need its time to end.
func (j *joint) end(ctx context.Context) (taken int64, err error) {
	if j.watches {
		_ = j.Abort()
	}
	_ = j.CloseWrite()
	patient, cancel := context.WithTimeout(ctx, leaveAfter)
	defer cancel()
	if taken, _, err = j.Wait(patient); errors.Is(err, context.DeadlineExceeded) {
		_ = j.Abort()
		taken, _, err = j.Wait(ctx)
	}
	return taken, cause(ctx, err)
}

// leave ends the stream for a user who wants to leave. It returns an error if the server doesn't answer.
func (j *joint) leave(ctx context.Context) error {
	go j.guard(func() { _, _ = j.end(ctx) })
	patient, cancel := context.WithTimeout(ctx, leaveAfter)
	defer cancel()
	if _, err := j.Ping(patient, false); errors.Is(err, context.DeadlineExceeded) {
		return errNoGoodbye
	}
	return nil // also if the stream is over
}

// broken adds to the reply that ended a stream what it means, and what to do.
func broken(err error) error {
	if reply, ok := errors.AsType[*protocol.ReplyError](err); ok && reply.Code == protocol.CodeFailed {
		return fmt.Errorf("%w: the server has lost its backend: connect again when it is back; its operator finds the reason in the messages of the server", err)
	}
	return err
}

// notice shows a notice.
func (j *joint) notice(n client.Notice) {
	_, value, _ := strings.Cut(n.Text, " ")
	number, err := strconv.ParseInt(value, 10, 64)
	backlog, isBacklog := stream.Backlog(n)
	switch {
	case n.Code == protocol.CodeWaiting && err == nil:
		j.waiting.Store(number)
		j.screen.Printf("%d waiting", number)
	case n.Code == protocol.CodeWatching && err == nil:
		j.watching.Store(number)
		j.screen.Printf("%d watching", number)
	case isBacklog:
		if !j.live {
			j.screen.Printf("the first %d bytes are from before this session", backlog)
			j.screen.Mark(int64(backlog), "what follows is said now")
		}
	case n.Code == protocol.CodeMessage && j.watches:
		j.screen.Printf("%s", show.Printable(n.Text))
	case n.Code == protocol.CodeMessage:
		j.screen.Printf(noticeLabel+"%s", show.Printable(n.Text))
	}
}

// lastNotices shows the notices that came before the end.
func (j *joint) lastNotices(notices <-chan client.Notice) {
	for {
		select {
		case n, isOpen := <-notices:
			if !isOpen {
				return
			}
			j.notice(n)
		default:
			return
		}
	}
}
