package scenarios

import (
	"bytes"
	"context"
	"net"
	"sync"
)

// Eve taps the wire. She sees every octet between a client and the server, in
// both directions.
type Eve struct {
	mu   sync.Mutex
	seen bytes.Buffer
}

// DialContext connects through the tap.
func (e *Eve) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return e.Tap(c), nil
}

// Tap returns the connection with Eve on the wire.
func (e *Eve) Tap(c net.Conn) net.Conn { return &tap{Conn: c, eve: e} }

// Saw reports whether the octets of s have crossed the wire in the clear.
func (e *Eve) Saw(s string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return bytes.Contains(e.seen.Bytes(), []byte(s))
}

// Excerpt returns the first n octets that she has seen.
func (e *Eve) Excerpt(n int) []byte {
	e.mu.Lock()
	defer e.mu.Unlock()
	return bytes.Clone(e.seen.Bytes()[:min(n, e.seen.Len())])
}

// Octets is how much she has seen.
func (e *Eve) Octets() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.seen.Len()
}

func (e *Eve) note(p []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.seen.Write(p)
}

type tap struct {
	net.Conn
	eve *Eve
}

func (t *tap) Read(p []byte) (int, error) {
	n, err := t.Conn.Read(p)
	t.eve.note(p[:n])
	return n, err
}

func (t *tap) Write(p []byte) (int, error) {
	t.eve.note(p)
	return t.Conn.Write(p)
}

// CloseWrite half-closes, where the connection below can.
func (t *tap) CloseWrite() error {
	if half, ok := t.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return net.ErrClosed
}
