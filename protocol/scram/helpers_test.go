package scram

import (
	"context"
	"testing"
)

// zeros is a source of randomness that gives zeros, so that nonces are known.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// zeroNonce is the nonce that zeros gives.
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
	noError(tb, err)
	return v
}

// lookup returns a Lookup that knows one user.
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

// newPair returns both ends. Without other settings the user is "user" with the password "pencil", and the
// server knows them.
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
	noError(tb, err)
	return &pair{client, NewServer(s)}
}

// plain is a login without channel binding, in which both nonces are zeroNonce.
func plain(tb testing.TB) *pair {
	return newPair(tb, ClientConfig{Mechanism: SHA256, Rand: zeros{}}, ServerConfig{Mechanism: SHA256, Rand: zeros{}})
}

// step takes a message and returns the next one.
type step func(message []byte) ([]byte, error)

// steps returns the steps of a login in order, the client's and the server's in turn.
func (p *pair) steps(ctx context.Context) []step {
	return []step{
		func([]byte) ([]byte, error) { return p.client.First() }, p.server.First,
		func(m []byte) ([]byte, error) { return p.client.Final(ctx, m) }, p.server.Final,
		func(m []byte) ([]byte, error) { return nil, p.client.Verify(m) },
	}
}

// messages runs the login up to n messages, and returns them.
func (p *pair) messages(tb testing.TB, n int) (all [4][]byte) {
	tb.Helper()
	var last []byte
	for i, do := range p.steps(context.Background())[:n] {
		var err error
		if last, err = do(last); err != nil {
			tb.Fatal(err)
		}
		all[i] = last
	}
	return all
}

// run runs the login to its end, and returns the error of the end that failed.
func (p *pair) run() (client, server error) {
	var last []byte
	for i, do := range p.steps(context.Background()) {
		var err error
		if last, err = do(last); err != nil && i%2 == 0 {
			return err, nil
		} else if err != nil {
			return nil, err
		}
	}
	return nil, nil
}
