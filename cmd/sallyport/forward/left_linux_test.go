package forward

import (
	"net"
	"path/filepath"
	"testing"
	"time"
)

// gone is when a program has left the queue.
func gone(t *testing.T, p *Port, h *heard) {
	t.Helper()
	await(t, "the program leaves the queue", func() bool { return p.queued() == 0 })
	if !h.has("a local program left while it waited") {
		t.Error(h.lines)
	}
}

func TestLeavesTheQueue(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "port")
	for name, test := range map[string]struct {
		addr  string
		leave func(net.Conn)
		after time.Duration // at the earliest
	}{
		"by a reset": {"0", func(c net.Conn) {
			_, _ = c.Write([]byte("VOLT 5\n"))
			_ = c.(*net.TCPConn).SetLinger(0)
			_ = c.Close()
		}, 0},
		"without a word":                   {"0", func(c net.Conn) { _ = c.Close() }, 0},
		"over IPv6":                        {"[::1]:0", func(c net.Conn) { _ = c.Close() }, 0},
		"where both kinds of IP come":      {"[::]:0", func(c net.Conn) { _ = c.Close() }, 0},
		"from a Unix socket":               {unixPrefix + path, func(c net.Conn) { _ = c.Close() }, 0},
		"after it has ended its direction": {"0", func(c net.Conn) { _ = c.(*net.TCPConn).CloseWrite(); time.Sleep(2 * lookEvery); _ = c.Close() }, 0},
		"some time after its last word":    {"0", func(c net.Conn) { _, _ = c.Write([]byte("VOLT 5\n")); _ = c.Close() }, grace},
		"the same from a Unix socket":      {unixPrefix + path + "2", func(c net.Conn) { _, _ = c.Write([]byte("VOLT 5\n")); _ = c.Close() }, grace},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, h := opened(t, test.addr)
			conn := program(t, p)
			await(t, "it waits", func() bool { return p.queued() == 1 })
			began := time.Now()
			test.leave(conn)
			gone(t, p, h)
			if took := time.Since(began); took < test.after || test.after == 0 && took > grace {
				t.Error("it took", took)
			}
		})
	}
}

// A program may end its direction and wait for the answer as long as it likes.
func TestHalfEndedWaits(t *testing.T) {
	t.Parallel()
	p, h := opened(t, "0")
	conn := program(t, p)
	_ = conn.(*net.TCPConn).CloseWrite()
	l, err := p.next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-l.left:
		t.Error(h.lines)
	case <-time.After(3 * lookEvery):
	}
	if !p.take(l) {
		t.Error("it is still there")
	}
	_ = conn.Close()
	await(t, "its leaving is seen", func() bool { return lookAt(l.Conn) >= closed })
	_ = l.Close()
}
