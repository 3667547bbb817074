package mallory

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/sallyport/sallyport/protocol"
)

// peer is a connection to one who is honest.
type peer struct {
	raw   *tapped
	conn  net.Conn // what lines go over: TLS, or raw
	in    *protocol.Reader
	out   []byte // lines that go out together, in one TLS record
	ended bool   // by a deed
}

// tapped keeps the first octets that come in below TLS, and notes the end, which
// crypto/tls takes for a close_notify between two records.
type tapped struct {
	net.Conn
	head []byte
	eof  bool
}

// maxHead is more than any alert.
const maxHead = 64

func (t *tapped) Read(p []byte) (int, error) {
	n, err := t.Conn.Read(p)
	t.head = append(t.head, p[:min(n, maxHead-len(t.head))]...)
	t.eof = t.eof || err != nil
	return n, err
}

// newPeer takes a connection, which ends when ctx does.
func newPeer(ctx context.Context, raw net.Conn) *peer {
	if by, ok := ctx.Deadline(); ok {
		_ = raw.SetDeadline(by)
	}
	p := &peer{raw: &tapped{Conn: raw}}
	p.speak(p.raw)
	return p
}

// speak has lines go over conn from here on.
func (p *peer) speak(conn net.Conn) { p.conn, p.in = conn, protocol.NewReader(conn) }

// tls is nil where there is none.
func (p *peer) tls() *tls.Conn {
	conn, _ := p.conn.(*tls.Conn)
	return conn
}

func (p *peer) say(text string) { p.out = append(p.out, text...) }

// flush sends what was said. A failure shows at the next read: the other end has
// ended the connection, and perhaps said why.
func (p *peer) flush() {
	if len(p.out) > 0 {
		_, _ = p.conn.Write(p.out)
		p.out = nil
	}
}

// rest reads to the end of the connection. Nothing more may come, and before the
// end close_notify.
func (p *peer) rest() error {
	defer p.raw.Close()
	if p.flush(); p.ended {
		_, _ = io.Copy(io.Discard, p.raw)
		return nil
	}
	if p.tls() == nil {
		return p.restInClear()
	}
	line, err := p.in.ReadLine()
	switch {
	case err == nil:
		return fmt.Errorf("the other end goes on with %q", line)
	case err != io.EOF || p.raw.eof:
		return fmt.Errorf("the other end did not say close_notify: %w", err)
	}
	return nil
}

// restInClear is rest where there is no TLS: no word of the protocol may come.
func (p *peer) restInClear() error {
	rest, _ := io.ReadAll(io.LimitReader(p.raw, 1<<20))
	for _, word := range []string{"AUTH", "SCRAM", "220 ", "421 ", "500 "} {
		if bytes.Contains(rest, []byte(word)) {
			return fmt.Errorf("the other end says %q in the clear", word)
		}
	}
	return nil
}

// do does a deed to the connection.
func (p *peer) do(deed, argument string) error {
	p.flush()
	switch deed {
	case "stall": // what follows is for the other end to say
	case "part":
		p.say(argument)
	case "octets":
		octets, err := hex.DecodeString(argument)
		p.say(string(octets))
		return err
	case "drip":
		p.drip(argument + "\r\n")
	case "flood":
		p.flood(strings.Repeat(argument+"\r\n", 100))
	case "endless":
		p.flood(strings.Repeat(argument, 1000))
	default:
		return p.end(deed)
	}
	return nil
}

// end ends the connection, in one way or another.
func (p *peer) end(deed string) error {
	tcp, ok := p.raw.Conn.(interface {
		CloseWrite() error
		SetLinger(seconds int) error
	})
	if !ok {
		return fmt.Errorf("%T is no TCP connection", p.raw.Conn)
	}
	switch deed {
	case "close":
		if conn := p.tls(); conn != nil {
			if err := conn.CloseWrite(); err != nil {
				return err
			}
		}
	case "cut":
		p.ended = true
	case "reset":
		p.ended = true
		return errors.Join(tcp.SetLinger(0), p.raw.Close())
	default:
		return fmt.Errorf("there is no deed %q", deed)
	}
	return tcp.CloseWrite()
}

// drip sends one octet after the other, each in a record of its own.
func (p *peer) drip(text string) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for i := range len(text) {
		if _, err := io.WriteString(p.conn, text[i:i+1]); err != nil {
			return
		}
		<-tick.C
	}
}

// flood sends the same until the other end has had enough.
func (p *peer) flood(text string) {
	for {
		if _, err := io.WriteString(p.conn, text); err != nil {
			return
		}
	}
}

// silent reads to the end of the connection: below TLS the other end must have
// said these octets and nothing else.
func (p *peer) silent(want string) error {
	_, _ = io.Copy(io.Discard, p.raw)
	p.ended = true
	got := hex.EncodeToString(p.raw.head)
	if len(got) > 6 {
		got = got[:2] + "0303" + got[6:] // the version of a record says nothing (RFC 8446 §5.1)
	}
	if got != want {
		return fmt.Errorf("the other end says %q, not %q", got, want)
	}
	return nil
}

// record checks of which type (RFC 8446 §5.1) the other end's first record is.
func (p *peer) record(want string) error {
	_, err := io.ReadFull(p.raw, make([]byte, 1))
	if err == nil && hex.EncodeToString(p.raw.head[:1]) != want {
		err = fmt.Errorf("the other end answers with %x", p.raw.head)
	}
	return err
}

// leaves checks that the other end ends the connection without a word.
func (p *peer) leaves() error {
	if p.tls() == nil {
		return nil // not even TLS: nobody there could say one
	}
	if line, err := p.in.ReadLine(); err == nil {
		return fmt.Errorf("the other end says %q", line)
	}
	return nil
}
