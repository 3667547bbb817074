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
type Admission interface {
	// String is the word for it on the wire and in the log.
	String() string
	// admit decides under the seat's lock. It puts c into the queue or returns what c is told.
	admit(s *seat, c *conn) error
	// patience is how long c may wait.
	patience() time.Duration
}

// Queue lets clients wait, first come first served.
type Queue struct {
	Depth int           // how many may wait at once; zero is 16
	Wait  time.Duration // for how long at the most; zero is 60 s
}

// Reject sends clients away: "421 busy".
type Reject struct{}

// Takeover gives the seat to the newcomer. The one that had it is told "421 evicted", after its
// running handler was cancelled and has returned.
type Takeover struct {
	// Wait is how long the newcomer waits for that handler. Zero is 60 s.
	Wait time.Duration
}

const (
	defaultDepth = 16
	defaultWait  = time.Minute
)

func (Queue) String() string    { return "queue" }
func (Reject) String() string   { return "reject" }
func (Takeover) String() string { return "takeover" }

func (q Queue) patience() time.Duration    { return cmp.Or(q.Wait, defaultWait) }
func (Reject) patience() time.Duration     { return 0 }
func (t Takeover) patience() time.Duration { return cmp.Or(t.Wait, defaultWait) }

func (q Queue) admit(s *seat, c *conn) error {
	if len(s.queue) >= cmp.Or(q.Depth, defaultDepth) {
		return errBusy
	}
	s.queue = append(s.queue, c)
	return nil
}

func (Reject) admit(*seat, *conn) error { return errBusy }

func (Takeover) admit(s *seat, c *conn) error {
	for _, earlier := range s.queue {
		earlier.evict()
	}
	s.queue = append(s.queue[:0], c)
	if s.holder != nil {
		s.holder.evict()
	}
	return nil
}

// seat is the right to be served. One connection has it.
type seat struct {
	policy Admission

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
	}
	if err := s.policy.admit(s, c); err != nil {
		return 0, err
	}
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
	if s.holder == c {
		return true
	}
	if i := slices.Index(s.queue, c); i >= 0 {
		s.queue = slices.Delete(s.queue, i, i+1)
		s.tellAll()
	}
	return false
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
		next.wake(flagGranted)
	}
	s.tellAll()
}

// tellAll wakes those whom a change of the queue concerns.
func (s *seat) tellAll() {
	if s.holder != nil {
		s.holder.wake(flagNotice)
	}
	for _, c := range s.queue {
		c.wake(flagNotice)
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

// waiting returns how many wait.
func (s *seat) waiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.queue)
}

// current returns the holder, if there is one, and figures for STAT.
func (s *seat) current() (holder *conn, since time.Time, waiting, served int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.holder, s.since, len(s.queue), s.served
}
