// Package lease says for how long a client that keeps the seat for a program may let it run.
//
// The server gives the seat away after a time without a request, or without a packet, of the client. It counts
// from the last one as it arrived. A [Lease] counts from when the client sent it, which is earlier, and only if it
// was answered. So a program that has ended by [Lease.StopBy] and its kill time has ended before the next client is
// seated, whatever the network does.
package lease

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sallyport/sallyport/protocol/capability"
)

const (
	// Kill is the time between SIGTERM and SIGKILL of the program. It ends before the lease does.
	Kill = 5 * time.Second
	// Least is the time that must be left to run in.
	Least = 3 * time.Second

	maxInterval = 20 * time.Second
	firstPing   = 10 * time.Second
	maxSlack    = 500 * time.Millisecond
)

// Limits returns the limits that a server announced, or if it did not, those that it may have. Its arguments are what
// client.Client.Timeouts returns.
func Limits(announced capability.Timeouts, ok bool) capability.Timeouts {
	if !ok {
		return capability.Timeouts{Idle: time.Minute, Vanish: 25 * time.Second}
	}
	return announced
}

// ErrSession means that the lease ended because the session may last no longer.
var ErrSession = errors.New("the server's --session-limit is near")

// ErrOver means that the lease ended without an answer of the server.
var ErrOver = errors.New("the server has not answered in time, and may give the seat away")

// ShortError means that a limit of the server leaves less than [Least] to run in.
type ShortError struct {
	Flag  string // of serve
	Limit time.Duration
}

func (e *ShortError) Error() string {
	return fmt.Sprintf("the server's %s of %v is too short: ending the command takes %v, so less than %v would be left to run in; "+
		"raise it to %v or more", e.Flag, e.Limit, Kill, Least, Kill+Least)
}

// Lease is the time for which a client may believe that it has the seat. It is not safe for concurrent use.
type Lease struct {
	length time.Duration // from a ping on; zero for no limit
	kill   time.Duration // for the program to end in
	slack  time.Duration // for that to take effect on a busy machine
	end    time.Time     // of the session; zero for no limit
	proved time.Time     // when the last ping that was answered was sent
}

// New returns the lease of a client that was seated at that time. It is over until the first [Lease.Ping]. The
// error is a *ShortError.
func New(limits capability.Timeouts, seated time.Time) (Lease, error) {
	l := Lease{kill: Kill, slack: maxSlack}
	for _, limit := range []struct {
		flag string
		time.Duration
	}{{"--idle-timeout", limits.Idle}, {"--vanish-timeout", limits.Vanish}, {"--session-limit", limits.Session}} {
		if limit.Duration > 0 && limit.Duration-Kill < Least {
			return l, &ShortError{limit.flag, limit.Duration}
		}
	}
	if limits.Session > 0 {
		l.end = seated.Add(limits.Session)
	}
	l.length = limits.Idle
	if l.length == 0 || limits.Vanish > 0 && limits.Vanish < l.length {
		l.length = limits.Vanish
	}
	return l, nil
}

// NewSilence returns the lease of a client that drives only by a stream through the server. Such a client has stopped
// as soon as it sends nothing more. The server tells it of the other limits, and drops what it sends after them, so
// that only silence counts: the lease is over when the server may have heard nothing for as long as vanish. Its pings
// need not count as activity. It is over until the first [Lease.Ping]. Zero means that there is no limit.
func NewSilence(vanish time.Duration) Lease { return NewLimit(vanish, 0) }

// NewLimit returns the lease of a client with one limit, zero for none, that stops within kill. Where a quarter of the
// limit is less, the client must stop in that time, so that no limit is too short.
func NewLimit(limit, kill time.Duration) Lease {
	limit = max(limit, 0)
	return Lease{length: limit, kill: min(kill, limit/4), slack: min(maxSlack, limit/4)}
}

// Kill returns the time that the client has to stop in.
func (l Lease) Kill() time.Duration { return l.kill }

// StopBy returns when the program must be told to end. Zero means that there is no limit.
func (l Lease) StopBy() time.Time {
	by := l.end
	if l.length > 0 {
		if idle := l.proved.Add(l.length); by.IsZero() || idle.Before(by) {
			by = idle
		}
	}
	if by.IsZero() {
		return by
	}
	return by.Add(-l.kill - l.slack)
}

// Interval returns the time from one ping to the next: several fit a lease, so that a lost packet is no loss.
func (l Lease) Interval() time.Duration {
	if l.length > 0 {
		return min(maxInterval, (l.length-l.kill)/3)
	}
	return maxInterval
}

// NextPing returns when to ping.
func (l Lease) NextPing() time.Time { return l.proved.Add(l.Interval()) }

// Renew renews the lease for a use of the seat that was sent then, and of which the client knows that the server has
// seen it.
func (l *Lease) Renew(sent time.Time) {
	if sent.After(l.proved) {
		l.proved = sent
	}
}

// Ping renews the lease if ping, a request that counts as activity, is answered before the lease ends or ctx does.
// It doesn't interrupt ping, because that would close the connection, and so free the seat, while the program ends.
func (l *Lease) Ping(ctx context.Context, ping func() error) error {
	by, over := l.StopBy(), ErrOver
	switch {
	case l.proved.IsZero() || by.IsZero():
		by = time.Now().Add(firstPing)
	case by.Equal(l.end.Add(-l.kill - l.slack)):
		over = ErrSession
	}
	ctx, cancel := context.WithDeadlineCause(ctx, by, over)
	defer cancel()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	sent, answered := time.Now(), make(chan error, 1)
	go func() { answered <- ping() }()
	select {
	case err := <-answered:
		if err == nil {
			l.Renew(sent)
		}
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Resume is Ping for a client that was stopped, and whose program was stopped with it. The lease may be over then,
// and the seat not be lost.
func (l *Lease) Resume(ctx context.Context, ping func() error) error {
	if by := l.StopBy(); !by.IsZero() && !time.Now().Before(by) {
		l.proved = time.Time{}
	}
	return l.Ping(ctx, ping)
}
