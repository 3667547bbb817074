package server

import (
	"cmp"
	"math"
	"time"

	"github.com/sallyport/sallyport/protocol"
)

// Limits bound what a client can take. Zero is the default that is named with each; a negative
// duration is no limit.
type Limits struct {
	// Login is the time from the accept to the client's last line of the login. Zero is 10 s.
	Login time.Duration
	// Idle is the time that a seated client has for its next request to arrive as a whole, and an
	// open stream between two octets. NOOP does not count as a request here. Zero is 15 minutes.
	Idle time.Duration
	// Session is the time that a client may have the seat. Zero is no limit.
	Session time.Duration
	// Request is the time that a handler may run before its context is cancelled. Zero is 5
	// minutes.
	Request time.Duration
	// Write is the time that the peer has to take each TLS record that is sent to it; it may have an
	// eighth more. Zero is 10 s, and there is always a limit.
	Write time.Duration
	// Vanish is the time after which a peer that no longer answers at all, not even its kernel, is
	// taken for dead. Zero is 30 s.
	Vanish time.Duration
	// Body is the greatest body of a request in octets. Zero is 1 MiB, and there is always a limit.
	Body int64
	// Lobby is the greatest number of connections that have not logged in. Zero is 256.
	Lobby int
	// LobbyPerSource is the same for one source: an IPv4 address or the first 64 bits of an IPv6
	// address. Zero is 16.
	LobbyPerSource int
	// FailedLogins is how many wrong passwords one source can try at once; it wins back one a
	// second. Zero is 600.
	FailedLogins int
}

func (l Limits) withDefaults() Limits {
	l.Login = cmp.Or(l.Login, 10*time.Second)
	l.Idle = cmp.Or(l.Idle, 15*time.Minute)
	l.Session = cmp.Or(l.Session, -1)
	l.Request = cmp.Or(l.Request, 5*time.Minute)
	l.Write = cmp.Or(max(l.Write, 0), 10*time.Second)
	l.Vanish = cmp.Or(l.Vanish, 30*time.Second)
	l.Body = min(cmp.Or(max(l.Body, 0), protocol.DefaultMaxBody), math.MaxInt)
	l.Lobby = cmp.Or(l.Lobby, 256)
	l.LobbyPerSource = cmp.Or(l.LobbyPerSource, 16)
	l.FailedLogins = cmp.Or(l.FailedLogins, 600)
	return l
}

// after returns the time that lies d after t, and the zero time, which is no deadline, where d is
// negative.
func after(t time.Time, d time.Duration) time.Time {
	if d < 0 {
		return time.Time{}
	}
	return t.Add(d)
}

// earlier returns the earlier of two deadlines, of which zero is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
