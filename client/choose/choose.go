package choose

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/sallyport/sallyport/client"
)

const (
	// stale is the pause before a rig is tried again that refused although the directory shows it as free. The
	// directory lags by half a second. The pause doubles with each refusal.
	stale = time.Second
	// maxDoubled bounds how often the pause doubles.
	maxDoubled = 5
	// lookEvery is the time between two looks for a rig that may be tried again.
	lookEvery = time.Second / 4
	// maxGates bounds the gates of a rig that are tried, and maxTry an attempt without waiting. So the entries
	// of one rig can't keep clients from the others.
	maxGates = 8
	maxTry   = 15 * time.Second
	// spread times the number of clients that wait in the lab, or maxSpread, is the longest delay before a try. All
	// clients see at the same moment that a rig is free, and only one can have it.
	spread    = 5 * time.Millisecond
	maxSpread = 2 * time.Second
)

// Chooser gets the seat of one rig of a lab. S is the type of a seat. Follow, Dial and Close are required. A Chooser is
// safe for concurrent use if its functions are.
type Chooser[S any] struct {
	// Follow calls on with all gates, and again after each change, until ctx ends. It returns an error if it can't
	// begin.
	Follow func(ctx context.Context, on func([]Gate)) error
	// Dial asks a gate for the seat. If the seat is taken, Dial waits in the queue with wait, and without it fails with
	// [client.ErrBusy]. When ctx ends, Dial leaves the queue and returns soon.
	Dial func(ctx context.Context, g Gate, wait bool) (S, error)
	// Close gives back a seat that Dial returned and Seat does not return.
	Close func(S)
	// Tags are the tags that a rig must have. Empty means any rig.
	Tags map[string]string
	// NoWait means that Seat joins no queue. It fails with client.ErrBusy if no rig is free.
	NoWait bool
	// IntN returns a random number from 0 to n-1. Nil means rand.IntN of math/rand/v2.
	IntN func(n int) int
}

// Seat returns a seat and the gate that gave it. It tries the free rigs without waiting, in random order, so that
// clients that come together spread over the lab. If it gets no seat, it joins the shortest queue. While it waits
// there, it tries each rig that becomes free. Before it returns, it gives back every other seat that it got.
//
// A refused login ends the search, because Seat must not try a wrong password at each gate of a lab. A wait that the
// gate ends also ends the search. A gate that can't be reached, or stops, does not. The error wraps [ErrNoRig] if no
// rig has the tags. Otherwise it is the error of Follow, a [Failed], an error of a gate, or the cause of ctx.
func (c Chooser[S]) Seat(ctx context.Context) (seat S, at Gate, err error) {
	if c.IntN == nil {
		c.IntN = rand.IntN
	}
	bounded, cancel := context.WithCancel(ctx)
	s := &search[S]{
		Chooser: c, ctx: bounded, changed: make(chan struct{}, 1), followed: make(chan error, 1),
		results: make(chan result[S], 2), tried: map[string]tried{},
	}
	go func() { s.followed <- c.Follow(bounded, s.update) }()
	won, err := s.run()
	cancel()
	s.giveBack()
	if ctx.Err() != nil && err != nil {
		err = context.Cause(ctx)
	}
	return won.seat, won.at, err
}

// search is one call of Seat. Only the goroutine of Seat uses the fields that mu does not guard.
type search[S any] struct {
	Chooser[S]
	ctx      context.Context
	changed  chan struct{} // has a value after a change of the directory
	followed chan error    // gets the result of Follow
	results  chan result[S]

	trying, place string // rigs of the running attempts, without and with a wait; "" means no attempt
	tried         map[string]tried

	mu   sync.Mutex
	all  []Gate // the latest directory
	rigs []rig  // the rigs with the tags
	seen bool   // the directory has come
}

// rig sums up the directory's entries of one rig.
type rig struct {
	name     string
	gates    []Gate
	free     bool
	waiting  int
	revision int64
}

// result is the result of an attempt.
type result[S any] struct {
	rig  rig
	wait bool
	seat S
	at   Gate
	err  error
}

// tried is the outcome of the attempts at a rig. The rig is not tried again before until, unless it was busy and its
// revision in the directory has changed.
type tried struct {
	err      error // of the last attempt
	noQueue  bool  // its queue can't be joined
	busy     bool
	revision int64
	until    time.Time
	doubled  int
}

func (s *search[S]) update(all []Gate) {
	var rigs []rig
	at := map[string]int{}
	for _, g := range all {
		if !g.has(s.Tags) {
			continue
		}
		i, known := at[g.Rig]
		if !known {
			i, rigs = len(rigs), append(rigs, rig{name: g.Rig, free: true})
			at[g.Rig] = i
		}
		r := &rigs[i]
		if len(r.gates) < maxGates {
			r.gates = append(r.gates, g)
		}
		r.free = r.free && g.Holder == "" && g.Waiting == 0
		r.waiting, r.revision = max(r.waiting, g.Waiting), max(r.revision, g.Revision)
	}
	s.mu.Lock()
	s.all, s.rigs, s.seen = all, rigs, true
	s.mu.Unlock()
	select {
	case s.changed <- struct{}{}:
	default: // a look is due
	}
}

// look returns the rigs with the tags, in random order.
func (s *search[S]) look() (rigs []rig, seen bool) {
	s.mu.Lock()
	rigs, seen = slices.Clone(s.rigs), s.seen
	s.mu.Unlock()
	for i := len(rigs) - 1; i > 0; i-- {
		j := s.IntN(i + 1)
		rigs[i], rigs[j] = rigs[j], rigs[i]
	}
	return rigs, seen
}

// run returns the first seat, or the error that ends the search.
func (s *search[S]) run() (won result[S], err error) {
	for {
		rigs, seen := s.look()
		s.try(rigs)
		if seen && s.trying == "" && s.place == "" {
			if err := s.join(rigs); err != nil {
				return won, err
			}
		}
		select {
		case <-s.ctx.Done():
			return won, s.ctx.Err()
		case err := <-s.followed:
			if s.followed = nil; err != nil {
				return won, err
			}
		case <-s.changed:
		case <-time.After(lookEvery):
		case r := <-s.results:
			if s.isLast(r) {
				return r, r.err
			}
		}
	}
}

// try starts an attempt at a free rig, if there is one and no other attempt runs.
func (s *search[S]) try(rigs []rig) {
	if s.trying != "" {
		return
	}
	var delay time.Duration
	if s.place != "" {
		waiting := 0
		for _, r := range rigs {
			waiting += r.waiting
		}
		delay = time.Duration(s.IntN(1 + int(min(maxSpread, time.Duration(waiting)*spread))))
	}
	for _, r := range rigs {
		if r.free && r.name != s.place && s.wait(r) <= 0 {
			s.trying = r.name
			go s.attempt(r, false, delay)
			return
		}
	}
}

// join takes a place in the shortest queue. Its error ends the search.
func (s *search[S]) join(rigs []rig) error {
	left := slices.DeleteFunc(slices.Clone(rigs), func(r rig) bool { return s.tried[r.name].noQueue })
	switch {
	case len(rigs) == 0 && len(s.tried) == 0:
		return s.noRig()
	case s.NoWait:
		return s.failed(fmt.Sprintf("none of %d rigs is free", len(rigs)))
	case len(left) == 0:
		return s.failed("no rig has a seat to give")
	}
	shortest := slices.MinFunc(left, func(a, b rig) int { return s.queue(a) - s.queue(b) })
	s.place = shortest.name
	go s.attempt(shortest, true, 0)
	return nil
}

// queue returns how many clients wait for a rig. If the rig has just refused, the directory lags, and queue adds one.
func (s *search[S]) queue(r rig) int {
	if s.wait(r) > 0 {
		return r.waiting + 1
	}
	return r.waiting
}

// attempt asks the gates of a rig for the seat.
func (s *search[S]) attempt(r rig, wait bool, delay time.Duration) {
	done := result[S]{rig: r, wait: wait, err: client.ErrBusy}
	if delay == 0 || s.sleep(delay) && s.isFree(r.name) {
		ctx, cancel := s.ctx, context.CancelFunc(func() {})
		if !wait {
			ctx, cancel = context.WithTimeout(s.ctx, maxTry)
		}
		done.seat, done.at, done.err = InTurn(ctx, r.gates, func(g Gate) (S, error) { return s.Dial(ctx, g, wait) })
		cancel()
	}
	if done.err != nil {
		done.err = fmt.Errorf("rig %s: %w", r.name, done.err)
	}
	s.results <- done
}

func (s *search[S]) sleep(d time.Duration) bool {
	select {
	case <-s.ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

func (s *search[S]) isFree(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.rigs, func(r rig) bool { return r.name == name && r.free })
}

// isLast reports whether the result of an attempt ends the search.
func (s *search[S]) isLast(r result[S]) bool {
	if r.wait {
		s.place = ""
	} else {
		s.trying = ""
	}
	if r.err == nil || s.ctx.Err() != nil || !elsewhere(r.err) {
		return true
	}
	was := s.tried[r.rig.name]
	now := was
	now.err = r.err
	if r.wait {
		now.noQueue = true
	} else {
		if now.doubled = 0; was.revision == r.rig.revision && !was.until.IsZero() {
			now.doubled = min(was.doubled+1, maxDoubled)
		}
		now.busy, now.revision, now.until = errors.Is(r.err, client.ErrBusy), r.rig.revision, time.Now().Add(stale<<now.doubled)
	}
	s.tried[r.rig.name] = now
	return false
}

// wait returns the time until the rig may be tried again.
func (s *search[S]) wait(r rig) time.Duration {
	was := s.tried[r.name]
	if was.busy && was.revision != r.revision {
		return 0
	}
	return time.Until(was.until)
}

// giveBack waits for the end of the running attempts, and closes each seat that they got.
func (s *search[S]) giveBack() {
	for _, name := range []string{s.trying, s.place} {
		if name == "" {
			continue
		}
		if late := <-s.results; late.err == nil {
			s.Close(late.seat)
		}
	}
	if s.followed != nil {
		<-s.followed
	}
}

func (s *search[S]) noRig() error {
	if len(s.Tags) == 0 {
		return worded{ErrNoRig, "there is no rig in the directory"}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return worded{ErrNoRig, "no rig has " + tagText(s.Tags) + listed(s.all, true)}
}

// failed returns the error of a search in which no rig gave a seat.
func (s *search[S]) failed(what string) error {
	f := Failed{what: what}
	for _, name := range slices.Sorted(maps.Keys(s.tried)) {
		f.errs = append(f.errs, s.tried[name].err)
	}
	if f.errs == nil {
		f.errs = []error{client.ErrBusy}
	}
	return f
}
