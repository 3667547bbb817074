package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestNotices(t *testing.T) {
	t.Parallel()
	idle := make(chan struct{})
	c := seated(t, func(s *session) {
		s.send("121 waiting 1", "250 "+s.line(), "150 to you")
		<-idle
		s.send("121 waiting 0", "421 shutdown bye")
	})
	if reply, err := c.Do(testContext(t), echo("x")); err != nil || reply.Text != "ECHO x" {
		t.Error(reply, err)
	}
	notices := c.Notices()
	close(idle)
	var got []Notice
	for n := range notices {
		got = append(got, n)
	}
	want := []Notice{{121, "waiting 1"}, {150, "to you"}, {121, "waiting 0"}}
	if diff := cmp.Diff(want, got); diff != "" || !isReply(c.Err(), 421, "shutdown") || c.Notices() != notices {
		t.Error(diff, c.Err())
	}
	if _, err := c.Do(testContext(t), echo("x")); !isReply(err, 421, "shutdown") {
		t.Error(err)
	}
}

func TestNoticesAfterTheEnd(t *testing.T) {
	t.Parallel()
	c := seated(t, serveEcho)
	c.Close()
	if n, open := <-c.Notices(); open || !errors.Is(c.Err(), net.ErrClosed) {
		t.Error(n, c.Err())
	}
}

// A flood of notices doesn't delay the reply, and the client keeps only the last 16.
func TestNoticeFlood(t *testing.T) {
	t.Parallel()
	for _, listening := range []bool{false, true} {
		c := seated(t, func(s *session) {
			s.line()
			for i := range 20_000 {
				s.send(fmt.Sprintf("121 waiting %d", i))
			}
			s.send("250 fine")
		})
		if listening {
			c.Notices()
		}
		if _, err := c.Do(testContext(t), echo("x")); err != nil {
			t.Fatal(err)
		}
		var last Notice
		n := 0
		for last = range c.Notices() {
			if n++; last.Text == "waiting 19999" {
				break
			}
		}
		if n != 16 || last.Text != "waiting 19999" {
			t.Error(n, last)
		}
	}
}

func TestCloseIsFinal(t *testing.T) {
	t.Parallel()
	c := seated(t, func(s *session) { s.line(); s.atEnd() })
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if _, err := c.Do(testContext(t), echo("x")); !errors.Is(err, net.ErrClosed) {
				t.Error(err)
			}
		})
		all.Go(func() {
			for range c.Notices() {
			}
		})
	}
	for range 4 {
		all.Go(func() { c.Close() })
	}
	all.Wait()
}

// faulty is a connection whose Read panics from some time on.
type faulty struct {
	net.Conn
	broken atomic.Bool
}

func (f *faulty) Read(p []byte) (int, error) {
	n, err := f.Conn.Read(p)
	if f.broken.Load() {
		panic("a fault")
	}
	return n, err
}

// A fault in what reads the connection ends the client, and not the program, which may have to give a terminal back.
func TestPanic(t *testing.T) {
	t.Parallel()
	for i, read := range []func(*Client){
		func(c *Client) { _, _ = c.Do(testContext(t), echo("x")) },
		func(c *Client) { // in another goroutine, where a panic ends the test without its name
			for range c.Notices() {
			}
		},
	} {
		d, conn := dialer(), new(faulty)
		d.DialContext = func(ctx context.Context, network, addr string) (_ net.Conn, err error) {
			conn.Conn, err = new(net.Dialer).DialContext(ctx, network, addr)
			return conn, err
		}
		broken := make(chan struct{})
		c := seatedBy(t, d, func(s *session) {
			<-broken
			s.send("121 waiting 1")
			s.atEnd()
		})
		conn.broken.Store(true)
		close(broken)
		read(c)
		if err := c.Err(); err == nil || !strings.HasPrefix(err.Error(), "client: panic: a fault\n") {
			t.Errorf("reader %d: %v", i, err)
		}
	}
}
