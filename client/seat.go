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

// Stat logs in and returns the lines of STAT, "key value" each, without a seat and without a place in the queue:
// who has the seat and how many wait. LoginTimeout bounds it. Errors are those of Dial except ErrBusy, and
// ErrNoStat.
func (d *Dialer) Stat(ctx context.Context, addr string, credentials Credentials) (reply protocol.Reply, err error) {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(d.LoginTimeout, 10*time.Second))
	defer cancel()
	asking := *d
	asking.stat = &reply
	c, err := asking.Dial(ctx, addr, credentials)
	if err == nil {
		c.Close()
	}
	return reply, err
}

// lastWord returns what to say in place of the empty line of the login, if the server understands it.
func (d *Dialer) lastWord() string {
	switch {
	case d.stat != nil:
		return capability.Stat
	case d.NoWait:
		return capability.NoWait
	}
	return ""
}

// takeSeat waits for the 235, or for the 250 of Stat.
func (d *Dialer) takeSeat(c *Client) error {
	for {
		reply, _, err := protocol.ReadReply(c.reader)
		switch {
		case err != nil:
			return lost(err)
		case d.stat != nil && reply.Code == protocol.CodeDone:
			*d.stat = reply
			return nil
		case d.stat == nil && reply.Code == protocol.CodeSeated:
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
