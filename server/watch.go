package server

import (
	"cmp"
	"errors"
	"io"
	"os"
	"time"
)

const (
	// watchAfter is how long a client's input is worked on before somebody looks whether the client
	// is still there: most requests are done by then, and cost nothing.
	watchAfter = 100 * time.Millisecond
	// stuckAfter is how long a handler may go on after it was cancelled before the log says who
	// keeps the seat.
	stuckAfter = 5 * time.Second
)

var errClientGone = errors.New("the client has gone")

// overdue is when the request that began then is cancelled, and what for.
func (s *session) overdue(began time.Time) (by time.Time, why error) {
	by = after(began, s.srv.limits.Request)
	if earlier(by, s.endBy) == s.endBy && !s.endBy.IsZero() {
		return s.endBy, errSessionLimit
	}
	return by, errOverdue
}

// watchOver begins the watch over a handler, which unwatch ends.
func (s *session) watchOver(began time.Time) {
	s.began = began
	by, _ := s.overdue(began)
	s.srv.clock.set(&s.watch, earlier(s.filled.Add(watchAfter), by))
}

// unwatch ends the watch over a handler that has returned.
func (s *session) unwatch() {
	if !s.watch.end() {
		return // it never began
	}
	s.done <- struct{}{}
	<-s.done
}

// supervise watches over a handler that takes its time, in a goroutine of its own until unwatch: it
// cancels the request when its time is over, when that of the session is, or when the client has
// gone.
func (s *session) supervise() {
	flushed := s.flush() // nobody else writes now: what was answered already need not wait
	gone := make(chan error, 1)
	go func() { gone <- s.listen() }()
	by, why := s.overdue(s.began)
	overdue, cancelled := timerAt(by), s.ctx.Done()
	defer overdue.Stop()
	var stuck <-chan time.Time
	if flushed != nil {
		s.cancel(errClientGone)
	}
	for listening := true; ; {
		select {
		case s.gone = <-gone:
			listening = false
			if s.gone != nil {
				s.cancel(errClientGone)
			}
		case <-overdue.C:
			s.cancel(why)
		case <-cancelled:
			cancelled, stuck = nil, time.After(stuckAfter)
		case <-stuck:
			s.srv.Audit.Error("handler.stuck", s.id).Str("user", s.user).Str("verb", s.request.Verb).Int("n", s.n+1).Send()
			_ = s.srv.logged(s.srv.Audit.Flush())
		case <-s.done:
			if listening {
				s.wake(flagDone)
				s.gone = <-gone
			}
			s.flags.And(^flagDone)
			s.gone = cmp.Or(flushed, s.gone)
			s.done <- struct{}{}
			return
		}
	}
}

// timerAt returns a timer that fires then, and never for the zero time.
func timerAt(by time.Time) *time.Timer {
	if by.IsZero() {
		return time.NewTimer(1<<63 - 1)
	}
	return time.NewTimer(time.Until(by))
}

// listen reads ahead, as far as the line buffer reaches, to learn that the client has gone; it
// returns how, or nil when the handler has returned first. The connection's goroutine doesn't touch
// the buffer meanwhile: it is in the handler.
func (s *session) listen() error {
	defer func() { s.isPast = true }()
	for !s.rd.Full() {
		_ = s.raw.SetReadDeadline(time.Time{})
		if s.has(flagDone) {
			return nil
		}
		err := s.readAhead()
		switch {
		case err == io.EOF && !s.raw.eof:
			// A half-close: the client may still wait for its reply.
			if err := s.untilEnd(flagDone); !errors.Is(err, errWoken) {
				return err
			}
			return nil
		case err != nil && !errors.Is(err, os.ErrDeadlineExceeded):
			return s.cut(err)
		}
	}
	return nil
}

// untilEnd discards what comes below TLS until the peer ends the connection (io.EOF) or it breaks,
// or until one of the flags is set (errWoken).
func (c *conn) untilEnd(flags uint32) error {
	for buf := make([]byte, 512); ; {
		_ = c.raw.SetReadDeadline(time.Time{})
		if c.has(flags) {
			return errWoken
		}
		if _, err := c.raw.Read(buf); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
	}
}
