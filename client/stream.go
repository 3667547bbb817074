package client

import (
	"cmp"
	"context"
	"crypto/tls"

	"github.com/sallyport/sallyport/protocol"
)

// Stream is the raw stream that a connection has become. CloseWrite ends one direction, Close both at
// once. Read returns io.EOF only where the other side has ended its direction.
type Stream struct {
	*tls.Conn
	reader *protocol.Reader
}

// Read reads from the other side. It must not be called concurrently.
func (s *Stream) Read(p []byte) (int, error) { return s.reader.Read(p) }

// Open asks for a raw stream to what is behind the server. From then on the Client's other calls
// fail with ErrStream, and its Close closes the stream. A refusal is a *protocol.ReplyError, and
// changes nothing. ctx is for the opening, as with Do.
func (c *Client) Open(ctx context.Context) (*Stream, error) {
	defer c.guard(ctx)()
	c.writing.Lock() // until the answer: what is written behind the command would go to the stream
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
	return &Stream{c.conn, c.reader}, nil
}
