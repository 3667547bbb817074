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
	flagGranted  uint32 = 1 << iota // the seat is yours
	flagNotice                      // the queue has changed
	flagMessage                     // the operator has said something
	flagEvicted                     // leave: somebody took over
	flagShutdown                    // leave: the server ends
	flagDone                        // what was waited for beside the connection is done
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
	loginBy  time.Time // zero: no limit
	native   bool      // speaks the protocol, 1yz lines included
	user     string    // prepared, once the login is done
	inLobby  bool

	isPast   bool      // the network's read deadline, as far as this goroutine knows: see arm
	filled   time.Time // when a read last returned
	asked    time.Time // when the seat was asked for
	in, sent int64     // octets above TLS

	reading alarm // makes a read end as wake does
	writing alarm // of the write that goes on
	watch   alarm // of the session's handler

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
	c.rd = protocol.NewReader(c.tls)
	c.reading.goOff = func() { _ = raw.SetReadDeadline(past) }
	c.writing.goOff = func() { _ = raw.SetWriteDeadline(past) }
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

// arm sets the deadline of the reads that follow, of which zero is none. Whoever makes a read end sets
// one of the network's in the past, also when nothing is read: an alarm that was left from the last
// read, or a call. So the next read can end for nothing, which readError tells, and arm clears it then.
func (c *conn) arm(by time.Time) {
	if c.isPast {
		c.isPast = false
		_ = c.raw.SetReadDeadline(time.Time{})
	}
	c.srv.clock.set(&c.reading, by)
}

// ready makes everything ready for a read: what is owed is written, the deadline is armed. It
// returns errWoken where somebody called meanwhile.
func (c *conn) ready(by time.Time) error {
	if err := c.flush(); err != nil {
		return err
	}
	c.arm(by)
	if c.flags.Load() != 0 {
		c.isPast = true
		return errWoken
	}
	return nil
}

// fill reads more of the peer's input into the line buffer. Errors are errWoken, errDeadline, io.EOF
// after a close_notify, errCut, and those of the network.
func (c *conn) fill(by time.Time) error {
	if c.more() {
		return nil
	}
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
	c.filled = time.Now()
	return err
}

// peek reads what has left the kernel already: a record that crypto/tls still holds. It doesn't wait.
func (c *conn) peek() {
	_, c.isPast = c.raw.SetReadDeadline(past), true
	_ = c.readAhead() // what is wrong with the connection shows at the next read as well
}

// more reads on in a record that the line buffer was too short for, so that all that came in it is
// answered in one.
func (c *conn) more() bool {
	if !c.rd.MayHaveMore() {
		return false
	}
	before := c.rd.Buffered()
	c.peek()
	return c.rd.Buffered() > before
}

// read reads octets as they are.
func (c *conn) read(p []byte, by time.Time) (n int, err error) {
	if c.rd.Buffered() > 0 || c.more() {
		return c.rd.Read(p)
	}
	if err := c.ready(by); err != nil {
		return 0, err
	}
	n, err = c.tls.Read(p)
	c.in += int64(n)
	c.filled = time.Now()
	return n, c.readError(err, by)
}

// readError tells what a failed read means.
func (c *conn) readError(err error, by time.Time) error {
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return c.cut(err)
	}
	c.isPast = true
	if c.flags.Load() != 0 || by.IsZero() || c.filled.Before(by) {
		return errWoken
	}
	return errDeadline
}

// cut tells an end without close_notify from one with it.
func (c *conn) cut(err error) error {
	if err != nil && c.raw.eof {
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
	rest := io.LimitReader(c.raw, maxDrain)
	for by := time.Now().Add(maxDrainTime); time.Now().Before(by); { // it may be woken
		_ = c.raw.SetReadDeadline(by)
		if _, err := io.Copy(io.Discard, rest); !errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
	}
}
