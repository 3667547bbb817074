package bench

import (
	"context"
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"runtime"
	"time"

	"github.com/sallyport/sallyport/client"
	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/protocol/scram"
	"github.com/sallyport/sallyport/specs/harness"
)

// talk is what a login and its first request come to in octets, after the
// greeting: AUTH and its challenge; the proof and the empty line, the server's
// proof and the 235; NOOP and its 250.
var talk = [][2]int{{95, 116}, {222, 87}, {6, 8}}

// logins are from the dialing to the reply to a first request. The floor dials as
// the client does, and gets one octet. The rest are the parts of a login: the
// same floor with as many round trips as a login has, the connection alone, what
// both ends compute for SCRAM, the log's records, one PBKDF2.
func logins() Group {
	g := Group{Name: "Login", Rounds: 40, Block: 100 * time.Millisecond}
	add := func(name string, start func(T) *Rig) {
		g.Subjects = append(g.Subjects, Subject{Name: name, Start: start})
	}
	for _, iterations := range []int{4096, 15000} {
		add(fmt.Sprintf("keys=derived/iterations=%d/of=sallyport", iterations), func(t T) *Rig {
			return &Rig{Step: newVisitor(t, iterations, nil).login}
		})
		add(fmt.Sprintf("keys=cached/iterations=%d/of=sallyport", iterations), func(t T) *Rig {
			return &Rig{Step: newVisitor(t, iterations, new(scram.KeyCache)).login}
		})
		add(fmt.Sprintf("iterations=%d/of=pbkdf2", iterations), func(T) *Rig { return pbkdf2Rig(iterations) })
	}
	add("of=tls", func(t T) *Rig { return passerby{addr: floor{tls: serverTLS(harness.ECDSA)}.start(t)}.rig() })
	add("of=tls+exchange", func(t T) *Rig {
		return passerby{addr: floor{tls: serverTLS(harness.ECDSA), talk: talk}.start(t), talk: talk}.rig()
	})
	add("of=tcp", func(t T) *Rig { return connectRig(floor{}.start(t)) })
	add("of=scram", scramBoth)
	add("of=log", func(t T) *Rig { return loginLogRig(logOf(t, "file")) })
	return g
}

// A visitor logs in to a server of its own, again and again.
type visitor struct {
	h      *harness.H
	dialer *client.Dialer
}

// newVisitor is alice, whose password takes so many iterations. With a cache she
// has been there before.
func newVisitor(t T, iterations int, keys *scram.KeyCache) *visitor {
	t.Helper()
	h := serve(t, logOf(t, "file"), nil)
	return visitorOf(t, h, iterations, keys)
}

func visitorOf(t T, h *harness.H, iterations int, keys *scram.KeyCache) *visitor {
	t.Helper()
	verifier, err := scram.NewVerifier(harness.Password("alice"), nil, iterations)
	if err != nil {
		t.Fatalf("verifier: %v", err)
	}
	h.Users.Set("alice", verifier)
	v := &visitor{h, dialer(h)}
	v.dialer.Keys = keys
	if keys != nil {
		if _, err := v.login(); err != nil {
			t.Fatalf("login: %v", err)
		}
	}
	return v
}

// login gets the seat and one reply.
func (v *visitor) login() (took time.Duration, err error) {
	goroutines, start := runtime.NumGoroutine(), time.Now()
	ctx := context.Background()
	c, err := v.dialer.Dial(ctx, v.h.Addr, harness.Credentials("alice"))
	if err != nil {
		return 0, err
	}
	defer c.Close()
	if _, err := c.Do(ctx, protocol.Request{Verb: protocol.VerbNoop}); err != nil {
		return 0, err
	}
	took = time.Since(start)
	if _, err := c.Do(ctx, protocol.Request{Verb: protocol.VerbQuit}); err != nil {
		return 0, err
	}
	for range c.Notices() { // until the server has sent its FIN, which leave waits for as well
	}
	return took, settle(goroutines)
}

// A passerby is the client of a floor. It connects with the calls of the
// product's client, which has a bounded context and keep-alive.
type passerby struct {
	addr string
	talk [][2]int
	tap  *tap // nil: nobody watches
}

func (p passerby) rig() *Rig {
	config := p.config()
	return &Rig{Step: func() (took time.Duration, err error) {
		goroutines, start := runtime.NumGoroutine(), time.Now()
		c, err := p.visit(config)
		if err != nil {
			return 0, err
		}
		took = time.Since(start)
		if err := leave(c); err != nil {
			return 0, err
		}
		return took, settle(goroutines)
	}}
}

// config has the ServerName that the product's client takes from the address.
func (p passerby) config() *tls.Config {
	config := clientTLS(harness.ECDSA)
	config.ServerName = "127.0.0.1"
	return config
}

// visit is all that is timed.
func (p passerby) visit(config *tls.Config) (*tls.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	raw, err := dialTCP(ctx, p.addr)
	if err != nil {
		return nil, err
	}
	raw = p.tap.over(raw, "client")
	c := tls.Client(raw, config)
	if err = c.HandshakeContext(ctx); err == nil {
		err = greeted(c)
	}
	var buf [512]byte
	for _, octets := range p.talk {
		if err == nil {
			_, err = c.Write(buf[:octets[0]])
		}
		if err == nil {
			_, err = io.ReadFull(c, buf[:octets[1]])
		}
	}
	if err != nil {
		_ = raw.Close()
	}
	return c, err
}

// dialTCP dials as client.Dialer does.
func dialTCP(ctx context.Context, addr string) (net.Conn, error) {
	probes := net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3}
	return (&net.Dialer{KeepAliveConfig: probes}).DialContext(ctx, "tcp", addr)
}

// connectRig is TCP alone, and one octet.
func connectRig(addr string) *Rig {
	return &Rig{Step: func() (took time.Duration, err error) {
		goroutines, start := runtime.NumGoroutine(), time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		raw, err := dialTCP(ctx, addr)
		if err != nil {
			return 0, err
		}
		defer raw.Close()
		if err := greeted(raw); err != nil {
			return 0, err
		}
		took = time.Since(start)
		if _, err := io.Copy(io.Discard, raw); err != nil {
			return 0, err
		}
		return took, settle(goroutines)
	}}
}

func pbkdf2Rig(iterations int) *Rig {
	password, salt := harness.Password("alice"), make([]byte, 16)
	return &Rig{Step: func() (time.Duration, error) {
		start := time.Now()
		_, err := pbkdf2.Key(sha256.New, password, salt, iterations, sha256.Size)
		return time.Since(start), err
	}}
}
