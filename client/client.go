package client

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sallyport/sallyport/protocol"
)

const recordSize = 16 << 10 // octets that one TLS record carries at most (RFC 8446 §5.1)

// Client is a connection that has the seat. Its methods may be called concurrently.
type Client struct {
	conn      *tls.Conn
	maxBody   int64
	takesOver bool            // the server has said that whoever comes gets the seat
	ended     context.Context // its cause is why no more requests can be sent
	end       context.CancelCauseFunc
	batches   sync.Pool

	writing sync.Mutex // for out, and to write in the order of owed
	out     []byte
	owed    chan *batch // what awaits replies

	reading chan struct{} // has a token: who takes it may use reader and current, and send notices
	reader  *protocol.Reader
	current *batch // the first of owed
	notices chan Notice
	listen  sync.Once
}

// batch is requests that are written at once. While it is owed replies, it belongs to whoever reads.
type batch struct {
	requests []protocol.Request // not answered yet
	replies  []protocol.Reply
	err      error
	ready    chan struct{}       // gets one value when all is answered, or err is set
	request  [1]protocol.Request // Do's, which so needn't allocate them
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

// Do sends one request and returns its reply, a 4yz or 5yz with its *protocol.ReplyError. After that,
// unless it is a 421, and after protocol.ErrSyntax (also for verbs that are invalid in upper case, or
// BODY or OPEN) and ErrLineTooLong, where nothing was sent, the Client is as before. With any other
// error the connection has ended, and what became of the request is unknown. If ctx ends meanwhile, the
// connection is closed: the reply still owed would be taken for the next one's. The body must not
// change meanwhile. Concurrent calls don't wait for the replies to each other.
func (c *Client) Do(ctx context.Context, request protocol.Request) (protocol.Reply, error) {
	b := c.batches.Get().(*batch)
	defer c.recycle(b)
	b.request[0], b.replies = request, b.reply[:0]
	_, err := c.exchange(ctx, b, b.request[:])
	return b.reply[0], cmp.Or(err, b.reply[0].Err())
}

// Pipeline is Do for many requests, as many at once as fit a TLS record. It appends the replies to dst,
// in order. The error is why there are no more; a 4yz or 5yz but 421 is a reply like any other.
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

// Quit gives the seat back, waits for the server's answer, and closes the connection in any case.
func (c *Client) Quit(ctx context.Context) error {
	defer c.Close()
	_, err := c.Do(ctx, protocol.Request{Verb: protocol.VerbQuit})
	return err
}

// Close ends the connection at once. Calls now and later fail with net.ErrClosed.
func (c *Client) Close() error {
	c.fail(net.ErrClosed)
	return nil
}

// Err returns why the connection ended: a *protocol.ReplyError where the server said it in a 421,
// ErrStream after Open, nil before. Unless Notices was called it is only seen when a request is sent.
func (c *Client) Err() error { return context.Cause(c.ended) }

// fail closes the connection, and returns the first reason given. Who reads needn't wait for the
// close_notify, which takes up to 5 s where the server doesn't read.
func (c *Client) fail(err error) error {
	c.end(err)
	c.conn.SetReadDeadline(time.Unix(1, 0))
	c.conn.Close()
	return c.Err()
}

// guard ends the connection where ctx ends before stop.
func (c *Client) guard(ctx context.Context) (stop func() bool) {
	if ctx.Done() == nil {
		return func() bool { return true }
	}
	return context.AfterFunc(ctx, func() { c.fail(ctx.Err()) })
}

// exchange sends the first n requests and takes their replies.
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

// encode fills out with requests: one, the rest of its body uncopied, or as many as fit a record. More
// must not be sent before they are answered: a server that nobody reads from stops reading.
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

func appendRequest(dst []byte, r protocol.Request) ([]byte, error) {
	r.Verb = strings.ToUpper(r.Verb)
	if !protocol.ValidVerb(r.Verb) || r.Verb == protocol.VerbBody || r.Verb == protocol.VerbOpen {
		return dst, fmt.Errorf("client: verb %.40q: %w", r.Verb, protocol.ErrSyntax)
	}
	return r.Append(dst)
}

// send writes out and rest; the replies, which may come at once, are owed to b. The caller may be left
// with the token, and then has to read.
func (c *Client) send(b *batch, requests []protocol.Request, rest []byte) (hasToken bool, err error) {
	if c.ended.Err() != nil {
		return false, c.Err()
	}
	hasToken = c.takeToken()
	b.requests = requests
	c.owed <- b
	c.write(c.out)
	c.write(rest)
	return hasToken, nil
}

// takeToken takes the token where nobody reads and no reply is owed. What is buffered then came before
// the command: a notice, a 421, or a fault, which must not be taken for the reply. After the last two
// the caller has the token as well, and finds that the connection has ended.
func (c *Client) takeToken() bool {
	select {
	case <-c.reading:
		for c.first() == nil && c.reader.Buffered() > 0 && c.read() {
		}
		if c.first() == nil {
			return true
		}
		c.reading <- struct{}{}
	default: // whoever reads sees to it
	}
	return false
}

// write leaves failures to the reader: what the server said before it closed is still to be read,
// but not to be waited for.
func (c *Client) write(p []byte) {
	if _, err := c.conn.Write(p); err != nil {
		c.conn.SetReadDeadline(time.Now().Add(time.Second))
	}
}

// await returns when the batch is answered. One of those who wait, who has the token, reads for all of
// them.
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

// first is the batch to which the next reply is owed, if any.
func (c *Client) first() *batch {
	if c.current == nil && len(c.owed) > 0 {
		c.current = <-c.owed
	}
	return c.current
}

// read takes a reply or a notice. With the last it returns false, and nothing is owed any more.
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

func (c *Client) readReply() error {
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
		return nil
	case b == nil && code == protocol.CodeClosing:
		return reply.Err()
	case b == nil || !code.Failure() && (code/100 == 3 || opening != (code == protocol.CodeStream)):
		return unexpected(code)
	case code == protocol.CodeBody && size > c.maxBody:
		return fmt.Errorf("%w: a body of %d octets, more than %d", ErrProtocol, size, c.maxBody)
	case code == protocol.CodeBody:
		reply.Body = slices.Grow(b.requests[0].Buffer[:0], int(size))[:size]
		if _, err := io.ReadFull(c.reader, reply.Body); err != nil {
			return lost(err)
		}
	}
	return c.answer(b, reply)
}

func (c *Client) answer(b *batch, reply protocol.Reply) error {
	b.replies, b.requests = append(b.replies, reply), b.requests[1:]
	if reply.Code == protocol.CodeClosing {
		return reply.Err()
	}
	if reply.Code == protocol.CodeStream {
		c.end(ErrStream)
	}
	if len(b.requests) == 0 {
		c.current = nil
		b.ready <- struct{}{}
	}
	return nil
}

// Notice is a line that the server sends unasked: "position N holder NAME" with CodePosition,
// "waiting N" with CodeWaiting, or with CodeMessage what the operator has to say.
type Notice struct {
	Code protocol.Code
	Text string
}

// notify never blocks, because only who has the token sends: where there is no room, the oldest goes.
func (c *Client) notify(n Notice) {
	if len(c.notices) == cap(c.notices) {
		select {
		case <-c.notices:
		default:
		}
	}
	c.notices <- n
}

// Notices returns the notices, from the login on; the oldest of more than 16 unread ones are dropped.
// From the first call on the client listens all the time, so that it also hears a 421. The channel
// is closed when the connection has ended or become a stream: see Err.
func (c *Client) Notices() <-chan Notice {
	c.listen.Do(func() {
		go func() {
			<-c.reading
			for c.Err() != ErrStream && c.read() {
			}
			close(c.notices)
			c.reading <- struct{}{}
		}()
	})
	return c.notices
}
