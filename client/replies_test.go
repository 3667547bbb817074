package client

import (
	"bytes"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/protocol"
)

// What else a server may reply is in fixtures/rogue-server.
func TestRogueReplies(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		reply string
		want  error // nil if Do succeeds
	}{
		"good":                  {"250 fine", nil},
		"a notice, then good":   {"150 hello\r\n250 fine", nil},
		"a body at the limit":   {"251 8\r\n12345678", nil},
		"a body over the limit": {"251 9\r\n123456789", ErrTooLarge},
		"a stream":              {"252 open", ErrProtocol},
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
			check(t, err)
			if listening {
				notices := c.Notices()
				for range test.early[:min(1, len(test.early))] {
					<-notices // the early lines came at once, so the client has read all of them
				}
			}
			if reply, err := c.Do(testContext(t), echo("x")); !test.want(err) || err == nil && reply.Text != "x" {
				t.Error(name, listening, reply, err)
			}
			c.Close()
		}
	}
}

// A caller whose write fails learns the reason that the server sent.
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

// A server can announce more than it sends. The test is not parallel: it counts the memory of the process.
func TestBodyTakesMemoryAsItComes(t *testing.T) {
	d := dialer()
	d.MaxBody = 1 << 40
	c := seatedBy(t, d, func(s *session) {
		s.line()
		s.send("251 1073741824", strings.Repeat("x", 100))
	})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := c.Do(testContext(t), echo("x"))
	runtime.ReadMemStats(&after)
	if size := after.TotalAlloc - before.TotalAlloc; err == nil || size > 64<<20 {
		t.Errorf("%d bytes for 100, %v", size, err)
	}
	body := []byte(strings.Repeat("0123456789", 1_234_567))
	for _, buffer := range [][]byte{nil, make([]byte, 0, 10), make([]byte, 20<<20)} {
		c = seatedBy(t, d, serveEcho)
		reply, err := c.DoInto(testContext(t), protocol.Request{Verb: "ECHO", Body: body}, buffer)
		if err != nil || !bytes.Equal(reply.Body, body) {
			t.Errorf("%d bytes of %d came back, %v", len(reply.Body), len(body), err)
		}
	}
}
