package server

import (
	"context"
	"errors"
	"strings"
	"syscall"
	"time"

	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/protocol/capability"
	"github.com/sallyport/sallyport/server/socket"
)

// takeSeat asks for the seat and waits for it. When it returns nil, queue.leave is logged and nothing is
// written so far. errStat means that the client asked for STAT instead.
func (c *conn) takeSeat() error {
	if err := c.checkEarly(); err != nil {
		return err // before it evicts anybody
	}
	c.ctx, c.cancel = context.WithCancelCause(c.srv.ctx)
	c.asked = time.Now()
	err := c.seatOrWatch()
	if err == errStat {
		c.srv.Audit.Info("stat", c.id).Str("user", c.user).Send()
		c.reply(c.srv.stat())
	}
	if err != nil {
		c.cancel(err)
		c.giveBack() // also a seat that c was granted meanwhile
	}
	return err
}

// seatOrWatch does what the last word of the login asks for.
func (c *conn) seatOrWatch() error {
	if c.lastWord == capability.Watch {
		return c.safely(watcher{c}.watch)
	}
	if err := c.safely(c.enter); err != nil {
		return err
	}
	position, err := c.srv.seat.ask(c)
	if err == nil && position > 0 {
		err = c.queue(position)
	}
	return err
}

// queue waits until the connection has the seat.
func (c *conn) queue(position int) error {
	c.lastWord = "" // under takeover NoWait waits like an empty line
	c.srv.Audit.Info("queue.enter", c.id).Int("position", position).Send()
	err := c.await()
	if granted := c.srv.seat.leave(c); granted && errors.Is(err, c.srv.errWaitTimeout) {
		err = nil // the seat was granted at the same moment, and wins
	}
	if err == nil {
		err = c.checkEarly()
	}
	c.raw.Flags.And(^(flagGranted | flagNotice))
	why := "granted"
	if err != nil {
		why = reason(err)
	}
	c.srv.Audit.Info("queue.leave", c.id).Str("reason", why).Float64("waited", time.Since(c.asked).Seconds()).Send()
	return err
}

// await sends a waiting client its position until it gets the seat or has to leave.
func (c *conn) await() error {
	by, sent := after(c.asked, c.srv.seat.rules.Wait), ""
	for {
		switch {
		case c.raw.Has(flagEvicted):
			return c.evicted()
		case c.raw.Has(flagShutdown):
			return errShutdown
		case c.raw.Dead():
			return syscall.ETIMEDOUT // before its death is waited for again, in the seat
		case c.raw.Has(flagGranted):
			return nil
		}
		c.raw.Flags.And(^flagNotice)
		if position := c.srv.seat.position(c); c.native && position != "" && position != sent {
			sent = position
			c.reply(protocol.Reply{Code: protocol.CodePosition, Text: position})
		}
		line, err := c.line(by)
		switch {
		case err == nil:
			return c.early(line)
		case errors.Is(err, socket.ErrDeadline):
			return c.srv.errWaitTimeout
		case !errors.Is(err, socket.ErrWoken):
			return lineError(err)
		}
	}
}

// checkEarly refuses input that the client has sent before the 235, as far as peek sees it.
func (c *conn) checkEarly() error {
	if c.rd.Buffered() == 0 {
		c.peek()
	}
	line, err := c.rd.Next()
	switch {
	case err != nil:
		return lineError(err)
	case line != nil:
		return c.early(line)
	case c.rd.Buffered() > 0:
		return errEarly
	}
	return nil
}

// early handles a line before the 235. Only QUIT is allowed, and nothing behind a last word.
func (c *conn) early(line []byte) error {
	if c.lastWord != "" || !strings.EqualFold(string(line), protocol.VerbQuit) {
		return errEarly
	}
	c.reply(bye)
	return errQuit
}
