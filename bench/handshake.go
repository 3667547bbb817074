package bench

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"runtime"
	"time"

	"github.com/sallyport/sallyport/server"
	"github.com/sallyport/sallyport/specs/harness"
)

var (
	keyKinds = []struct {
		name string
		key  harness.Key
	}{{"ecdsa", harness.ECDSA}, {"ed25519", harness.Ed25519}, {"rsa", harness.RSA}}
	kexKinds = []struct {
		name  string
		curve tls.CurveID
	}{{"hybrid", tls.X25519MLKEM768}, {"x25519", tls.X25519}}
)

// handshakes are from the dialing to the greeting. The floor sends one octet in
// its place. The client is crypto/tls in both.
func handshakes() Group {
	g := Group{Name: "Handshake", Rounds: 30, Block: 100 * time.Millisecond}
	for _, mode := range []string{"full", "resumed"} {
		for _, key := range keyKinds {
			for _, kex := range kexKinds {
				name := fmt.Sprintf("tls=%s/key=%s/kex=%s/of=", mode, key.name, kex.name)
				shaker := func(addr string) *Rig {
					return handshaker{addr, key.key, kex.curve, mode == "resumed"}.rig()
				}
				g.Subjects = append(g.Subjects,
					Subject{Name: name + "sallyport", Start: func(t T) *Rig { return shaker(lobbyOf(t, key.key)) }},
					Subject{Name: name + "tls", Start: func(t T) *Rig { return shaker(floor{tls: serverTLS(key.key)}.start(t)) }})
			}
		}
	}
	return g
}

// lobbyOf is the address of a server of the product with such a certificate.
func lobbyOf(t T, key harness.Key) string {
	t.Helper()
	return serve(t, logOf(t, "file"), func(s *server.Server) {
		s.TLSConfig = &tls.Config{Certificates: []tls.Certificate{harness.Certificate(key)}}
	}).Addr
}

type handshaker struct {
	addr    string
	key     harness.Key
	curve   tls.CurveID
	resumes bool
}

func (h handshaker) rig() *Rig {
	config := clientTLS(h.key)
	config.CurvePreferences = []tls.CurveID{h.curve}
	primed := !h.resumes
	if h.resumes {
		config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	}
	return &Rig{Step: func() (time.Duration, error) {
		if !primed {
			if _, _, err := h.shake(config); err != nil {
				return 0, err
			}
			primed = true
		}
		took, state, err := h.shake(config)
		if err == nil && (state.DidResume != h.resumes || state.CurveID != h.curve) {
			err = errors.New("not the handshake that was asked for")
		}
		return took, err
	}}
}

func (h handshaker) shake(config *tls.Config) (took time.Duration, state tls.ConnectionState, err error) {
	goroutines, start := runtime.NumGoroutine(), time.Now()
	raw, err := net.Dial("tcp", h.addr)
	if err != nil {
		return 0, state, err
	}
	defer raw.Close()
	c := tls.Client(raw, config)
	if err := c.Handshake(); err != nil {
		return 0, state, err
	}
	if err := greeted(c); err != nil {
		return 0, state, err
	}
	took = time.Since(start)
	if err := leave(c); err != nil {
		return 0, state, err
	}
	return took, c.ConnectionState(), settle(goroutines)
}
