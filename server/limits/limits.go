// Package limits has the limits of a server.
package limits

import (
	"cmp"
	"math"
	"time"

	"github.com/sallyport/sallyport/protocol"
)

// Limits bound what clients can use. Zero means the default. A negative duration means no limit.
type Limits struct {
	// Login is the time from the accept to the last line of the login. Zero means 10 s.
	Login time.Duration
	// Idle is the time until the next whole request of the seated client, NOOP excluded, and in a
	// raw stream between two bytes. Zero means 15 minutes. A native client is warned before, see package notice.
	Idle time.Duration
	// Session is the time for which a client may have the seat, with a warning likewise. Zero means no limit.
	Session time.Duration
	// Request is the time after which a handler's context is cancelled. Zero means 5 minutes.
	Request time.Duration
	// Write is the time that the peer has to take each TLS record, and up to an eighth more. Zero and less
	// mean 10 s. In a raw stream a client that takes nothing is idle.
	Write time.Duration
	// Vanish is the time after which a peer whose kernel no longer answers counts as dead. Zero means 30 s.
	// It is at least Write, except in a raw stream.
	Vanish time.Duration
	// Body is the maximum body of a request in bytes. Zero and less mean 1 MiB.
	Body int64
	// Lobby is the maximum number of connections that have not logged in. Beyond it an older one makes room,
	// see package lobby. Zero means 256.
	Lobby int
	// LobbyPerSource is the same for one source: an IPv4 address or an IPv6 /56. Zero means 16.
	LobbyPerSource int
	// FailedLogins is the number of wrong passwords that one source can try at once before they cost it a
	// penalty, see package penalty. It regains one per second. Zero means 600.
	FailedLogins int
}

// WithDefaults returns l with the default for each zero.
func (l Limits) WithDefaults() Limits {
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
