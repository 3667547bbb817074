package server

import (
	"errors"
	"os"
	"time"
)

const (
	// watchAfter is how long a request runs before somebody looks whether its client is still
	// there: most are done by then, and cost nothing.
	watchAfter = 100 * time.Millisecond
	// stuckAfter is how long a handler may go on after it was cancelled before the log says who
	// keeps the seat.
	stuckAfter = 5 * time.Second
)

var errClientGone = errors.New("the client has gone")

func (s *session) watchDelay() time.Duration {
	if limit := s.srv.limits.Request; limit >= 0 {
		return min(watchAfter, limit)
	}
	return watchAfter
}

// unwatch ends the watch over a handler that has returned.
func (s *session) unwatch() {
	if s.watch.Stop() {
		return // it never began
	}
	s.done <- struct{}{}
	<-s.done
}

// supervise watches over a handler that takes its time, in a goroutine of its own until unwatch: it
// cancels the request when its time is over, when that of the session is, or when the client has
// gone.
func (s *session) supervise() {
	gone := make(chan error, 1)
	go s.listen(gone)
	timeout, why := s.remaining()
	overdue, cancelled := time.NewTimer(timeout), s.ctx.Done()
	defer overdue.Stop()
	var stuck <-chan time.Time
	for listening := true; ; {
		select {
		case err := <-gone:
			listening = false
			if err != nil {
				s.cancel(errClientGone)
			}
		case <-overdue.C:
			s.cancel(why)
		case <-cancelled:
			cancelled, stuck = nil, time.After(stuckAfter)
		case <-stuck:
			s.srv.Audit.Error("handler.stuck", s.id).Str("user", s.user).Str("verb", s.request.Verb).Int("n", s.n).Send()
			_ = s.srv.flushLog()
		case <-s.done:
			if listening {
				s.wake(flagHandlerDone)
				<-gone
			}
			s.flags.And(^flagHandlerDone)
			s.done <- struct{}{}
			return
		}
	}
}

// remaining is how long the request may still run, and what it is cancelled for then.
func (s *session) remaining() (time.Duration, error) {
	left, why := time.Duration(1<<63-1), errOverdue
	if limit := s.srv.limits.Request; limit >= 0 {
		left = limit - s.watchDelay()
	}
	if end := time.Until(s.endBy); !s.endBy.IsZero() && end < left {
		return end, errSessionLimit
	}
	return left, why
}

// listen reads ahead, as far as the line buffer reaches, to learn that the client has gone. The
// connection's goroutine doesn't touch the buffer meanwhile: it is in the handler.
func (s *session) listen(gone chan<- error) {
	for !s.rd.Full() {
		s.readBy = time.Time{}
		_ = s.raw.SetReadDeadline(s.readBy)
		if s.has(flagHandlerDone) {
			break
		}
		// Whoever else calls has set a flag, which is looked at later.
		if err := s.readAhead(); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			gone <- err
			return
		}
	}
	s.readBy = past
	gone <- nil
}
