package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"time"

	"github.com/sallyport/sallyport/client"
	"github.com/sallyport/sallyport/protocol"
)

// attacks are the bad clients. None of them knows a password, and none waits for an answer for ever.
var attacks = []struct {
	name string
	run  func(h *hostile, ctx context.Context)
}{
	{"wrong password", func(h *hostile, ctx context.Context) { h.guess(ctx, 1) }},
	{"guesses", func(h *hostile, ctx context.Context) { h.guess(ctx, 5) }},
	{"idle", func(h *hostile, ctx context.Context) { h.raw(ctx, nil) }},
	{"plaintext", func(h *hostile, ctx context.Context) { h.raw(ctx, []byte("EHLO plain\r\nAUTH SCRAM-SHA-256 =\r\n")) }},
	{"garbage", func(h *hostile, ctx context.Context) { h.raw(ctx, h.noise(1+h.r.IntN(2000))) }},
	{"reset", (*hostile).reset},
	{"handshake only", func(h *hostile, ctx context.Context) { h.secure(ctx, nil, 0) }},
	{"half a line", func(h *hostile, ctx context.Context) { h.secure(ctx, []byte("AUTH SCRAM-SHA-256-PLUS cD10"), 0) }},
	{"drip", func(h *hostile, ctx context.Context) {
		h.secure(ctx, []byte("EHLO drip\r\nNOOP\r\nNOOP\r\n"), 40*time.Millisecond)
	}},
	{"flood", func(h *hostile, ctx context.Context) { h.secure(ctx, bytes.Repeat([]byte("NOOP\r\n"), 10_000), 0) }},
	{"long line", func(h *hostile, ctx context.Context) { h.secure(ctx, bytes.Repeat([]byte("A"), 20<<10), 0) }},
	{"noise in TLS", func(h *hostile, ctx context.Context) { h.secure(ctx, h.noise(1+h.r.IntN(300)), 0) }},
}

// hostile is a bad client.
type hostile struct {
	*act
	r    *rand.Rand
	from string
}

func (h *hostile) noise(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(h.r.UintN(256))
	}
	return p
}

// attack makes a random attack, for at most three seconds.
func (h *hostile) attack(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	kind := attacks[h.r.IntN(len(attacks))]
	h.count("attacks: " + kind.name)
	kind.run(h, ctx)
}

// guess tries wrong passwords, each on a connection of its own.
func (h *hostile) guess(ctx context.Context, times int) {
	for range times {
		g, err := h.newGuest(ctx, h.r, "guess", []string{"nobody", userName(h.r), probeUser}[h.r.IntN(3)], h.from, fate{kind: clean})
		if err != nil {
			return
		}
		g.note.password = "pw-guess"
		if c, err := g.dial(ctx, false); err == nil {
			_ = c.Close()
		}
		g.leave()
	}
}

// withConn connects, and closes the connection in the end.
func (h *hostile) withConn(ctx context.Context, use func(net.Conn)) {
	p, err := newPath(ctx, h.host.addr(), h.from, randomFate(h.r))
	if err != nil {
		return
	}
	defer p.close()
	conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", p.addr)
	if err != nil {
		return
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	use(conn)
}

// raw sends bytes without TLS, and then reads until the server ends the connection.
func (h *hostile) raw(ctx context.Context, p []byte) {
	h.withConn(ctx, func(conn net.Conn) {
		_, _ = conn.Write(p)
		_, _ = io.Copy(io.Discard, conn)
	})
}

func (h *hostile) reset(ctx context.Context) {
	h.withConn(ctx, func(conn net.Conn) {
		if h.r.IntN(2) == 0 {
			_, _ = conn.Write(h.noise(100))
		}
		abort(conn)
	})
}

// secure sends bytes by TLS, one at a time where there is a pause between them, and then reads until the server
// ends the connection.
func (h *hostile) secure(ctx context.Context, p []byte, between time.Duration) {
	h.withConn(ctx, func(raw net.Conn) {
		conn := tls.Client(raw, &tls.Config{RootCAs: h.roots, ServerName: "127.0.0.1", NextProtos: []string{protocol.ALPN}})
		if conn.HandshakeContext(ctx) != nil {
			return
		}
		for ; between > 0 && len(p) > 0 && pause(ctx, between); p = p[1:] {
			if _, err := conn.Write(p[:1]); err != nil {
				return
			}
		}
		_, _ = conn.Write(p)
		_, _ = io.Copy(io.Discard, conn)
	})
}

// greedy has the seat, sends requests and reads no answer, so that the server's writes get stuck.
func (g *guest) greedy(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	conn := &pausable{ctx: ctx}
	d := client.Dialer{
		TLSConfig: &tls.Config{RootCAs: g.roots}, Keys: g.keys,
		DialContext: func(ctx context.Context, network, addr string) (_ net.Conn, err error) {
			conn.Conn, err = (&net.Dialer{}).DialContext(ctx, network, addr)
			return conn, err
		},
	}
	c, err := d.Dial(ctx, g.path.addr, client.Credentials{Username: g.note.user, Password: g.note.password})
	if err != nil {
		_ = g.failed(err)
		return
	}
	defer c.Close()
	g.note.seated = time.Now()
	conn.stops.Store(true)
	_, _ = c.Do(ctx, protocol.Request{Verb: "ECHO", Body: make([]byte, 900<<10)})
}

// pausable is a connection that can stop reading.
type pausable struct {
	net.Conn
	ctx   context.Context
	stops atomic.Bool
}

func (c *pausable) Read(p []byte) (int, error) {
	if c.stops.Load() {
		<-c.ctx.Done()
		return 0, c.ctx.Err()
	}
	return c.Conn.Read(p)
}

// userName returns a random user.
func userName(r *rand.Rand) string { return fmt.Sprintf("user-%02d", r.IntN(users)) }

// users is the number of users who come and go.
const users = 12
