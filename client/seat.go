package client

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/protocol/capability"
)

// errand is the request of a login without a seat.
type errand struct {
	word    string        // instead of the empty line of the login
	code    protocol.Code // of the reply
	reply   protocol.Reply
	missing error // if the server doesn't know the word
}

// Stat logs in and returns the lines of STAT, "key value" each, without a seat and without a place in the queue:
// who has the seat and how many wait. LoginTimeout bounds it. Errors are those of Dial except ErrBusy, and
// ErrNoStat.
func (d *Dialer) Stat(ctx context.Context, addr string, credentials Credentials) (protocol.Reply, error) {
	e := &errand{word: capability.Stat, code: protocol.CodeDone, missing: ErrNoStat}
	c, err := d.run(ctx, addr, credentials, e)
	if err == nil {
		c.Close()
	}
	return e.reply, err
}

// Watch logs in to see the backend's output, without a seat. Give the Client to stream.Watch. LoginTimeout bounds the
// login. Errors are those of Dial, ErrBusy if the server has too many watchers, and ErrNoWatch if it allows none.
func (d *Dialer) Watch(ctx context.Context, addr string, credentials Credentials) (*Client, error) {
	return d.run(ctx, addr, credentials, &errand{word: capability.Watch, code: protocol.CodeStreaming, missing: ErrNoWatch})
}

func (d *Dialer) run(ctx context.Context, addr string, credentials Credentials, e *errand) (*Client, error) {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(d.LoginTimeout, 10*time.Second))
	defer cancel()
	asking := *d
	asking.errand = e
	return asking.Dial(ctx, addr, credentials)
}

// Timeouts returns the limits that the server announced. ok is false if it did not, or if Dialer.AskTimeouts
// was not set.
func (c *Client) Timeouts() (t capability.Timeouts, ok bool) { return c.timeouts, c.announced }

// lastWord returns what to say in place of the empty line of the login, if the server understands it.
func (d *Dialer) lastWord() string {
	switch {
	case d.errand != nil:
		return d.errand.word
	case d.NoWait:
		return capability.NoWait
	}
	return ""
}

// takeSeat waits for the 235, or for the reply to the errand.
func (d *Dialer) takeSeat(c *Client) error {
	for {
		reply, _, err := protocol.ReadReply(c.reader)
		switch {
		case err != nil:
			return lost(err)
		case d.errand != nil && reply.Code == d.errand.code:
			d.errand.reply = reply
			return nil
		case d.errand == nil && reply.Code == protocol.CodeSeated:
			return nil
		case !reply.Code.Notice():
			return d.refusal(reply)
		case d.NoWait && !c.takesOver && reply.Code == protocol.CodePosition:
			c.write([]byte(protocol.VerbQuit + "\r\n"))
			return fmt.Errorf("%w: %s", ErrBusy, reply.Text)
		case d.OnNotice != nil:
			d.OnNotice(Notice{reply.Code, reply.Text})
		}
	}
}

// refusal returns the error for a reply that ends the login.
func (d *Dialer) refusal(reply protocol.Reply) error {
	meaning, err := ErrLoginFailed, reply.Err()
	switch code := reply.Code; {
	case code == protocol.CodeSeated:
		return fmt.Errorf("%w: 235 without a signature", ErrServerUnverified)
	case err == nil:
		return unexpected(code)
	case code == protocol.CodeClosing && !strings.HasPrefix(reply.Text, string(protocol.KeywordBusy)+" "),
		code == protocol.CodeTemporary:
		return err
	case code == protocol.CodeClosing:
		meaning = ErrBusy
	case code == protocol.CodeMechanism && d.ChannelBinding != BindingNone:
		meaning = ErrBindingUnavailable
	}
	return fmt.Errorf("%w: %w", meaning, err)
}

// Quit gives the seat back, waits for the server's reply, and closes the connection, also on an error.
func (c *Client) Quit(ctx context.Context) error {
	defer c.Close()
	_, err := c.Do(ctx, protocol.Request{Verb: protocol.VerbQuit})
	return err
}
