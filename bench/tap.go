package bench

import (
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/sallyport/sallyport/server"
	"github.com/sallyport/sallyport/server/audit"
	"github.com/sallyport/sallyport/specs/harness"
)

// A tap notes what goes through sockets and into a log. A nil one notes nothing.
type tap struct {
	numbered bool // there are several connections

	mu     sync.Mutex
	conns  map[string]int // how many each end has had
	start  time.Time
	events []event
	times  map[string][]time.Duration
}

// event is something that a connection does, or, without a number, the log.
type event struct {
	end, what string
	conn      int
	at        time.Time
}

func (t *tap) note(end, what string, conn int) {
	if t == nil {
		return
	}
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.events = append(t.events, event{end, what, conn, now})
}

// afterPause begins a step after a pause.
func (t *tap) afterPause(step func() (time.Duration, error)) func() (time.Duration, error) {
	return func() (time.Duration, error) {
		time.Sleep(pause)
		t.begin()
		return step()
	}
}

// begin forgets what came after the last step.
func (t *tap) begin() {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.events, t.start = nil, time.Now()
}

// keep counts what was done in a step that took so long.
func (t *tap) keep(took time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.times == nil {
		t.times = map[string][]time.Duration{}
	}
	again := map[string]int{}
	for _, e := range t.events {
		at := e.at.Sub(t.start)
		if at > took {
			return
		}
		what := t.who(e) + ": " + e.what
		again[what]++
		what = fmt.Sprintf("%s %d", what, again[what])
		t.times[what] = append(t.times[what], at)
	}
}

// who numbers the connections of a step in the order in which they were made.
func (t *tap) who(e event) string {
	if !t.numbered || e.conn == 0 {
		return e.end
	}
	var there []int
	for _, other := range t.events {
		if other.end == e.end && other.conn > 0 && !slices.Contains(there, other.conn) {
			there = append(there, other.conn)
		}
	}
	slices.Sort(there)
	return fmt.Sprintf("%s %d", e.end, slices.Index(there, e.conn)+1)
}

// serve runs the product, with its log in a file, under the tap.
func (t *tap) serve(b T) *harness.H {
	b.Helper()
	file := recordsFile(b)
	return harness.StartOn(b, func(s *server.Server) {
		s.Audit, s.Limits = audit.New(tappedLog{file, t}, audit.Options{}), server.Limits{}
	}, func(l net.Listener) net.Listener { return tappedListener{l, t} })
}

func (t *tap) dial(ctx context.Context, _, addr string) (net.Conn, error) {
	c, err := dialTCP(ctx, addr)
	if err != nil {
		return nil, err
	}
	return t.over(c, "client"), nil
}

// over is the connection under the tap.
func (t *tap) over(c net.Conn, end string) net.Conn {
	if t == nil {
		return c
	}
	t.mu.Lock()
	if t.conns == nil {
		t.conns = map[string]int{}
	}
	t.conns[end]++
	number := t.conns[end]
	t.mu.Unlock()
	t.note(end, "connected", number)
	return tapped{c.(*net.TCPConn), end, number, t}
}

type tapped struct {
	*net.TCPConn
	end    string
	number int
	tap    *tap
}

func (c tapped) Read(p []byte) (int, error) {
	n, err := c.TCPConn.Read(p)
	c.tap.note(c.end, "read", c.number)
	return n, err
}

func (c tapped) Write(p []byte) (int, error) {
	c.tap.note(c.end, "write", c.number)
	return c.TCPConn.Write(p)
}

// tappedListener sets the socket options, which the server leaves alone where it
// finds no TCP.
type tappedListener struct {
	net.Listener
	tap *tap
}

func (l tappedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if err := setSocket(c); err != nil {
		_ = c.Close()
		return nil, err
	}
	return l.tap.over(c, "server"), nil
}

type tappedLog struct {
	io.Writer
	tap *tap
}

func (w tappedLog) Write(p []byte) (int, error) {
	w.tap.note("server", "log", 0)
	return w.Writer.Write(p)
}
