package fleet

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

const (
	// leaseTTL is the lease of a gate's places. etcd deletes the places of a gate that was silent for this time.
	leaseTTL = 15 * time.Second
	// margin is the time between the end of a gate's sessions and the end of its lease.
	margin = 5 * time.Second
	// leaveBy is the part of margin that is left when a session must have ended.
	leaveBy = time.Second
	// lateLeave bounds the end of a session that has already lost its place: the process was stopped for longer than
	// its lease, or somebody has deleted the place. The session can't write to the backend in this time.
	lateLeave = time.Second
	// renewEvery is the pause between two renewals of the lease, and the time limit of one. renewAgain is the pause
	// after a failed one: the next renewal goes to another member of etcd.
	renewEvery = 2 * time.Second
	renewAgain = 200 * time.Millisecond
	// lookEvery is the time between two checks of the term. It is also checked at each write to a backend.
	lookEvery = 100 * time.Millisecond
)

// errTermOver means that the places of another gate may come before those of this one.
var errTermOver = errors.New("fleet: this gate has not reached etcd for too long, so another gate may have the seat")

// term is the life of one lease of this gate in etcd. When the term is over, the gate has no place in the queue.
type term struct {
	lease clientv3.LeaseID
	end   atomic.Int64 // on clock: the margin before the end of the lease, or 0 if the term is over
}

// begin gets a lease from etcd.
func (f *Fleet) begin(ctx context.Context) (*term, error) {
	sent := clock()
	granted, err := f.etcd.Grant(ctx, int64(leaseTTL/time.Second))
	if err != nil {
		return nil, err
	}
	t := &term{lease: granted.ID}
	t.end.Store(int64(sent + lasts(granted.TTL) - margin))
	return t, nil
}

// lasts returns how long to count on a lease: etcd may grant a shorter or a longer one than this gate requested.
func lasts(ttl int64) time.Duration { return min(leaseTTL, time.Duration(ttl)*time.Second) }

// check returns an error if the term is over.
func (t *term) check() error {
	if clock() >= time.Duration(t.end.Load()) {
		return errTermOver
	}
	return nil
}

// keep renews the lease until the term is over.
func (t *term) keep(ctx context.Context, etcd *clientv3.Client) {
	for wait := renewEvery; sleep(ctx, wait) && t.check() == nil; {
		wait = renewEvery
		if t.renew(ctx, etcd) != nil {
			wait = renewAgain
		}
	}
}

// renew renews the lease once. The lease lasts from when etcd got the request, which is later than sent. If the term
// ends meanwhile, it stays over.
func (t *term) renew(ctx context.Context, etcd *clientv3.Client) error {
	sent := clock()
	ctx, cancel := context.WithTimeout(ctx, min(renewEvery, time.Duration(t.end.Load())-sent))
	defer cancel()
	renewed, err := etcd.KeepAliveOnce(ctx, t.lease)
	switch {
	case errors.Is(err, rpctypes.ErrLeaseNotFound):
		t.end.Store(0)
	case err == nil && t.check() == nil:
		t.end.Store(int64(sent + lasts(renewed.TTL) - margin))
	}
	return err
}
