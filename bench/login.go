package bench

import (
	"context"
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/sallyport/sallyport/client"
	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/protocol/scram"
	"github.com/sallyport/sallyport/scenarios/testserver"
	"github.com/sallyport/sallyport/server"
)

var (
	keys   = map[string]testserver.Key{"ecdsa": testserver.ECDSA, "ed25519": testserver.Ed25519, "rsa": testserver.RSA}
	curves = map[string]tls.CurveID{"hybrid": tls.X25519MLKEM768, "x25519": tls.X25519}
)

// handshakes are from the dialing to the greeting. The client is crypto/tls for product and floor.
func handshakes() Group {
	g := Group{Name: "Handshake", Rounds: 30, Block: 100 * time.Millisecond}
	for _, mode := range []string{"full", "resumed"} {
		for _, key := range slices.Sorted(maps.Keys(keys)) {
			for _, kex := range slices.Sorted(maps.Keys(curves)) {
				add := func(of string, start func(T) (addr string)) {
					name := fmt.Sprintf("tls=%s/key=%s/kex=%s/of=%s", mode, key, kex, of)
					g.Subjects = append(g.Subjects, Subject{Name: name, Start: func(t T) *Rig {
						return shake(t, start(t), keys[key], curves[kex], mode == "resumed")
					}})
				}
				add("sallyport", func(t T) string {
					return serve(t, fileLog(t), func(s *server.Server) {
						s.TLSConfig = &tls.Config{Certificates: []tls.Certificate{testserver.Certificate(keys[key])}}
					}).Addr
				})
				add("tls", floor{tls: ServerTLS(keys[key])}.start)
			}
		}
	}
	return g
}

// shake measures handshakes.
func shake(t T, addr string, key testserver.Key, curve tls.CurveID, resumed bool) *Rig {
	t.Helper()
	config := ClientTLS(key)
	config.CurvePreferences = []tls.CurveID{curve}
	if resumed {
		config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		c, err := connect(&net.Dialer{}, addr, config) // for a ticket
		Check(t, err)
		Check(t, leave(c))
	}
	return Connections(func() (func() error, error) {
		c, err := connect(&net.Dialer{}, addr, config)
		return func() error {
			if state := c.ConnectionState(); state.DidResume != resumed || state.CurveID != curve {
				return errors.New("bench: not the wanted handshake")
			}
			return leave(c)
		}, err
	})
}

// loginTalk is as long as what a login and its first request send after the greeting: AUTH and its
// challenge; the proof and the empty line, the server's proof and the 235; NOOP and its 250.
var loginTalk = []Exchange{
	{make([]byte, 95), make([]byte, 116)}, {make([]byte, 222), make([]byte, 87)}, {make([]byte, 6), make([]byte, 8)},
}

// logins are from the dialing to the reply to a first request. The floors are a handshake and one byte,
// the same with the round trips of a login, and one PBKDF2.
func logins() Group {
	g := Group{Name: "Login", Rounds: 40, Block: 100 * time.Millisecond}
	add := func(name string, start func(T) *Rig) {
		g.Subjects = append(g.Subjects, Subject{Name: name, Start: start})
	}
	for _, n := range []int{4096, 15000} {
		add(fmt.Sprintf("keys=derived/iterations=%d/of=sallyport", n), func(t T) *Rig {
			return Connections(newUser(t, serve(t, fileLog(t), nil), n, nil).open)
		})
		add(fmt.Sprintf("keys=cached/iterations=%d/of=sallyport", n), func(t T) *Rig {
			return Connections(newUser(t, serve(t, fileLog(t), nil), n, new(scram.KeyCache)).open)
		})
		add(fmt.Sprintf("iterations=%d/of=pbkdf2", n), func(T) *Rig {
			password, salt := testserver.Password("alice"), make([]byte, 16)
			return Timed(1, func() error {
				_, err := pbkdf2.Key(sha256.New, password, salt, n, sha256.Size)
				return err
			})
		})
	}
	add("of=tls", func(t T) *Rig { return Connections(openFloor(t, nil)) })
	add("of=tls+exchange", func(t T) *Rig { return Connections(openFloor(t, loginTalk)) })
	return g
}

// A user is a client that logs in again and again.
type user struct {
	addr   string
	dialer *client.Dialer
}

// newUser is alice at a server that has her password with so many iterations. Unless keys is nil, she
// has logged in before.
func newUser(t T, h *testserver.Server, iterations int, keys *scram.KeyCache) user {
	t.Helper()
	verifier, err := scram.NewVerifier(testserver.Password("alice"), nil, iterations)
	Check(t, err)
	h.Users.Set("alice", verifier)
	u := user{h.Addr, &client.Dialer{TLSConfig: &tls.Config{RootCAs: h.Roots}, Keys: keys}}
	if keys != nil {
		_, err := Connections(u.open).Step()
		Check(t, err)
	}
	return u
}

// login logs in and sends one request.
func (u user) login() (*client.Client, error) {
	ctx := context.Background()
	c, err := u.dialer.Dial(ctx, u.addr, testserver.Credentials("alice"))
	if err == nil {
		_, err = c.Do(ctx, protocol.Request{Verb: protocol.VerbNoop})
	}
	return c, err
}

// open logs in. leave returns when the server has sent its FIN, which ends the notices.
func (u user) open() (leave func() error, err error) {
	c, err := u.login()
	return func() error {
		defer c.Close()
		_, err := c.Do(context.Background(), protocol.Request{Verb: protocol.VerbQuit})
		for range c.Notices() {
		}
		return err
	}, err
}

// openFloor returns a function that connects to a floor as client.Dialer does, and has the talk with it.
func openFloor(t T, talk []Exchange) func() (func() error, error) {
	t.Helper()
	addr, config := floor{tls: ServerTLS(testserver.ECDSA), talk: talk}.start(t), ClientTLS(testserver.ECDSA)
	return func() (func() error, error) {
		c, err := connect(&net.Dialer{}, addr, config)
		var in [128]byte
		for _, e := range talk {
			if err == nil {
				err = e.Ask(c, in[:])
			}
		}
		return func() error { return leave(c) }, err
	}
}

// sessionsPerStep is how many sessions a step has, shared by all clients.
const sessionsPerStep = 64

// sessions are whole ones, from the dialing to the answer to QUIT, by several clients that wait for each
// other's end. ns/op is the time of the step for each session. The floor is a handshake, one byte, and the end.
func sessions() Group {
	g := Group{Name: "Sessions", Rounds: 30, Block: 150 * time.Millisecond}
	for _, clients := range []int{1, 2, 8} {
		add := func(of string, start func(T) func() error) {
			g.Subjects = append(g.Subjects, Subject{Name: fmt.Sprintf("clients=%d/of=%s", clients, of), Start: func(t T) *Rig {
				return crowd(clients, start(t))
			}})
		}
		add("sallyport", func(t T) func() error {
			u := newUser(t, serve(t, fileLog(t), nil), scram.MinIterations, new(scram.KeyCache))
			return func() error {
				c, err := u.login()
				if err != nil {
					return err
				}
				return c.Quit(context.Background())
			}
		})
		add("tls", func(t T) func() error {
			addr, config := floor{tls: ServerTLS(testserver.ECDSA)}.start(t), ClientTLS(testserver.ECDSA)
			return func() error {
				c, err := connect(&net.Dialer{}, addr, config)
				if err != nil {
					return err
				}
				return c.Close()
			}
		})
	}
	return g
}

func crowd(clients int, session func() error) *Rig {
	return &Rig{Ops: sessionsPerStep, Step: func() (time.Duration, error) {
		goroutines, start := runtime.NumGoroutine(), time.Now()
		failed := make([]error, clients)
		var all sync.WaitGroup
		for i := range clients {
			all.Go(func() {
				for range sessionsPerStep / clients {
					failed[i] = errors.Join(failed[i], session())
				}
			})
		}
		all.Wait()
		took := time.Since(start)
		return took, errors.Join(errors.Join(failed...), settle(goroutines))
	}}
}
