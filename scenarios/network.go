package scenarios

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

func networkMember() *member {
	return &member{
		summary: "the network between a client and the server",
		verbs: []verb{
			{name: "delays", args: "CLIENT DURATION", least: 2, most: 2, run: doDelays, summary: "between CLIENT and the server everything arrives later by this"},
			{name: "drops", args: "CLIENT", least: 1, most: 1, run: doDrops, summary: "between CLIENT and the server nothing arrives any more, and neither side learns of it"},
		},
	}
}

// victim returns the connection of the client that is the first argument.
func (c *call) victim(ctx context.Context) (*link, error) {
	if err := checkClient(c.args[0]); err != nil {
		return nil, err
	}
	_, l, err := c.stage.actor(c.args[0]).connected(ctx)
	return l, err
}

// checkClient refuses a name that is no client's.
func checkClient(name string) error {
	if !slices.Contains(clientNames(), name) {
		return fmt.Errorf("%q is no client; those are: %s", name, strings.Join(clientNames(), " "))
	}
	return nil
}

func doDelays(ctx context.Context, c *call) (string, error) {
	d, err := time.ParseDuration(c.args[1])
	if err != nil {
		return "", err
	}
	l, err := c.victim(ctx)
	if err == nil {
		l.setDelay(d)
	}
	return "", err
}

func doDrops(ctx context.Context, c *call) (string, error) {
	l, err := c.victim(ctx)
	if err == nil {
		l.drop()
	}
	return "", err
}

const (
	// maxSeen bounds the bytes that a link keeps between two calls of seen.
	maxSeen = 64 << 10
	// maxFirst is longer than any TLS alert.
	maxFirst = 64
)

// A link is a client's connection to the server, with the faults of the network. It keeps the bytes that have
// crossed it since the last call of seen.
type link struct {
	net.Conn
	tcp *net.TCPConn

	mu      sync.Mutex
	crossed [2][]byte
	// head has the first bytes that came.
	head  []byte
	delay time.Duration
	// dropped is closed when nothing arrives any more, stalled when the client reads no more.
	dropped, stalled, closed chan struct{}
	once                     [3]sync.Once
}

func newLink(conn net.Conn, tcp *net.TCPConn) *link {
	return &link{
		Conn: conn, tcp: tcp,
		dropped: make(chan struct{}), stalled: make(chan struct{}), closed: make(chan struct{}),
	}
}

func (l *link) note(from side, p []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	room := max(0, maxSeen-len(l.crossed[from]))
	l.crossed[from] = append(l.crossed[from], p[:min(room, len(p))]...)
	if from == serverSide {
		l.head = append(l.head, p[:min(len(p), maxFirst-len(l.head))]...)
	}
}

// first returns the first bytes that came.
func (l *link) first() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.head
}

// seen returns the bytes of a side that have crossed since the last call.
func (l *link) seen(from side) []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.crossed[from]
	l.crossed[from] = nil
	return p
}

func (l *link) setDelay(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.delay = d
}

// hold waits for the delay of the network, and reports whether the network delivers.
func (l *link) hold() bool {
	l.mu.Lock()
	timer := time.NewTimer(l.delay)
	l.mu.Unlock()
	defer timer.Stop()
	select {
	case <-l.dropped:
	case <-l.closed: // the call that follows fails
	case <-timer.C:
	}
	select {
	case <-l.dropped: // the first select chooses at random if several are ready
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
			l.note(serverSide, p[:n])
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
	l.note(clientSide, p)
	if !l.hold() {
		return len(p), nil
	}
	return l.Conn.Write(p)
}

// Close closes the connection. Calls that hold waits for fail.
func (l *link) Close() error {
	defer l.once[0].Do(func() { close(l.closed) })
	return l.Conn.Close()
}

// closeAfter closes the connection when the context ends, unless stop is called before.
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

// drop lets nothing arrive any more, in either direction.
func (l *link) drop() { l.once[1].Do(func() { close(l.dropped) }) }

// stall lets the client read nothing any more.
func (l *link) stall() { l.once[2].Do(func() { close(l.stalled) }) }

// reset ends the connection with a TCP reset.
func (l *link) reset() error {
	if err := l.tcp.SetLinger(0); err != nil {
		return err
	}
	return l.Close()
}
