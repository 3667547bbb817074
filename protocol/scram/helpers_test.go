package scram

import (
	"context"
	"testing"
)

// zeros is a source of randomness that has none, so that nonces are known.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// zeroNonce is what zeros makes of a nonce.
const zeroNonce = "AAAAAAAAAAAAAAAAAAAA"

var (
	exporter  = ChannelBinding{TypeExporter, []byte("0123456789abcdef0123456789abcdef")}
	endPoint  = ChannelBinding{TypeServerEndPoint, []byte("fedcba9876543210fedcba9876543210")}
	testSalt  = []byte("sixteen octets..")
	testCount = MinIterations
)

func verifier(tb testing.TB, password string) Verifier {
	tb.Helper()
	v, err := NewVerifier(password, testSalt, testCount)
	if err != nil {
		tb.Fatal(err)
	}
	return v
}

// lookup knows one user.
func lookup(name string, v Verifier) func(string) (Verifier, bool) {
	mock := NewMock([]byte("secret"), []Verifier{v})
	return func(n string) (Verifier, bool) {
		made := mock.Verifier(n)
		if n == name {
			return v, true
		}
		return made, false
	}
}

// pair is both ends of one login.
type pair struct {
	client *Client
	server *Server
}

// newPair fills in a user "user" with password "pencil", known to the server, where unset.
func newPair(tb testing.TB, c ClientConfig, s ServerConfig) *pair {
	tb.Helper()
	if c.Username == "" {
		c.Username = "user"
	}
	if c.Password == "" {
		c.Password = "pencil"
	}
	if s.Lookup == nil {
		s.Lookup = lookup("user", verifier(tb, "pencil"))
	}
	client, err := NewClient(c)
	if err != nil {
		tb.Fatal(err)
	}
	return &pair{client, NewServer(s)}
}

// plain is a login without channel binding, in which both nonces are zeroNonce.
func plain(tb testing.TB) *pair {
	return newPair(tb, ClientConfig{Mechanism: SHA256, Rand: zeros{}}, ServerConfig{Mechanism: SHA256, Rand: zeros{}})
}

// first runs the exchange as far as server-first.
func (p *pair) first(tb testing.TB) []byte {
	tb.Helper()
	clientFirst, err := p.client.First()
	if err != nil {
		tb.Fatal(err)
	}
	serverFirst, err := p.server.First(clientFirst)
	if err != nil {
		tb.Fatal(err)
	}
	return serverFirst
}

// final runs it as far as client-final.
func (p *pair) final(tb testing.TB) []byte {
	tb.Helper()
	clientFinal, err := p.client.Final(context.Background(), p.first(tb))
	if err != nil {
		tb.Fatal(err)
	}
	return clientFinal
}

// run runs it to its end, and returns the first error of each end.
func (p *pair) run() (client, server error) {
	clientFirst, err := p.client.First()
	if err != nil {
		return err, nil
	}
	serverFirst, err := p.server.First(clientFirst)
	if err != nil {
		return nil, err
	}
	clientFinal, err := p.client.Final(context.Background(), serverFirst)
	if err != nil {
		return err, nil
	}
	serverFinal, err := p.server.Final(clientFinal)
	if err != nil {
		return nil, err
	}
	return p.client.Verify(serverFinal), nil
}

// messages gives what a client sends in a login that succeeds.
func (p *pair) messages(tb testing.TB) (clientFirst, clientFinal []byte) {
	tb.Helper()
	clientFinal = p.final(tb)
	if _, err := p.server.Final(clientFinal); err != nil {
		tb.Fatal(err)
	}
	return []byte(p.client.gs2 + p.client.bare), clientFinal
}
