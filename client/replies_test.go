package client

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/protocol"
)

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
