package server

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/protocol/scram"
)

// What a connection can be woken for; see the package documentation.
const (
	flagGranted  uint32 = 1 << iota // the seat is yours
	flagNotice                      // the queue has changed
	flagMessage                     // the operator has said something
	flagEvicted                     // leave: somebody took over
	flagShutdown                    // leave: the server ends
	flagDone                        // what was waited for beside the connection is done

	anyFlag = ^uint32(0)
)

const (
	// recordSize is the greatest TLS record, and where a batch of replies is written though more
	// input is there.
	recordSize = 16 << 10
	// A closing connection drains at most this of what the peer still sends, so that a TCP reset
	// doesn't destroy the last reply in flight.
	maxDrain     = 1 << 20
	maxDrainTime = time.Second
	// lastWrite is the time to take the last reply, where there is a deadline for the rest.
	lastWrite = time.Second
)

var (
	// errWoken means that another goroutine set a flag; callers handle c.flags and retry.
	errWoken error = pause("interrupted")
	// errDeadline means that the deadline of a read has passed.
	errDeadline error = pause("i/o timeout")

	past = time.Unix(1, 0)
)

// pause is an error after which a read can be taken up again: crypto/tls keeps every other one than a
// temporary net.Error.
type pause string

func (p pause) Error() string { return string(p) }
func (pause) Timeout() bool   { return true }
func (pause) Temporary() bool { return true }

// conn is one connection, from accept to close. Its goroutine owns all fields but those that say
// otherwise.
type conn struct {
	srv      *Server
	id       string
	from     source
	raw      *transport
	tls      *tls.Conn
	endPoint scram.ChannelBinding
	rd       *protocol.Reader
	out      []byte
	loginBy  time.Time // zero: no limit
	native   bool      // speaks the protocol, 1yz lines included
	user     string    // prepared, once the login is done
	inLobby  bool

	asked    time.Time // when the seat was asked for
	in, sent int64     // octets above TLS

	flags  atomic.Uint32 // set by any goroutine
	ctx    context.Context
	cancel context.CancelCauseFunc // called by any goroutine

	mu       sync.Mutex
	messages []string // what the operator said, until it is sent
	deaf     bool     // no more messages: a raw stream is open
}

func newConn(s *Server, raw net.Conn, from source) *conn {
	setSocket(raw, s.limits.Vanish)
	state := s.tls.Load()
	c := &conn{srv: s, id: s.newID(), from: from, inLobby: true, endPoint: state.endPoint}
	c.raw = &transport{Conn: raw, owner: c}
	c.tls = tls.Server(c.raw, state.config)
	c.rd = protocol.NewReader(input{c})
	c.loginBy = after(time.Now(), s.limits.Login)
	return c
}

// run is the life of a connection.
func (c *conn) run() {
	defer c.srv.forget(c)
	defer c.raw.Close() // whatever a handler does to its goroutine
	defer c.leaveLobby()
	why := "tls"
	err := c.handshake()
	if err == nil {
		if err = c.login(); err == nil {
			c.leaveLobby()
			err = c.takeSeat()
		}
		if err == nil {
			newSession(c).run()
			return
		}
		c.sayLast(err)
		why = reason(err)
	} else if closing, ok := errors.AsType[*protocol.ReplyError](err); ok {
		why = string(closing.Keyword) // and there is no TLS to say it through
	}
	c.srv.Audit.Info("conn.close", c.id).Str("reason", why).Send()
	_ = c.srv.logged(c.srv.Audit.Flush())
	c.hangUp()
}

// leaveLobby gives the connection's place in the lobby back, once.
func (c *conn) leaveLobby() {
	if c.inLobby {
		c.inLobby = false
		c.srv.lobby.leave(c.from)
	}
}

// wake makes the connection's goroutine look at its flags.
func (c *conn) wake(flag uint32) {
	c.flags.Or(flag)
	_ = c.raw.SetReadDeadline(past)
}

// has reports whether any of the flags is set.
func (c *conn) has(flags uint32) bool { return c.flags.Load()&flags != 0 }

// evict makes the connection leave the seat or the queue: its handler is cancelled, and a write that
// is stuck ends soon. The flag comes first, so that no other request begins.
func (c *conn) evict() {
	c.wake(flagEvicted)
	c.cancel(errEvicted)
	_ = c.raw.Conn.SetWriteDeadline(time.Now().Add(lastWrite))
}

// line returns the next line as soon as it is complete. Zero means no deadline. Errors are errWoken,
// errDeadline, io.EOF after a close_notify, errCut, those of flush, of the line and of the network.
func (c *conn) line(by time.Time) ([]byte, error) {
	c.raw.wait = wait{by: by, flags: anyFlag, flush: true}
	return c.rd.ReadLine()
}

// read reads bytes as they are, with the errors of line.
func (c *conn) read(p []byte, by time.Time) (int, error) {
	c.raw.wait = wait{by: by, flags: anyFlag, flush: true}
	return c.rd.Read(p)
}

// peek reads into the line buffer what has left the kernel already: a record that crypto/tls still
// holds. An error shows at the next read as well.
func (c *conn) peek() {
	c.raw.wait = wait{by: past}
	_ = c.rd.Fill()
}

// input is what the line buffer reads from: the bytes above TLS, counted.
type input struct{ *conn }

func (i input) Read(p []byte) (int, error) {
	n, err := i.tls.Read(p)
	i.in += int64(n)
	if err != nil && i.raw.eof {
		err = errCut // crypto/tls takes an end between two records for a close_notify
	}
	return n, err
}

// reply appends a reply to what is to be written. One that can't be sent as a line becomes a
// failure, which is returned.
func (c *conn) reply(r protocol.Reply) protocol.Reply {
	out, err := r.Append(c.out)
	if err != nil {
		r = errUnsendable.Reply()
		out, _ = r.Append(out)
	}
	c.out = out
	return r
}

// flush writes the log and then the replies, in one write to the socket where they fit into one
// record. What can't be logged is not answered.
func (c *conn) flush() error {
	out := c.out
	c.out = c.out[:0]
	if err := c.srv.logged(c.srv.Audit.Flush()); err != nil {
		return errLogFailed
	}
	return c.write(out)
}

func (c *conn) write(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	n, err := c.tls.Write(p)
	c.sent += int64(n)
	if err != nil {
		return errors.Join(errWrite, err)
	}
	return nil
}

// sayLast writes what is still to be said: replies that wait, and the one that err asks for, if it
// asks for one.
func (c *conn) sayLast(err error) {
	if _, ended := errors.AsType[streamEnd](err); ended || errors.Is(err, errWrite) {
		_ = c.srv.logged(c.srv.Audit.Flush())
		return
	}
	if last, ok := errors.AsType[*protocol.ReplyError](err); ok {
		c.reply(last.Reply())
	}
	if errors.Is(c.flush(), errLogFailed) {
		c.reply(errLogFailed.Reply())
		_ = c.write(c.out)
	}
}

// hangUp ends TLS and TCP one after the other, so that the last reply arrives: close_notify, FIN,
// then what the peer still sends is drained undeciphered.
func (c *conn) hangUp() {
	defer c.raw.Close()
	if c.tls.CloseWrite() != nil {
		return // there was no TLS, or there is none any more
	}
	halfClose(c.raw.Conn)
	if c.raw.eof {
		return
	}
	c.raw.wait = wait{by: time.Now().Add(maxDrainTime)}
	_, _ = io.CopyN(io.Discard, c.raw, maxDrain)
}
