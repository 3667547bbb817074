package scenarios

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

// direction of what crosses the wire.
type direction int

const (
	up   direction = iota // from the client to the server
	down                  // from the server to the client
)

// maxSeen bounds what is kept of what crosses between two arrows.
const maxSeen = 64 << 10

// A link is a client's connection to the server, with what the network does to
// it, and what has crossed it since somebody last asked.
type link struct {
	net.Conn
	tcp *net.TCPConn

	mu      sync.Mutex
	crossed [2][]byte
	head    []byte // the first octets that came
	delay   time.Duration
	dropped chan struct{} // closed when nothing gets through any more
	stalled chan struct{} // closed when the client takes nothing any more
	closed  chan struct{}
	once    [3]sync.Once
}

func newLink(conn net.Conn, tcp *net.TCPConn) *link {
	return &link{
		Conn: conn, tcp: tcp,
		dropped: make(chan struct{}), stalled: make(chan struct{}), closed: make(chan struct{}),
	}
}

func (l *link) note(d direction, p []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if room := maxSeen - len(l.crossed[d]); room > 0 {
		l.crossed[d] = append(l.crossed[d], p[:min(room, len(p))]...)
	}
}

// maxFirst is more than any alert has.
const maxFirst = 64

// took notes what was read.
func (l *link) took(p []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.head = append(l.head, p[:min(len(p), maxFirst-len(l.head))]...)
}

// first returns the first octets that came.
func (l *link) first() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.head
}

// seen returns what has crossed since the last call.
func (l *link) seen(d direction) []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.crossed[d]
	l.crossed[d] = nil
	return p
}

func (l *link) late() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.delay
}

// hold waits as long as the network delays, and reports whether it still
// delivers.
func (l *link) hold() bool {
	timer := time.NewTimer(l.late())
	defer timer.Stop()
	select {
	case <-l.dropped:
	case <-l.closed: // and what follows fails
	case <-timer.C:
	}
	select {
	case <-l.dropped: // which of several come at once is a matter of chance
		return false
	default:
		return true
	}
}

// Read reads what the server sends.
func (l *link) Read(p []byte) (int, error) {
	for {
		n, err := l.Conn.Read(p)
		select {
		case <-l.stalled:
			<-l.closed
			return 0, net.ErrClosed
		default:
		}
		if errors.Is(err, os.ErrDeadlineExceeded) || l.hold() {
			l.note(down, p[:n])
			l.took(p[:n])
			return n, err
		}
		if err != nil {
			<-l.closed
			return 0, net.ErrClosed
		}
	}
}

// Write sends to the server.
func (l *link) Write(p []byte) (int, error) {
	l.note(up, p)
	if !l.hold() {
		return len(p), nil
	}
	return l.Conn.Write(p)
}

// Close closes it.
func (l *link) Close() error {
	defer l.once[0].Do(func() { close(l.closed) }) // and who was held finds it closed
	return l.Conn.Close()
}

// closeAfter closes it when the context ends, unless stop is called before.
func (l *link) closeAfter(ctx context.Context) (stop func() bool) {
	return context.AfterFunc(ctx, func() { _ = l.Close() })
}

// CloseWrite ends the client's direction.
func (l *link) CloseWrite() error {
	half, ok := l.Conn.(interface{ CloseWrite() error })
	if !ok {
		return errors.ErrUnsupported
	}
	return half.CloseWrite()
}

// drop lets nothing through any more, either way, and tells nobody.
func (l *link) drop() { l.once[1].Do(func() { close(l.dropped) }) }

// stall has the client take nothing any more of what the server sends.
func (l *link) stall() { l.once[2].Do(func() { close(l.stalled) }) }

// reset ends it with a TCP reset.
func (l *link) reset() error {
	if err := l.tcp.SetLinger(0); err != nil {
		return err
	}
	return l.Close()
}

func (l *link) setDelay(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.delay = d
}
