package client

import (
	"cmp"
	"context"
	"crypto/tls"

	"github.com/sallyport/sallyport/client/secure"
	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/protocol/tcp"
)

// Stream is a raw stream to the server's backend. CloseWrite ends the client's direction, Close both.
// Read returns io.EOF only if the backend has ended its direction.
type Stream struct {
	*tls.Conn
	reader *protocol.Reader
}

// Read reads from the backend. It is not safe for concurrent use.
func (s *Stream) Read(p []byte) (int, error) { return s.reader.Read(p) }

// Open turns the connection into a raw stream to the server's backend. After that the Client's other
// calls fail with ErrStream, and its Close closes the stream. If the server refuses, the error is a
// *protocol.ReplyError and the Client stays usable. ctx bounds the opening, as with Do.
func (c *Client) Open(ctx context.Context) (*Stream, error) {
	defer c.guard(ctx)()
	c.writing.Lock() // until the reply, because the stream would get any later command
	defer c.writing.Unlock()
	b := c.batches.Get().(*batch)
	defer c.recycle(b)
	b.request[0].Verb, b.replies = protocol.VerbOpen, b.reply[:0]
	c.out = append(c.out[:0], protocol.VerbOpen+"\r\n"...)
	hasToken, err := c.send(b, b.request[:], nil)
	if err == nil {
		err = c.await(b, hasToken)
	}
	if err = cmp.Or(err, b.reply[0].Err()); err != nil {
		return nil, err
	}
	tcp.SetUserTimeout(secure.Below(c.conn), 0) // a slow backend keeps the window closed
	return &Stream{c.conn, c.reader}, nil
}

// Piece takes a notice, a 151, 152 or 153, and last the reply, unless it is a 421. It reads the octets of a 151 from r. An
// error ends the connection.
type Piece func(reply protocol.Reply, r *protocol.Reader) error

// DoPieces is Do for a verb whose reply comes after pieces. Package stream is built on it. Until it
// returns, the caller may Send, and other requests fail with ErrStream. After Dialer.Watch the verb is empty, because
// the pieces come without a request. queued is called when the pieces have a taker.
func (c *Client) DoPieces(ctx context.Context, verb string, piece Piece, queued func()) (protocol.Reply, error) {
	defer c.guard(ctx)()
	b := c.batches.Get().(*batch)
	defer c.recycle(b)
	b.request[0].Verb, b.replies, b.piece = verb, b.reply[:0], piece
	hasToken, err := c.sendVerb(b)
	queued()
	if err != nil {
		return protocol.Reply{}, err
	}
	err = c.await(b, hasToken)
	c.writing.Lock()
	c.pieces = false
	c.writing.Unlock()
	return b.reply[0], cmp.Or(err, b.reply[0].Err())
}

// sendVerb is send for a batch of one verb. With an empty verb it sends nothing, and only waits for the reply.
func (c *Client) sendVerb(b *batch) (hasToken bool, err error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	if verb := b.request[0].Verb; verb != "" {
		c.out = append(append(c.out[:0], verb...), "\r\n"...)
		return c.send(b, b.request[:], nil)
	}
	c.pieces, b.requests = true, b.request[:]
	c.owed <- b
	return false, nil
}

// Send writes octets that belong to a running DoPieces, which reports an error.
func (c *Client) Send(p []byte) { c.write(p) }
