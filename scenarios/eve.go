package scenarios

import (
	"bytes"
	"context"
	"io"
	"net"
	"sync"
	"time"
)

// Eve taps the wire. She sees every octet between clients and the server, in
// both directions, and when it passed. [Eve.WritePcap] makes a file of it.
type Eve struct {
	mu     sync.Mutex
	wires  []*wire
	events []event // of all wires, in the order in which she saw them
}

// side is one end of a connection.
type side int

const (
	clientSide side = iota
	serverSide
)

// wire is a connection that is tapped. Each side's octets are one stream, as
// whoever reassembles TCP has it: where writes began and ended hides nothing.
type wire struct {
	ends   [2]net.Addr
	octets [2][]byte
	ended  [2]bool
}

// event is something that a side of a wire did: it opened the connection, sent
// so many octets, or ended its direction.
type event struct {
	*wire
	at     time.Time
	did    action
	from   side
	octets int
}

type action int

const (
	opened action = iota
	sent
	ended
)

// DialContext connects through the tap.
func (e *Eve) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return e.Tap(c), nil
}

// Tap returns a client's connection with Eve on the wire, at the client's end.
func (e *Eve) Tap(c net.Conn) net.Conn {
	w := &wire{ends: [2]net.Addr{c.LocalAddr(), c.RemoteAddr()}}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.wires = append(e.wires, w)
	e.events = append(e.events, event{wire: w, at: time.Now(), did: opened})
	return &tap{Conn: c, eve: e, wire: w}
}

// Saw reports whether the octets of s have crossed a wire in the clear, in
// however many pieces.
func (e *Eve) Saw(s string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, w := range e.wires {
		if bytes.Contains(w.octets[clientSide], []byte(s)) || bytes.Contains(w.octets[serverSide], []byte(s)) {
			return true
		}
	}
	return false
}

// Excerpt returns the first n octets, or as many as there are, that the first
// client sent.
func (e *Eve) Excerpt(n int) []byte {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.wires) == 0 {
		return nil
	}
	first := e.wires[0].octets[clientSide]
	return bytes.Clone(first[:min(n, len(first))])
}

// Octets is how much she has seen.
func (e *Eve) Octets() (n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, w := range e.wires {
		n += len(w.octets[clientSide]) + len(w.octets[serverSide])
	}
	return n
}

// saw notes octets, which nobody sends who has ended its direction.
func (e *Eve) saw(w *wire, from side, p []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(p) == 0 || w.ended[from] {
		return
	}
	w.octets[from] = append(w.octets[from], p...)
	e.events = append(e.events, event{w, time.Now(), sent, from, len(p)})
}

// sawEnd notes the end of a direction, once.
func (e *Eve) sawEnd(w *wire, from side) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !w.ended[from] {
		w.ended[from] = true
		e.events = append(e.events, event{wire: w, at: time.Now(), did: ended, from: from})
	}
}

type tap struct {
	net.Conn
	eve  *Eve
	wire *wire
}

func (t *tap) Read(p []byte) (int, error) {
	n, err := t.Conn.Read(p)
	t.eve.saw(t.wire, serverSide, p[:n])
	if err == io.EOF {
		t.eve.sawEnd(t.wire, serverSide)
	}
	return n, err
}

// Write has the octets noted first, so that no answer to them comes before.
func (t *tap) Write(p []byte) (int, error) {
	t.eve.saw(t.wire, clientSide, p)
	return t.Conn.Write(p)
}

func (t *tap) Close() error {
	t.eve.sawEnd(t.wire, clientSide)
	return t.Conn.Close()
}

// CloseWrite half-closes, where the connection below can.
func (t *tap) CloseWrite() error {
	half, ok := t.Conn.(interface{ CloseWrite() error })
	if !ok {
		return net.ErrClosed
	}
	t.eve.sawEnd(t.wire, clientSide)
	return half.CloseWrite()
}
