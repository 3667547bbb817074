package server

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"syscall"
	"time"

	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/protocol/tcp"
)

const (
	streamBuffer = 32 << 10
	// lookAtPeer is how often a stream looks whether the client's kernel still answers.
	lookAtPeer = time.Second
)

// stream joins a client to a backend. The connection's goroutine copies to the backend, another goroutine
// copies from it.
type stream struct {
	*session
	backend net.Conn
	in, out int64 // bytes to and from the backend
}

// streamEnd is why a stream ended. It hides the cause from sendLast, because the client would take a reply
// for data of the backend.
type streamEnd struct{ cause error }

func (streamEnd) Error() string { return "stream ended" }

// open serves OPEN: it connects to the backend, answers, and copies until both directions have ended. The
// session ends with the stream.
func (s *session) open(began time.Time) error {
	x := &stream{session: s}
	_, err := s.call(HandlerFunc(func(ctx context.Context, _ *Request) (r protocol.Reply, err error) {
		if x.backend, err = s.srv.Backend(ctx); err == nil && x.backend == nil {
			err = errBackend
		}
		return r, err
	}), began)
	if x.backend != nil {
		defer s.safely(x.backend.Close)
	}
	if err != nil {
		return s.answerError(err, began)
	}
	s.mu.Lock()
	s.streams = true
	s.mu.Unlock()
	s.sendMessages() // the last ones
	if err := s.answer(protocol.Reply{Code: protocol.CodeOpen, Text: "open"}, began); err != nil {
		return err
	}
	s.srv.Audit.Info("stream.open", s.id).Send()
	if err := s.flush(); err != nil {
		return err
	}
	if err = x.join(); !errors.Is(err, io.EOF) {
		_ = s.raw.Close() // without close_notify, because the stream is incomplete
	}
	s.srv.Audit.Info("stream.close", s.id).Int64("bytes_in", x.in).Int64("bytes_out", x.out).Send()
	return streamEnd{err}
}

// join copies both ways until both directions have ended (io.EOF) or x.ctx is cancelled. It returns the cause.
func (x *stream) join() error {
	x.touch(time.Now())
	x.raw.patient = true
	x.raw.setWriteDeadline()          // now, because later it would undo that of guard
	tcp.SetUserTimeout(x.raw.Conn, 0) // it would also end a client that pauses
	tail, down := make(chan struct{}), make(chan struct{})
	go x.guard(tail)
	go func() {
		defer close(down)
		if err := x.safely(x.fromBackend); err != nil {
			x.cancel(err)
		}
	}()
	err := x.safely(x.toBackend)
	if errors.Is(err, io.EOF) {
		err = x.linger(tail, down)
	}
	if errors.Is(err, errWoken) && x.has(flagEvicted) {
		err = x.evicted() // evict sets the flag before it cancels
	}
	x.cancel(err)
	<-down
	x.raw.patient = false
	return context.Cause(x.ctx) // the first cause
}

// guard ends both copies when x.ctx is cancelled. It cancels x.ctx when the stream has been idle for too long,
// the session's time is over, or the client's kernel no longer answers. A client that reads nothing is idle. The
// timer is not set for each byte, but again when it fires too early. After the client has ended its TCP direction
// (tail) it may have left, so the idle limit is Limits.Vanish then.
func (x *stream) guard(tail <-chan struct{}) {
	limit := x.srv.limits.Idle
	for {
		by := earlier(after(x.lastActive(), limit), x.endBy)
		switch {
		case !by.IsZero() && !time.Now().Before(by):
			x.cancel(x.inputError(errDeadline))
		case x.srv.limits.Vanish < 0:
		case tcp.Dead(x.raw.Conn, x.srv.limits.Vanish):
			x.cancel(syscall.ETIMEDOUT)
		default:
			by = earlier(by, time.Now().Add(lookAtPeer))
		}
		timer := timerAt(by)
		select {
		case <-timer.C:
		case <-tail:
			if tail = nil; x.srv.limits.Vanish >= 0 && (limit < 0 || x.srv.limits.Vanish < limit) {
				limit = x.srv.limits.Vanish
			}
		case <-x.ctx.Done():
			timer.Stop()
			_ = x.safely(x.backend.Close)
			if !errors.Is(context.Cause(x.ctx), io.EOF) {
				_ = x.raw.Conn.SetWriteDeadline(time.Now().Add(lastWrite)) // the client may read nothing
			}
			x.wake(flagDone)
			return
		}
		timer.Stop()
	}
}

// linger waits for the end of the backend's direction (down) after the client has ended its TLS direction. It
// closes tail when the client has ended its TCP direction too.
func (x *stream) linger(tail, down chan struct{}) error {
	ended := make(chan error, 1)
	go func() { ended <- x.safely(func() error { return x.untilEnd(flagDone | flagEvicted) }) }()
	select {
	case <-down:
		x.wake(flagDone)
		<-ended
	case how := <-ended:
		if !errors.Is(how, io.EOF) {
			return how
		}
		close(tail)
		<-down
	}
	return io.EOF
}

// toBackend copies from the client to the backend. io.EOF is the client's half-close, which it passes on,
// errWoken the end of the stream. A shutdown doesn't end a stream, like any running request.
func (x *stream) toBackend() error {
	x.raw.wait = wait{flags: flagEvicted | flagDone}
	for buf := make([]byte, streamBuffer); ; {
		n, err := x.rd.Read(buf)
		if n > 0 {
			x.in += int64(n)
			if err := x.pass("in", buf[:n]); err != nil {
				return err
			}
			if _, err := x.backend.Write(buf[:n]); err != nil {
				return errors.Join(errBackend, err)
			}
		}
		if err == io.EOF {
			halfClose(x.backend)
		}
		if err != nil {
			return err
		}
	}
}

// fromBackend copies from the backend to the client. At the backend's end it sends close_notify and returns
// nil.
func (x *stream) fromBackend() error {
	for buf := make([]byte, streamBuffer); ; {
		n, err := x.backend.Read(buf)
		if n > 0 {
			x.out += int64(n)
			if err := x.pass("out", buf[:n]); err != nil {
				return err
			}
			if err := x.write(buf[:n]); err != nil {
				return err
			}
		}
		if err == io.EOF {
			_ = x.tls.CloseWrite()
			return nil
		}
		if err != nil {
			return errors.Join(errBackend, err)
		}
	}
}

// pass notes that bytes pass, and logs them with LogPayload.
func (x *stream) pass(direction string, p []byte) error {
	x.touch(time.Now())
	if !x.srv.LogPayload {
		return nil
	}
	x.srv.Audit.Info("stream.data", x.id).Str("direction", direction).Str("data", base64.StdEncoding.EncodeToString(p)).Send()
	return x.srv.logged(x.srv.Audit.Flush())
}
