package stream

import (
	"context"
	"errors"
	"io"
	"strconv"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/client"
	"github.com/sallyport/sallyport/protocol"
)

var echo = protocol.Request{Verb: "ECHO", Argument: "x"}

// serveEcho expects the request echo.
func (p *peer) serveEcho() {
	p.expect("ECHO x")
	p.send("250 x\n")
}

// open opens a stream on a server that has it.
func open(t *testing.T, script func(*peer)) (*client.Client, *Stream) {
	t.Helper()
	c := seated(t, func(p *peer) {
		p.expect("STREAM")
		p.send("152 stream\n")
		script(p)
	})
	s, err := Open(testContext(t), c)
	if err != nil {
		t.Fatal(err)
	}
	return c, s
}

func isReply(err error, code protocol.Code, keyword protocol.Keyword) bool {
	var reply *protocol.ReplyError
	return errors.As(err, &reply) && reply.Code == code && reply.Keyword == keyword
}

// goesOn checks that the client takes requests again.
func goesOn(t *testing.T, c *client.Client) {
	t.Helper()
	if reply, err := c.Do(testContext(t), echo); err != nil || reply.Text != "x" {
		t.Error(reply, err)
	}
}

func TestStreamBothWays(t *testing.T) {
	t.Parallel()
	for _, listening := range []bool{false, true} {
		c, s := open(t, func(p *peer) {
			p.expect("DATA 2")
			p.expectBytes("up")
			p.send("151 4\ndown121 waiting 1\n151 1\n")
			p.send("!150 hello\n151 0\n")
			p.expect("DATA 4", "moreBREAK", "LINE 9600,7E1", "WINDOW 80 24", "DATA 0")
			p.send("250 closed 6 5\n")
			p.serveEcho()
		})
		if listening {
			c.Notices()
		}
		if n, err := s.Write([]byte("up")); n != 2 || err != nil {
			t.Error(n, err)
		}
		if got, err := io.ReadAll(s); string(got) != "down!" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
		if reply, err := c.Do(testContext(t), echo); !errors.Is(err, client.ErrStream) || c.Err() != nil {
			t.Error(reply, err)
		}
		if n, err := s.ReadFrom(strings.NewReader("more")); n != 4 || err != nil {
			t.Error(n, err)
		}
		if err := errors.Join(s.Break(), s.Line("9600,7e1"), s.Window(80, 24), s.CloseWrite(), s.CloseWrite()); err != nil {
			t.Error(err)
		}
		if in, out, err := s.Wait(testContext(t)); in != 6 || out != 5 || err != nil {
			t.Error(in, out, err)
		}
		goesOn(t, c)
		if a, b := <-c.Notices(), <-c.Notices(); a.Text != "waiting 1" || b.Text != "hello" {
			t.Error(a, b)
		}
	}
}

// After the end of its direction a client can't send what the server could take for a request.
// What the backend said before the stream is shown to who wants it. An operator's words announce no backlog.
func TestBacklog(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		open  func(context.Context, *client.Client) (*Stream, error)
		wants string
	}{{Open, "beforelive"}, {OpenLive, "live"}} {
		c := seated(t, func(p *peer) {
			p.send("150 backlog 3\n") // before the stream
			p.expect("STREAM")
			p.send("152 stream\n121 waiting 1\n150 backlog 6\n151 4\nbefo150 backlog 9\n151 4\nreli151 2\nve150 backlog 1\n151 0\n")
			p.expect("DATA 0")
			p.send("250 closed 0 10\n")
			p.serveEcho()
		})
		s, err := test.open(testContext(t), c)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(s); string(got) != test.wants || err != nil {
			t.Errorf("%q, %v", got, err)
		}
		s.CloseWrite()
		if in, out, err := s.Wait(testContext(t)); in != 0 || out != 10 || err != nil {
			t.Error(in, out, err)
		}
		goesOn(t, c)
	}
}

func TestAfterCloseWrite(t *testing.T) {
	t.Parallel()
	c, s := open(t, func(p *peer) {
		p.expect("DATA 0", "PING ACTIVE")
		p.send("153 0\n")
		p.expect("ABORT")
		p.send("250 closed 0 9\n")
		p.serveEcho()
	})
	s.CloseWrite()
	if n, err := s.Write([]byte("x")); n != 0 || err != io.ErrClosedPipe || s.Break() != io.ErrClosedPipe {
		t.Error(n, err)
	}
	if n, err := s.Ping(testContext(t), true); n != 0 || err != nil {
		t.Error(n, err)
	}
	if err := errors.Join(s.Abort(), s.Abort(), s.CloseWrite()); err != nil {
		t.Error(err)
	}
	if _, out, err := s.Wait(testContext(t)); out != 9 || err != nil {
		t.Error(out, err)
	}
	if n, err := s.Ping(testContext(t), false); err != ErrOver {
		t.Error(n, err)
	}
	if n, err := s.Write([]byte("x")); n != 0 || err != ErrOver {
		t.Error(n, err)
	}
	if err := errors.Join(s.Abort(), s.CloseWrite()); err != nil {
		t.Error(err)
	}
	goesOn(t, c)
}

func TestOpenIsRefused(t *testing.T) {
	t.Parallel()
	c := seated(t, func(p *peer) {
		p.expect("STREAM")
		p.send("500 unknown-command no such verb\n")
		p.serveEcho()
		p.expect("STREAM")
		p.send("554 failed no backend\n")
		p.expect("ABORT")
		p.serveEcho()
		p.expect("STREAM")
		p.send("250 what is that\n")
	})
	if s, err := Open(testContext(t), c); !isReply(err, 500, "unknown-command") {
		t.Fatal(s, err)
	}
	goesOn(t, c)
	if s, err := Open(testContext(t), c); !isReply(err, 554, "failed") {
		t.Fatal(s, err)
	}
	goesOn(t, c)
	if s, err := Open(testContext(t), c); !errors.Is(err, client.ErrProtocol) {
		t.Error(s, err)
	}
	if s, err := Open(testContext(t), c); !errors.Is(err, client.ErrProtocol) {
		t.Error(s, err)
	}
}

func TestOpenEndsWithContext(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{})
	c := seated(t, func(p *peer) {
		p.expect("STREAM")
		close(asked)
		p.line()
	})
	ctx, cancel := context.WithCancel(testContext(t))
	go func() {
		<-asked
		cancel()
	}()
	if s, err := Open(ctx, c); !errors.Is(err, context.Canceled) || c.Err() == nil {
		t.Error(s, err)
	}
	if s, err := Open(ctx, c); !errors.Is(err, context.Canceled) {
		t.Error(s, err)
	}
}

// What fails a stream is the error of every call, after the bytes that came before.
func TestStreamFails(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		end   string
		want  func(error) bool
		after string // what the server expects then
	}{
		"evicted":     {"421 evicted bob took over\n", func(err error) bool { return isReply(err, 421, "evicted") }, ""},
		"broken":      {"554 failed the backend broke\n", func(err error) bool { return isReply(err, 554, "failed") }, "ABORT"},
		"broken late": {"151 0\n554 failed the backend broke\n", func(err error) bool { return isReply(err, 554, "failed") }, "ABORT"},
		"gone":        {"", func(err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) }, ""},
		"within a piece": {"151 9\nx", func(err error) bool {
			return errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF)
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, s := open(t, func(p *peer) {
				p.expect("PING")
				p.send("151 4\nlast" + test.end)
				if test.after != "" {
					p.expect(test.after)
					p.serveEcho()
				}
			})
			if _, err := s.Ping(testContext(t), false); !test.want(err) {
				t.Error("Ping:", err)
			}
			got, err := io.ReadAll(s)
			if late := strings.HasPrefix(test.end, "151 0"); !strings.HasPrefix(string(got), "last") || !late && !test.want(err) || late && err != nil {
				t.Errorf("Read: %q, %v", got, err)
			}
			if _, _, err := s.Wait(testContext(t)); !test.want(err) {
				t.Error("Wait:", err)
			}
			if _, err := s.Write([]byte("x")); !test.want(err) {
				t.Error("Write:", err)
			}
			if err := s.CloseWrite(); !test.want(err) {
				t.Error("CloseWrite:", err)
			}
			if test.after != "" {
				goesOn(t, c)
			}
		})
	}
}

func TestServerBreaksTheProtocol(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"151 65537\n", "151 01\n", "151 \n", "151 4\nfour+\n", "151 0\n151 1\nx", "151-1\n151 1\nx",
		"152 stream\n", "153 2\n", "153 1\n153 0\n", "153 0\n153 0\n", "153 x\n", "250 closed 2 0\n", "250 ok\n", "251 0\n",
		"252 open\n", "220 what\n", "334 \n", "garbage\n",
	} {
		_, s := open(t, func(p *peer) {
			p.expect("DATA 1")
			p.expectBytes("x")
			p.expect("PING")
			p.send(text)
			io.Copy(io.Discard, p.reader)
		})
		s.Write([]byte("x"))
		s.Ping(testContext(t), false)
		if _, _, err := s.Wait(testContext(t)); !errors.Is(err, client.ErrProtocol) {
			t.Errorf("%q: %v", text, err)
		}
	}
	for _, code := range []int{151, 152, 153} {
		c := seated(t, func(p *peer) {
			p.expect("ECHO x")
			p.send(strconv.Itoa(code) + " 1\n250 x\n")
		})
		if reply, err := c.Do(testContext(t), echo); !errors.Is(err, client.ErrProtocol) {
			t.Errorf("%d outside a stream: %v, %v", code, reply, err)
		}
	}
}

func TestBadArguments(t *testing.T) {
	t.Parallel()
	_, s := open(t, func(p *peer) {
		if line := p.line(); line != "DATA 0" {
			t.Errorf("sent %q", line)
		}
	})
	for _, err := range []error{s.Line("9600"), s.Line("9600,8N1\r\nQUIT"), s.Window(0, 1), s.Window(1, 65536)} {
		if !errors.Is(err, protocol.ErrArgument) {
			t.Error(err)
		}
	}
	s.CloseWrite()
}

// Read ends where its caller says, after what has come, and the stream goes on.
func TestEnd(t *testing.T) {
	t.Parallel()
	c, s := open(t, func(p *peer) {
		p.send("151 4\ndown")
		p.expect("PING")
		p.send("153 0\n")
		p.expect("ABORT")
		p.send("250 closed 0 4\n")
		p.serveEcho()
	})
	if _, err := s.Ping(testContext(t), false); err != nil {
		t.Fatal(err)
	}
	s.End(io.ErrNoProgress)
	if got, err := io.ReadAll(s); string(got) != "down" || err != io.ErrNoProgress {
		t.Errorf("%q, %v", got, err)
	}
	if err := s.Abort(); err != nil {
		t.Error(err)
	}
	if in, out, err := s.Wait(testContext(t)); in != 0 || out != 4 || err != nil {
		t.Error(in, out, err)
	}
	goesOn(t, c)
}
