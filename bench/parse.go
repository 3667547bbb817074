package bench

import (
	"errors"
	"io"

	"github.com/sallyport/sallyport/protocol"
)

var errMisread = errors.New("something else was read")

// parses are the parts of a request that make no system call: a command taken
// apart, without and with a body; a line found in what came; a reply read; a
// request and a reply written.
func parses() Group {
	g := Group{Name: "Parse", Rounds: 40}
	add := func(what string, do func() func() error) {
		g.Subjects = append(g.Subjects, Subject{
			Name: "what=" + what + "/of=sallyport", Start: func(T) *Rig { return loop(do()) },
		})
	}
	add("command", func() func() error { return parseCommand("ECHO 0123456789abcdef", false) })
	add("body", func() func() error { return parseCommand("BODY 4096 ECHO", true) })
	add("line", readLine)
	add("reply", readReply)
	add("request", appendRequest)
	add("answer", appendReply)
	return g
}

func parseCommand(text string, body bool) func() error {
	line := []byte(text)
	return func() error {
		c, err := protocol.ParseCommand(line)
		if err == nil && c.HasBody != body {
			err = errMisread
		}
		return err
	}
}

func readLine() func() error {
	r := protocol.NewReader(&endless{text: []byte("ECHO 0123456789abcdef\r\n")})
	return func() error {
		line, err := r.ReadLine()
		if err == nil && len(line) != 21 {
			err = errMisread
		}
		return err
	}
}

func readReply() func() error {
	r := protocol.NewReader(&endless{text: []byte("250 0123456789abcdef\r\n")})
	return func() error {
		reply, _, err := protocol.ReadReply(r)
		if err == nil && len(reply.Text) != 16 {
			err = errMisread
		}
		return err
	}
}

func appendRequest() func() error {
	request, out := protocol.Request{Verb: "ECHO", Argument: "0123456789abcdef"}, []byte(nil)
	return func() (err error) {
		out, err = request.Append(out[:0])
		return err
	}
}

func appendReply() func() error {
	reply, out := protocol.Reply{Code: protocol.CodeDone, Text: "0123456789abcdef"}, []byte(nil)
	return func() (err error) {
		out, err = reply.Append(out[:0])
		return err
	}
}

// endless is a peer that sends the same text again and again, one in each record.
type endless struct{ text []byte }

func (e *endless) Read(p []byte) (int, error) {
	if len(p) < len(e.text) {
		return 0, io.ErrShortBuffer
	}
	return copy(p, e.text), nil
}
