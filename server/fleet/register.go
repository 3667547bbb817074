package fleet

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// ErrTaken means that another gate has the name of the rig, and they do not share a seat.
var ErrTaken = errors.New("fleet: the name of the rig is taken")

var errUnregistered = errors.New("fleet: the registration is gone: its lease has ended, or somebody has removed or changed it")

const (
	// leaseTime is how long a gate stays in the directory without a sign of life. etcd counts whole seconds.
	leaseTime = 15 * time.Second
	keepEvery = leaseTime / 3
	// retry is the time between two attempts while etcd is away.
	retry = time.Second
	// writeEvery bounds the writes of a gate. The latest state is owed.
	writeEvery = 500 * time.Millisecond
	// settle is how long a change of the seat takes after its record in the log.
	settle = 20 * time.Millisecond
	// leaveTime bounds the end of a registration.
	leaveTime = time.Second
	// claims is how often a name is tried while others register for it at the same moment.
	claims = 8
)

// State is the condition of a registration.
type State struct {
	// Up means that the gate is in the directory. Since is when that changed, and Err why it is not.
	Up    bool
	Since time.Time
	Err   error
}

// Registration keeps a gate in the directory until Close. It registers again by itself whenever etcd has been away.
type Registration struct {
	fleet    *Fleet
	key      string
	prefix   string // of all gates of this rig
	describe func() Rig
	news     chan struct{}
	cancel   context.CancelFunc
	done     chan struct{}

	mu    sync.Mutex
	state State
	lease clientv3.LeaseID
}

// Register registers a gate, whose id is 32 hex digits. describe returns what the directory shall say; it is called
// after Changed, and must not block. The error is [ErrTaken], or one of encoding. If etcd does not answer, Register
// returns without an error within seconds, and goes on trying.
func (f *Fleet) Register(gate, name string, describe func() Rig) (*Registration, error) {
	if err := CheckName(name); err != nil || !gateIDs.MatchString(gate) {
		return nil, errors.Join(err, fmt.Errorf("the id of a gate is 32 hex digits, not %.40q", gate))
	}
	named := func() Rig {
		rig := describe()
		rig.Name, rig.Gate = name, gate
		return rig
	}
	if _, err := named().encode(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(f.etcd.Ctx())
	r := &Registration{
		fleet: f, prefix: f.key("rigs", name) + "/", key: f.key("rigs", name, gate), describe: named,
		news: make(chan struct{}, 1), cancel: cancel, done: make(chan struct{}), state: State{Since: time.Now()},
	}
	written, err := r.enter(ctx)
	if errors.Is(err, ErrTaken) {
		cancel()
		return nil, err
	}
	go r.run(ctx, written)
	return r, nil
}

// Changed says that describe has news. It never blocks.
func (r *Registration) Changed() {
	select {
	case r.news <- struct{}{}:
	default: // a write is due
	}
}

// State returns the condition.
func (r *Registration) State() State {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state
}

// Close takes the gate out of the directory. Without etcd that takes a second, and the lease does it later.
func (r *Registration) Close() {
	r.cancel()
	<-r.done
	r.leave()
}

// leave ends the lease, and the key with it.
func (r *Registration) leave() {
	if r.lease != 0 {
		ctx, cancel := context.WithTimeout(r.fleet.etcd.Ctx(), leaveTime)
		defer cancel()
		_, _ = r.fleet.etcd.Revoke(ctx, r.lease)
		r.lease = 0
	}
}

func (r *Registration) run(ctx context.Context, written Rig) {
	defer close(r.done)
	for {
		if r.State().Up {
			if err := r.stay(ctx, written); ctx.Err() == nil {
				r.note(err)
			}
		}
		if !sleep(ctx, retry) {
			return
		}
		written, _ = r.enter(ctx)
	}
}

// note keeps the condition, and logs a change of it.
func (r *Registration) note(err error) {
	r.mu.Lock()
	was := r.state
	changed := was.Up != (err == nil)
	if r.state.Err = err; changed {
		r.state.Up, r.state.Since = err == nil, time.Now()
	}
	r.mu.Unlock()
	switch {
	case changed && err == nil:
		r.fleet.log.Info("the gate is in the directory", "key", r.key)
	case err != nil && (changed || was.Err == nil):
		r.fleet.log.Warn("the gate is not in the directory; it serves on, and registers again by itself", "key", r.key, "error", err)
	}
}

// enter takes a lease and registers the gate under it.
func (r *Registration) enter(ctx context.Context) (written Rig, err error) {
	defer func() {
		if err != nil && !errors.Is(err, ErrAway) {
			r.leave() // the lease is of no use
		}
		if ctx.Err() == nil {
			r.note(err)
		}
	}()
	bounded, cancel := r.fleet.call(ctx)
	defer cancel()
	lease, err := r.fleet.etcd.Grant(bounded, int64(leaseTime/time.Second))
	if err != nil {
		return written, r.fleet.explain(ctx, err)
	}
	r.lease = lease.ID
	for range claims {
		written = r.describe()
		if ok, err := r.claim(ctx, written); ok || err != nil {
			return written, err
		}
	}
	return written, fmt.Errorf("%w: others register for it again and again", ErrTaken)
}

// claim writes the key, unless another gate has the name. It is false if a gate has registered since the look.
func (r *Registration) claim(ctx context.Context, rig Rig) (ok bool, err error) {
	value, err := rig.encode()
	if err != nil {
		return false, err
	}
	bounded, cancel := r.fleet.call(ctx)
	defer cancel()
	// The key of an earlier run goes first, so that this registration is new for others that look.
	if _, err := r.fleet.etcd.Delete(bounded, r.key); err != nil {
		return false, r.fleet.explain(ctx, err)
	}
	got, err := r.fleet.etcd.Get(bounded, r.prefix, clientv3.WithPrefix(), clientv3.WithLimit(page))
	if err != nil {
		return false, r.fleet.explain(ctx, err)
	}
	for _, kv := range got.Kvs {
		other, err := r.fleet.decodeRig(kv)
		switch {
		case err != nil:
			return false, fmt.Errorf("%w: by %s, which is not Sallyport's", ErrTaken, kv.Key)
		case !rig.Seat || !other.Seat:
			return false, fmt.Errorf("%w by the gate at %s: choose another --rig, or give both --fleet-seat (the name of a gate that was killed is free after %v)", ErrTaken, other.Addr, leaseTime)
		}
	}
	noNewer := clientv3.Compare(clientv3.CreateRevision(r.prefix), "<", got.Header.Revision+1).WithPrefix()
	put, err := r.fleet.etcd.Txn(bounded).If(noNewer).Then(clientv3.OpPut(r.key, value, clientv3.WithLease(r.lease))).Commit()
	if err != nil {
		return false, r.fleet.explain(ctx, err)
	}
	return put.Succeeded, nil
}

// stay keeps the lease and writes changes, until the registration is lost. written is what the directory says.
func (r *Registration) stay(ctx context.Context, written Rig) error {
	keep, write := time.NewTimer(keepEvery), time.NewTimer(writeEvery) // a change may have come meanwhile
	defer keep.Stop()
	defer write.Stop()
	last, due := time.Now(), true
	for {
		var err error
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-r.news:
			if !due {
				due = true
				write.Reset(max(settle, writeEvery-time.Since(last)))
			}
			continue
		case <-keep.C:
			if err = r.keep(ctx); err == nil {
				keep.Reset(keepEvery)
				r.Changed() // in case a change gave no sign
			}
		case <-write.C:
			due = false
			if now := r.describe(); !same(now, written) {
				if err = r.put(ctx, now); err == nil {
					last, written, due = time.Now(), now, true
					write.Reset(writeEvery)
				}
			}
		}
		if err != nil {
			return err
		}
	}
}

// same reports whether two states differ in nothing that is worth a write. The head changes with each record.
func same(a, b Rig) bool {
	a.Head, b.Head = "", ""
	left, _ := a.encode()
	right, _ := b.encode()
	return left == right
}

// keep renews the lease, and looks whether the key is still under it.
func (r *Registration) keep(ctx context.Context) error {
	bounded, cancel := r.fleet.call(ctx)
	defer cancel()
	_, err := r.fleet.etcd.KeepAliveOnce(bounded, r.lease)
	if errors.Is(err, rpctypes.ErrLeaseNotFound) {
		return errUnregistered
	}
	if err != nil {
		return r.fleet.explain(ctx, err)
	}
	return r.ifOurs(ctx)
}

// put writes a change, if the key is still under our lease.
func (r *Registration) put(ctx context.Context, rig Rig) error {
	value, err := rig.encode()
	if err != nil {
		return err
	}
	return r.ifOurs(ctx, clientv3.OpPut(r.key, value, clientv3.WithLease(r.lease)))
}

// ifOurs does operations if the key is under our lease.
func (r *Registration) ifOurs(ctx context.Context, then ...clientv3.Op) error {
	bounded, cancel := r.fleet.call(ctx)
	defer cancel()
	ours := clientv3.Compare(clientv3.LeaseValue(r.key), "=", r.lease)
	done, err := r.fleet.etcd.Txn(bounded).If(ours).Then(then...).Commit()
	if err == nil && !done.Succeeded {
		return errUnregistered
	}
	return r.fleet.explain(ctx, err)
}
