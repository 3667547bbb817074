package main

import (
	"errors"
	"testing"
	"time"

	"github.com/sallyport/sallyport/client/lease"
	"github.com/sallyport/sallyport/cmd/sallyport/shepherd"
	"github.com/sallyport/sallyport/protocol/capability"
)

// Whatever hold sees first, a seat that was lost is an exit code of 5, and the reason is the real one.
func TestSeatLost(t *testing.T) {
	t.Parallel()
	leaseOf := func(limits capability.Timeouts) lease.Lease {
		l, err := lease.New(limits, time.Now())
		if err == nil {
			err = l.Ping(t.Context(), func() error { return nil })
		}
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	silence, session := leaseOf(capability.Timeouts{Idle: time.Minute}), leaseOf(capability.Timeouts{Idle: time.Minute, Session: 20 * time.Second})
	for name, test := range map[string]struct{ err, want error }{
		"the end of the command":                 {seatLost(nil, shepherd.ErrOver, silence), shepherd.ErrOver},
		"the end of the lease":                   {seatLost(lease.ErrOver, nil, silence), lease.ErrOver},
		"both":                                   {seatLost(lease.ErrOver, shepherd.ErrOver, session), lease.ErrOver},
		"the end of the command, by the session": {seatLost(nil, shepherd.ErrOver, session), lease.ErrSession},
	} {
		if code := exitCode(test.err); code != exitNoSeat || !errors.Is(test.err, test.want) {
			t.Errorf("after %s: exit code %d, %v", name, code, test.err)
		}
	}
	if err := seatLost(nil, nil, session); err != nil {
		t.Error(err)
	}
}
