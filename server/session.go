package server

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strconv"
	"time"

	"github.com/sallyport/sallyport/protocol"
)

// session is what a seated client does until it leaves. All of it belongs to the connection's
// goroutine, but for what watch.go says.
type session struct {
	*conn
	opened  time.Time
	endBy   time.Time // zero: no limit
	active  time.Time // when the last request but NOOP was answered
	n       int       // requests
	told    int       // how many wait, as the client knows it
	request Request
	body    []byte // reused

	ctx    context.Context // of the running request
	cancel context.CancelCauseFunc
	watch  *time.Timer // starts watch for a request that takes its time
	done   chan struct{}
}

func newSession(c *conn) *session {
	now := time.Now()
	s := &session{
		conn: c, opened: now, active: now, endBy: after(now, c.srv.limits.Session),
		request: Request{User: c.user, Conn: c.id}, done: make(chan struct{}),
	}
	s.ctx, s.cancel = context.WithCancelCause(c.ctx)
	s.watch = time.AfterFunc(time.Hour, s.supervise)
	s.watch.Stop()
	c.rd.Grow(recordSize) // so that what came in one record is answered in one
	return s
}

// run serves the session and passes the seat on. The seat is free before the connection is drained
// and closed.
func (s *session) run() {
	defer s.srv.seat.release(s.conn)
	s.srv.Audit.Info("session.open", s.id).Str("user", s.user).
		Float64("waited", s.opened.Sub(s.asked).Seconds()).Send()
	s.reply(protocol.Reply{Code: protocol.CodeSeated, Text: "welcome"})
	err := s.serve()
	s.sayLast(err)
	s.conn.cancel(err)
	s.srv.Audit.Info("session.close", s.id).Str("reason", reason(err)).Int("requests", s.n).
		Int64("bytes_in", s.in).Int64("bytes_out", s.sent).
		Float64("duration", time.Since(s.opened).Seconds()).Send()
	if err := s.srv.Audit.SessionEnd(); err != nil {
		_ = s.srv.flushLog()
	}
	s.srv.seat.release(s.conn)
	s.hangUp()
}

// serve answers requests until the session ends, and says why it does.
func (s *session) serve() error {
	s.tellWaiting()
	for {
		if err := s.attend(); err != nil {
			return err
		}
		line, err := s.line(s.deadline())
		switch {
		case err == nil:
			if err := s.serveLine(line); err != nil {
				return err
			}
		case !errors.Is(err, errWoken):
			return s.inputError(err)
		}
	}
}

func (s *session) deadline() time.Time {
	return earlier(after(s.active, s.srv.limits.Idle), s.endBy)
}

// inputError says what a failure to read means for the session.
func (s *session) inputError(err error) error {
	switch {
	case !errors.Is(err, errDeadline):
		return lineError(err)
	case !s.endBy.IsZero() && !time.Now().Before(s.endBy):
		return errSessionLimit
	}
	return errIdle
}

// attend does what the connection was woken for.
func (s *session) attend() error {
	switch flags := s.flags.Load(); {
	case flags == 0:
		return nil
	case flags&flagEvicted != 0:
		return errEvicted
	case flags&flagShutdown != 0:
		return errShutdown
	}
	s.flags.And(^(flagNotice | flagMessage))
	s.tellWaiting()
	s.tellMessages()
	return nil
}

// tellWaiting sends "121 waiting N" where N is news.
func (s *session) tellWaiting() {
	if n := s.srv.seat.waiting(); s.native && n != s.told {
		s.told = n
		s.reply(protocol.Reply{Code: protocol.CodeWaiting, Text: "waiting " + strconv.Itoa(n)})
	}
}

func (s *session) tellMessages() {
	s.mu.Lock()
	messages := s.messages
	s.messages = nil
	s.mu.Unlock()
	for _, text := range messages {
		s.srv.Audit.Info("chat", s.id).Str("direction", "out").Int("bytes", len(text)).Send()
		s.reply(protocol.Reply{Code: protocol.CodeMessage, Text: text})
	}
}

// serveLine answers one command. An error ends the session.
func (s *session) serveLine(line []byte) error {
	began := time.Now()
	s.n++
	command, err := protocol.ParseCommand(line)
	if err != nil {
		s.request.Verb, s.request.Argument, s.request.Body = "", "", nil
		return s.refuseWhole(errBodyForm, began)
	}
	r := &s.request
	verb, known := s.intern(command.Verb)
	r.Verb, r.Argument, r.Body = verb, string(command.Argument), nil
	if command.HasBody {
		if limit := s.srv.limits.Body; limit >= 0 && command.Body > limit {
			return s.refuseWhole(errTooLarge, began)
		}
		if err := s.readBody(int(command.Body)); err != nil {
			return err
		}
	}
	err = s.dispatch(known, began)
	if verb != protocol.VerbNoop {
		s.active = time.Now()
	}
	return err
}

// intern returns the verb as the server knows it. Of one that it doesn't know it keeps nothing, so
// that it does not end up in the log: it may be a password that was typed too late.
func (s *session) intern(verb []byte) (name string, known bool) {
	var upper [protocol.MaxVerb + 1]byte
	name, known = s.srv.verbs[string(protocol.AppendUpper(upper[:0], verb))]
	if _, lists := s.srv.Handler.(verbLister); !known && !lists && len(verb) <= protocol.MaxVerb {
		name = string(protocol.AppendUpper(nil, verb))
		known = protocol.ValidVerb(name)
	}
	return name, known
}

// refuseWhole records a command after which the connection must end; its reply is the session's
// last.
func (s *session) refuseWhole(err *protocol.ReplyError, began time.Time) error {
	reply := err.Reply()
	size, _ := reply.Append(nil)
	s.record(reply.Code, err.Keyword, len(size), began)
	return err
}

// readBody takes the octets of a body. They count as idleness until they are all there.
func (s *session) readBody(size int) error {
	s.body = s.body[:0]
	if s.body == nil {
		s.body = []byte{}
	}
	for len(s.body) < size {
		// Memory follows what has arrived, not what was announced.
		s.body = slices.Grow(s.body, min(size-len(s.body), 64<<10))
		n, err := s.read(s.body[len(s.body):min(size, cap(s.body))], s.deadline())
		s.body = s.body[:len(s.body)+n]
		if errors.Is(err, errWoken) {
			err = s.attend()
		} else if err != nil {
			err = s.inputError(err)
		}
		if err != nil {
			return err
		}
	}
	s.request.Body = s.body
	return nil
}

// dispatch has a request served and answers it.
func (s *session) dispatch(known bool, began time.Time) error {
	r := &s.request
	switch {
	case !known:
		return s.answerError(errUnknown, began)
	case r.Verb == protocol.VerbNoop:
		return s.answer(protocol.Reply{Code: protocol.CodeDone, Text: "ok"}, began)
	case r.Verb == protocol.VerbWhoami:
		return s.answer(protocol.Reply{Code: protocol.CodeDone, Text: s.user}, began)
	case r.Verb == protocol.VerbHelp:
		return s.answer(s.srv.help(), began)
	case r.Verb == protocol.VerbQuit:
		return errors.Join(s.answer(bye, began), errQuit)
	case r.Verb == protocol.VerbOpen && s.srv.Backend != nil:
		return s.open(began)
	}
	reply, err := s.call(s.srv.Handler)
	if err == nil {
		reply, err = check(reply)
	}
	if err != nil {
		return s.answerError(err, began)
	}
	return s.answer(reply, began)
}

// answerError answers a request that failed.
func (s *session) answerError(err error, began time.Time) error {
	told, whole := publicError(err)
	if !whole {
		s.srv.ErrorLog.Error("a request failed", "conn", s.id, "user", s.user, "verb", s.request.Verb, "error", err)
	}
	return s.answer(told.Reply(), began)
}

// answer records a request and appends its reply to what is to be written.
func (s *session) answer(r protocol.Reply, began time.Time) error {
	before := len(s.out)
	r = s.reply(r)
	keyword := protocol.Keyword("")
	if failure, ok := errors.AsType[*protocol.ReplyError](r.Err()); ok {
		keyword = failure.Keyword
	}
	s.record(r.Code, keyword, len(s.out)-before+len(r.Body), began)
	return s.appendBody(r.Body)
}

// appendBody appends the octets of a 251. A body that does not fit fills the record and goes out
// without being copied.
func (s *session) appendBody(body []byte) error {
	fits := min(len(body), max(0, recordSize-len(s.out)))
	s.out = append(s.out, body[:fits]...)
	if len(s.out) < recordSize && fits == len(body) {
		return nil
	}
	if err := s.flush(); err != nil {
		return err
	}
	return s.write(body[fits:])
}

func (s *session) record(code protocol.Code, keyword protocol.Keyword, size int, began time.Time) {
	r := &s.request
	e := s.srv.Audit.Info("request", s.id).Int("n", s.n).Str("verb", r.Verb).
		Int("argument_bytes", len(r.Argument)).Int("body_bytes", len(r.Body)).
		Int("code", int(code)).Str("keyword", string(keyword)).Int("reply_bytes", size).
		Float64("duration", time.Since(began).Seconds())
	if s.srv.LogPayload {
		e.Str("argument", r.Argument).Str("body", base64.StdEncoding.EncodeToString(r.Body))
	}
	e.Send()
}

// call runs a handler. It returns when the handler has, whatever happens meanwhile.
func (s *session) call(h Handler) (reply protocol.Reply, err error) {
	if s.ctx.Err() != nil && s.conn.ctx.Err() == nil {
		// The last request was cancelled, and not the session.
		s.ctx, s.cancel = context.WithCancelCause(s.conn.ctx)
	}
	s.watch.Reset(s.watchDelay())
	defer func() {
		if p := recover(); p != nil {
			s.panicked(p)
			err = errFailed
		}
		s.unwatch()
		if errors.Is(context.Cause(s.ctx), errOverdue) {
			err = errOverdue
		}
	}()
	return h.ServeRequest(s.ctx, &s.request)
}

func (s *session) panicked(p any) {
	s.srv.Audit.Error("handler.panic", s.id).Str("user", s.user).Str("verb", s.request.Verb).Int("n", s.n).Send()
	s.srv.ErrorLog.Error("a handler panicked", "conn", s.id, "user", s.user, "verb", s.request.Verb,
		"panic", fmt.Sprint(p), "stack", string(debug.Stack()))
}
