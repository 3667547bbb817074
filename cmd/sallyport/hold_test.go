package main

import (
	"context"
	"testing"

	"github.com/sallyport/sallyport/client/lease"
	"github.com/sallyport/sallyport/cmd/sallyport/shepherd"
)

// Whatever hold sees first, a seat that was lost is an exit code of 5.
func TestSeatLost(t *testing.T) {
	t.Parallel()
	leaseOver, lose := context.WithCancelCause(t.Context())
	lose(lease.ErrOver)
	for name, err := range map[string]error{
		"the end of the command": seatLost(t.Context(), t.Context(), shepherd.ErrOver),
		"the end of the lease":   seatLost(t.Context(), leaseOver, nil),
	} {
		if code := exitCode(err); code != exitNoSeat {
			t.Errorf("after %s the exit code is %d", name, code)
		}
	}
	if err := seatLost(t.Context(), t.Context(), nil); err != nil {
		t.Error(err)
	}
}
