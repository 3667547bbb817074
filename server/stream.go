package server

import (
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
	last    atomic.Int64 // when an octet went either way, in Unix nanoseconds
	in, out int64        // octets to and from the backend
}

// streamEnd is why a stream ended. It hides the cause from sayLast: what is written now would be
// taken for the backend's words.
type streamEnd struct{ cause error }

func (streamEnd) Error() string { return "stream ended" }

// open is OPEN: it reaches the backend, answers, and joins the two until both directions have
// ended. The session ends with it.
func (s *session) open(began time.Time) error {
	x := &stream{session: s}
	_, err := s.call(HandlerFunc(func(ctx context.Context, _ *Request) (r protocol.Reply, err error) {
		x.backend, err = s.srv.Backend(ctx)
		return r, err
	}))
	if x.backend != nil {
		defer x.backend.Close()
	}
	if err != nil {
		return s.answerError(err, began)
	}
	if err := s.answer(protocol.Reply{Code: protocol.CodeStream, Text: "open"}, began); err != nil {
		return err
	}
	s.srv.Audit.Info("stream.open", s.id).Send()
	if err := s.flush(); err != nil {
		return err
	}
	err = x.join()
	s.srv.Audit.Info("stream.close", s.id).Int64("bytes_in", x.in).Int64("bytes_out", x.out).Send()
	return streamEnd{err}
}

// join copies both ways. Whatever ends the session, and an eviction, closes the backend, and so
// ends both copies.
func (x *stream) join() error {
	x.touch()
	stop := context.AfterFunc(x.ctx, func() { _ = x.backend.Close() })
	defer stop()
	down := make(chan error, 1)
	go func() { down <- x.fromBackend() }()
	err := x.toBackend()
	if !errors.Is(err, io.EOF) {
		x.cancel(err)
		<-down
		return err
	}
	halfClose(x.backend)
	if late := <-down; late != nil {
		err = late
	}
	if x.has(flagEvicted) {
		err = errEvicted
	}
	return err
}

// toBackend copies what the client sends. io.EOF is the client's half-close.
func (x *stream) toBackend() error {
	buf := make([]byte, streamBuffer)
	for {
		n, err := x.read(buf, x.by())
		if n > 0 {
			x.in += x.pass("in", buf[:n])
			_ = x.backend.SetWriteDeadline(x.by())
			if _, err := x.backend.Write(buf[:n]); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, errWoken):
			if x.has(flagEvicted) {
				return errEvicted
			}
			// A shutdown waits for a stream as for any running request.
			x.flags.And(^(flagNotice | flagMessage | flagShutdown))
		case errors.Is(err, errDeadline) && time.Now().Before(x.by()):
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
		_ = x.backend.SetReadDeadline(x.by())
		n, err := x.backend.Read(buf)
		if n > 0 {
			x.out += x.pass("out", buf[:n])
			if err := x.write(buf[:n]); err != nil {
				_ = x.raw.Close() // which ends toBackend, too
				return err
			}
		}
		switch {
		case err == nil:
		case !errors.Is(err, os.ErrDeadlineExceeded):
			_ = x.tls.CloseWrite()
			return nil
		case !time.Now().Before(x.by()):
			return x.inputError(errDeadline)
		}
	}
}

// pass notes that octets go by.
func (x *stream) pass(direction string, p []byte) int64 {
	x.touch()
	if x.srv.LogPayload {
		x.srv.Audit.Info("stream.data", x.id).Str("direction", direction).
			Str("data", base64.StdEncoding.EncodeToString(p)).Send()
	}
	return int64(len(p))
}

func (x *stream) touch() { x.last.Store(time.Now().UnixNano()) }

// by is when the stream has been idle for too long, or the session is over.
func (x *stream) by() time.Time {
	return earlier(after(time.Unix(0, x.last.Load()), x.srv.limits.Idle), x.endBy)
}

// halfClose ends one direction of a connection that can do that.
func halfClose(c net.Conn) {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
}
