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
	served  time.Time // when the last request was
	n       int       // requests
	told    int       // how many wait, as the client knows it
	request Request
	handed  Request // the copy that handlers get: the log needs the original
	body    []byte  // reused
	why     error   // why the session ends

	ctx    context.Context // of the running request
	cancel context.CancelCauseFunc
	began  time.Time // when the running request began
	gone   error     // how the client has left meanwhile

	lookout  lookout
	returned chan struct{} // tells the watch that the handler has returned
	watched  chan error    // hands over gone at the end of a watch
}

func newSession(c *conn) *session {
	now := time.Now()
	s := &session{
		conn: c, opened: now, active: now, endBy: after(now, c.srv.limits.Session),
		request: Request{User: c.user, Conn: c.id}, why: errHandlerExit,
		returned: make(chan struct{}), watched: make(chan error),
	}
	s.ctx, s.cancel = context.WithCancelCause(c.ctx)
	s.lookout.start = s.supervise
	c.rd.Grow(recordSize) // so that what came in one record is answered in one
	return s
}

// run serves the session and passes the seat on.
func (s *session) run() {
	defer s.hangUp()
	defer s.end()
	s.srv.Audit.Info("session.open", s.id).Str("user", s.user).Float64("waited", s.opened.Sub(s.asked).Seconds()).Send()
	s.reply(protocol.Reply{Code: protocol.CodeSeated, Text: "welcome"})
	s.why = s.serve()
}

// end says the last words, logs them, and frees the seat: before the connection is drained, and also
// where a handler has ended the goroutine.
func (s *session) end() {
	s.sayLast(s.why)
	// What others did to the connection explains whatever failed because of it.
	if cause := context.Cause(s.conn.ctx); cause != nil {
		s.why = cause
	}
	s.conn.cancel(s.why)
	s.srv.Audit.Info("session.close", s.id).Str("reason", reason(s.why)).Int("requests", s.n).
		Int64("bytes_in", s.in).Int64("bytes_out", s.sent).
		Float64("duration", time.Since(s.opened).Seconds()).Send()
	_ = s.srv.logged(s.srv.Audit.SessionEnd())
	s.srv.seat.release(s.conn)
}

// serve answers requests until the session ends, and says why it does.
func (s *session) serve() error {
	s.tellWaiting()
	for {
		if err := s.attend(); err != nil {
			return err
		}
		line, err := s.line(s.deadline())
		if err == nil {
			err = s.serveLine(line)
		} else if err = s.inputError(err); errors.Is(err, errWoken) {
			err = nil
		}
		if err != nil {
			return err
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
	case s.isOver():
		return errSessionLimit
	}
	return errIdle
}

func (s *session) isOver() bool { return !s.endBy.IsZero() && !time.Now().Before(s.endBy) }

// attend does what the connection was woken for, and looks whether the session must end.
func (s *session) attend() error {
	flags := s.flags.Load()
	switch {
	case flags&flagEvicted != 0:
		return errEvicted
	case flags&flagShutdown != 0:
		return errShutdown
	case s.gone != nil:
		return s.gone
	case s.isOver():
		return errSessionLimit
	case flags == 0:
		return nil
	}
	s.flags.And(^(flagNotice | flagMessage))
	s.tellWaiting()
	s.tellMessages()
	return nil
}

// tellWaiting sends "121 waiting N" where N is news.
func (s *session) tellWaiting() {
	if _, _, n, _ := s.srv.seat.current(); s.native && n != s.told {
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
	began := s.now()
	command, err := protocol.ParseCommand(line)
	r := &s.request
	r.Verb, r.Argument, r.Body = "", "", nil
	if err != nil {
		return s.answerLast(errBodyForm, began)
	}
	verb, known := s.intern(command.Verb)
	r.Verb, r.Argument = verb, string(command.Argument)
	if command.HasBody {
		if command.Body > s.srv.limits.Body {
			return s.answerLast(errTooLarge, began)
		}
		if err := s.readBody(int(command.Body)); err != nil {
			return err
		}
	}
	err = s.dispatch(known, began)
	if verb != protocol.VerbNoop {
		s.active = s.served
	}
	return err
}

// now is when what is done now became possible: when the last read returned, or the last request was
// served. It spares a batch of requests most looks at the clock, each of which takes as long as
// parsing a command.
func (s *session) now() time.Time {
	if s.served.After(s.raw.filled) {
		return s.served
	}
	return s.raw.filled
}

// intern returns the verb as the server knows it. Of one that it doesn't know it keeps nothing, so
// that it does not end up in the log: it may be a password that was typed too late.
func (s *session) intern(verb []byte) (name string, known bool) {
	var upper [protocol.MaxVerb + 1]byte
	name, known = s.srv.verbs[string(protocol.AppendUpper(upper[:0], verb))]
	if _, lists := s.srv.Handler.(verbLister); known || lists {
		return name, known
	}
	if name = string(protocol.AppendUpper(nil, verb)); protocol.ValidVerb(name) {
		return name, true
	}
	return "", false
}

// readBody takes the octets of a body. They count as idleness until they are all there.
func (s *session) readBody(size int) error {
	if s.body = s.body[:0]; s.body == nil {
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
	done := protocol.Reply{Code: protocol.CodeDone}
	switch verb := s.request.Verb; {
	case s.has(flagEvicted):
		return errEvicted // though input came before the wake-up was seen
	case !known, verb == protocol.VerbBody:
		return s.answerError(errUnknown, began)
	case verb == protocol.VerbNoop:
		done.Text = "ok"
	case verb == protocol.VerbWhoami:
		done.Text = s.user
	case verb == protocol.VerbHelp:
		done.Text = s.srv.help
	case verb == protocol.VerbAuth, verb == protocol.VerbEhlo:
		return s.answer(errSequence.Reply(), began)
	case verb == protocol.VerbQuit:
		return errors.Join(s.answer(bye, began), errQuit)
	case verb == protocol.VerbOpen && s.srv.Backend != nil:
		return s.open(began)
	default:
		reply, err := s.call(s.srv.Handler, began)
		if err == nil {
			reply, err = check(reply)
		}
		if err != nil {
			return s.answerError(err, began)
		}
		return s.answer(reply, began)
	}
	return s.answer(done, began)
}

// answerError answers a request that failed.
func (s *session) answerError(err error, began time.Time) error {
	told, whole := publicError(err)
	if !whole {
		s.srv.ErrorLog.Error("a request failed", "conn", s.id, "user", s.user, "verb", s.request.Verb, "error", err)
	}
	return s.answer(told.Reply(), began)
}

// said is an error that the client has been told of already.
type said struct{ *protocol.ReplyError }

// answerLast answers a command after which the connection must end.
func (s *session) answerLast(told *protocol.ReplyError, began time.Time) error {
	if err := s.answer(told.Reply(), began); err != nil {
		return err
	}
	return said{told}
}

// answer records a request and appends its reply to what is to be written.
func (s *session) answer(r protocol.Reply, began time.Time) error {
	before := len(s.out)
	r = s.reply(r)
	keyword := ""
	if failure, ok := errors.AsType[*protocol.ReplyError](r.Err()); ok {
		keyword = string(failure.Keyword)
	}
	s.n++
	s.served = time.Now()
	e := s.srv.Audit.Info("request", s.id).Int("n", s.n).Str("verb", s.request.Verb).
		Int("argument_bytes", len(s.request.Argument)).Int("body_bytes", len(s.request.Body)).
		Int("code", int(r.Code)).Str("keyword", keyword).Int("reply_bytes", len(s.out)-before+len(r.Body)).
		Float64("duration", s.served.Sub(began).Seconds())
	if s.srv.LogPayload {
		e.Str("argument", s.request.Argument).Str("body", base64.StdEncoding.EncodeToString(s.request.Body))
	}
	e.Send()
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
	err := s.write(body[fits:])
	s.served = time.Now() // a client may take its time to read
	return err
}

// call runs a handler. It returns when the handler has, whatever happens meanwhile.
func (s *session) call(h Handler, began time.Time) (reply protocol.Reply, err error) {
	if s.ctx.Err() != nil && s.conn.ctx.Err() == nil {
		// The last request was cancelled, and not the session.
		s.ctx, s.cancel = context.WithCancelCause(s.conn.ctx)
	}
	s.handed = s.request
	s.watchOver(began)
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
	return h.ServeRequest(s.ctx, &s.handed)
}

func (s *session) panicked(p any) {
	s.srv.Audit.Error("handler.panic", s.id).Str("user", s.user).Str("verb", s.request.Verb).Int("n", s.n+1).Send()
	s.srv.ErrorLog.Error("a handler panicked", "conn", s.id, "user", s.user, "verb", s.request.Verb,
		"panic", fmt.Sprint(p), "stack", string(debug.Stack()))
}
