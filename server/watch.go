package server

import (
	"cmp"
	"errors"
	"io"
	"sync"
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

// lookout starts the watch over a handler that takes its time. Its timer is left running from one
// request to the next, and looks again where it comes too early: setting it for each request would take
// as long as parsing one.
type lookout struct {
	start func()

	mu      sync.Mutex
	due     time.Time // when the watch over the running handler begins; zero: no handler runs
	pending bool      // the timer runs
	started bool      // the watch over the running handler has begun
}

// set has the watch begin then, unless end is called before. No later call's time may be earlier.
func (l *lookout) set(due time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.due = due
	if !l.pending {
		l.pending = true
		time.AfterFunc(time.Until(due), l.look)
	}
}

// look is called when the timer fires.
func (l *lookout) look() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pending = false
	switch wait := time.Until(l.due); {
	case l.due.IsZero():
	case wait > 0:
		l.pending = true
		time.AfterFunc(wait, l.look)
	default:
		l.started = true
		go l.start()
	}
}

// end is for a handler that has returned. It reports whether the watch has begun.
func (l *lookout) end() (started bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	started = l.started
	l.due, l.started = time.Time{}, false
	return started
}

// watchOver begins the watch over a handler, which unwatch ends.
func (s *session) watchOver(began time.Time) {
	s.began = began
	by, _ := s.overdue(began)
	s.lookout.set(earlier(s.raw.filled.Add(watchAfter), by))
}

// unwatch ends the watch over a handler that has returned.
func (s *session) unwatch() {
	if s.lookout.end() {
		s.returned <- struct{}{}
		s.gone = <-s.watched
	}
}

// supervise watches over a handler that takes its time, in a goroutine of its own until unwatch: it
// cancels the request when its time is over, when that of the session is, or when the client has
// gone. It hands over how the client has gone.
func (s *session) supervise() {
	flushed := s.flush() // nobody else writes now: what was answered already need not wait
	if flushed != nil {
		s.cancel(errClientGone)
	}
	left := make(chan error, 1)
	go func() { left <- s.listen() }()
	by, why := s.overdue(s.began)
	overdue, cancelled := timerAt(by), s.ctx.Done()
	defer overdue.Stop()
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
		case <-cancelled:
			cancelled, stuck = nil, time.After(stuckAfter)
		case <-stuck:
			s.srv.Audit.Error("handler.stuck", s.id).Str("user", s.user).Str("verb", s.request.Verb).Int("n", s.n+1).Send()
			_ = s.srv.logged(s.srv.Audit.Flush())
		case <-s.returned:
			if listening {
				s.wake(flagDone)
				gone = <-left
			}
			s.flags.And(^flagDone)
			s.watched <- cmp.Or(flushed, gone)
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
	for !s.rd.Full() {
		s.raw.wait = wait{flags: flagDone}
		err := s.rd.Fill()
		if err == io.EOF { // a half-close: the client may still wait for its reply
			err = s.untilEnd(flagDone)
		}
		if errors.Is(err, errWoken) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// untilEnd discards what comes below TLS until the peer ends the connection (io.EOF) or it breaks,
// or until one of the flags is set (errWoken).
func (c *conn) untilEnd(flags uint32) error {
	c.raw.wait = wait{flags: flags}
	_, err := io.Copy(io.Discard, c.raw)
	return cmp.Or(err, io.EOF)
}
