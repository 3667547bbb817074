// Package peers measures what else people put in front of a thing like ours,
// beside the product: x/crypto/ssh, gRPC and net/http, whose servers run in this
// process as the product's does, and PostgreSQL, Redis, Dovecot and OpenSSH, where
// SALLYPORT_PEERS names the folder in which servers.sh has started them.
//
// Each peer is the fastest that its documentation and a few trials made it, which
// is said where it is set up. All of them stand on the same loopback interface,
// with TCP_NODELAY, which is Go's default and that of all servers but OpenSSH.
// None keeps a log of requests; the product does. All have one key of their own,
// P-256 or Ed25519, and no chain of certificates longer than two.
package peers

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"strings"
	"time"

	"github.com/sallyport/sallyport/bench"
	"github.com/sallyport/sallyport/specs/harness"
)

// Groups are the product and the peers, to be run in turns: the peers that are
// servers only where SALLYPORT_PEERS says that they run.
func Groups() []bench.Group {
	s, err := running(os.Getenv("SALLYPORT_PEERS"))
	return []bench.Group{requests(), s.logins(err), s.pipelines(err)}
}

// requests are round trips of 64 octets on what is open already.
func requests() bench.Group {
	const size = "size=64/of="
	return bench.Group{Name: "PeerRequest", Rounds: 60, Subjects: []bench.Subject{
		product("Request", size+"sallyport", size+"sallyport"),
		{Name: size + "ssh", Bytes: 2 * payload, Start: sshRequest},
		{Name: size + "grpc", Bytes: 2 * payload, Start: grpcRequest},
		{Name: size + "http", Bytes: 2 * payload, Start: httpRequest},
	}}
}

// payload is how many octets a request carries, and its reply.
const payload = 64

// product is one of the product's own subjects, under another name.
func product(group, name, as string) bench.Subject {
	for _, g := range bench.Groups() {
		for _, s := range g.Subjects {
			if g.Name == group && s.Name == name {
				s.Name = as
				return s
			}
		}
	}
	return failing(as, errNoSubject(group+"/"+name))
}

type errNoSubject string

func (e errNoSubject) Error() string { return "package bench has no " + string(e) }

// failing is a subject that can't be set up, and says why to who tries.
func failing(name string, err error) bench.Subject {
	return bench.Subject{Name: name, Start: func(t bench.T) *bench.Rig {
		t.Helper()
		t.Fatalf("%s: %v", name, err)
		return nil
	}}
}

// sent and same are the octets that go there, and whether they came back.
var sent = []byte(strings.Repeat("x", payload))

func same(got []byte) bool { return string(got) == string(sent) }

// timed is a step of one operation.
func timed(operation func() error) func() (time.Duration, error) {
	return func() (time.Duration, error) {
		start := time.Now()
		err := operation()
		return time.Since(start), err
	}
}

// serverTLS and clientTLS are the product's certificate, version and key exchange.
func serverTLS() *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{harness.Certificate(harness.ECDSA)}, MinVersion: tls.VersionTLS13}
}

func clientTLS() *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(harness.Certificate(harness.ECDSA).Leaf)
	return &tls.Config{RootCAs: roots, ServerName: "localhost", MinVersion: tls.VersionTLS13}
}
