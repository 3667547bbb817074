package server

import (
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/protocol/capability"
	"github.com/sallyport/sallyport/server/admission"
)

// The policies for a client that has logged in while the seat is taken, see package admission.
type (
	Admission = admission.Policy
	Queue     = admission.Queue
	Reject    = admission.Reject
	Takeover  = admission.Takeover
)

// seat is the right to be served. One connection has it.
type seat struct {
	rules  admission.Rules
	shared admission.Shared // nil for a seat of this server alone

	mu       sync.Mutex
	holder   *conn
	since    time.Time // when the holder got the seat
	queue    []*conn
	served   int // number of grants so far
	closed   bool
	watchers []*conn // replaced, not changed
}

// ask asks for the seat. Position 0 means that c has it. Otherwise c waits, 1 is next, and flagGranted wakes c.
func (s *seat) ask(c *conn) (position int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return 0, errShutdown
	case c.lastWord == capability.Stat:
		return 0, errStat
	case s.holder == nil && c.first():
		s.grant(c)
		return 0, nil
	case c.shared != nil: // it was let in by the rules
	case s.rules.Evict:
		why := &eviction{refusal(protocol.CodeClosing, protocol.KeywordEvicted, c.user+" took over"), c.user}
		for _, earlier := range append(s.queue, s.holder) {
			earlier.evict(why)
		}
		s.queue = s.queue[:0]
	default:
		if why, ok := s.rules.Allow(c.lastWord == capability.NoWait, len(s.queue), s.waiting(c.user)); !ok {
			return 0, s.busy(why)
		}
	}
	s.queue = append(s.queue, c)
	s.notify()
	return len(s.queue), nil
}

// watch adds a watcher, or removes one that is there. The holder learns their number.
func (s *seat) watch(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.watchers)
	s.watchers = slices.DeleteFunc(slices.Clone(s.watchers), func(w *conn) bool { return w == c })
	if len(s.watchers) == n {
		s.watchers = append(s.watchers, c)
	}
	s.notify()
}

// waiting returns the number of a user's places in the queue.
func (s *seat) waiting(user string) (n int) {
	for _, c := range s.queue {
		if c.user == user {
			n++
		}
	}
	return n
}

// busy returns the reply to a client that may not wait. It is a valid line, because package scram bounds names
// and refuses control characters in them.
func (s *seat) busy(why string) error {
	return refusal(protocol.CodeClosing, protocol.KeywordBusy, why+s.status().Busy())
}

func (s *seat) grant(c *conn) {
	s.holder, s.since = c, time.Now()
	c.touch(s.since)
	s.served++
}

// leave ends c's wait. It reports whether c has the seat, which it may have got just before.
func (s *seat) leave(c *conn) (granted bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.Index(s.queue, c); i >= 0 {
		s.queue = slices.Delete(s.queue, i, i+1)
		s.notify()
	}
	return s.holder == c
}

// release passes the seat on to the client that has waited longest.
func (s *seat) release(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.holder != c {
		return
	}
	s.holder = nil
	s.advance()
	s.notify()
}

// advance grants a free seat to the client that has waited longest.
func (s *seat) advance() {
	i := slices.IndexFunc(s.queue, (*conn).first)
	if i < 0 || s.holder != nil || s.closed {
		return
	}
	next := s.queue[i]
	s.queue = slices.Delete(s.queue, i, i+1)
	s.grant(next)
	next.raw.Flags.Or(flagGranted)
}

// notify wakes the waiting clients and the holder after a change of the queue. The holder comes last,
// because the goroutine that is woken last runs first.
func (s *seat) notify() {
	for _, c := range s.queue {
		c.raw.Wake(flagNotice)
	}
	if s.holder != nil {
		s.holder.raw.Wake(flagNotice)
	}
}

// close makes the seat grant no more.
func (s *seat) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
}

// position returns the text of a waiting client's 120: its place, 1 is next, and the holder. It is empty if c
// no longer waits or the seat is free.
func (s *seat) position(c *conn) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.Index(s.queue, c)
	n, holder := i+1, s.status().Holder
	if c.shared != nil {
		n, holder = c.shared.Position()
	}
	if i < 0 || n == 0 || holder == "" {
		return ""
	}
	return "position " + strconv.Itoa(n) + " holder " + holder
}

// current returns the holder (nil if the seat is free) and the status.
func (s *seat) current() (holder *conn, now capability.Status) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.holder, s.status()
}

func (s *seat) status() capability.Status {
	now := capability.Status{Waiting: len(s.queue)}
	if s.shared != nil {
		now = s.shared.Status()
	}
	now.Watching, now.Served = len(s.watchers), s.served
	if s.holder != nil {
		now.Holder, now.Since, now.Active = s.holder.user, s.since, s.holder.lastActive()
	}
	return now
}
