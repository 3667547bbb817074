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

var errUnregistered = errors.New("fleet: the registration is gone: its lease has ended, somebody has removed or changed it, or another gate runs on a copy of this state directory")

const (
	// leaseTime is how long a silent gate stays in the directory. etcd counts whole seconds.
	leaseTime = 15 * time.Second
	keepEvery = leaseTime / 3
	// settle is how long the seat takes to change after the record in the log.
	settle = 20 * time.Millisecond
	// claims is the number of attempts to get a name while other gates register for it at the same moment.
	claims = 8
)

// State is the condition of a registration.
type State struct {
	// Up means that the gate is in the directory. Since is the time of the last change of Up. Err is the reason why the
	// gate is not in the directory. It is nil before the first attempt and while Up is true.
	Up    bool
	Since time.Time
	Err   error
}

// Registration keeps a gate in the directory until Close. When etcd was away, the gate registers again by itself. Make
// one with [Fleet.Register].
type Registration struct {
	*writer  // its Changed means that describe has news
	fleet    *Fleet
	key      string
	prefix   string // of all gates of this rig
	describe func() Rig

	written Rig       // the entry in the directory
	kept    time.Time // when the lease was renewed
	lease   clientv3.LeaseID

	mu    sync.Mutex
	state State
}

// Register registers a gate under the name of its rig. gate is the gate's id, 32 hex digits. describe returns the entry
// for the directory. It is called by Register, after Changed and every 5 s, and must not block. The error wraps
// [ErrTaken], or means that an argument can't be registered. If etcd does not answer, Register returns within seconds
// without an error, and goes on trying.
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
	r := &Registration{fleet: f, prefix: f.key("rigs", name) + "/", key: f.key("rigs", name, gate), describe: named, state: State{Since: time.Now()}}
	if err := r.write(f.etcd.Ctx()); errors.Is(err, ErrTaken) {
		return nil, err
	}
	r.writer = f.startWriter(keepEvery, retry, r.write, func(error) {}) // note logs
	return r, nil
}

// State returns the condition of the registration.
func (r *Registration) State() State {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state
}

// Close takes the gate out of the directory. While etcd is away, Close returns after a second, and the entry stays
// until its lease ends.
func (r *Registration) Close() {
	r.stop()
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

// write writes the entry that describe returns, and renews the lease.
func (r *Registration) write(ctx context.Context) (err error) {
	if !r.State().Up {
		err = r.enter(ctx)
	} else {
		if time.Since(r.kept) > keepEvery/2 {
			err = r.keep(ctx)
		}
		sleep(ctx, settle)
		if now := r.describe(); err == nil && !same(now, r.written) {
			err = r.put(ctx, now)
		}
	}
	if ctx.Err() == nil {
		r.note(err)
	}
	return err
}

// note stores the condition, and logs its changes.
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
func (r *Registration) enter(ctx context.Context) (err error) {
	defer func() {
		if err != nil && !errors.Is(err, ErrAway) {
			r.leave() // the lease is of no use
		}
	}()
	bounded, cancel := r.fleet.call(ctx)
	defer cancel()
	lease, err := r.fleet.etcd.Grant(bounded, int64(leaseTime/time.Second))
	if err != nil {
		return r.fleet.explain(ctx, r.key, err)
	}
	r.lease, r.kept = lease.ID, time.Now()
	for range claims {
		if ok, err := r.claim(ctx, r.describe()); ok || err != nil {
			return err
		}
	}
	return fmt.Errorf("%w: others register for it again and again", ErrTaken)
}

// claim writes the key, unless another gate has the name. ok is false if another gate has registered meanwhile.
func (r *Registration) claim(ctx context.Context, rig Rig) (ok bool, err error) {
	value, err := rig.encode()
	if err != nil {
		return false, err
	}
	bounded, cancel := r.fleet.call(ctx)
	defer cancel()
	// The key of an earlier run goes first, so that this registration is new for others that look.
	if _, err := r.fleet.etcd.Delete(bounded, r.key); err != nil {
		return false, r.fleet.explain(ctx, r.key, err)
	}
	got, err := r.fleet.etcd.Get(bounded, r.prefix, clientv3.WithPrefix(), clientv3.WithLimit(page))
	if err != nil {
		return false, r.fleet.explain(ctx, r.key, err)
	}
	for _, kv := range got.Kvs {
		other, err := r.fleet.decodeRig(kv)
		switch {
		case err == nil && rig.Seat && other.Seat:
		case kv.Lease == 0:
			return false, fmt.Errorf("%w by a key that is not a server's: %w", ErrTaken, noLease(kv))
		case err != nil:
			return false, fmt.Errorf("%w: by %s, which is not Sallyport's", ErrTaken, kv.Key)
		default:
			return false, fmt.Errorf("%w by the gate at %s: choose another --rig, or give both --fleet-seat (the name of a gate that was killed is free after %v)", ErrTaken, other.Addr, leaseTime)
		}
	}
	noNewer := clientv3.Compare(clientv3.CreateRevision(r.prefix), "<", got.Header.Revision+1).WithPrefix()
	put, err := r.fleet.etcd.Txn(bounded).If(noNewer).Then(clientv3.OpPut(r.key, value, clientv3.WithLease(r.lease))).Commit()
	if err != nil {
		return false, r.fleet.explain(ctx, r.key, err)
	}
	r.written = rig
	return put.Succeeded, nil
}

// same reports whether two entries are equal except for Head, which changes with each record and is not worth a write.
func same(a, b Rig) bool {
	a.Head, b.Head = "", ""
	left, _ := a.encode()
	right, _ := b.encode()
	return left == right
}

// keep renews the lease, and checks that the key is still under it.
func (r *Registration) keep(ctx context.Context) error {
	bounded, cancel := r.fleet.call(ctx)
	defer cancel()
	_, err := r.fleet.etcd.KeepAliveOnce(bounded, r.lease)
	switch {
	case errors.Is(err, rpctypes.ErrLeaseNotFound):
		return errUnregistered
	case err != nil:
		return r.fleet.explain(ctx, r.key, err)
	}
	r.kept = time.Now()
	return r.ifOurs(ctx)
}

// put writes a change, if the key is still under our lease.
func (r *Registration) put(ctx context.Context, rig Rig) error {
	value, err := rig.encode()
	if err == nil {
		err = r.ifOurs(ctx, clientv3.OpPut(r.key, value, clientv3.WithLease(r.lease)))
	}
	if err == nil {
		r.written = rig
	}
	return err
}

// ifOurs executes operations if the key is under our lease.
func (r *Registration) ifOurs(ctx context.Context, then ...clientv3.Op) error {
	bounded, cancel := r.fleet.call(ctx)
	defer cancel()
	ours := clientv3.Compare(clientv3.LeaseValue(r.key), "=", r.lease)
	done, err := r.fleet.etcd.Txn(bounded).If(ours).Then(then...).Commit()
	if err == nil && !done.Succeeded {
		return errUnregistered
	}
	return r.fleet.explain(ctx, r.key, err)
}
