// Package peers measures other servers that people put in front of a backend: x/crypto/ssh, gRPC and
// net/http, which run in this process as the product does, and PostgreSQL, Redis, Dovecot and OpenSSH,
// which servers.sh starts. It measures forward beside socat, stunnel and ghostunnel, all as processes.
//
// Each peer is as fast as its documentation and a few trials made it. All use the same loopback
// interface, with TCP_NODELAY (the default of Go and of all servers but OpenSSH) and a key of their own,
// P-256 or Ed25519. Only the product keeps a log of requests.
package peers

import (
	"bytes"
	"crypto/tls"
	"errors"
	"net/http"
	"strings"

	"github.com/sallyport/sallyport/bench"
)

// Groups returns the groups of package bench with the peers in them: those in this process, and the
// servers that servers.sh has started in dir. "" means no servers.
func Groups(dir string) ([]bench.Group, error) {
	s, err := load(dir)
	if err != nil {
		return nil, err
	}
	groups := bench.Groups()
	for _, p := range []struct {
		group, name, server string
		start               func(bench.T) *bench.Rig
	}{
		{"Request", "size=64/of=ssh", "", sshRequest},
		{"Request", "size=64/of=grpc", "", grpcRequest},
		{"Request", "size=64/of=http1", "", httpRequest((*http.Protocols).SetHTTP1)},
		{"Request", "size=64/of=http2", "", httpRequest((*http.Protocols).SetHTTP2)},
		{"Login", "of=ssh", "", sshLogin},
		{"Login", "of=postgres", "postgres", s.postgresLogin},
		{"Login", "of=dovecot", "dovecot", s.dovecotLogin},
		{"Login", "of=openssh", "openssh", s.opensshLogin},
		{"Pipeline", "window=64/of=redis", "redis", s.bareRedis},
		{"Pipeline", "window=64/of=redis-go", "redis", s.goRedis},
	} {
		for i := range groups {
			g := &groups[i]
			if g.Name == p.group && (p.server == "" || s.addrs[p.server] != "") {
				g.Subjects = append(g.Subjects, bench.Subject{Name: p.name, Start: p.start})
			}
		}
	}
	if dir != "" {
		groups = append(groups, s.forwards())
	}
	return groups, nil
}

// plain removes the product's protocol from a configuration.
func plain(config *tls.Config) *tls.Config {
	config.NextProtos = nil
	return config
}

// payload is how many bytes a request carries, and its reply.
const payload = bench.EchoSize

// sent is what a request carries.
var sent = []byte(strings.Repeat("x", payload))

// echoes is a rig of an operation that returns what was sent.
func echoes(operation func() (got []byte, err error)) *bench.Rig {
	return bench.Timed(1, func() error {
		got, err := operation()
		if err == nil && !bytes.Equal(got, sent) {
			err = errors.New("peers: not echoed")
		}
		return err
	})
}
