package client

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sallyport/sallyport/client/secure"
	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/protocol/capability"
)

// recordSize is the maximum content of a TLS record in bytes (RFC 8446 §5.1).
const recordSize = 16 << 10

// Client is a connection that has the seat. It is safe for concurrent use.
type Client struct {
	conn      *tls.Conn
	maxBody   int64
	takesOver bool // EHLO announced the admission policy takeover
	timeouts  capability.Timeouts
	announced bool                 // EHLO announced the timeouts
	lastWords capability.LastWords // that EHLO announced
	ended     context.Context      // its cause is why the client can send no more requests
	end       context.CancelCauseFunc
	batches   sync.Pool

	writing sync.Mutex // guards out and pieces, and keeps writes in the order of owed
	out     []byte
	pieces  bool        // DoPieces runs
	owed    chan *batch // batches that await replies

	// reading holds the read token. Its owner may use reader and current and send to notices. A caller
	// of Do takes it to read its own reply, because a goroutine that reads for all callers would cost
	// 57 % of a request (two switches between goroutines).
	reading chan struct{}
	reader  *protocol.Reader
	current *batch // the batch that gets the next reply
	notices chan Notice
	listen  sync.Once
}

// batch is a group of requests in one write. While it awaits replies, it belongs to the owner of the
// read token.
type batch struct {
	requests []protocol.Request // without a reply so far
	replies  []protocol.Reply
	err      error
	piece    Piece               // of DoPieces
	ready    chan struct{}       // gets one value after the last reply, or when err is set
	request  [1]protocol.Request // memory for Do, which saves an allocation
	reply    [1]protocol.Reply
}

func newClient(conn *tls.Conn, maxBody int64) *Client {
	c := &Client{conn: conn, maxBody: maxBody, reader: protocol.NewReader(conn)}
	c.ended, c.end = context.WithCancelCause(context.Background())
	c.batches.New = func() any { return &batch{ready: make(chan struct{}, 1)} }
	c.owed, c.notices = make(chan *batch, 64), make(chan Notice, 16)
	c.reading = make(chan struct{}, 1)
	c.reading <- struct{}{}
	return c
}

// Do sends one request and returns its reply. For a 4yz or 5yz reply the error is a *protocol.ReplyError, and
// the Client stays usable unless the code is 421. It stays usable too after protocol.ErrLineTooLong and
// protocol.ErrSyntax (also for the verbs BODY, OPEN and STREAM), and after ErrStream while DoPieces runs, because
// nothing was sent. Any other error means that the connection has ended, and that the server may or may not have done the request. If ctx ends first, Do
// closes the connection, because the next request would get this one's reply. The body must not change during
// the call. Concurrent calls don't wait for each other's replies.
func (c *Client) Do(ctx context.Context, request protocol.Request) (protocol.Reply, error) {
	return c.DoInto(ctx, request, nil)
}

// DoInto is Do with memory for the reply's body, which saves an allocation where buffer's capacity suffices.
func (c *Client) DoInto(ctx context.Context, request protocol.Request, buffer []byte) (protocol.Reply, error) {
	b := c.batches.Get().(*batch)
	defer c.recycle(b)
	b.reply[0].Body = buffer
	b.request[0], b.replies = request, b.reply[:0]
	_, err := c.exchange(ctx, b, b.request[:])
	if len(b.replies) == 0 {
		return protocol.Reply{}, err
	}
	return b.reply[0], cmp.Or(err, b.reply[0].Err())
}

// Pipeline sends many requests, as many at once as fit a TLS record, and appends their replies to dst in
// order. It returns an error if the connection ended before the last reply. A 4yz or 5yz except 421 is
// a reply like any other. Bodies reuse the memory of bodies between dst's length and its capacity.
func (c *Client) Pipeline(ctx context.Context, requests []protocol.Request, dst []protocol.Reply) ([]protocol.Reply, error) {
	b := c.batches.Get().(*batch)
	defer c.recycle(b)
	b.replies = dst
	for len(requests) > 0 {
		n, err := c.exchange(ctx, b, requests)
		if err != nil {
			return b.replies, err
		}
		requests = requests[n:]
	}
	return b.replies, nil
}

func (c *Client) recycle(b *batch) {
	*b = batch{ready: b.ready}
	c.batches.Put(b)
}

// Close ends the connection at once. Running and later calls fail with net.ErrClosed.
func (c *Client) Close() error {
	c.fail(net.ErrClosed)
	return nil
}

// Err returns why the connection ended: a *protocol.ReplyError for a 421, ErrStream after Open, nil
// before the end. The client notices an end only during a request, unless Notices was called.
func (c *Client) Err() error { return context.Cause(c.ended) }

// Done returns a channel that is closed when Err is set.
func (c *Client) Done() <-chan struct{} { return c.ended.Done() }

// fail closes the connection and returns the reason of its first call. It ends a running read first,
// because sending close_notify takes up to 5 s if the server doesn't read.
func (c *Client) fail(err error) error {
	c.end(err)
	c.conn.SetReadDeadline(time.Unix(1, 0))
	c.conn.Close()
	return c.Err()
}

// guard ends the connection if ctx ends before the call of stop.
func (c *Client) guard(ctx context.Context) (stop func() bool) {
	if ctx.Done() == nil {
		return func() bool { return true }
	}
	return context.AfterFunc(ctx, func() { c.fail(ctx.Err()) })
}

// exchange sends the first n requests and awaits their replies.
func (c *Client) exchange(ctx context.Context, b *batch, requests []protocol.Request) (n int, err error) {
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	defer c.guard(ctx)()
	c.writing.Lock()
	n, rest, err := c.encode(requests)
	hasToken := false
	if err == nil {
		hasToken, err = c.send(b, requests[:n], rest)
	}
	c.writing.Unlock()
	if err == nil {
		err = c.await(b, hasToken)
	}
	return n, err
}

// encode fills out with as many requests as fit a TLS record, or with one whose body is longer; rest is
// the part of that body that is not in out. More requests before the replies could block both ends:
// a server stops reading when its client doesn't read.
func (c *Client) encode(requests []protocol.Request) (n int, rest []byte, err error) {
	c.out = c.out[:0]
	for n < len(requests) && len(rest) == 0 {
		out, err := appendRequest(c.out, requests[n])
		body := requests[n].Body
		if n > 0 && (err != nil || len(out)+len(body) > recordSize) {
			break
		}
		if err != nil {
			return 0, nil, err
		}
		fits := min(len(body), recordSize-len(out))
		c.out, rest = append(out, body[:fits]...), body[fits:]
		n++
	}
	return n, rest, nil
}

// notByDo are verbs that Do can't send.
var notByDo = []string{protocol.VerbBody, protocol.VerbOpen, protocol.VerbStream}

func appendRequest(dst []byte, r protocol.Request) ([]byte, error) {
	r.Verb = strings.ToUpper(r.Verb)
	if !protocol.ValidVerb(r.Verb) || slices.Contains(notByDo, r.Verb) {
		return dst, fmt.Errorf("client: verb %.40q: %w", r.Verb, protocol.ErrSyntax)
	}
	return r.Append(dst)
}

// send writes out and rest, after it has queued b for the replies. If hasToken, the caller owns the read
// token and must read.
func (c *Client) send(b *batch, requests []protocol.Request, rest []byte) (hasToken bool, err error) {
	switch {
	case c.ended.Err() != nil:
		return false, c.Err()
	case c.pieces:
		return false, ErrStream
	}
	c.pieces = b.piece != nil
	hasToken = c.takeToken()
	b.requests = requests
	c.owed <- b
	c.write(c.out)
	c.write(rest)
	return hasToken, nil
}

// takeToken takes the read token if it is free and no batch awaits a reply. Anything in the buffer then
// came before the command: a notice, a 421 or a protocol error, which must not become the reply. After
// the last two the caller gets the token too, and finds that the connection has ended.
func (c *Client) takeToken() bool {
	select {
	case <-c.reading:
		for c.first() == nil && c.reader.Buffered() > 0 && c.read() {
		}
		if c.first() == nil {
			return true
		}
		c.reading <- struct{}{}
	default: // the owner of the token reads for this batch too
	}
	return false
}

// write leaves errors to the reader, because a last reply of the server may be there to read. The
// deadline bounds the wait for it.
func (c *Client) write(p []byte) {
	if _, err := secure.Write(c.conn, p); err != nil {
		c.conn.SetReadDeadline(time.Now().Add(time.Second))
	}
}

// await returns when the batch is answered. The caller that has the read token reads for all callers.
func (c *Client) await(b *batch, hasToken bool) error {
	if !hasToken {
		select {
		case <-b.ready:
			return b.err
		case <-c.reading:
		}
	}
	for len(b.ready) == 0 && c.read() {
	}
	c.reading <- struct{}{}
	<-b.ready
	return b.err
}

// first returns the batch that gets the next reply, or nil.
func (c *Client) first() *batch {
	if c.current == nil && len(c.owed) > 0 {
		c.current = <-c.owed
	}
	return c.current
}

// read reads a reply or a notice. At the end of the connection it fails all batches and returns false.
func (c *Client) read() bool {
	err := c.readReply()
	if err == nil {
		return true
	}
	err = c.fail(err)
	for b := c.first(); b != nil; b = c.first() {
		b.err, c.current = err, nil
		b.ready <- struct{}{}
	}
	return false
}

// readReply turns a panic into an error, so that the program can restore the terminal before it ends.
func (c *Client) readReply() (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("client: panic: %v\n%s", p, debug.Stack())
		}
	}()
	if c.ended.Err() != nil {
		return c.Err()
	}
	reply, size, err := protocol.ReadReply(c.reader)
	b := c.first()
	opening := b != nil && b.requests[0].Verb == protocol.VerbOpen
	switch code := reply.Code; {
	case err != nil:
		return lost(err)
	case code.Notice():
		c.notify(Notice{code, reply.Text})
		if b != nil && b.piece != nil {
			err = b.piece(reply, c.reader)
		}
		return err
	case b == nil && code == protocol.CodeClosing:
		return reply.Err()
	case b != nil && b.piece != nil && code != protocol.CodeClosing:
		if err := b.piece(reply, c.reader); err != nil {
			return lost(err)
		}
		if code/100 == 1 {
			return nil
		}
	case b == nil || !code.Failure() && (code/100 == 1 || code/100 == 3 || opening != (code == protocol.CodeOpen)):
		return unexpected(code)
	case code == protocol.CodeBody && size > c.maxBody:
		return fmt.Errorf("%w: a body of %d octets, more than %d", ErrTooLarge, size, c.maxBody)
	case code == protocol.CodeBody:
		reply.Body = b.spareBody()
		for n := 0; n < int(size); n = len(reply.Body) { // memory grows with what comes, not with what is announced
			next := min(int(size), max(cap(reply.Body), 2*n, protocol.DefaultMaxBody))
			reply.Body = slices.Grow(reply.Body, next-n)[:next]
			if _, err := io.ReadFull(c.reader, reply.Body[n:]); err != nil {
				return lost(err)
			}
		}
	}
	return c.answer(b, reply)
}

// spareBody returns the memory of the body that the next reply replaces.
func (b *batch) spareBody() []byte {
	if n := len(b.replies); n < cap(b.replies) {
		return b.replies[:n+1][n].Body[:0]
	}
	return nil
}

func (c *Client) answer(b *batch, reply protocol.Reply) error {
	b.replies, b.requests = append(b.replies, reply), b.requests[1:]
	if reply.Code == protocol.CodeClosing {
		return reply.Err()
	}
	if reply.Code == protocol.CodeOpen {
		c.end(ErrStream)
	}
	if len(b.requests) == 0 {
		c.current = nil
		b.ready <- struct{}{}
	}
	return nil
}
