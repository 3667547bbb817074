package server

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/protocol/scram"
)

// What a connection can be woken for; see the package documentation.
const (
	flagGranted     uint32 = 1 << iota // the seat is yours
	flagNotice                         // the queue has changed
	flagMessage                        // the operator has said something
	flagEvicted                        // leave: somebody took over
	flagShutdown                       // leave: the server ends
	flagHandlerDone                    // to the watcher of a handler
)

const (
	// recordSize is the greatest TLS record, and where a batch of replies is written though more
	// input is there.
	recordSize = 16 << 10
	// A closing connection drains at most this of what the peer still sends, so that a TCP reset
	// doesn't destroy the last reply in flight.
	maxDrain     = 1 << 20
	maxDrainTime = time.Second
	// evictedWrite is the time that an evicted client has to take its 421.
	evictedWrite = time.Second
)

var (
	// errWoken: look at the flags, then read again.
	errWoken    = errors.New("woken")
	errDeadline = errors.New("deadline passed")

	past = time.Unix(1, 0)
)

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
	loginBy  time.Time
	native   bool   // speaks the protocol, 1yz lines included
	user     string // prepared, once the login is done
	inLobby  bool

	readBy, writeBy time.Time // the deadlines that are armed
	lastBy          time.Time // when an evicted client must have taken its 421
	in, sent        int64     // octets above TLS
	asked           time.Time // when the seat was asked for

	flags  atomic.Uint32 // set by any goroutine
	ctx    context.Context
	cancel context.CancelCauseFunc // called by any goroutine

	mu       sync.Mutex
	messages []string // what the operator said, until it is sent
}

// transport is the connection below TLS. It knows whether the peer has ended it, which crypto/tls
// takes for a close_notify between two records.
type transport struct {
	net.Conn
	eof bool
}

func (t *transport) Read(p []byte) (int, error) {
	n, err := t.Conn.Read(p)
	if err == io.EOF {
		t.eof = true
	}
	return n, err
}

func newConn(s *Server, raw net.Conn, from source) *conn {
	setSocket(raw, s.limits.Vanish)
	state := s.tls.Load()
	c := &conn{srv: s, id: s.newID(), from: from, inLobby: true, raw: &transport{Conn: raw}, endPoint: state.endPoint}
	c.tls = tls.Server(c.raw, state.config)
	c.rd = protocol.NewReader(c.tls)
	c.loginBy = after(time.Now(), s.limits.Login)
	s.Audit.Info("conn.accept", c.id).Str("remote", raw.RemoteAddr().String()).Send()
	return c
}

// run is the life of a connection.
func (c *conn) run() {
	defer c.srv.forget(c)
	defer c.raw.Close() // whatever a handler does to its goroutine
	defer c.leaveLobby()
	if err := c.handshake(); err != nil {
		c.closeUnseated(c.handshakeReason(err))
		return
	}
	err := c.login()
	if err == nil {
		c.leaveLobby()
		err = c.takeSeat()
	}
	if err == nil {
		newSession(c).run()
		return
	}
	c.sayLast(err)
	c.closeUnseated(reason(err))
}

// leaveLobby gives the connection's place in the lobby back, once.
func (c *conn) leaveLobby() {
	if c.inLobby {
		c.inLobby = false
		c.srv.lobby.leave(c.from)
	}
}

// closeUnseated ends a connection that had no session.
func (c *conn) closeUnseated(why string) {
	c.srv.Audit.Info("conn.close", c.id).Str("reason", why).Send()
	_ = c.srv.flushLog()
	c.hangUp()
}

// wake makes the connection's goroutine look at its flags.
func (c *conn) wake(flag uint32) {
	c.flags.Or(flag)
	_ = c.raw.SetReadDeadline(past)
}

// has reports whether any of the flags is set.
func (c *conn) has(flags uint32) bool { return c.flags.Load()&flags != 0 }

// arm sets the read deadline, of which zero is none. One that is armed already and only a little
// earlier stays, because setting it costs more than reading the clock; readError sorts out what
// fires too early.
func (c *conn) arm(by time.Time) {
	if !c.readBy.IsZero() && !by.IsZero() && !by.Before(c.readBy) && by.Sub(c.readBy) < time.Until(c.readBy)/8 {
		return
	}
	c.readBy = by
	_ = c.raw.SetReadDeadline(by)
}

// ready makes everything ready for a read: what is owed is written, the deadline is armed. It
// returns errWoken where somebody called meanwhile.
func (c *conn) ready(by time.Time) error {
	if err := c.flush(); err != nil {
		return err
	}
	c.arm(by)
	if c.flags.Load() != 0 {
		c.readBy = past
		return errWoken
	}
	return nil
}

// fill reads more of the peer's input into the line buffer. Errors are errWoken, errDeadline,
// io.EOF after a close_notify, errCut, and those of the network.
func (c *conn) fill(by time.Time) error {
	if err := c.ready(by); err != nil {
		return err
	}
	return c.readError(c.readAhead(), by)
}

// readAhead reads once into the line buffer.
func (c *conn) readAhead() error {
	before := c.rd.Buffered()
	err := c.rd.Fill()
	c.in += int64(c.rd.Buffered() - before)
	return err
}

// read reads octets as they are.
func (c *conn) read(p []byte, by time.Time) (n int, err error) {
	if c.rd.Buffered() > 0 {
		return c.rd.Read(p)
	}
	if err := c.ready(by); err != nil {
		return 0, err
	}
	n, err = c.tls.Read(p)
	c.in += int64(n)
	return n, c.readError(err, by)
}

// readError tells what a failed read means.
func (c *conn) readError(err error, by time.Time) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		c.readBy = past
		if c.flags.Load() != 0 || by.IsZero() || time.Now().Before(by) {
			return errWoken
		}
		return errDeadline
	case c.raw.eof:
		return errCut
	}
	return err
}

// line returns the next line, as soon as it is complete.
func (c *conn) line(by time.Time) ([]byte, error) {
	for {
		line, err := c.rd.Next()
		if line != nil || err != nil {
			return line, err
		}
		if err := c.fill(by); err != nil {
			return nil, err
		}
	}
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
// record.
func (c *conn) flush() error {
	if err := c.srv.flushLog(); err != nil {
		// What was not logged is not answered.
		c.out = c.out[:0]
		return errLogFailed
	}
	if len(c.out) == 0 {
		return nil
	}
	err := c.write(c.out)
	c.out = c.out[:0]
	return err
}

// write writes under a deadline, a record's worth or a few at a time.
func (c *conn) write(p []byte) error {
	for len(p) > 0 {
		chunk := p[:min(len(p), 4*recordSize)]
		c.armWrite()
		n, err := c.tls.Write(chunk)
		c.sent += int64(n)
		if err != nil {
			return errors.Join(errWrite, err)
		}
		p = p[len(chunk):]
	}
	return nil
}

// armWrite sets the write deadline where the one that is armed has come too near. An evicted client
// gets a short one, for all that it is still sent.
func (c *conn) armWrite() {
	now := time.Now()
	if c.writeBy.Sub(now) < c.srv.limits.Write {
		c.writeBy = now.Add(2 * c.srv.limits.Write)
		_ = c.raw.SetWriteDeadline(c.writeBy)
	}
	if c.has(flagEvicted) {
		if c.lastBy.IsZero() {
			c.lastBy = now.Add(evictedWrite)
		}
		_ = c.raw.SetWriteDeadline(c.lastBy)
	}
}

// evict makes the connection leave the seat or the queue: its handler is cancelled, and a write
// that is stuck ends soon.
func (c *conn) evict() {
	c.cancel(errEvicted)
	c.wake(flagEvicted)
	_ = c.raw.SetWriteDeadline(time.Now().Add(evictedWrite))
}

// sayLast writes what is still to be said: replies that wait, and the one that err asks for, if it
// asks for one.
func (c *conn) sayLast(err error) {
	if errors.Is(err, errWrite) {
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
	if c.tls.CloseWrite() != nil {
		return // there was no TLS, or there is none any more
	}
	half, ok := c.raw.Conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil || c.raw.eof {
		return
	}
	_ = c.raw.SetReadDeadline(time.Now().Add(maxDrainTime))
	_, _ = io.CopyN(io.Discard, c.raw, maxDrain)
}
