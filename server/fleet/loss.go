package fleet

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/sallyport/sallyport/server/admission"
)

// maxDeletes bounds the keys that one call deletes. etcd takes 128.
const maxDeletes = 100

// guard evicts clients that may have lost their places, until the seat is closed. If the session of such a client does
// not end in time, guard ends the process.
func (s *Seat) guard() {
	for looked := clock(); sleep(s.ctx, lookEvery); looked = clock() {
		stopped := clock() - looked
		for _, p := range s.clients() {
			switch err := p.Check(); {
			case err == nil:
			case p.leaveBy == 0:
				text := "this gate can't reach etcd, so another gate may give the seat away"
				p.leaveBy = max(time.Duration(p.term.end.Load())+margin-leaveBy, clock()+lateLeave)
				if errors.Is(err, errPlaceLost) {
					text, p.leaveBy = "the place in the queue was deleted in etcd", clock()+lateLeave
				}
				if stopped > renewEvery {
					text = fmt.Sprintf("this gate was stopped for %v, so another gate may give the seat away", stopped.Round(time.Second))
				}
				p.evict("fleet", text)
			case p.seated.Load() && clock() >= p.leaveBy:
				s.Fatal("the session of " + p.User + " (" + p.Conn + ") has not ended, and another gate may give the seat away soon")
			}
		}
	}
}

// signal puts a value into the channel, unless it has one. It never blocks.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default: // it has one
	}
}

// sweep deletes places without a client, until the seat is closed.
func (s *Seat) sweep() {
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-s.unused:
		}
		for keys := s.withoutClient(); len(keys) > 0; keys = s.withoutClient() {
			err := refused(s.prefix(), s.delete(keys))
			if errors.Is(err, ErrRefused) {
				s.giveUp(err)
			}
			if err != nil && !sleep(s.ctx, renewAgain) {
				return
			}
		}
	}
}

// giveUp ends the term if etcd denies the deletion of places. They end with the lease.
func (s *Seat) giveUp(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.gone)
	if s.term != nil && s.term.end.Swap(0) != 0 {
		s.fleet.log.Error("no place in the queue can be given back, so all clients of this gate lose theirs when its lease ends", "error", err)
	}
}

// withoutClient returns places without a client: the places of clients that have left, and late ones of this term. etcd
// can write a place after the call has failed and the client has left. Such a place would stay as long as the gate
// lives.
func (s *Seat) withoutClient() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	keys := slices.Collect(maps.Keys(s.gone))
	for _, e := range s.queue.Load().entries {
		if s.term != nil && e.lease == s.term.lease && s.claims[e.key] == nil && !s.gone[e.key] {
			keys = append(keys, e.key)
		}
	}
	return keys[:min(len(keys), maxDeletes)]
}

// admit returns the reply to a client that may not wait. Clients that have left don't count: admit waits until their
// places are deleted.
func (s *Seat) admit(ctx context.Context, c admission.Client) error {
	for {
		q := s.queue.Load()
		why, ok := c.Rules.Allow(c.NoWait, len(q.entries)-1, q.waiting(c.User, len(q.entries)))
		if ok || q.holder() == "" {
			return nil
		}
		refusal := busy(why + q.status().Busy())
		if !s.isLeft(q) && q == s.queue.Load() {
			return refusal
		}
		select {
		case <-q.old:
		case <-ctx.Done():
			return refusal
		}
	}
}

// isLeft reports whether the queue has a place whose client has left.
func (s *Seat) isLeft(q *queue) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(q.entries, func(e entry) bool { return s.gone[e.key] })
}

// delete deletes places, and waits until they are not in the copy of the queue.
func (s *Seat) delete(keys []string) error {
	ctx, cancel := s.fleet.call(s.ctx)
	defer cancel()
	var all []clientv3.Op
	for _, key := range keys {
		all = append(all, clientv3.OpDelete(key))
	}
	done, err := s.fleet.etcd.Txn(ctx).Then(all...).Commit()
	if err == nil && slices.ContainsFunc(done.Responses, func(r *etcdserverpb.ResponseOp) bool { return r.GetResponseDeleteRange().Deleted > 0 }) {
		err = s.queue.reach(ctx, done.Header.Revision)
	}
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, key := range keys {
		delete(s.gone, key)
	}
	return nil
}
