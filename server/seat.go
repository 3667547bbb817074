package server

import (
	"cmp"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Admission says what becomes of a client that has proved itself while the seat is taken: [Queue],
// [Reject] or [Takeover].
type Admission interface{ policy() policy }

// Queue lets clients wait, first come first served.
type Queue struct {
	Depth int           // how many may wait at once; zero is 16
	Wait  time.Duration // for how long at the most; zero is 60 s
}

// Reject sends clients away: "421 busy".
type Reject struct{}

// Takeover gives the seat to the newcomer. The one that had it is told "421 evicted", after its
// running handler was cancelled and has returned; Wait is how long the newcomer waits for that, zero
// being 60 s.
type Takeover struct{ Wait time.Duration }

// policy is what an Admission comes to.
type policy struct {
	name  string // on the wire and in the log
	depth int
	wait  time.Duration
	evict bool
}

func (q Queue) policy() policy {
	return policy{"queue", cmp.Or(q.Depth, 16), cmp.Or(q.Wait, time.Minute), false}
}
func (Reject) policy() policy     { return policy{name: "reject"} }
func (t Takeover) policy() policy { return policy{"takeover", 1, cmp.Or(t.Wait, time.Minute), true} }

// seat is the right to be served. One connection has it.
type seat struct {
	policy policy

	mu     sync.Mutex
	holder *conn
	since  time.Time // when the holder got it
	queue  []*conn
	served int // how many have had it
	closed bool
}

// ask asks for the seat. Position 0 is that c has it; otherwise c waits, 1 being next, and is woken
// with flagGranted.
func (s *seat) ask(c *conn) (position int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return 0, errShutdown
	case s.holder == nil:
		s.grant(c)
		return 0, nil
	case s.policy.evict:
		for _, earlier := range append(s.queue, s.holder) {
			earlier.evict()
		}
		s.queue = s.queue[:0]
	case len(s.queue) >= s.policy.depth:
		return 0, errBusy
	}
	s.queue = append(s.queue, c)
	s.tellAll()
	return len(s.queue), nil
}

func (s *seat) grant(c *conn) {
	s.holder, s.since = c, time.Now()
	s.served++
}

// leave ends c's wait. It returns true where c has been granted the seat all the same.
func (s *seat) leave(c *conn) (granted bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.Index(s.queue, c); i >= 0 {
		s.queue = slices.Delete(s.queue, i, i+1)
		s.tellAll()
	}
	return s.holder == c
}

// release passes the seat on to whoever waits longest.
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
		next.flags.Or(flagGranted)
	}
	s.tellAll()
}

// tellAll wakes those whom a change of the queue concerns. Whoever has the seat comes last, because
// who is woken last has its turn first.
func (s *seat) tellAll() {
	for _, c := range s.queue {
		c.wake(flagNotice)
	}
	if s.holder != nil {
		s.holder.wake(flagNotice)
	}
}

// close ends the granting of the seat.
func (s *seat) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
}

// position is what a waiting client is told: its place, 1 being next, and who has the seat. It is
// empty where c no longer waits or nobody has the seat.
func (s *seat) position(c *conn) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.Index(s.queue, c)
	if i < 0 || s.holder == nil {
		return ""
	}
	return "position " + strconv.Itoa(i+1) + " holder " + s.holder.user
}

// current returns the holder, nil for none, since when, and how many wait and have been served.
func (s *seat) current() (holder *conn, since time.Time, waiting, served int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.holder, s.since, len(s.queue), s.served
}
