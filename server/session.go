package server

import (
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/protocol/piece"
	"github.com/sallyport/sallyport/server/alarm"
	"github.com/sallyport/sallyport/server/notice"
	"github.com/sallyport/sallyport/server/socket"
)

// session is a connection that has the seat. Its goroutine owns all of it, except where watch.go says otherwise.
type session struct {
	*conn
	opened  time.Time
	endBy   time.Time // deadline of the session, zero for none
	served  time.Time // when the last request was answered
	n       int       // number of requests
	counts  [2]int    // in the last 121 and 122
	warned  time.Time // the deadline that the client was warned of
	request Request
	handed  Request // the copy for handlers, because the log needs the original
	body    []byte  // reused
	why     error   // why the session ends

	ctx    context.Context // of the running request
	cancel context.CancelCauseFunc
	began  time.Time // when the running request began
	gone   error     // how the client left during a request

	alarm    alarm.Timer   // begins the watch over a slow handler
	returned chan struct{} // gets a value when the handler has returned
	watched  chan error    // gets a value for gone at the end of a watch
}

func newSession(c *conn) *session {
	now := time.Now()
	s := &session{
		conn: c, opened: now, endBy: after(now, c.srv.limits.Session),
		request: Request{User: c.user, Conn: c.id}, why: errHandlerExit,
		returned: make(chan struct{}), watched: make(chan error),
	}
	s.touch(now)
	s.ctx, s.cancel = context.WithCancelCause(c.ctx)
	s.alarm.Ring = s.supervise
	c.rd.Grow(recordSize) // so that requests in one record are answered in one
	return s
}

// run serves the session and then passes the seat on.
func (s *session) run() {
	defer s.hangUp()
	defer s.end()
	e := s.srv.Audit.Info("session.open", s.id).Str("user", s.user).Float64("waited", s.opened.Sub(s.asked).Seconds())
	if s.shared != nil {
		s.request.Token = s.shared.Token()
		e.Int64("token", s.request.Token)
	}
	e.Send()
	s.reply(protocol.Reply{Code: protocol.CodeSeated, Text: "welcome"})
	s.why = s.safely(s.serve)
}

// end sends the last reply, logs the end, and frees the seat. It runs before the connection is drained, and
// also if a handler has ended the goroutine.
func (s *session) end() {
	s.sendLast(s.why)
	// If another goroutine ended the session, its cause explains later failures.
	if cause := context.Cause(s.conn.ctx); cause != nil {
		s.why = cause
	}
	s.conn.cancel(s.why)
	why := reason(s.why)
	e := s.srv.Audit.Info("session.close", s.id).Str("reason", why).Int("requests", s.n).
		Int64("bytes_in", s.in).Int64("bytes_out", s.sent).
		Float64("duration", time.Since(s.opened).Seconds())
	if why == string(protocol.KeywordEvicted) {
		e.Str("by", s.eviction.Load().by)
	}
	e.Send()
	_ = s.srv.logged(s.srv.Audit.SessionEnd())
	s.giveBack()
}

// serve answers requests until the session ends, and returns why.
func (s *session) serve() error {
	s.sendWaiting()
	for {
		if err := s.attend(); err != nil {
			return err
		}
		line, err := s.line(s.deadline())
		if err == nil {
			err = s.serveLine(line)
		} else {
			err = s.interrupted(err)
		}
		if err != nil {
			return err
		}
	}
}

// deadline returns when a read must end: to warn the client, or to end the session.
func (s *session) deadline() time.Time {
	end := s.ending(s.srv.limits.Idle)
	if s.warned.Equal(end.By) || !s.native {
		return end.By
	}
	return end.WarnAt
}

// ending returns the end of the session with this idle limit.
func (s *session) ending(idle time.Duration) notice.End {
	return notice.Session{Opened: s.opened, Active: s.lastActive(), Idle: idle, Limit: s.srv.limits.Session}.End()
}

// warn sends a 150 if this end is near and the client was not warned of it.
func (s *session) warn(end notice.End) (warned bool) {
	now := time.Now()
	if !s.native || s.warned.Equal(end.By) || !end.Due(now) {
		return false
	}
	s.warned = end.By
	s.reply(protocol.Reply{Code: protocol.CodeMessage, Text: end.Text(now)})
	return true
}

// inputError returns why the session ends after a failed read.
func (s *session) inputError(err error) error {
	switch {
	case !errors.Is(err, socket.ErrDeadline):
		return lineError(err)
	case s.isOver():
		return s.srv.errSessionLimit
	}
	return s.srv.errIdle
}

func (s *session) isOver() bool { return !s.endBy.IsZero() && !time.Now().Before(s.endBy) }

// attend handles the flags, and returns an error if the session must end.
func (s *session) attend() error {
	flags := s.raw.Flags.Load()
	switch {
	case flags&flagEvicted != 0:
		return s.evicted()
	case flags&flagShutdown != 0:
		return errShutdown
	case s.gone != nil:
		return s.gone
	case s.isOver():
		return s.srv.errSessionLimit
	case flags == 0:
		return nil
	}
	s.raw.Flags.And(^(flagNotice | flagMessage))
	s.sendWaiting()
	s.sendMessages()
	return nil
}

// sendWaiting sends "121 waiting N" and "122 watching N" if N has changed.
func (s *session) sendWaiting() {
	_, now := s.srv.seat.current()
	for i, n := range [...]int{now.Waiting, now.Watching} {
		if s.native && n != s.counts[i] {
			s.counts[i] = n
			word := [...]string{"waiting ", "watching "}[i]
			s.reply(protocol.Reply{Code: protocol.CodeWaiting + protocol.Code(i), Text: word + strconv.Itoa(n)})
		}
	}
}

func (s *session) sendMessages() {
	for _, text := range s.messages.Take() {
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
	verb := s.intern(command.Verb)
	if r.Argument = string(command.Argument); verb != nil {
		r.Verb = *verb
	}
	if command.HasBody {
		if command.Body > s.srv.limits.Body {
			return s.answerLast(tooLarge(s.srv.limits.Body), began)
		}
		if err := s.readBody(int(command.Body)); err != nil {
			return err
		}
	}
	if piece.Late(r.Verb) && !command.HasBody {
		return nil
	}
	if r.Verb != protocol.VerbNoop {
		s.touch(began)
		defer func() { s.touch(s.served) }()
	}
	s.running.Store(verb)
	defer s.running.Store(nil)
	return s.dispatch(began)
}

// now returns the start of the current request: when its input arrived or the previous reply was done,
// whichever is later. This saves most calls of time.Now in a batch, each of which takes as long as parsing
// a command.
func (s *session) now() time.Time {
	if s.served.After(s.raw.Filled) {
		return s.served
	}
	return s.raw.Filled
}

// intern returns the interned verb. It returns nil for an unknown verb, which must not get into the log,
// because it may be a password that was typed too late.
func (s *session) intern(verb []byte) *string {
	var upper [protocol.MaxVerb + 1]byte
	known := s.srv.verbs[string(protocol.AppendUpper(upper[:0], verb))]
	if _, lists := s.srv.Handler.(verbLister); known != nil || lists {
		return known
	}
	if name := string(protocol.AppendUpper(nil, verb)); protocol.ValidVerb(name) {
		return &name
	}
	return nil
}

// readBody takes the octets of a body. They count as idleness until they are all there.
func (s *session) readBody(size int) error {
	if s.body = s.body[:0]; s.body == nil {
		s.body = []byte{}
	}
	for len(s.body) < size {
		// Memory follows what has arrived, not what was announced.
		s.body = slices.Grow(s.body, min(size-len(s.body), 64<<10))
		n, err := s.Read(s.body[len(s.body):min(size, cap(s.body))])
		if s.body = s.body[:len(s.body)+n]; err != nil {
			return err
		}
	}
	s.request.Body = s.body
	return nil
}

// Read reads bytes of a body, maybe none. An error ends the session.
func (s *session) Read(p []byte) (int, error) {
	n, err := s.read(p, s.deadline())
	return n, s.interrupted(err)
}

// ReadLine reads a line. An error ends the session.
func (s *session) ReadLine() ([]byte, error) {
	for {
		line, err := s.line(s.deadline())
		if err = s.interrupted(err); line != nil || err != nil {
			return line, err
		}
	}
}

// interrupted handles the flags after a read that was woken for them, or ended to warn the client. For any other
// error it returns why the session ends.
func (s *session) interrupted(err error) error {
	switch {
	case errors.Is(err, socket.ErrWoken), errors.Is(err, socket.ErrDeadline) && s.warn(s.ending(s.srv.limits.Idle)):
		return s.attend()
	case err != nil:
		return s.inputError(err)
	}
	return nil
}

// answerError answers a request that failed.
func (s *session) answerError(err error, began time.Time) error {
	public, whole := publicError(err)
	if !whole {
		s.srv.errorLog.Error("a request failed", "conn", s.id, "user", s.user, "verb", s.request.Verb, "error", err)
	}
	return s.answer(public.Reply(), began)
}

// answered is an error whose reply was sent already.
type answered struct{ *protocol.ReplyError }

// answerLast answers a command after which the connection must end.
func (s *session) answerLast(last *protocol.ReplyError, began time.Time) error {
	if err := s.answer(last.Reply(), began); err != nil {
		return err
	}
	return answered{last}
}

// answer logs a request and appends its reply to out.
func (s *session) answer(r protocol.Reply, began time.Time) error {
	before := len(s.out)
	r = s.reply(r)
	keyword := ""
	if failure, ok := errors.AsType[*protocol.ReplyError](r.Err()); ok {
		keyword = string(failure.Keyword)
	}
	s.n++
	s.requests.Store(int64(s.n))
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

// appendBody appends the body of a 251. If it doesn't fit the record, the rest of it is written without a copy.
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
	s.served = time.Now() // the client may have read slowly
	return err
}
