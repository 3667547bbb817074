package server

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"time"

	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/protocol/piece"
	"github.com/sallyport/sallyport/server/joint"
	"github.com/sallyport/sallyport/server/socket"
)

// stream is the joint.Client of a session that is joined to a backend.
type stream struct {
	*session
	backend io.ReadWriteCloser
	number  int // of the request
	began   time.Time
	told    error // why the stream has ended, if the client knows already
}

// streamEnd is why a raw stream ended. It hides the cause from sendLast, because the client would take a reply
// for data of the backend.
type streamEnd struct{ cause error }

func (streamEnd) Error() string { return "stream ended" }

// open serves OPEN: it connects to the backend, answers, and copies until both directions have ended. The
// session ends with the stream.
func (s *session) open(began time.Time) error {
	x := &stream{session: s}
	if err := x.dial(began); err != nil {
		return s.answerError(err, began)
	}
	s.messages.Close()
	s.sendMessages() // the last ones
	err := s.answer(protocol.Reply{Code: protocol.CodeOpen, Text: "open"}, began)
	end, err := x.join((*joint.Stream).Raw, err)
	if err != nil {
		return err
	}
	if !errors.Is(end.Err, io.EOF) {
		_ = s.raw.Close() // without close_notify, because the stream is incomplete
	}
	return streamEnd{end.Err}
}

// stream serves STREAM: it connects to the backend, and joins the client to it in counted pieces.
func (s *session) stream(began time.Time) error {
	switch {
	case !s.native:
		return s.answerError(errUnknown, began)
	case s.request.Argument != "" || s.request.Body != nil:
		return s.answerError(errStreamForm, began)
	}
	x := &stream{session: s, began: began}
	if err := x.dial(began); err != nil {
		return s.answerError(err, began)
	}
	s.reply(protocol.Reply{Code: protocol.CodeStreaming, Text: "stream"})
	s.raw.Flags.Or(flagLingers)
	end, err := x.join((*joint.Stream).Run, nil)
	s.raw.Flags.And(^flagLingers)
	switch {
	case err != nil, x.told != nil:
		return cmp.Or(err, x.told)
	case end.Err == nil:
		return s.answer(protocol.Reply{Code: protocol.CodeDone, Text: piece.Closed(end.In, end.Out)}, began)
	case !errors.Is(end.Err, joint.ErrBackend):
		return s.answerEnd(end.Err, began)
	}
	if err := s.answerError(end.Err, began); err != nil || end.Ended {
		return err
	}
	// What the client sends until the end of its direction is no command.
	s.touch(s.served)
	s.request.Verb = ""
	if err = joint.Discard(s, end.Rest); joint.IsMistake(err) {
		return s.answerEnd(err, s.now())
	}
	return err
}

// answerEnd answers a request with the reason why the connection ends, if there is a reply for it.
func (s *session) answerEnd(err error, began time.Time) error {
	switch {
	case errors.Is(err, protocol.ErrArgument):
		err = errPieceForm
	case errors.Is(err, joint.ErrSequence):
		err = errInStream
	case errors.Is(err, ErrServerClosed):
		err = errShutdown
	}
	if last, ok := errors.AsType[*protocol.ReplyError](lineError(err)); ok {
		return s.answerLast(last, began)
	}
	return err
}

// dial connects to the backend.
func (x *stream) dial(began time.Time) error {
	x.number = x.n + 1
	_, err := x.call(HandlerFunc(func(ctx context.Context, r *Request) (_ protocol.Reply, err error) {
		if x.backend, err = x.srv.Backend(ctx, r); err == nil && x.backend == nil {
			err = joint.ErrBackend
		}
		return protocol.Reply{}, err
	}), began)
	if err != nil && x.backend != nil {
		_ = x.safely(x.backend.Close)
	}
	return err
}

// join writes what is in out and runs the stream, unless the answer has failed.
func (x *stream) join(run func(*joint.Stream, context.Context) joint.End, err error) (joint.End, error) {
	if err == nil {
		x.srv.Audit.Info("stream.open", x.id).Send()
		if err = x.flush(); err != nil {
			x.close(joint.End{})
		}
	}
	if err != nil {
		_ = x.safely(x.backend.Close)
		return joint.End{}, err
	}
	l := x.srv.limits
	x.touch(time.Now())
	x.raw.Patient(true) // the stream's guard sets write deadlines
	end := run(&joint.Stream{
		Client: x, Backend: x.backend, News: x.raw.News, Active: func() { x.touch(time.Now()) }, Passed: x.pass, MayWrite: x.mayAct, Safely: x.safely,
		Stuck: func() { x.stuck(x.number) },
		Refused: func(err error) {
			x.srv.errorLog.Warn("the backend refuses a setting", "conn", x.id, "user", x.user, "error", err)
		},
		Last: x.last,
		Limits: joint.Limits{
			Idle: l.Idle, Vanish: l.Vanish, Conn: x.raw.Conn,
			Deadline: func(idle time.Duration) (by, warnAt time.Time) {
				end := x.ending(idle)
				return end.By, end.WarnAt
			},
			Warn:    func() { x.raw.Wake(flagNotice) },
			Overdue: func() error { return x.inputError(socket.ErrDeadline) },
		},
	}, x.ctx)
	x.raw.Flags.And(^flagDone)
	x.raw.Patient(false)
	if x.told == nil {
		x.close(end)
	}
	return end, nil
}

func (x *stream) close(end joint.End) {
	x.srv.Audit.Info("stream.close", x.id).Int64("bytes_in", end.In).Int64("bytes_out", end.Out).Send()
}

// last answers STREAM before the backend is closed, which may take longer than the client can be written to.
func (x *stream) last(end joint.End) {
	x.close(end)
	x.told = x.answerEnd(end.Err, x.began)
	if err := x.flush(); errors.Is(err, errLogFailed) {
		x.told = err
	}
}

// pass logs bytes with LogPayload.
func (x *stream) pass(direction string, p []byte) error {
	if !x.srv.LogPayload {
		return nil
	}
	x.srv.Audit.Info("stream.data", x.id).Str("direction", direction).Str("data", base64.StdEncoding.EncodeToString(p)).Send()
	return x.srv.logged(x.srv.Audit.Flush())
}

func (x *stream) ReadLine() ([]byte, error) {
	x.raw.Wait = socket.Wait{Flags: flagDone}
	return x.rd.ReadLine()
}

// Read ignores a shutdown, which doesn't end a running request.
func (x *stream) Read(p []byte) (int, error) {
	x.raw.Wait = socket.Wait{Flags: flagDone}
	return x.rd.Read(p)
}

func (x *stream) Unread(line []byte)  { x.rd.Unread(line) }
func (x *stream) Wait() error         { return x.listen() }
func (x *stream) Leave() error        { return x.raw.Discard(flagDone) }
func (x *stream) Stop()               { x.raw.Wake(flagDone) }
func (x *stream) Send(p []byte) error { return x.write(p) }
func (x *stream) CloseWrite() error   { return x.tls.CloseWrite() }

func (x *stream) Notify() error {
	x.raw.Flags.And(^(flagNotice | flagMessage))
	x.sendWaiting()
	x.sendMessages()
	x.warn(x.ending(x.srv.limits.Idle))
	return x.flush()
}
