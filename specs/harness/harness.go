// Package harness starts what specs need: a server in the process ([testserver.Server]) with a wiretap on the
// connections of its clients, and a check of its whole interaction log when the test is over ([CheckLog]).
// [Start] is the way in:
//
//	h := harness.Start(GinkgoTB(), nil)
//	alice := h.LoggedIn(ctx, "alice")
//
// A *testing.T is a [T] as well. What Ginkgo suites share is in this package, too:
// [NoLeaks], [Serve], [Tool], [CountLabels].
package harness

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/sallyport/sallyport/client"
	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/scenarios"
	"github.com/sallyport/sallyport/scenarios/testserver"
	"github.com/sallyport/sallyport/server"
)

// T is what the harness needs of a test.
type T interface {
	Helper()
	Cleanup(func())
	Fatalf(format string, args ...any)
}

// H is a running server with all that stands around it.
type H struct {
	*testserver.Server
	T T
	// Eve taps all connections of clients. Nil taps none.
	Eve *scenarios.Eve
	// KeyLog has the keys of the clients: with it what Eve has seen can be decrypted.
	KeyLog *scenarios.KeyLog
	// Secrets are what the log of this server must not hold, beside those of the
	// test users. A spec that makes up a password adds it.
	Secrets []string
}

// Start runs a server until the test ends, and then checks its log (CheckLog).
// Configure, unless nil, changes the server before it starts.
func Start(t T, configure func(*server.Server)) *H {
	t.Helper()
	return StartOn(t, configure, func(l net.Listener) net.Listener { return l })
}

// StartOn is Start with a listener of the caller's around the usual one.
func StartOn(t T, configure func(*server.Server), around func(net.Listener) net.Listener) *H {
	t.Helper()
	h := &H{T: t, Eve: &scenarios.Eve{}, KeyLog: &scenarios.KeyLog{}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err == nil {
		h.Server, err = testserver.Start(func(s *testserver.Server) {
			s.Listener = around(l)
			if configure != nil {
				configure(s.Server)
			}
		})
	}
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(h.stop)
	return h
}

func (h *H) stop() {
	if err := h.Stop(); err != nil {
		h.T.Fatalf("%v", err)
	}
	asked := Payload{Sent: h.LogPayload, Names: h.LogNames}
	if err := CheckLog(h.Log.String(), asked, h.Secrets...); err != nil {
		h.T.Fatalf("the interaction log: %v\n%s", err, h.Log)
	}
}

// Dialer returns a dialer that trusts the server and goes through Eve's tap.
func (h *H) Dialer() *client.Dialer {
	d := h.Server.Dialer()
	d.TLSConfig.KeyLogWriter = h.KeyLog
	if h.Eve != nil {
		d.DialContext = h.Eve.DialContext
	}
	return d
}

// LoggedIn returns a client that has the seat.
func (h *H) LoggedIn(ctx context.Context, name string) *client.Client {
	h.T.Helper()
	c, err := h.Dialer().Dial(ctx, h.Addr, testserver.Credentials(name))
	if err != nil {
		h.T.Fatalf("%s can't log in: %v", name, err)
	}
	h.T.Cleanup(func() { _ = c.Close() })
	return c
}

// Attempt is a login that goes on in the background.
type Attempt struct {
	// Client is valid once Done is closed and Err is nil.
	Client *client.Client
	Err    error
	Done   chan struct{}

	mu      sync.Mutex
	notices []client.Notice
}

// Notices returns the notices that came while the client waited.
func (l *Attempt) Notices() []client.Notice {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]client.Notice(nil), l.notices...)
}

// LogIn logs in, in the background: it may have to wait for the seat.
func (h *H) LogIn(ctx context.Context, name string) *Attempt {
	l := &Attempt{Done: make(chan struct{})}
	dialer := h.Dialer()
	dialer.OnNotice = func(n client.Notice) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.notices = append(l.notices, n)
	}
	go func() {
		defer close(l.Done)
		l.Client, l.Err = dialer.Dial(ctx, h.Addr, testserver.Credentials(name))
	}()
	h.T.Cleanup(func() {
		<-l.Done
		if l.Client != nil {
			_ = l.Client.Close()
		}
	})
	return l
}

// Queued logs in, in the background, and returns when the client waits.
func (h *H) Queued(ctx context.Context, name string) *Attempt {
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

// Ask is a request without a body.
func Ask(verb, argument string) protocol.Request {
	return protocol.Request{Verb: verb, Argument: argument}
}
