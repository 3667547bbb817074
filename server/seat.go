package server

import (
	"cmp"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/protocol/capability"
)

// Admission is the policy for a client that has logged in while the seat is taken: [Queue], [Reject] or [Takeover].
type Admission interface{ policy(l Limits) policy }

// Queue lets clients wait, first come first served.
type Queue struct {
	// Depth is the maximum number of waiting clients. Zero means 16.
	Depth int
	// PerUser is the maximum number of waiting clients of one user. The seat does not count. Zero means 2.
	PerUser int
	// Wait is the maximum time that a client waits. Zero means 2 minutes more than Limits.Idle, so that a
	// client outlasts an idle holder. Less means no limit.
	Wait time.Duration
}

// Reject refuses clients: "421 busy".
type Reject struct{}

// Takeover evicts the holder ("421 evicted") and gives the seat to the newcomer, after the holder's running
// handler was cancelled and has returned. Wait is the maximum time that the newcomer waits for it. Zero
// means 60 s, less means no limit.
type Takeover struct{ Wait time.Duration }

// policy is the common form of all Admissions.
type policy struct {
	name    string // in EHLO and in the log
	depth   int
	perUser int
	wait    time.Duration
	evict   bool
}

func (q Queue) policy(l Limits) policy {
	wait := l.Idle
	if wait > 0 {
		wait += 2 * time.Minute
	}
	return policy{"queue", cmp.Or(q.Depth, 16), cmp.Or(q.PerUser, 2), cmp.Or(q.Wait, wait), false}
}
func (Reject) policy(Limits) policy { return policy{name: "reject"} }
func (t Takeover) policy(Limits) policy {
	return policy{name: "takeover", wait: cmp.Or(t.Wait, time.Minute), evict: true}
}

// seat is the right to be served. One connection has it.
type seat struct {
	policy policy

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
	case s.holder == nil:
		s.grant(c)
		return 0, nil
	case s.policy.evict:
		why := &eviction{refusal(protocol.CodeClosing, protocol.KeywordEvicted, c.user+" took over"), c.user}
		for _, earlier := range append(s.queue, s.holder) {
			earlier.evict(why)
		}
		s.queue = s.queue[:0]
	case c.lastWord == capability.NoWait, s.policy.depth == 0:
		return 0, s.busy("")
	case len(s.queue) >= s.policy.depth:
		return 0, s.busy("the queue is full: ")
	case s.waiting(c.user) >= s.policy.perUser:
		return 0, s.busy("this user has all the places in the queue that one may have: ")
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
	if len(s.queue) > 0 && !s.closed {
		next := s.queue[0]
		s.queue = slices.Delete(s.queue, 0, 1)
		s.grant(next)
		next.raw.Flags.Or(flagGranted)
	}
	s.notify()
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
	if i < 0 || s.holder == nil {
		return ""
	}
	return "position " + strconv.Itoa(i+1) + " holder " + s.holder.user
}

// current returns the holder (nil if the seat is free) and the status.
func (s *seat) current() (holder *conn, now capability.Status) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.holder, s.status()
}

func (s *seat) status() capability.Status {
	now := capability.Status{Waiting: len(s.queue), Watching: len(s.watchers), Served: s.served}
	if s.holder != nil {
		now.Holder, now.Since, now.Active = s.holder.user, s.since, s.holder.lastActive()
	}
	return now
}
