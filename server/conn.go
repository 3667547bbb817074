package server

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/server/admission"
	"github.com/sallyport/sallyport/server/lobby"
	"github.com/sallyport/sallyport/server/notice"
	"github.com/sallyport/sallyport/server/secure"
	"github.com/sallyport/sallyport/server/socket"
)

// What a connection can be woken for.
//
// One goroutine at a time writes to a connection: usually its own, while a handler runs the one that watches
// it, and in a stream several that take turns. Others set a flag, see package socket.
const (
	flagGranted  uint32 = 1 << iota // the seat is yours
	flagNotice                      // the queue has changed
	flagMessage                     // the operator has a message
	flagEvicted                     // leave: somebody took over
	flagShutdown                    // leave: the server ends
	flagDone                        // what was waited for beside the connection is done
	flagLingers                     // a STREAM runs, so Close lets it say why it ends

	anyFlag = ^uint32(0)
)

// recordSize is the largest TLS record. A batch of replies of that size is written even if more input is buffered.
const recordSize = 16 << 10

// conn is one connection, from accept to close. Its goroutine owns all fields except where noted.
type conn struct {
	srv      *Server
	id       string
	from     netip.Prefix // see lobby.Source
	place    *lobby.Place
	raw      *socket.Conn
	tls      *tls.Conn
	secured  *secure.Config
	rd       *protocol.Reader
	out      []byte
	loginBy  time.Time // deadline of the login, zero for none
	native   bool      // negotiated the ALPN id, so it gets notices
	user     string    // prepared, after the login
	excused  bool      // to leave without a login is no fault: the guess has counted, or the users can't be read
	commands int       // before the login
	lastWord string    // of the login, empty for the empty line

	asked    time.Time       // when the connection asked for the seat
	shared   admission.Place // among the clients of all servers, nil if this server has a seat of its own
	in, sent int64           // bytes above TLS

	eviction atomic.Pointer[eviction] // set by any goroutine, before flagEvicted
	active   atomic.Int64             // see touch
	requests atomic.Int64             // number of requests
	running  atomic.Pointer[string]   // verb of the running request, nil for none
	ctx      context.Context
	cancel   context.CancelCauseFunc // called by any goroutine
	messages notice.Mailbox          // of the operator, closed by a raw stream
}

func newConn(s *Server, raw net.Conn, from netip.Prefix) *conn {
	c := &conn{srv: s, id: s.newID(), from: from, secured: s.tls.Load()}
	c.raw = socket.New(raw, socket.Options{
		Vanish: s.limits.Vanish, Write: s.limits.Write,
		Flush: c.flush, Hello: func() { c.place.Reach(lobby.Begun) }, Safely: c.safely,
	})
	c.tls = tls.Server(c.raw, c.secured.TLS)
	c.rd = protocol.NewReader(input{c})
	if c.loginBy = after(time.Now(), s.limits.Login); !c.loginBy.IsZero() {
		c.raw.WriteBy = c.loginBy.Add(socket.LastWrite)
	}
	return c
}

// run serves the connection from handshake to close.
func (c *conn) run() {
	defer c.srv.forget(c)
	defer c.raw.Close() // also if a handler ends this goroutine
	defer c.place.Leave()
	why := "tls"
	err := c.safely(c.handshake)
	if dropped, ok := err.(errDropped); ok {
		c.srv.refused.Add(c.from, string(dropped)) // there is no record of it
		c.srv.penalties.Leave(c.from, false)
		return
	}
	if err == nil {
		if err = c.safely(c.login); err == nil {
			err = c.leaveLobby()
		}
		if err == nil {
			err = c.takeSeat()
		}
		if err == nil {
			newSession(c).run()
			return
		}
		err = cmp.Or(c.dropped(), err)
		c.sendLast(err)
		why = reason(err)
	} else if _, closing := errors.AsType[*protocol.ReplyError](err); closing || errors.Is(err, errPanic) {
		why = reason(err) // without TLS the reply can't be sent
	}
	c.penalise(why)
	c.srv.Audit.Info("conn.close", c.id).Str("reason", why).Send()
	_ = c.srv.logged(c.srv.Audit.Flush())
	c.hangUp()
}

// safely calls f, which runs code of others: of Users, a Handler, a Backend, a Listener, a callback. A panic
// becomes errPanic, so that it ends one connection and not the process.
func (c *conn) safely(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			c.srv.errorLog.Error("panic", "conn", c.id, "user", c.user, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			err = errPanic
		}
	}()
	return f()
}

// penalise counts a connection that ends without a login. It does not count if the server is the reason, or
// if the connection is excused.
func (c *conn) penalise(why string) {
	own := []protocol.Keyword{protocol.KeywordShutdown, protocol.KeywordThrottled, protocol.KeywordLogFailed, "panic"}
	if c.user == "" && !c.excused && !slices.Contains(own, protocol.Keyword(why)) {
		c.srv.penalties.Leave(c.from, why == string(protocol.KeywordLoginTimeout))
	}
}

// leaveLobby frees the connection's place in the lobby. Its error is that of dropped.
func (c *conn) leaveLobby() error {
	c.raw.WriteBy = time.Time{}
	c.place.Leave()
	return c.dropped()
}

// dropped returns an errDropped if the connection has had to make room for another, and nil otherwise.
func (c *conn) dropped() error {
	if why := c.place.Dropped(); why != "" {
		return errDropped(why)
	}
	return nil
}

// touch notes when the seated client was last active.
func (c *conn) touch(at time.Time) { c.active.Store(int64(at.Sub(c.srv.started))) }

// lastActive returns the time of the last touch. Any goroutine may call it.
func (c *conn) lastActive() time.Time { return c.srv.started.Add(time.Duration(c.active.Load())) }

// evict makes the connection leave the seat or the queue. It cancels the handler and ends a blocked
// write soon. It sets the flag first, so that no other request begins. The first of several evictions counts.
func (c *conn) evict(why *eviction) {
	c.eviction.CompareAndSwap(nil, why)
	c.raw.Wake(flagEvicted)
	c.cancel(c.evicted())
	c.raw.Hurry()
}

// evicted returns why a connection with flagEvicted ends.
func (c *conn) evicted() error { return c.eviction.Load().ReplyError }

// line returns the next line as soon as it is complete. Zero means no deadline. Errors are socket.ErrWoken,
// socket.ErrDeadline, io.EOF after a close_notify, errCut, those of flush, of the line and of the network.
func (c *conn) line(by time.Time) ([]byte, error) {
	c.raw.Wait = socket.Wait{By: by, Flags: anyFlag, Flush: true}
	return c.rd.ReadLine()
}

// read reads bytes of a body. Its errors are those of line.
func (c *conn) read(p []byte, by time.Time) (int, error) {
	c.raw.Wait = socket.Wait{By: by, Flags: anyFlag, Flush: true}
	return c.rd.Read(p)
}

// peek reads into the line buffer what crypto/tls has buffered, without waiting. An error occurs again at
// the next read.
func (c *conn) peek() {
	c.raw.Wait = socket.Now()
	_ = c.rd.Fill()
}

// input is the source of the line buffer: the bytes above TLS, counted.
type input struct{ *conn }

func (i input) Read(p []byte) (int, error) {
	n, err := i.tls.Read(p)
	i.in += int64(n)
	if err != nil && i.raw.EOF {
		err = errCut // crypto/tls reports an end between two records like a close_notify
	}
	return n, err
}

// reply appends a reply to out and returns it. A reply that is no valid line becomes a failure.
func (c *conn) reply(r protocol.Reply) protocol.Reply {
	out, err := r.Append(c.out)
	if err != nil {
		r = errUnsendable.Reply()
		out, _ = r.Append(out)
	}
	c.out = out
	return r
}

// flush writes the log and then the replies, in one write if they fit a TLS record. If the log can't be
// written, it drops the replies.
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

// sendLast writes the replies in out and the reply that err carries, if any.
func (c *conn) sendLast(err error) {
	_ = c.safely(func() error { c.writeLast(err); return nil })
}

func (c *conn) writeLast(err error) {
	_, dropped := err.(errDropped)
	if _, ended := errors.AsType[streamEnd](err); ended || dropped || errors.Is(err, errWrite) {
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

// hangUp closes the connection so that the last reply arrives: it sends close_notify and FIN, then reads
// what the peer still sends, without decrypting it.
func (c *conn) hangUp() {
	defer c.raw.Close()
	_ = c.safely(c.drain)
}

func (c *conn) drain() error {
	if c.tls.CloseWrite() != nil {
		return nil // there is no TLS
	}
	return c.raw.Drain()
}
