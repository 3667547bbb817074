package server

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"os"
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
	tail    atomic.Bool  // the client has ended its TCP direction, too
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

// join copies both ways. Whatever ends the session, and an eviction, closes the backend, and so ends
// both copies.
func (x *stream) join() error {
	x.touch()
	stop := context.AfterFunc(x.ctx, func() { _ = x.backend.Close() })
	defer stop()
	down := make(chan error, 1)
	go func() {
		err := x.fromBackend()
		if err != nil {
			x.cancel(err) // closes the backend, too, for a write to it that is stuck
			x.wake(flagDone)
		}
		down <- err
	}()
	err := x.toBackend()
	if errors.Is(err, io.EOF) {
		halfClose(x.backend)
		err = x.linger(down, err)
	} else {
		x.cancel(err)
		<-down
	}
	return cmp.Or(context.Cause(x.ctx), err) // what came first
}

// linger waits for the backend's last words after the client has ended its direction. TLS can end
// one direction alone; a client that has ended TCP as well may have gone, and a silent backend has
// only Limits.Vanish then.
func (x *stream) linger(down <-chan error, err error) error {
	ended := make(chan error, 1)
	go func() { ended <- x.untilEnd(flagDone | flagEvicted) }()
	select {
	case late := <-down:
		x.wake(flagDone)
		<-ended
		return cmp.Or(late, err)
	case how := <-ended:
		if errors.Is(how, errWoken) {
			how = x.woken()
		}
		if !errors.Is(how, io.EOF) {
			x.cancel(how)
			<-down
			return how
		}
	}
	x.tail.Store(true)
	_ = x.backend.SetReadDeadline(past) // which makes fromBackend look at the time again
	return cmp.Or(<-down, err)
}

// woken says why the stream must end. Whoever evicts it sets the flag before the cause.
func (x *stream) woken() error {
	if x.has(flagEvicted) {
		return errEvicted
	}
	return errWoken
}

// toBackend copies what the client sends. io.EOF is the client's half-close, errWoken that the other
// direction has failed.
func (x *stream) toBackend() error {
	buf := make([]byte, streamBuffer)
	for {
		n, err := x.read(buf, x.by())
		if n > 0 {
			x.in += int64(n)
			if err := x.pass("in", buf[:n]); err != nil {
				return err
			}
			_ = x.backend.SetWriteDeadline(x.by())
			if _, err := x.backend.Write(buf[:n]); err != nil {
				return errors.Join(errBackend, err)
			}
		}
		switch {
		case errors.Is(err, errWoken):
			if x.has(flagEvicted | flagDone) {
				return x.woken()
			}
			// A shutdown waits for a stream as for any running request.
			x.flags.And(^(flagNotice | flagMessage | flagShutdown))
		case errors.Is(err, errDeadline) && !x.isIdle():
		case err != nil:
			return x.inputError(err)
		}
	}
}

// fromBackend copies what the backend sends. Nil is the backend's half-close, or its end, which the
// client is told by a close_notify.
func (x *stream) fromBackend() error {
	buf := make([]byte, streamBuffer)
	for {
		tail := x.tail.Load()
		_ = x.backend.SetReadDeadline(x.by())
		if tail != x.tail.Load() {
			continue // linger's call may have come before this one
		}
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
		switch {
		case err == io.EOF:
			_ = x.tls.CloseWrite()
			return nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			if x.isIdle() {
				return x.inputError(errDeadline)
			}
		case err != nil:
			return errors.Join(errBackend, err)
		}
	}
}

// pass notes that octets go by, and logs them where the operator asks for that.
func (x *stream) pass(direction string, p []byte) error {
	x.touch()
	if !x.srv.LogPayload {
		return nil
	}
	x.srv.Audit.Info("stream.data", x.id).Str("direction", direction).Str("data", base64.StdEncoding.EncodeToString(p)).Send()
	return x.srv.logged(x.srv.Audit.Flush())
}

func (x *stream) touch() { x.last.Store(int64(time.Since(x.opened))) }

// by is when the stream has been idle for too long, or the session is over.
func (x *stream) by() time.Time {
	idle := x.srv.limits.Idle
	if vanish := x.srv.limits.Vanish; x.tail.Load() && vanish >= 0 && (idle < 0 || vanish < idle) {
		idle = vanish
	}
	return earlier(after(x.opened.Add(time.Duration(x.last.Load())), idle), x.endBy)
}

func (x *stream) isIdle() bool {
	by := x.by()
	return !by.IsZero() && !time.Now().Before(by)
}
