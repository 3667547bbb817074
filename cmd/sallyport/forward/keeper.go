package forward

import (
	"context"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/sallyport/sallyport/client"
	"github.com/sallyport/sallyport/client/lease"
	"github.com/sallyport/sallyport/client/stream"
	"github.com/sallyport/sallyport/protocol"
)

// keeper finds out in time that a seat may be lost. The server takes a client for dead that is silent, and for idle
// where no byte comes or goes. Each has a lease.
type keeper struct {
	seat        *Seat
	conn        net.Conn // below the seat's client
	say         Say
	limit       time.Duration // for idleness
	alive, idle lease.Lease
	last        ping      // the one that was sent last
	used        time.Time // when the last byte came or went of which the server's answer shows that it knows it
	answers     chan ping
}

// ping is a use of the seat that the server answers.
type ping struct {
	sent time.Time
	used time.Time // when the last byte before it came or went
	done bool      // answered
	err  error
}

// newKeeper returns the keeper of a seat that was used at that time.
func newKeeper(s *Seat, conn net.Conn, used time.Time, say Say) *keeper {
	limits := lease.Limits(s.client.Timeouts())
	k := &keeper{
		seat: s, conn: conn, say: say, limit: limits.Idle, last: ping{sent: used, done: true}, answers: make(chan ping),
		alive: lease.NewLimit(limits.Vanish, lastWords), idle: lease.NewLimit(limits.Idle, lastWords),
	}
	k.alive.Renew(used)
	k.idle.Renew(used)
	for _, l := range []lease.Lease{k.alive, k.idle} {
		if l.Kill() > 0 {
			s.lastWords = min(s.lastWords, l.Kill())
		}
	}
	return k
}

// run shows notices and pings until ctx ends, and returns why the seat may be lost.
func (k *keeper) run(ctx context.Context) (err error) {
	for notices := k.seat.client.Notices(); err == nil; {
		timer := time.NewTimer(time.Until(k.wake()))
		select {
		case <-ctx.Done():
		case <-timer.C:
			err = k.look(ctx)
		case p := <-k.answers:
			err = k.answered(p)
		case n, open := <-notices:
			if open {
				k.notice(n)
			} else {
				err = k.seat.client.Err()
			}
		}
		timer.Stop()
		if ctx.Err() != nil {
			return nil
		}
	}
	return lostError{err}
}

// notice shows a notice.
func (k *keeper) notice(n client.Notice) {
	_, isBacklog := stream.Backlog(n) // the program doesn't get it
	switch {
	case n.Code == protocol.CodeWaiting:
		k.say("%s waiting", strings.TrimPrefix(n.Text, "waiting "))
	case n.Code == protocol.CodeMessage && !isBacklog:
		k.say("notice: %s", n.Text)
	}
}

// next returns when to ping.
func (k *keeper) next() time.Time { return k.last.sent.Add(min(k.alive.Interval(), k.idle.Interval())) }

// stopBy returns when the first lease is over. Zero means that there is no limit.
func (k *keeper) stopBy() time.Time {
	by, idle := k.alive.StopBy(), k.idle.StopBy()
	if by.IsZero() || !idle.IsZero() && idle.Before(by) {
		return idle
	}
	return by
}

// wake returns when to look at the leases.
func (k *keeper) wake() time.Time {
	wake := k.next()
	if by := k.stopBy(); !by.IsZero() && by.Before(wake) {
		wake = by
	}
	if soon := time.Now().Add(lookEvery); !k.last.done && soon.Before(wake) {
		return soon
	}
	return wake
}

// look pings if that is due. Its error is that a lease is over.
func (k *keeper) look(ctx context.Context) error {
	// A local program that reads nothing keeps the answer from coming. Then it is enough that the server's kernel has
	// acknowledged the PING: the server takes a client that pauses for idle, not for dead.
	if l := k.seat.served(); !k.last.done && l != nil && l.readsNothing() && unsent(k.conn) == 0 {
		k.alive.Renew(k.last.sent)
	}
	now := time.Now()
	if by := k.stopBy(); !by.IsZero() && !now.Before(by) {
		return k.over(now)
	}
	if !now.Before(k.next()) {
		k.last = ping{sent: now, used: k.seat.used()}
		go func(p ping) {
			p.err, p.done = k.seat.Ping(), true
			select {
			case k.answers <- p:
			case <-ctx.Done():
			}
		}(k.last)
	}
	return nil
}

// over returns why a lease is over.
func (k *keeper) over(now time.Time) error {
	if by := k.idle.StopBy(); !by.IsZero() && !now.Before(by) && !k.seat.Active && !k.seat.used().After(k.used) {
		return fmt.Errorf("no byte came or went, and the server's --idle-timeout of %v is near", k.limit)
	}
	return lease.ErrOver
}

// answered renews the leases. A byte that came or went before the PING renews the one for idleness.
func (k *keeper) answered(p ping) error {
	if p.err != nil {
		return p.err
	}
	if p.sent.Equal(k.last.sent) {
		k.last.done = true
	}
	k.alive.Renew(p.sent)
	if p.used.After(k.used) {
		k.used = p.used
	}
	if k.seat.Active {
		p.used = p.sent
	}
	k.idle.Renew(p.used)
	return nil
}

// used returns when a byte of the local program last came or went.
func (s *Seat) used() time.Time {
	if l := s.served(); l != nil {
		if moved := l.moved.Load(); moved != 0 {
			return time.Unix(0, moved)
		}
	}
	return time.Time{}
}
