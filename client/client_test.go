package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

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
	for _, size := range []int{0, 1, record - 20, record - 16, record - 15, record - 14, record, record + 1, 64 << 10, 1 << 20} {
		body := bytes.Repeat([]byte("0123456"), size/7+1)[:size]
		for _, into := range [][]byte{nil, buffer} {
			reply, err := c.Do(testContext(t), protocol.Request{Verb: "ECHO", Body: body, Buffer: into})
			if err != nil || reply.Code != 251 || !bytes.Equal(reply.Body, body) {
				t.Fatalf("%d: %v, %d octets, %v", size, reply.Code, len(reply.Body), err)
			}
			if into != nil && size > 0 && size <= len(buffer) && &reply.Body[0] != &buffer[0] {
				t.Errorf("%d: the buffer was not used", size)
			}
		}
	}
}

// What would be more than one command, or leave the server waiting for a body
// or in a stream, is not sent.
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
		for i := range 100 { // more than are owed at once
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

// The second is written before the first is answered.
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

// tapped is a client, and what counts its writes.
func tapped(t *testing.T, script func(*session)) (*Client, *tap) {
	t.Helper()
	wire := new(tap)
	d := dialer()
	d.TLSConfig.DynamicRecordSizingDisabled = true
	d.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		var err error
		wire.Conn, err = new(net.Dialer).DialContext(ctx, network, addr)
		return wire, err
	}
	return seatedBy(t, d, script), wire
}

func TestWrites(t *testing.T) {
	t.Parallel()
	c, wire := tapped(t, serveEcho)
	many := make([]protocol.Request, 500)
	for i := range many {
		many[i] = echo("x")
	}
	for want, requests := range map[int64][]protocol.Request{
		1: many,
		2: {{Verb: "ECHO", Body: make([]byte, 1000)}, {Verb: "ECHO", Body: make([]byte, record-20)}},
		5: {{Verb: "ECHO", Body: make([]byte, 64<<10)}},
	} {
		before := wire.writes.Load()
		if replies, err := c.Pipeline(testContext(t), requests, nil); err != nil || len(replies) != len(requests) {
			t.Fatal(len(replies), err)
		}
		if got := wire.writes.Load() - before; got != want {
			t.Errorf("%d writes, not %d", got, want)
		}
	}
}

// More than any buffer between the two ends holds, in both directions.
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
			// The reply of the one is lost with the other's.
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
		for range 2 { // one that writes, and one that waits to
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

func TestRogueReplies(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", protocol.MaxLine)
	for name, test := range map[string]struct {
		reply string
		want  error // nil: Do succeeds
	}{
		"good":                  {"250 fine", nil},
		"a notice, then good":   {"150 hello\r\n250 fine", nil},
		"a body at the limit":   {"251 8\r\n12345678", nil},
		"a body over the limit": {"251 9\r\n123456789", ErrProtocol},
		"a body over all":       {"251 99999999999999999999999", ErrProtocol},
		"a negative body":       {"251 -1", ErrProtocol},
		"a body that is cut":    {"251 8\r\n1234", io.ErrUnexpectedEOF},
		"a stream":              {"252 open", ErrProtocol},
		"a challenge":           {"334 ", ErrProtocol},
		"no reply":              {"hello", ErrProtocol},
		"a line too long":       {"250 " + long, ErrProtocol},
		"lines without end":     {strings.Repeat("250-x\r\n", 200_000), ErrProtocol},
		"codes that differ":     {"250-x\r\n251 4", ErrProtocol},
		"half a line":           {"250-x\r\n250", ErrProtocol},
		"a control character":   {"250 \x07", ErrProtocol},
		"nothing":               {"250-x", io.EOF},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := dialer()
			d.MaxBody = 8
			c := seatedBy(t, d, func(s *session) {
				s.line()
				s.send(test.reply)
			})
			reply, err := c.Do(testContext(t), echo("x"))
			if !errors.Is(err, test.want) || (test.want != nil) != (c.Err() != nil) {
				t.Errorf("%.100v, %v, %v", reply, err, c.Err())
			}
		})
	}
}

func TestUnsolicited(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		early []string
		want  func(error) bool
	}{
		"nothing":            {nil, func(err error) bool { return err == nil }},
		"notices":            {[]string{"121 waiting 1", "150 hello"}, func(err error) bool { return err == nil }},
		"a reply":            {[]string{"250 fine"}, func(err error) bool { return errors.Is(err, ErrProtocol) }},
		"a refusal":          {[]string{"550 refused no"}, func(err error) bool { return errors.Is(err, ErrProtocol) }},
		"a notice and reply": {[]string{"121 waiting 1", "250 fine"}, func(err error) bool { return errors.Is(err, ErrProtocol) }},
		"a reason":           {[]string{"421 evicted by bob"}, func(err error) bool { return isReply(err, 421, "evicted") }},
	} {
		for _, listening := range []bool{false, true} {
			addr := serve(t, serverTLS(), func(s *session) {
				r := honest()
				r.seat = append(r.seat, test.early...) // in one write with the 235
				r.login(s)
				serveEcho(s)
			})
			c, err := dialer().Dial(testContext(t), addr, alice)
			if err != nil {
				t.Fatal(err)
			}
			if listening {
				notices := c.Notices()
				for range test.early[:min(1, len(test.early))] {
					<-notices // so that all of the early ones are read: they came at once
				}
			}
			if reply, err := c.Do(testContext(t), echo("x")); !test.want(err) || err == nil && reply.Text != "x" {
				t.Error(name, listening, reply, err)
			}
			c.Close()
		}
	}
}

// The reason reaches even who was busy writing.
func TestReasonBehindAFailedWrite(t *testing.T) {
	t.Parallel()
	c := seated(t, func(s *session) {
		s.line()
		s.send("421 log-failed disk full")
		s.conn.CloseWrite()
		s.conn.NetConn().(*net.TCPConn).CloseRead()
	})
	var err error
	for err == nil {
		_, err = c.Do(testContext(t), protocol.Request{Verb: "ECHO", Body: make([]byte, 8<<20)})
	}
	if !isReply(err, 421, "log-failed") {
		t.Error(err)
	}
}

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

// A flood neither blocks replies nor is kept.
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

func TestOpen(t *testing.T) {
	t.Parallel()
	for _, listening := range []bool{false, true} {
		c := seated(t, func(s *session) {
			s.expect("ECHO x")
			s.send("250 fine")
			s.expect("OPEN")
			s.send("150 a notice", "252 open", "begun at once")
			if got := s.atEnd(); got != "up\x00\xff" {
				t.Errorf("%q", got)
			}
			io.WriteString(s.conn, "after your end")
		})
		if listening {
			c.Notices()
		}
		if _, err := c.Do(testContext(t), echo("x")); err != nil {
			t.Fatal(err)
		}
		stream, err := c.Open(testContext(t))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Do(testContext(t), echo("x")); !errors.Is(err, ErrStream) {
			t.Error(err)
		}
		if again, err := c.Open(testContext(t)); !errors.Is(err, ErrStream) {
			t.Error(again, err)
		}
		for range c.Notices() { // is closed
		}
		io.WriteString(stream, "up\x00\xff")
		stream.CloseWrite()
		if got, err := io.ReadAll(stream); string(got) != "begun at once\r\nafter your end" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
		if stream.Close() != nil || c.Err() != ErrStream {
			t.Error(c.Err())
		}
	}
}

// Nothing is written behind OPEN before its answer.
func TestOpenIsRefused(t *testing.T) {
	t.Parallel()
	asked, checked := make(chan struct{}), make(chan struct{})
	c := seated(t, func(s *session) {
		s.expect("OPEN")
		close(asked)
		<-checked
		s.conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		if _, err := s.reader.Read(make([]byte, 1)); err == nil {
			t.Error("a request was written behind OPEN")
		}
		s.conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		s.send("550 refused no backend")
		s.expect("ECHO x")
		s.send("250 fine")
		s.expect("OPEN")
		s.send("250 what is that")
	})
	var all sync.WaitGroup
	all.Go(func() {
		<-asked
		close(checked)
		if reply, err := c.Do(testContext(t), echo("x")); err != nil || reply.Text != "fine" {
			t.Error(reply, err)
		}
	})
	if stream, err := c.Open(testContext(t)); !isReply(err, 550, "refused") {
		t.Error(stream, err)
	}
	all.Wait()
	if stream, err := c.Open(testContext(t)); !errors.Is(err, ErrProtocol) {
		t.Error(stream, err)
	}
}

func TestStreamIsCut(t *testing.T) {
	t.Parallel()
	c := seated(t, func(s *session) {
		s.line()
		s.send("252 open")
		s.conn.NetConn().(*net.TCPConn).CloseWrite()
	})
	stream, err := c.Open(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Read(make([]byte, 1)); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error(err)
	}
}

// Do allocates no more than writing and reading the same records does.
func TestDoAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector has pools drop what they hold")
	}
	for _, size := range []int{100, 64 << 10} {
		body, buffer := make([]byte, size), make([]byte, size)
		c := seated(t, serveEcho)
		line := must((&protocol.Request{Verb: "ECHO", Body: body}).Append(nil))
		answer := make([]byte, len(fmt.Sprintf("251 %d\r\n", size))+size)
		plain := rawEcho(t)
		exchange := func() {
			out := append(line, body[:min(size, record-len(line))]...)
			plain.Write(out[:len(line)+min(size, record-len(line))])
			if size > record {
				plain.Write(body[record-len(line):])
			}
			if _, err := io.ReadFull(plain, answer); err != nil {
				t.Fatal(err)
			}
		}
		line = append(make([]byte, 0, record), line...)
		request := protocol.Request{Verb: "ECHO", Body: body, Buffer: buffer}
		do := func() {
			if _, err := c.Do(context.Background(), request); err != nil {
				t.Fatal(err)
			}
		}
		if ours, floor := testing.AllocsPerRun(300, do), testing.AllocsPerRun(300, exchange); ours > floor {
			t.Errorf("%d octets: %v allocations, where TLS alone has %v", size, ours, floor)
		}
	}
}

// rawEcho is a TLS connection to serveEcho, without a client.
func rawEcho(t testing.TB) *tls.Conn {
	addr := serve(t, serverTLS(), serveEcho)
	conn, err := tls.Dial("tcp", addr, &tls.Config{RootCAs: trusted().pool(), NextProtos: []string{protocol.ALPN}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func BenchmarkDo(b *testing.B) {
	for _, size := range []int{0, 1 << 10, 64 << 10} {
		b.Run(fmt.Sprintf("body=%d", size), func(b *testing.B) {
			c := seated(b, serveEcho)
			request := protocol.Request{Verb: "ECHO", Body: make([]byte, size), Buffer: make([]byte, size)}
			b.SetBytes(int64(2 * size))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Do(context.Background(), request); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkPipeline(b *testing.B) {
	c := seated(b, serveEcho)
	requests := make([]protocol.Request, 100)
	for i := range requests {
		requests[i] = protocol.Request{Verb: "ECHO", Body: []byte("0123456789"), Buffer: make([]byte, 10)}
	}
	var replies []protocol.Reply
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if replies, err = c.Pipeline(context.Background(), requests, replies[:0]); err != nil {
			b.Fatal(err)
		}
	}
}
