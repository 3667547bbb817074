package stream

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/protocol"
)

// pieces reads a stream up to its DATA 0, and calls took with the number of bytes so far for each PING.
func (p *peer) pieces(took func(n int)) (got []byte) {
	for {
		switch verb, size, _ := strings.Cut(p.line(), " "); {
		case verb == protocol.VerbPing:
			took(len(got))
		case size == "0":
			return got
		default:
			got = append(got, make([]byte, must(strconv.Atoi(size)))...)
			if _, err := io.ReadFull(p.reader, got[len(got)-must(strconv.Atoi(size)):]); err != nil {
				panic(errOver)
			}
		}
	}
}

// The client asks by itself what the backend has taken, and never sends more than 524,288 bytes beyond that.
func TestWriteWaitsForTheBackend(t *testing.T) {
	t.Parallel()
	sent := bytes.Repeat([]byte("0123456789abcdef"), 3<<20/16)
	for _, copied := range []bool{false, true} {
		c, s := open(t, func(p *peer) {
			var taken int
			got := p.pieces(func(n int) {
				if n-taken > 512<<10 {
					t.Errorf("%d bytes ahead", n-taken)
				}
				taken = min(n, taken+48<<10)
				p.send("153 " + strconv.Itoa(taken) + "\n")
			})
			if !bytes.Equal(got, sent) {
				t.Errorf("%d bytes came, or others", len(got))
			}
			p.send("250 closed " + strconv.Itoa(len(got)) + " 0\n")
			p.serveEcho()
		})
		if copied {
			io.Copy(s, bytes.NewReader(sent))
		} else {
			s.Write(sent)
		}
		s.CloseWrite()
		if in, _, err := s.Wait(testContext(t)); in != int64(len(sent)) || err != nil {
			t.Error(in, err)
		}
		goesOn(t, c)
	}
}

func TestWriteEndsWithTheStream(t *testing.T) {
	t.Parallel()
	full := make([]byte, 600<<10)
	_, s := open(t, func(p *peer) {
		p.pieces(func(n int) {
			if n <= 500<<10 {
				p.send("153 0\n")
			} else {
				p.send("421 evicted the operator took the seat\n")
			}
		})
	})
	if n, err := s.Write(full); n < 500<<10 || n > 512<<10 || !isReply(err, 421, "evicted") {
		t.Error(n, err)
	}
	blocked := make(chan struct{})
	_, s = open(t, func(p *peer) {
		got := 0
		for got < 500<<10 {
			if verb, size, _ := strings.Cut(p.line(), " "); verb == protocol.VerbData {
				p.expectBytes(string(full[:must(strconv.Atoi(size))]))
				got += must(strconv.Atoi(size))
			}
		}
		close(blocked)
		for p.line() != "ABORT" {
		}
		p.send("250 closed 7 0\n")
	})
	go func() {
		<-blocked
		s.Abort()
	}()
	if n, err := s.Write(full); n < 500<<10 || n > 512<<10 || err != io.ErrClosedPipe && err != ErrOver {
		t.Error(n, err)
	}
}

// What is not read stops the connection at 1 MiB, and is all there.
func TestReaderThatPauses(t *testing.T) {
	t.Parallel()
	flood := func(p *peer) {
		p.expect("PING")
		for i := range 64 {
			p.send("151 65536\n")
			p.sendRaw(strings.Repeat(string(rune('0'+i)), 65536))
		}
		p.send("153 0\n")
		p.line()
		p.send("250 closed 0 4194304\n")
		p.serveEcho()
	}
	c, s := open(t, flood)
	ctx, cancel := context.WithCancel(testContext(t))
	pinged := make(chan error, 1)
	go func() {
		_, err := s.Ping(ctx, false)
		pinged <- err
	}()
	waitFull(t, s)
	cancel()
	if err := <-pinged; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	got := make([]byte, 64*65536)
	if _, err := io.ReadFull(s, got); err != nil {
		t.Error(err)
	}
	for i := range 64 {
		if part := got[i*65536:][:65536]; bytes.Count(part, []byte{byte('0' + i)}) != 65536 {
			t.Fatalf("piece %d is not as it was sent", i)
		}
	}
	s.CloseWrite()
	if _, out, err := s.Wait(testContext(t)); out != 64*65536 || err != nil {
		t.Error(out, err)
	}
	goesOn(t, c)

	c, s = open(t, flood)
	go s.Ping(testContext(t), false)
	waitFull(t, s)
	if err := s.Abort(); err != nil {
		t.Error(err)
	}
	if _, _, err := s.Wait(testContext(t)); err != nil {
		t.Error(err)
	}
	if n, err := s.Read(got); n != 0 || err != ErrOver {
		t.Error(n, err)
	}
	goesOn(t, c)

	c, s = open(t, flood)
	go s.Ping(testContext(t), false)
	waitFull(t, s)
	c.Close()
	if _, _, err := s.Wait(testContext(t)); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}

// waitFull waits until the client has stopped reading.
func waitFull(t *testing.T, s *Stream) {
	for ctx := testContext(t); ctx.Err() == nil; runtime.Gosched() {
		s.unread.mu.Lock()
		full := s.unread.w-s.unread.r == maxBuffer
		s.unread.mu.Unlock()
		if full {
			return
		}
	}
	t.Fatal("the client reads more than it may keep")
}

func TestWriteTo(t *testing.T) {
	t.Parallel()
	_, s := open(t, func(p *peer) {
		p.send("151 5\nhello151 6\n world151 0\n")
		p.line()
	})
	var got bytes.Buffer
	if n, err := io.Copy(&got, s); n != 11 || got.String() != "hello world" || err != nil {
		t.Error(n, &got, err)
	}
}
