package server

import (
	"errors"
	"net"
	"net/netip"
	"sync"
)

// Reasons in the log why a connection is not admitted to the lobby.
var (
	errLobbyFull  = errors.New("lobby-full")
	errSourceFull = errors.New("source-full")
)

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

// lobby counts the connections that have not logged in.
type lobby struct {
	limits Limits

	mu      sync.Mutex
	all     int
	sources map[source]int
}

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
