package server

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/sallyport/sallyport/protocol"
)

const streamBuffer = 32 << 10

// stream joins a client to a backend. The connection's goroutine copies to the backend, another one
// from it.
type stream struct {
	*session
	backend net.Conn
	last    atomic.Int64 // when an octet went either way, as a time.Duration since opened
	in, out int64        // octets to and from the backend
}

// streamEnd is why a stream ended. It hides the cause from sayLast: what is written now would be
// taken for the backend's words.
type streamEnd struct{ cause error }

func (streamEnd) Error() string { return "stream ended" }

// open is OPEN: it reaches the backend, answers, and joins the two until both directions have ended.
// The session ends with it.
func (s *session) open(began time.Time) error {
	x := &stream{session: s}
	_, err := s.call(HandlerFunc(func(ctx context.Context, _ *Request) (r protocol.Reply, err error) {
		if x.backend, err = s.srv.Backend(ctx); err == nil && x.backend == nil {
			err = errBackend
		}
		return r, err
	}), began)
	if x.backend != nil {
		defer x.backend.Close()
	}
	if err != nil {
		return s.answerError(err, began)
	}
	s.mu.Lock()
	s.deaf = true
	s.mu.Unlock()
	s.tellMessages() // the last that can be told
	if err := s.answer(protocol.Reply{Code: protocol.CodeStream, Text: "open"}, began); err != nil {
		return err
	}
	s.srv.Audit.Info("stream.open", s.id).Send()
	if err := s.flush(); err != nil {
		return err
	}
	if err = x.join(); !errors.Is(err, io.EOF) {
		_ = s.raw.Close() // without a close_notify: a stream that was cut must not look whole
	}
	s.srv.Audit.Info("stream.close", s.id).Int64("bytes_in", x.in).Int64("bytes_out", x.out).Send()
	return streamEnd{err}
}

// join copies both ways until both directions have ended (io.EOF) or something has ended the stream,
// which is why x.ctx is cancelled.
func (x *stream) join() error {
	x.touch()
	tail, down := make(chan struct{}), make(chan struct{})
	go x.guard(tail)
	go func() {
		defer close(down)
		if err := x.fromBackend(); err != nil {
			x.cancel(err)
		}
	}()
	err := x.toBackend()
	if errors.Is(err, io.EOF) {
		halfClose(x.backend)
		err = x.linger(tail, down)
	}
	if errors.Is(err, errWoken) && x.has(flagEvicted) {
		err = errEvicted // evict sets the flag before the cause
	}
	x.cancel(err)
	<-down
	return context.Cause(x.ctx) // what came first
}

// guard ends both copies when x.ctx is cancelled, and cancels it when the stream has been idle for too
// long or the time of the session is over. Its timer isn't set anew for each byte: it looks again where
// it comes too early. A client that has ended its TCP direction (tail) may have gone, and a silent
// backend has only Limits.Vanish then.
func (x *stream) guard(tail <-chan struct{}) {
	limit := x.srv.limits.Idle
	for {
		by := earlier(after(x.opened.Add(time.Duration(x.last.Load())), limit), x.endBy)
		if !by.IsZero() && !time.Now().Before(by) {
			x.cancel(x.inputError(errDeadline))
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
			_ = x.backend.Close()
			x.wake(flagDone)
			return
		}
		timer.Stop()
	}
}

// linger waits for the backend's last words (down) after the client has ended its direction. TLS can
// end one direction alone; tail is closed when the client has ended TCP as well.
func (x *stream) linger(tail, down chan struct{}) error {
	ended := make(chan error, 1)
	go func() { ended <- x.untilEnd(flagDone | flagEvicted) }()
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

// toBackend copies what the client sends. io.EOF is the client's half-close, errWoken that the stream
// is ended. A shutdown waits for a stream as for any running request.
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
		if err != nil {
			return err
		}
	}
}

// fromBackend copies what the backend sends. Nil is the backend's half-close, or its end, which the
// client is told by a close_notify.
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

// pass notes that bytes go by, and logs them where the operator asks for that.
func (x *stream) pass(direction string, p []byte) error {
	x.touch()
	if !x.srv.LogPayload {
		return nil
	}
	x.srv.Audit.Info("stream.data", x.id).Str("direction", direction).Str("data", base64.StdEncoding.EncodeToString(p)).Send()
	return x.srv.logged(x.srv.Audit.Flush())
}

func (x *stream) touch() { x.last.Store(int64(time.Since(x.opened))) }
