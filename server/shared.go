package server

import (
	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/protocol/capability"
	"github.com/sallyport/sallyport/server/admission"
)

// enter takes a place in the common queue, if servers share the seat.
func (c *conn) enter() (err error) {
	s := &c.srv.seat
	if s.shared == nil || c.lastWord == capability.Stat {
		return nil
	}
	c.shared, err = s.shared.Enter(c.ctx, admission.Client{
		User: c.user, Conn: c.id, Rules: s.rules, NoWait: c.lastWord == capability.NoWait,
		Changed: func() { s.changed(c) },
		Evict: func(by, text string) {
			c.evict(&eviction{refusal(protocol.CodeClosing, protocol.KeywordEvicted, text), by})
		},
	})
	return err
}

// first reports whether c is the first in the common queue.
func (c *conn) first() bool {
	if c.shared == nil {
		return true
	}
	n, _ := c.shared.Position()
	return n == 0
}

// mayAct returns an error if a client of another server may have the seat by now.
func (c *conn) mayAct() error {
	if c.shared == nil {
		return nil
	}
	return c.shared.Check()
}

// giveBack releases the seat, in this server and then in the common queue.
func (c *conn) giveBack() {
	c.srv.seat.release(c)
	if c.shared != nil {
		c.shared.Leave()
	}
}

// changed grants the seat if a client of this server is now the first in the common queue. It wakes c.
func (s *seat) changed(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.advance()
	c.raw.Wake(flagNotice)
}
