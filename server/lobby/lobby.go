// Package lobby keeps the connections that have not logged in, and counts how many a limit has closed.
// Start with [Lobby].
package lobby

import (
	"iter"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
)

// Reasons in the log why a connection lost its place.
const (
	Full       = "lobby-full"
	SourceFull = "source-full"
)

// Source returns the unit of all limits per source: an IPv4 address, or an IPv6 /56, which is what a provider
// gives to one customer. It is zero for a peer without an IP address.
func Source(addr net.Addr) netip.Prefix {
	ap, err := netip.ParseAddrPort(addr.String())
	if err != nil {
		return netip.Prefix{}
	}
	ip, bits := ap.Addr().Unmap().WithZone(""), 56
	if ip.Is4() {
		bits = 32
	}
	prefix, _ := ip.Prefix(bits)
	return prefix
}

// Progress is how far the login of a connection has come.
type Progress int

const (
	// Silent has sent nothing that counts.
	Silent Progress = iota
	// Begun has begun the TLS handshake.
	Begun
	// Greeted has ended the handshake.
	Greeted
	// Proving has sent AUTH.
	Proving
)

// Lobby bounds the connections that have not logged in. It refuses none: when it is full, an older connection
// makes room, so that idle strangers can't keep others out. Set the fields before the first Enter. It is safe
// for concurrent use.
//
// The connection that makes room is one at the Progress where most connections are. So a crowd that comes as far as one step, and
// no further, drops its own connections there, and a login is in danger only while it is at this step: with Max 256,
// and a thousand strangers a second of as many addresses, only if it takes a quarter of a second from there to the
// next step. If those with the least progress went first, 256 idle connections with AUTH would be enough to drop each
// login on its way there.
type Lobby struct {
	// Max is the maximum number of connections. It is at least 1.
	Max int
	// MaxPerSource is the same for one source. It is at least 1. Peers without an IP address have no such
	// limit.
	MaxPerSource int

	mu      sync.Mutex
	entered uint64
	all     int
	sources map[netip.Prefix][]*Place // oldest first
}

// Place is the place of one connection.
type Place struct {
	lobby    *Lobby
	from     netip.Prefix
	number   uint64 // the oldest has the lowest
	progress Progress
	drop     func()
	left     bool
	reason   string
}

// Enter gives a connection a place. If its source has too many, a connection of that source makes room, and if
// the lobby is full, one of all: of those with the progress that most share, the oldest of the source that has most
// of them. Enter calls the drop of that connection, which must close it without waiting.
func (l *Lobby) Enter(from netip.Prefix, drop func()) *Place {
	p, excess := l.add(from, drop)
	if excess != nil {
		excess.drop()
	}
	return p
}

func (l *Lobby) add(from netip.Prefix, drop func()) (p, excess *Place) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sources == nil {
		l.sources = map[netip.Prefix][]*Place{}
	}
	l.entered++
	l.all++
	p = &Place{lobby: l, from: from, number: l.entered, drop: drop}
	l.sources[from] = append(l.sources[from], p)
	switch {
	case from.IsValid() && len(l.sources[from]) > l.MaxPerSource:
		excess = oldestOfMost(slices.Values([][]*Place{l.sources[from]}), p)
		l.remove(excess, SourceFull)
	case l.all > l.Max:
		excess = oldestOfMost(maps.Values(l.sources), p)
		l.remove(excess, Full)
	}
	return p, excess
}

// oldestOfMost returns, of the connections with the progress that most share, the oldest of the source that has most
// of them. Among equals it is the lesser progress, and the source with the oldest connection. It is never the
// newcomer, which has had no time.
func oldestOfMost(sources iter.Seq[[]*Place], newcomer *Place) (oldest *Place) {
	var count [Proving + 1]int
	for places := range sources {
		for _, p := range places {
			if p != newcomer {
				count[p.progress]++
			}
		}
	}
	crowded := Progress(slices.Index(count[:], slices.Max(count[:])))
	most := 0
	for places := range sources {
		n, first := 0, (*Place)(nil)
		for _, p := range slices.Backward(places) {
			if p.progress != crowded {
				continue
			}
			if n++; p != newcomer {
				first = p
			}
		}
		if first != nil && (n > most || n == most && first.number < oldest.number) {
			most, oldest = n, first
		}
	}
	return oldest
}

func (l *Lobby) remove(p *Place, reason string) {
	p.left, p.reason = true, reason
	l.all--
	places := l.sources[p.from]
	if len(places) == 1 {
		delete(l.sources, p.from)
		return
	}
	i := slices.Index(places, p)
	l.sources[p.from] = slices.Delete(places, i, i+1)
}

// Len returns the number of connections.
func (l *Lobby) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all
}

// Reach notes the progress of the connection.
func (p *Place) Reach(progress Progress) {
	p.lobby.mu.Lock()
	defer p.lobby.mu.Unlock()
	p.progress = progress
}

// Leave gives the place back. It may be called again.
func (p *Place) Leave() {
	p.lobby.mu.Lock()
	defer p.lobby.mu.Unlock()
	if !p.left {
		p.lobby.remove(p, "")
	}
}

// Dropped returns why the connection has lost its place, or "". It doesn't change after Leave.
func (p *Place) Dropped() string {
	p.lobby.mu.Lock()
	defer p.lobby.mu.Unlock()
	return p.reason
}
