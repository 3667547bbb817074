package control

import (
	"context"
	"net"
	"os/user"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// peer is the process at the other end of a connection.
type peer struct {
	uid   uint32
	known bool
}

type peerKey struct{}

// withPeer adds the peer of a connection to the context of its requests.
func withPeer(ctx context.Context, conn net.Conn) context.Context {
	p := peer{}
	if c, ok := conn.(*net.UnixConn); ok {
		p = peerOf(c)
	}
	return context.WithValue(ctx, peerKey{}, p)
}

// asker returns the name of the user who sent a request: "uid N" for a user without a name, and "the operator" on a
// system that does not say which user it is.
func asker(ctx context.Context) string {
	p, _ := ctx.Value(peerKey{}).(peer)
	if !p.known {
		return "the operator"
	}
	id := strconv.FormatUint(uint64(p.uid), 10)
	found := make(chan string, 1)
	go func() { // names can come from a network that does not answer
		if u, err := user.LookupId(id); err == nil && isName(u.Username) {
			found <- u.Username
			return
		}
		found <- "uid " + id
	}()
	select {
	case name := <-found:
		return name
	case <-time.After(patience):
		return "uid " + id
	}
}

// isName reports whether a name of the system can be shown to a client.
func isName(name string) bool {
	return name != "" && len(name) <= 64 && !strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsGraphic(r) })
}
