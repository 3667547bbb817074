package client

import (
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

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
		check(t, err)
		if _, err := c.Do(testContext(t), echo("x")); !errors.Is(err, ErrStream) {
			t.Error(err)
		}
		if again, err := c.Open(testContext(t)); !errors.Is(err, ErrStream) {
			t.Error(again, err)
		}
		for range c.Notices() { // the channel is closed
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

// The client writes nothing after OPEN until the reply has come.
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
	check(t, err)
	if _, err := stream.Read(make([]byte, 1)); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error(err)
	}
}

func check(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
