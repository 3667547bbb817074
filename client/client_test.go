package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport/sallyport/protocol"
)

func echo(argument string) protocol.Request {
	return protocol.Request{Verb: "ECHO", Argument: argument}
}

func TestDo(t *testing.T) {
	t.Parallel()
	c := seated(t, serveEcho)
	reply, err := c.Do(testContext(t), protocol.Request{Verb: "echo", Argument: "a  b"})
	if diff := cmp.Diff(protocol.Reply{Code: 250, Text: "a  b"}, reply); diff != "" || err != nil {
		t.Error(err, diff)
	}
	reply, err = c.Do(testContext(t), protocol.Request{Verb: "FOO"})
	if reply.Code != 500 || !isReply(err, 500, "unknown-command") || c.Err() != nil {
		t.Error(reply, err, c.Err())
	}
	if err := c.Quit(testContext(t)); err != nil {
		t.Error(err)
	}
	if reply, err := c.Do(testContext(t), echo("x")); !errors.Is(err, net.ErrClosed) || reply.Code != 0 || reply.Text != "" {
		t.Error(reply, err)
	}
}

func TestBodies(t *testing.T) {
	t.Parallel()
	c := seated(t, serveEcho)
	buffer := make([]byte, 100_000)
	for _, size := range []int{0, 1, recordSize - 20, recordSize - 16, recordSize - 15, recordSize - 14, recordSize, recordSize + 1, 64 << 10, 1 << 20} {
		body := bytes.Repeat([]byte("0123456"), size/7+1)[:size]
		for _, into := range [][]byte{nil, buffer} {
			reply, err := c.DoInto(testContext(t), protocol.Request{Verb: "ECHO", Body: body}, into)
			if err != nil || reply.Code != 251 || !bytes.Equal(reply.Body, body) {
				t.Fatalf("%d: %v, %d bytes, %v", size, reply.Code, len(reply.Body), err)
			}
			if into != nil && size > 0 && size <= len(buffer) && &reply.Body[0] != &buffer[0] {
				t.Errorf("%d: the buffer was not used", size)
			}
		}
	}
}

// The client refuses a request that would be several commands, or that would leave the server waiting for a
// body or in a stream.
func TestRequestsThatAreNotSent(t *testing.T) {
	t.Parallel()
	c := seated(t, serveEcho)
	for _, request := range []protocol.Request{
		{},
		{Verb: "BODY", Argument: "5 ECHO"},
		{Verb: "body", Argument: "5 ECHO"},
		{Verb: "BODY 5 ECHO"},
		{Verb: "OPEN"},
		{Verb: "open"},
		{Verb: "ECHO\r\nQUIT"},
		echo("a\r\nQUIT"), echo("a\nb"), echo("\xff"),
		{Verb: " ECHO"},
		{Verb: "BODY", Body: []byte("x")},
	} {
		if reply, err := c.Do(testContext(t), request); !errors.Is(err, protocol.ErrSyntax) {
			t.Errorf("%+v: %v, %v", request, reply, err)
		}
	}
	if _, err := c.Do(testContext(t), echo(strings.Repeat("x", protocol.MaxLine))); !errors.Is(err, protocol.ErrLineTooLong) {
		t.Error(err)
	}
	replies, err := c.Pipeline(testContext(t), []protocol.Request{echo("1"), echo("2"), echo("\n"), echo("4")}, nil)
	if !errors.Is(err, protocol.ErrSyntax) || len(replies) != 2 {
		t.Error(replies, err)
	}
	if reply, err := c.Do(testContext(t), echo("still here")); err != nil || reply.Text != "still here" {
		t.Error(reply, err)
	}
}

func TestConcurrentDo(t *testing.T) {
	t.Parallel()
	for _, listening := range []bool{false, true} {
		c := seated(t, serveEcho)
		if listening {
			c.Notices()
		}
		var all sync.WaitGroup
		for i := range 100 { // more than the client pipelines
			all.Go(func() {
				body := bytes.Repeat([]byte{byte(i)}, i*300)
				for j := range 5 {
					want := fmt.Sprint(i, j)
					if reply, err := c.Do(testContext(t), echo(want)); err != nil || reply.Text != want {
						t.Error(want, reply, err)
					}
					if reply, err := c.Do(context.Background(), protocol.Request{Verb: "ECHO", Body: body}); err != nil || !bytes.Equal(reply.Body, body) {
						t.Error(want, reply.Code, len(reply.Body), err)
					}
				}
			})
		}
		all.Wait()
	}
}

// The client writes the second request before the first is answered.
func TestDoPipelines(t *testing.T) {
	t.Parallel()
	c := seated(t, func(s *session) {
		first, second := s.line(), s.line()
		s.send("250 "+first, "250 "+second)
		s.atEnd()
	})
	var all sync.WaitGroup
	for _, word := range []string{"a", "b"} {
		all.Go(func() {
			if reply, err := c.Do(testContext(t), echo(word)); err != nil || reply.Text != "ECHO "+word {
				t.Error(reply, err)
			}
		})
	}
	all.Wait()
}

// tap counts the writes of a connection.
type tap struct {
	net.Conn
	writes atomic.Int64
}

func (c *tap) Write(p []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(p)
}

// tapped returns a client and the tap that counts its writes.
func tapped(t *testing.T, script func(*session)) (*Client, *tap) {
	t.Helper()
	d, counter := tapDialer()
	return seatedBy(t, d, script), counter
}

// tapDialer returns a dialer for one connection, and the tap that counts its writes.
func tapDialer() (*Dialer, *tap) {
	counter := new(tap)
	d := dialer()
	d.TLSConfig.DynamicRecordSizingDisabled = true
	d.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		var err error
		counter.Conn, err = new(net.Dialer).DialContext(ctx, network, addr)
		return counter, err
	}
	return d, counter
}

func TestWrites(t *testing.T) {
	t.Parallel()
	c, counter := tapped(t, serveEcho)
	many := make([]protocol.Request, 500)
	for i := range many {
		many[i] = echo("x")
	}
	for want, requests := range map[int64][]protocol.Request{
		1: many,
		2: {{Verb: "ECHO", Body: make([]byte, 1000)}, {Verb: "ECHO", Body: make([]byte, recordSize-20)}},
	} {
		before := counter.writes.Load()
		if replies, err := c.Pipeline(testContext(t), requests, nil); err != nil || len(replies) != len(requests) {
			t.Fatal(len(replies), err)
		}
		if got := counter.writes.Load() - before; got != want {
			t.Errorf("%d writes, not %d", got, want)
		}
	}
}

// The four records behind the first one of a long body are one write, and those of a longer body a write for each
// 64 KiB.
func TestWritesOfManyRecords(t *testing.T) {
	t.Parallel()
	c, counter := tapped(t, serveEcho)
	for size, want := range map[int]int64{64 << 10: 2, 256 << 10: 5} {
		before := counter.writes.Load()
		reply, err := c.Do(testContext(t), protocol.Request{Verb: "ECHO", Body: make([]byte, size)})
		if err != nil || len(reply.Body) != size {
			t.Fatal(len(reply.Body), err)
		}
		if got := counter.writes.Load() - before; got != want {
			t.Errorf("%d bytes: %d writes, not %d", size, got, want)
		}
	}
}

// The requests and replies are more than all buffers between the two ends hold.
func TestPipeline(t *testing.T) {
	t.Parallel()
	c := seated(t, serveEcho)
	var requests []protocol.Request
	var want []protocol.Reply
	for i := range 3000 {
		switch i % 100 {
		case 7:
			body := bytes.Repeat([]byte{byte(i)}, i*50)
			requests = append(requests, protocol.Request{Verb: "ECHO", Body: body})
			want = append(want, protocol.Reply{Code: 251, Body: body})
		case 8:
			requests = append(requests, protocol.Request{Verb: "FOO"})
			want = append(want, protocol.Reply{Code: 500, Text: "unknown-command no such verb"})
		default:
			text := fmt.Sprint(i, strings.Repeat("x", i))
			requests = append(requests, echo(text))
			want = append(want, protocol.Reply{Code: 250, Text: text})
		}
	}
	dst := []protocol.Reply{{Code: 1}}
	replies, err := c.Pipeline(testContext(t), requests, dst)
	if err != nil || len(replies) != 1+len(want) || replies[0].Code != 1 {
		t.Fatal(len(replies), err)
	}
	for i, got := range replies[1:] { // cmp would take a minute over these bodies
		if got.Code != want[i].Code || got.Text != want[i].Text || !bytes.Equal(got.Body, want[i].Body) {
			t.Fatalf("%d: %d %.100q", i, got.Code, got.Text)
		}
	}
	if replies, err := c.Pipeline(testContext(t), nil, nil); replies != nil || err != nil {
		t.Error(replies, err)
	}
}

func TestPipelineIsCut(t *testing.T) {
	t.Parallel()
	c := seated(t, func(s *session) {
		s.send("250 "+s.line(), "550 refused no", "421 session-limit enough")
		s.atEnd()
	})
	replies, err := c.Pipeline(testContext(t), []protocol.Request{echo("1"), echo("2"), echo("3"), echo("4")}, nil)
	want := []protocol.Reply{{Code: 250, Text: "ECHO 1"}, {Code: 550, Text: "refused no"}, {Code: 421, Text: "session-limit enough"}}
	if diff := cmp.Diff(want, replies); diff != "" || !isReply(err, 421, "session-limit") || !isReply(c.Err(), 421, "session-limit") {
		t.Error(err, c.Err(), diff)
	}
}

func TestContextEnds(t *testing.T) {
	t.Parallel()
	got := make(chan string, 2)
	c := seated(t, func(s *session) {
		got <- s.line()
		got <- s.line()
		s.atEnd()
	})
	gone, cancel := context.WithCancel(testContext(t))
	cancel()
	if _, err := c.Do(gone, echo("never sent")); !errors.Is(err, context.Canceled) || c.Err() != nil {
		t.Error(err, c.Err())
	}
	ctx, cancel := context.WithCancel(testContext(t))
	var all sync.WaitGroup
	for _, ctx := range []context.Context{ctx, context.Background()} {
		all.Go(func() {
			// Both replies are lost, because the connection ends.
			if _, err := c.Do(ctx, echo("x")); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		})
	}
	if first, second := <-got, <-got; first != "ECHO x" || second != "ECHO x" {
		t.Error(first, second)
	}
	cancel()
	all.Wait()
	if _, err := c.Do(testContext(t), echo("too late")); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// A server that doesn't read blocks neither the context nor Close.
func TestBlockedWrite(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*Client, context.CancelFunc){
		"cancelled": func(_ *Client, cancel context.CancelFunc) { cancel() },
		"closed":    func(c *Client, _ context.CancelFunc) { c.Close() },
	} {
		release := make(chan struct{})
		c := seated(t, func(*session) { <-release })
		ctx, cancel := context.WithCancel(testContext(t))
		var all sync.WaitGroup
		for range 2 { // one writes, and one waits to write
			all.Go(func() {
				_, err := c.Do(ctx, protocol.Request{Verb: "ECHO", Body: make([]byte, 32<<20)})
				if !errors.Is(err, context.Canceled) && !errors.Is(err, net.ErrClosed) {
					t.Error(name, err)
				}
			})
		}
		end(c, cancel)
		all.Wait()
		cancel()
		close(release)
	}
}
