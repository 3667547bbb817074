// Package lease computes when a client that keeps the seat for a program must end that program.
//
// The server gives the seat away if the client makes no request for some time, or if the client's kernel
// acknowledges nothing for some time. It measures from the arrival of the last request or acknowledgement. A
// [Lease] measures from the moment when the client sent its last answered request, which is earlier. So if
// the program gets SIGTERM at [Lease.StopBy], and SIGKILL after [Kill], it has ended before the server seats
// the next client, even if the network is cut.
//
// On Linux the time counts in which the machine sleeps, in which the clock of [time.Now] stands still.
package lease

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sallyport/sallyport/protocol/capability"
)

const (
	// Kill is the time between SIGTERM and SIGKILL of the program. Both come before the lease ends.
	Kill = 5 * time.Second
	// Least is the shortest time for which a program is started.
	Least = 3 * time.Second

	maxInterval = 20 * time.Second
	firstPing   = 10 * time.Second
	longestPing = 15 * time.Second
	maxSlack    = 500 * time.Millisecond
	// shortestSleep is more than two clocks differ by because they are read one after the other.
	shortestSleep = 10 * time.Millisecond
)

// Limits returns the limits of a server from the results of client.Client.Timeouts. If the server announced
// none, Limits assumes short ones.
func Limits(announced capability.Timeouts, ok bool) capability.Timeouts {
	if !ok {
		return capability.Timeouts{Idle: time.Minute, Vanish: 25 * time.Second}
	}
	return announced
}

// ErrSession means that the lease ended because the session may last no longer.
var ErrSession = errors.New("the server's --session-limit is near")

// ErrOver means that the lease ended before the server answered.
var ErrOver = errors.New("the server has not answered in time, and may give the seat away")

// ShortError means that a limit of the server leaves the program less than [Least].
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
	length time.Duration        // from when a ping was sent; zero means no limit
	kill   time.Duration        // for the program to end in
	slack  time.Duration        // for that to take effect on a busy machine
	end    instant              // of the session; zero means no limit
	proved instant              // when the last answered ping was sent
	slept  func() time.Duration // nil means that of the machine
}

// instant is a time, and how long the machine had slept then since it was started.
type instant struct {
	time.Time
	slept time.Duration
}

func (l Lease) at(t time.Time) instant {
	if l.slept == nil {
		return instant{t, slept()}
	}
	return instant{t, l.slept()}
}

// now returns an instant on the clock of time.Now, which was set back by each sleep since then.
func (l Lease) now(i instant) time.Time {
	if i.IsZero() {
		return i.Time
	}
	sleep := l.at(i.Time).slept - i.slept
	if sleep < shortestSleep {
		return i.Time
	}
	return i.Add(-sleep)
}

// New returns the lease of a client that got the seat at the time seated. The lease begins with the first
// [Lease.Ping]. The error is a *ShortError.
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
		l.end = l.at(seated.Add(limits.Session))
	}
	l.length = limits.Idle
	if l.length == 0 || limits.Vanish > 0 && limits.Vanish < l.length {
		l.length = limits.Vanish
	}
	return l, nil
}

// NewSilence returns the lease of a client that drives only by a stream through the server. Such a client has
// stopped as soon as it sends nothing more, and the server drops what it sends after any other limit. So only
// silence counts: the lease ends when the server may have heard nothing for vanish. Its pings need not count as
// activity. The lease begins with the first [Lease.Ping]. Zero means no limit.
func NewSilence(vanish time.Duration) Lease { return NewLimit(vanish, 0) }

// NewLimit returns the lease of a client with one limit (zero means none) that needs the time kill to stop. If
// kill is over a quarter of the limit, the client must stop in that quarter, so no limit is too short.
func NewLimit(limit, kill time.Duration) Lease {
	limit = max(limit, 0)
	return Lease{length: limit, kill: min(kill, limit/4), slack: min(maxSlack, limit/4)}
}

// Kill returns the time that the client has to stop in.
func (l Lease) Kill() time.Duration { return l.kill }

// StopBy returns when the program must get SIGTERM. The zero time means never.
func (l Lease) StopBy() time.Time {
	by := l.now(l.end)
	if l.length > 0 {
		if idle := l.now(l.proved).Add(l.length); by.IsZero() || idle.Before(by) {
			by = idle
		}
	}
	if by.IsZero() {
		return by
	}
	return by.Add(-l.kill - l.slack)
}

// EndsWithSession reports whether StopBy comes from the limit of the session.
func (l Lease) EndsWithSession() bool {
	return !l.end.IsZero() && l.StopBy().Equal(l.now(l.end).Add(-l.kill-l.slack))
}

// Interval returns the time from one ping to the next. A lease has time for several, so that one lost packet
// does not end it.
func (l Lease) Interval() time.Duration {
	if l.length > 0 {
		return min(maxInterval, (l.length-l.kill)/3)
	}
	return maxInterval
}

// NextPing returns when to ping.
func (l Lease) NextPing() time.Time { return l.now(l.proved).Add(l.Interval()) }

// Renew renews the lease for a use of the seat that was sent then, and of which the client knows that the server has
// seen it.
func (l *Lease) Renew(sent time.Time) {
	l.renew(l.at(sent))
}

func (l *Lease) renew(sent instant) {
	if l.now(sent).After(l.now(l.proved)) {
		l.proved = sent
	}
}

// Ping calls ping, which makes a request that counts as activity. It renews the lease if the request is
// answered before the lease and ctx end, and within 15 s: behind a tunnel or a balancer that is still there, the
// server may have seen the connection end, and have given the seat away at once. Otherwise it returns while ping goes
// on: interrupting ping would close the connection, and free the seat, while the program still runs.
func (l *Lease) Ping(ctx context.Context, ping func() error) error {
	by, over := l.StopBy(), ErrOver
	longest := longestPing
	switch {
	case l.proved.IsZero():
		by, longest = time.Time{}, firstPing
	case l.EndsWithSession():
		over = ErrSession
	}
	if answer := time.Now().Add(longest); by.IsZero() || answer.Before(by) {
		by, over = answer, ErrOver
	}
	ctx, cancel := context.WithDeadlineCause(ctx, by, over)
	defer cancel()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	sent, answered := l.at(time.Now()), make(chan error, 1)
	go func() { answered <- ping() }()
	select {
	case err := <-answered:
		if err == nil {
			l.renew(sent)
		}
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Resume is Ping after the client and its program were stopped (Ctrl-Z) and continued. The lease may have
// ended meanwhile. The server may have kept the seat all the same, so Resume asks it.
func (l *Lease) Resume(ctx context.Context, ping func() error) error {
	if by := l.StopBy(); !by.IsZero() && !time.Now().Before(by) {
		l.proved = instant{}
	}
	return l.Ping(ctx, ping)
}
