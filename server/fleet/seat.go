package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/protocol/capability"
	"github.com/sallyport/sallyport/server/admission"
)

// Seat is the seat that all gates of a rig share. It is an [admission.Shared]; see [Fleet.Seat].
//
// The queue is in etcd: a key for each client of each gate, in order of the revisions that created them. The client of
// the first key has the seat, and the revision is its fencing token. All keys of a gate have one lease. etcd's package
// concurrency uses the same order, but allows one place for each lease. So it would need a lease for each waiting
// client, and a third call for each login.
//
// A gate ends its sessions 5 s before its lease can end. It counts from when it sent the last renewal that etcd
// answered, on a clock that runs on while the machine sleeps. It reads this clock before each write to the backend. If
// a session does not end in 4 s, the process ends ([SeatConfig].Fatal). So after a process was stopped, one write can
// still reach the backend, and the data in the kernel. The backend can refuse it by its fencing token.
type Seat struct {
	SeatConfig
	fleet  *Fleet
	queue  followed
	ctx    context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup
	turn   chan struct{} // held by the goroutine that begins a term
	unused chan struct{} // has a value if there may be places to delete
	wrong  chan struct{} // has a value if the copy of the queue may be wrong

	mu     sync.Mutex
	term   *term
	claims map[string]*claim // by key
	gone   map[string]bool   // the keys of clients that have left, until they are deleted
}

// SeatConfig names the rig and the gate of a [Seat]. All fields are required.
type SeatConfig struct {
	// Rig is the name of the rig, and Gate the id of this gate, 32 hex digits. At is its address, HOST:PORT, which
	// other gates show.
	Rig, Gate, At string
	// Changed is called after a change of the queue. It must not block.
	Changed func()
	// Fatal ends the process. It is called with the reason if a session has not ended and another gate may soon have
	// the seat.
	Fatal func(why string)
}

// errPlaceLost means that somebody has deleted a place in etcd.
var errPlaceLost = errors.New("fleet: the place in the queue was deleted in etcd, so another client may have the seat")

// claim is the place of one of this gate's clients.
type claim struct {
	admission.Client
	seat  *Seat
	key   string
	term  *term
	token int64

	waited  bool        // in the queue; Enter sets it
	seated  atomic.Bool // the client was the first, so it may have a session
	written atomic.Bool // the place was in the copy of the queue, and token is set
	lost    atomic.Bool // the place was written, and was deleted later
	evicted sync.Once
	shown   int           // the position at the last Changed; only Seat.changed uses it
	leaveBy time.Duration // when the session of a lost place must have ended, on clock; only guard uses it
}

var _ admission.Shared = (*Seat)(nil)

// Seat returns the seat of a rig. Call it only if [CanShare] is true, and Close the seat after use.
func (f *Fleet) Seat(c SeatConfig) *Seat {
	s := &Seat{
		SeatConfig: c, fleet: f, turn: make(chan struct{}, 1), unused: make(chan struct{}, 1), wrong: make(chan struct{}, 1),
		claims: map[string]*claim{}, gone: map[string]bool{},
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.queue.Store(&queue{old: make(chan struct{})})
	s.work.Go(s.checkRights)
	s.work.Go(func() { s.queue.follow(s.ctx, f, s.prefix(), s.wrong, s.changed) })
	s.work.Go(s.guard)
	s.work.Go(s.sweep)
	return s
}

// prefix is the prefix of the keys of all places.
func (s *Seat) prefix() string { return s.fleet.key("seats", s.Rig) + "/" }

// checkRights logs if etcd denies this gate the right to read or to write places. The operator sees it before the first
// login.
func (s *Seat) checkRights() {
	ctx, cancel := s.fleet.call(s.ctx)
	defer cancel()
	none := s.prefix() + s.Gate // the key of a place is longer
	_, err := s.fleet.etcd.Txn(ctx).Then(clientv3.OpGet(s.prefix(), clientv3.WithPrefix(), clientv3.WithLimit(1)), clientv3.OpDelete(none)).Commit()
	if err = refused(s.prefix(), err); errors.Is(err, ErrRefused) {
		s.fleet.log.Error("no client of this gate gets the seat", "error", err)
	}
}

// Close gives all places back. Call it after the last session.
func (s *Seat) Close() {
	s.cancel()
	s.work.Wait()
	s.mu.Lock()
	t := s.term
	s.mu.Unlock()
	if t != nil && !s.has(t) {
		s.revoke(t)
	}
}

// Status returns who has the seat and how many clients wait, as this gate knows.
func (s *Seat) Status() capability.Status { return s.queue.Load().status() }

// HolderAt returns the address of the gate whose client has the seat. It is empty if no client has the seat, or if its
// gate writes no address.
func (s *Seat) HolderAt() string {
	if q := s.queue.Load(); len(q.entries) > 0 {
		return q.entries[0].At
	}
	return ""
}

// NoLease returns the key of a place without a lease. It was written by hand, and stays until somebody deletes it. The
// key is quoted for a shell if necessary. Empty means that there is no such key.
func (s *Seat) NoLease() string { return s.queue.Load().noLease() }

// Enter puts a client at the end of the queue.
func (s *Seat) Enter(ctx context.Context, c admission.Client) (admission.Place, error) {
	ctx, cancel := s.fleet.call(ctx)
	defer cancel()
	if err := s.admit(ctx, c); err != nil {
		return nil, err
	}
	p, err := s.put(ctx, c)
	if err != nil {
		err = refused(s.prefix(), err)
		s.fleet.log.Error("a client gets no place in the queue, which is in etcd", "user", c.User, "conn", c.Conn, "error", err)
		switch {
		case errors.Is(err, ErrRefused):
			return nil, busy("etcd refuses this gate the queue of this rig: permission denied")
		case errors.Is(err, rpctypes.ErrNoSpace):
			return nil, busy("etcd, which has the queue of this rig, is full: alarm NOSPACE")
		}
		return nil, busy("this gate can't reach etcd, which has the queue of this rig")
	}
	if n, _ := p.Position(); n > 0 { // clients of other gates may have been quicker
		p.waited = true
		if why, ok := c.Rules.Allow(c.NoWait, n-1, s.queue.Load().waiting(c.User, n)); !ok {
			p.Leave()
			return nil, busy(why + s.Status().Busy())
		}
	}
	return p, nil
}

func busy(text string) error {
	return &protocol.ReplyError{Code: protocol.CodeClosing, Keyword: protocol.KeywordBusy, Text: text}
}

// put writes a client's key, and waits until the copy of the queue has it.
func (s *Seat) put(ctx context.Context, c admission.Client) (*claim, error) {
	t, err := s.current(ctx)
	if err != nil {
		return nil, err
	}
	p := &claim{Client: c, seat: s, key: s.fleet.key("seats", s.Rig, s.Gate, c.Conn), term: t}
	value, err := p.encode()
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.claims[p.key] = p
	s.mu.Unlock()
	before := s.queue.Load().revision
	done, err := s.fleet.etcd.Txn(ctx).If(clientv3.Compare(clientv3.CreateRevision(p.key), "=", 0)).
		Then(clientv3.OpPut(p.key, value, clientv3.WithLease(t.lease))).Commit()
	switch {
	case err == nil && !done.Succeeded:
		err = errors.New("the place is taken")
	case err == nil && done.Header.Revision <= before:
		signal(s.wrong)
		err = errors.New("etcd was set back: it was restored, or has lost its data")
	case err == nil:
		p.token = done.Header.Revision
		if err = s.queue.reach(ctx, p.token); err == nil {
			p.written.Store(true)
			if s.queue.Load().find(p) < 0 {
				err = errors.New("the place was deleted")
			}
		}
	}
	if err != nil {
		p.Leave() // the key may be there
	}
	return p, err
}

// encode returns the value of the place, with the current time as Since.
func (p *claim) encode() (string, error) {
	value, err := json.Marshal(entry{Schema: entrySchema, User: p.User, Takeover: p.Rules.Evict, At: p.seat.At, Since: time.Now()})
	return string(value), err
}

// begins writes the start of the session of a client that waited. Other gates show it. begins does not wait.
func (p *claim) begins() {
	s := p.seat
	value, err := p.encode()
	if err != nil {
		return // can't happen: put encoded it before
	}
	s.work.Go(func() {
		ctx, cancel := s.fleet.call(s.ctx)
		defer cancel()
		ours := clientv3.Compare(clientv3.CreateRevision(p.key), "=", p.token)
		_, _ = s.fleet.etcd.Txn(ctx).If(ours).Then(clientv3.OpPut(p.key, value, clientv3.WithLease(p.term.lease))).Commit()
	})
}

// current returns the term. If it is over, current begins another.
func (s *Seat) current(ctx context.Context) (*term, error) {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if t := s.term; t != nil && t.check() == nil { // only the goroutine whose turn it is writes it
		return t, nil
	}
	t, err := s.fleet.begin(ctx)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.term = t
	s.mu.Unlock()
	s.work.Go(func() { s.keep(t) })
	return t, nil
}

// keep keeps a term. When it is over and its clients have left, keep ends the lease, so that the next client need not
// wait for its end.
func (s *Seat) keep(t *term) {
	t.keep(s.ctx, s.fleet.etcd)
	signal(s.wrong)
	if s.ctx.Err() != nil {
		return
	}
	s.fleet.log.Error("the seat is lost: for too long etcd has not answered, or this process was stopped", "rig", s.Rig)
	for s.has(t) && sleep(s.ctx, lookEvery) {
	}
	s.revoke(t)
}

// clients returns the clients of this gate.
func (s *Seat) clients() []*claim {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Values(s.claims))
}

// has reports whether there are clients of a term.
func (s *Seat) has(t *term) bool {
	return slices.ContainsFunc(s.clients(), func(p *claim) bool { return p.term == t })
}

func (s *Seat) revoke(t *term) {
	ctx, cancel := s.fleet.call(context.Background())
	defer cancel()
	_, _ = s.fleet.etcd.Revoke(ctx, t.lease)
}

// changed informs the clients of this gate of a change of the queue.
func (s *Seat) changed() {
	s.Changed()
	q := s.queue.Load()
	for _, p := range s.clients() {
		n := q.find(p)
		if n < 0 {
			p.lost.Store(p.written.Load())
		} else if by := q.evictor(n); by != "" {
			p.evict(by, by+" took over")
		}
		if n != p.shown || n == 0 { // a waiting client needs no news of clients behind it
			p.shown = n
			p.Changed()
		}
	}
	signal(s.unused)
}

// evict makes the client leave, once.
func (p *claim) evict(by, text string) { p.evicted.Do(func() { p.Evict(by, text) }) }

// Position returns the client's position among the clients of all gates. 0 means that the client has the seat.
func (p *claim) Position() (n int, holder string) {
	q := p.seat.queue.Load()
	n = q.find(p)
	switch {
	case n < 0, n == 0 && p.Check() != nil:
		n = 1 // it waits for its eviction
	case n == 0 && !p.seated.Swap(true) && p.waited:
		p.begins()
	}
	return n, q.holder()
}

// Token returns the revision of etcd that created the place.
func (p *claim) Token() int64 { return p.token }

// Check returns an error if a client of another gate may have the seat by now.
func (p *claim) Check() error {
	if p.lost.Load() {
		return errPlaceLost
	}
	return p.term.check()
}

// Leave gives the place back. It does not wait.
func (p *claim) Leave() {
	s := p.seat
	s.mu.Lock()
	delete(s.claims, p.key)
	s.gone[p.key] = true
	s.mu.Unlock()
	signal(s.unused)
}
