package server

import (
	"math"
	"sync/atomic"
	"time"
)

// never is later than all that an alarm is set for.
const never = math.MaxInt64

// alarm is one of a connection's deadlines. One timer of the server sees to the alarms of all its
// connections. A deadline of the network's would be a timer of its own in the runtime: to set one
// takes as long as to parse a command, and can wake a processor that does nothing but look when the
// next timer is due. Most alarms are set and stopped without the timer being touched.
type alarm struct {
	at    atomic.Int64 // nanoseconds of the server's time, unset, or wentOff
	goOff func()       // must not block
}

const (
	unset   = 0
	wentOff = -1
)

// set makes the alarm go off then, at once where that is past, and not at all for the zero time. One
// goroutine at a time sets it.
func (s *Server) set(a *alarm, by time.Time) {
	if by.IsZero() {
		a.at.Store(unset)
		return
	}
	at := max(1, int64(by.Sub(s.started)))
	a.at.Store(at)
	if at < s.alarmAt.Load() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.schedule(at)
	}
}

// stop is called when what the alarm bounds is over. It reports whether it went off.
func (a *alarm) stop() bool { return a.at.Swap(unset) == wentOff }

// schedule makes the timer fire by then. The caller holds mu.
func (s *Server) schedule(at int64) {
	if at < s.alarmAt.Load() {
		s.alarmAt.Store(at)
		s.timer.Reset(time.Duration(at) - time.Since(s.started))
	}
}

// ring makes the alarms go off whose time has come. Whoever sets one meanwhile sees that the timer
// is not going to fire, and waits for mu.
func (s *Server) ring() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.alarmAt.Store(never)
	now, next := int64(time.Since(s.started)), int64(never)
	for c := range s.conns {
		for _, a := range [...]*alarm{&c.reading, &c.writing, &c.watch} {
			next = min(next, a.ring(now))
		}
	}
	s.schedule(next)
}

// ring makes the alarm go off if its time has come, and returns when it is to be looked at again.
func (a *alarm) ring(now int64) int64 {
	switch at := a.at.Load(); {
	case at == unset, at == wentOff:
		return never
	case at > now:
		return at
	case a.at.CompareAndSwap(at, wentOff):
		a.goOff()
		return never
	}
	return now // it has just been set anew
}
