package fleet

import (
	"context"
	"slices"
	"time"
)

// lose makes clients leave that may have lost their places. It ends the process if one of their sessions has not ended
// by then, or after lateLeave if that is later.
func (s *Seat) lose(all []*claim, by time.Duration, text string) {
	by = max(by, clock()+lateLeave)
	for _, p := range all {
		p.evict("fleet", text)
	}
	for len(all) > 0 && clock() < by {
		pause(context.Background(), lookEvery)
		all = slices.DeleteFunc(all, s.hasLeft)
	}
	for _, p := range all {
		if p.seated.Load() {
			s.Fatal("the session of " + p.User + " (" + p.Conn + ") has not ended, and another gate may give the seat away soon")
		}
	}
}

func (s *Seat) hasLeft(p *claim) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return p.left
}

// lostNow reports whether this is the first time that a place which was written is not in the queue.
func (s *Seat) lostNow(p *claim) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return p.written && !p.lost.Swap(true)
}

// sweep removes places of this term that no client has. etcd can write a place late, after the call has failed and the
// place was removed. The lease is the gate's, so such a place would stay for ever.
func (s *Seat) sweep() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.term == nil {
		return
	}
	for _, key := range s.queue.keys(s.term.lease) {
		if s.claims[key] == nil {
			s.remove(key)
		}
	}
}

// remove deletes a place that no client has. It does not wait. The caller has locked mu.
func (s *Seat) remove(key string) {
	if s.removing[key] {
		return
	}
	s.removing[key] = true
	s.work.Go(func() {
		for s.removeOnce(key) != nil || !s.isRemoved(key) {
			if !pause(s.ctx, renewAgain) {
				return
			}
		}
	})
}

// removeOnce deletes a place, and waits until the copy of the queue knows.
func (s *Seat) removeOnce(key string) error {
	ctx, cancel := s.fleet.call(s.ctx)
	defer cancel()
	done, err := s.fleet.etcd.Delete(ctx, key)
	if err != nil {
		return err
	}
	return s.queue.reach(ctx, done.Header.Revision)
}

// isRemoved ends the work of remove, unless the place is there again and no client has it.
func (s *Seat) isRemoved(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n, _ := s.queue.find(key); n >= 0 && s.claims[key] == nil {
		return false
	}
	delete(s.removing, key)
	return true
}
