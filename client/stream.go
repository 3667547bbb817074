package client

import (
	"cmp"
	"context"
	"crypto/tls"

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
	if raw, ok := c.conn.NetConn().(*strict); ok {
		tcp.SetUserTimeout(raw.Conn, 0) // a slow backend keeps the window closed
	}
	return &Stream{c.conn, c.reader}, nil
}
