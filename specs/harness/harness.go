// Package harness brings up a Sallyport server in the process, on a free port
// of 127.0.0.1, with a cast of users, a wiretap on every connection and the
// interaction log in memory. [Start] is the way in:
//
//	h := harness.Start(GinkgoTB(), nil)
//	alice := h.LoggedIn(ctx, "alice")
//
// It knows no test framework: a *testing.T, a *testing.B and Ginkgo's
// GinkgoTB() all are a [T].
package harness

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/sallyport/sallyport/client"
	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/protocol/scram"
	"github.com/sallyport/sallyport/scenarios"
	"github.com/sallyport/sallyport/server"
	"github.com/sallyport/sallyport/server/audit"
)

// T is what the harness needs of a test.
type T interface {
	Helper()
	Cleanup(func())
	Fatalf(format string, args ...any)
	Logf(format string, args ...any)
}

// H is a running server and all that stands around it.
type H struct {
	T      T
	Server *server.Server
	Addr   string
	Log    *Log
	Eve    *scenarios.Eve // nil takes her off the wire
	KeyLog *KeyLog        // of the clients: with it what Eve has can be decrypted
	Roots  *x509.CertPool
	Users  *Users
	served chan error
}

// Start runs a server until the test ends. Configure, unless nil, changes it
// before it starts.
func Start(t T, configure func(*server.Server)) *H {
	t.Helper()
	return StartOn(t, configure, func(l net.Listener) net.Listener { return l })
}

// StartOn is Start with a listener of the caller's around the usual one.
func StartOn(t T, configure func(*server.Server), around func(net.Listener) net.Listener) *H {
	t.Helper()
	pair := Certificate(ECDSA)
	h := &H{
		T: t, Log: &Log{}, Eve: &scenarios.Eve{}, KeyLog: &KeyLog{}, Users: NewUsers(), served: make(chan error, 1),
	}
	h.Server = &server.Server{
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{pair}},
		Users:     h.Users,
		Audit:     audit.New(h.Log, audit.Options{}),
		// Everybody comes from one address here.
		Limits: server.Limits{LobbyPerSource: 256},
	}
	if configure != nil {
		configure(h.Server)
	}
	h.Roots = pool(h.Server.TLSConfig.Certificates...)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("listen: %v", err)
	}
	h.Addr = l.Addr().String()
	go func() { h.served <- h.Server.Serve(around(l)) }()
	t.Cleanup(h.stop)
	return h
}

func (h *H) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if err := h.Server.Shutdown(ctx); err != nil {
		_ = h.Server.Close()
	}
	if err := <-h.served; !errors.Is(err, server.ErrServerClosed) {
		h.T.Fatalf("Serve returned %v", err)
	}
}

// Password is the password of a member of the cast.
func Password(name string) string { return name + "'s own secret" }

// Credentials are those of a member of the cast.
func Credentials(name string) client.Credentials {
	return client.Credentials{Username: name, Password: Password(name)}
}

// Dialer trusts the server and goes through Eve's tap.
func (h *H) Dialer() *client.Dialer {
	d := &client.Dialer{TLSConfig: &tls.Config{RootCAs: h.Roots, KeyLogWriter: h.KeyLog}, Keys: keys}
	if h.Eve != nil {
		d.DialContext = h.Eve.DialContext
	}
	return d
}

// keys spare the suite what PBKDF2 costs; what it proves is proved elsewhere.
var keys = new(scram.KeyCache)

// LoggedIn is a client that has the seat.
func (h *H) LoggedIn(ctx context.Context, name string) *client.Client {
	h.T.Helper()
	c, err := h.Dialer().Dial(ctx, h.Addr, Credentials(name))
	if err != nil {
		h.T.Fatalf("%s can't log in: %v", name, err)
	}
	h.T.Cleanup(func() { _ = c.Close() })
	return c
}

// Login is a login that goes on in the background.
type Login struct {
	Client *client.Client // valid once Done is closed and Err is nil
	Err    error
	Done   chan struct{}

	mu      sync.Mutex
	notices []client.Notice
}

// Notices are those that came while the client waited.
func (l *Login) Notices() []client.Notice {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]client.Notice(nil), l.notices...)
}

// Finished reports whether the login has come to an end, and how.
func (l *Login) Finished() (bool, error) {
	select {
	case <-l.Done:
		return true, l.Err
	default:
		return false, nil
	}
}

// LogIn logs in, in the background: it may have to wait for the seat.
func (h *H) LogIn(ctx context.Context, name string) *Login {
	l := &Login{Done: make(chan struct{})}
	dialer := h.Dialer()
	dialer.OnNotice = func(n client.Notice) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.notices = append(l.notices, n)
	}
	go func() {
		defer close(l.Done)
		l.Client, l.Err = dialer.Dial(ctx, h.Addr, Credentials(name))
	}()
	h.T.Cleanup(func() {
		<-l.Done
		if l.Client != nil {
			_ = l.Client.Close()
		}
	})
	return l
}

// Queued logs in in the background and returns when the client waits.
func (h *H) Queued(ctx context.Context, name string) *Login {
	h.T.Helper()
	l := h.LogIn(ctx, name)
	for len(l.Notices()) == 0 {
		select {
		case <-ctx.Done():
			h.T.Fatalf("%s does not wait: %v", name, ctx.Err())
		case <-l.Done:
			h.T.Fatalf("%s does not wait but is done: %v", name, l.Err)
		case <-time.After(time.Millisecond):
		}
	}
	return l
}

// Users are the cast in memory.
type Users struct {
	mu        sync.Mutex
	verifiers map[string]scram.Verifier
	mock      *scram.Mock
}

// Cast are the names that the harness knows.
var cast = []string{"alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi", "ivan", "judy", "mike"}

// Cast returns the names of the users.
func Cast() []string { return append([]string(nil), cast...) }

var stored = sync.OnceValue(func() map[string]scram.Verifier {
	all := map[string]scram.Verifier{}
	for _, name := range cast {
		v, err := scram.NewVerifier(Password(name), []byte("salt of "+name), scram.MinIterations)
		if err != nil {
			panic(err)
		}
		all[name] = v
	}
	return all
})

// NewUsers returns the whole cast.
func NewUsers() *Users {
	u := &Users{verifiers: map[string]scram.Verifier{}}
	var all []scram.Verifier
	for name, v := range stored() {
		u.verifiers[name] = v
		all = append(all, v)
	}
	u.mock = scram.NewMock([]byte("secret of the mock"), all)
	return u
}

// Lookup finds a user.
func (u *Users) Lookup(name string) (scram.Verifier, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if v, ok := u.verifiers[name]; ok {
		return v, true
	}
	return u.mock.Verifier(name), false
}

// Must returns what is stored of a member of the cast.
func (u *Users) Must(name string) scram.Verifier {
	v, ok := u.Lookup(name)
	if !ok {
		panic("nobody is called " + name)
	}
	return v
}

// Set stores a user; a zero verifier removes it.
func (u *Users) Set(name string, v scram.Verifier) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.verifiers[name] = v
	if v.Iterations == 0 {
		delete(u.verifiers, name)
	}
}

// Ask is a request in one line.
func Ask(verb, argument string) protocol.Request {
	return protocol.Request{Verb: verb, Argument: argument}
}
