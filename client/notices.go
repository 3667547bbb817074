package client

import "github.com/sallyport/sallyport/protocol"

// Notice is a line that answers no request. Its text is "position N holder NAME" for
// protocol.CodePosition, "waiting N" for CodeWaiting, and for CodeMessage the operator's words,
// or the server's warning that the session ends soon.
type Notice struct {
	Code protocol.Code
	Text string
}

// notify drops the oldest notice if there is no room. It never blocks, because only the owner of the
// read token sends.
func (c *Client) notify(n Notice) {
	if len(c.notices) == cap(c.notices) {
		select {
		case <-c.notices:
		default:
		}
	}
	c.notices <- n
}

// Notices returns the channel of notices since the login. It holds 16 and drops the oldest. From the
// first call on the client reads all the time, so it also notices a 421 between requests. The channel is
// closed when the connection has ended or become a stream: see Err.
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
