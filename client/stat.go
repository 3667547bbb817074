package client

import (
	"cmp"
	"context"
	"time"

	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/protocol/capability"
)

// Stat logs in and returns the lines of STAT, "key value" each, without a seat and without a place in the queue:
// who has the seat and how many wait. LoginTimeout bounds it. Errors are those of Dial except ErrBusy, and
// ErrNoStat.
func (d *Dialer) Stat(ctx context.Context, addr string, credentials Credentials) (reply protocol.Reply, err error) {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(d.LoginTimeout, 10*time.Second))
	defer cancel()
	asking := *d
	asking.stat = &reply
	c, err := asking.Dial(ctx, addr, credentials)
	if err == nil {
		c.Close()
	}
	return reply, err
}

// lastWord returns what to say in place of the empty line of the login, if the server understands it.
func (d *Dialer) lastWord() string {
	switch {
	case d.stat != nil:
		return capability.Stat
	case d.NoWait:
		return capability.NoWait
	}
	return ""
}
