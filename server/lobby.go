package server

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Reasons in the log why a connection is not admitted to the lobby.
var (
	errLobbyFull  = errors.New("lobby-full")
	errSourceFull = errors.New("source-full")
)

// maxSources bounds the number of sources with failed logins that the lobby remembers.
const maxSources = 4096

// source is the unit of limits per source: an IPv4 address or an IPv6 /64. The zero value stands for peers
// without an IP address, and has no limit.
type source = netip.Prefix

func sourceOf(addr net.Addr) source {
	ap, err := netip.ParseAddrPort(addr.String())
	if err != nil {
		return source{}
	}
	ip, bits := ap.Addr().Unmap().WithZone(""), 64
	if ip.Is4() {
		bits = 32
	}
	prefix, _ := ip.Prefix(bits)
	return prefix
}

// lobby counts the connections that have not logged in, and the failed logins of each source.
type lobby struct {
	limits Limits

	mu      sync.Mutex
	all     int
	sources map[source]int
	failed  map[source]bucket
}

// bucket is a leaky bucket, which loses one failure per second.
type bucket struct {
	level float64
	at    time.Time
}

func (b bucket) now(t time.Time) float64 { return max(0, b.level-t.Sub(b.at).Seconds()) }

func (l *lobby) enter(from source) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all >= l.limits.Lobby {
		return errLobbyFull
	}
	if from.IsValid() && l.sources[from] >= l.limits.LobbyPerSource {
		return errSourceFull
	}
	l.all++
	l.sources[from]++
	return nil
}

func (l *lobby) leave(from source) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all--
	if l.sources[from]--; l.sources[from] == 0 {
		delete(l.sources, from)
	}
}

// throttled reports whether the source has too many recent failures.
func (l *lobby) throttled(from source) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failed[from].now(time.Now()) > float64(l.limits.FailedLogins-1)
}

// fail counts a wrong password. If there are too many sources, it forgets the one with the fewest
// failures.
func (l *lobby) fail(from source) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := time.Now()
	if _, known := l.failed[from]; !known && len(l.failed) >= maxSources {
		l.forgetOne(t)
	}
	l.failed[from] = bucket{level: l.failed[from].now(t) + 1, at: t}
}

func (l *lobby) forgetOne(t time.Time) {
	var least source
	level := -1.0
	for from, b := range l.failed {
		if now := b.now(t); level < 0 || now < level {
			least, level = from, now
		}
	}
	delete(l.failed, least)
}
