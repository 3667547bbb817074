package server

import (
	"cmp"
	"errors"
	"io"
	"time"

	"github.com/sallyport/sallyport/server/socket"
)

const (
	// watchAfter is the age of a request at which the watch over its client begins. Most requests are
	// done before, and cost nothing.
	watchAfter = 100 * time.Millisecond
	// stuckAfter is the time after its cancellation at which a running handler is logged as stuck.
	stuckAfter = 5 * time.Second
)

var errClientGone = errors.New("the client has gone")

// overdue returns when a request that began then must be cancelled, and why.
func (s *session) overdue(began time.Time) (by time.Time, why error) {
	by = after(began, s.srv.limits.Request)
	if earlier(by, s.endBy) == s.endBy && !s.endBy.IsZero() {
		return s.endBy, s.srv.errSessionLimit
	}
	return by, errOverdue
}

// watchOver begins the watch over a handler, which unwatch ends.
func (s *session) watchOver(began time.Time) {
	s.began = began
	by, _ := s.overdue(began)
	s.alarm.Set(earlier(s.raw.Filled.Add(watchAfter), by))
}

// unwatch ends the watch over a handler that has returned.
func (s *session) unwatch() {
	if s.alarm.Stop() {
		s.returned <- struct{}{}
		s.gone = <-s.watched
	}
}

// supervise watches a slow handler, in a goroutine of its own, until unwatch. It cancels the request when its
// time or the session's is over, or when the client has left. It sends to watched how the client left.
func (s *session) supervise() {
	flushed := s.safely(s.flush) // replies to earlier requests need not wait; no other goroutine writes now
	if flushed != nil {
		s.cancel(errClientGone)
	}
	left := make(chan error, 1)
	go func() { left <- s.safely(s.listen) }()
	by, why := s.overdue(s.began)
	overdue, cancelled := timerAt(by), s.ctx.Done()
	defer overdue.Stop()
	end := s.ending(-1) // a request that runs is not idle
	ending := timerAt(end.WarnAt)
	defer ending.Stop()
	var stuck <-chan time.Time
	var gone error
	for listening := true; ; {
		select {
		case gone = <-left:
			if listening = false; gone != nil {
				s.cancel(errClientGone)
			}
		case <-overdue.C:
			s.cancel(why)
		case <-ending.C:
			if s.warn(end) {
				flushed = cmp.Or(flushed, s.safely(s.flush))
			}
		case <-cancelled:
			cancelled, stuck = nil, time.After(stuckAfter)
		case <-stuck:
			s.stuck(s.n + 1)
		case <-s.returned:
			if listening {
				s.raw.Wake(flagDone)
				gone = <-left
			}
			s.raw.Flags.And(^flagDone)
			s.watched <- cmp.Or(flushed, gone)
			return
		}
	}
}

// stuck logs that request number n, which was cancelled, or its backend keeps the seat.
func (s *session) stuck(n int) {
	s.srv.Audit.Error("handler.stuck", s.id).Str("user", s.user).Str("verb", s.request.Verb).Int("n", n).Send()
	_ = s.srv.logged(s.srv.Audit.Flush())
}

// timerAt returns a timer that fires at that time, or never for the zero time.
func timerAt(by time.Time) *time.Timer {
	if by.IsZero() {
		return time.NewTimer(1<<63 - 1)
	}
	return time.NewTimer(time.Until(by))
}

// listen reads ahead into the line buffer to notice that the client has left. It returns how, or nil if the
// handler has returned first. The connection's goroutine is in the handler, so it doesn't use the buffer.
func (s *session) listen() error {
	for !s.rd.Full() {
		s.raw.Wait = socket.Wait{Flags: flagDone}
		err := s.rd.Fill()
		if err == io.EOF { // a half-close: the client may still want its reply
			err = s.raw.Discard(flagDone)
		}
		if errors.Is(err, socket.ErrWoken) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}
