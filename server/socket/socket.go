// Package socket reads and writes a connection below TLS, and wakes the goroutine that waits in it. Start with [New].
//
// One goroutine at a time reads from a connection. To wake it, others set a flag, and then a read deadline in the
// past. The reader sets its deadline, then looks at the flags, then reads. So no flag is missed.
package socket

import (
	"cmp"
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/sallyport/sallyport/protocol/tcp"
)

const (
	// LastWrite is the time to take the last reply after a deadline.
	LastWrite = time.Second
	// maxDrain and maxDrainTime bound what a closing connection still reads. Without reading it, a TCP
	// reset would destroy the last reply in flight.
	maxDrain     = 1 << 20
	maxDrainTime = time.Second
)

var (
	// ErrWoken means that another goroutine has set a flag; callers handle the flags and retry.
	ErrWoken error = pause("interrupted")
	// ErrDeadline means that the deadline of a read has passed.
	ErrDeadline error = pause("i/o timeout")

	past = time.Unix(1, 0)
)

// pause is an error after which a read can be retried: crypto/tls makes every error permanent except a
// temporary net.Error.
type pause string

func (p pause) Error() string { return string(p) }
func (pause) Timeout() bool   { return true }
func (pause) Temporary() bool { return true }

// Options are the limits and the callbacks of a connection. The callbacks are required.
type Options struct {
	// Vanish is the time after which a peer whose kernel no longer answers counts as dead, and Write is the time
	// that the peer has to take each record, see package tcp.
	Vanish, Write time.Duration
	// Flush writes replies. A Read with Wait.Flush calls it before it waits.
	Flush func() error
	// Hello is called when the ClientHello has come.
	Hello func()
	// Safely calls f, which calls the net.Conn, and turns a panic into an error.
	Safely func(f func() error) error
}

// Conn is a connection below TLS. All waiting for the peer is in its Read and Write, also when
// crypto/tls calls them by itself.
//
// It leaves a deadline alone that is set already and comes sooner, because setting one takes as long as
// parsing a command and may wake an idle processor. A read that ends too early is retried.
//
// Wake, Has and Flags may be used by any goroutine, all else by the one that reads or writes.
type Conn struct {
	net.Conn
	// Wait says how the next Read waits.
	Wait Wait
	// WriteBy bounds all writes in place of Options.Write. Zero means that it does not.
	WriteBy time.Time
	// EOF means that the peer has ended the connection, and Filled is when the last read returned.
	EOF    bool
	Filled time.Time
	// Heard means that the peer has sent something.
	Heard bool
	// Flags are bits that mean something to the caller.
	Flags atomic.Uint32
	// News gets a value when a flag is set, for a goroutine that doesn't read.
	News chan struct{}

	options Options
	readBy  time.Time   // current read deadline, unless Wake has set another
	writeBy time.Time   // current write deadline
	hurried atomic.Bool // Hurry was called
	lastBy  time.Time   // write deadline after that
	patient bool        // the peer may pause
	broken  error       // of the first failed write, after which all writes fail
}

// Wait says how a read waits.
type Wait struct {
	By    time.Time // zero for no deadline
	Flags uint32    // any of these ends the read
	Flush bool      // write replies first
}

// Now is the Wait of a read that returns only what is there above the socket.
func Now() Wait { return Wait{By: past} }

// New returns a connection. Its peer is one that may vanish.
func New(raw net.Conn, o Options) *Conn {
	tcp.FindDead(raw, o.Vanish, o.Write)
	return &Conn{Conn: raw, options: o, News: make(chan struct{}, 1)}
}

// Wake sets a flag and ends a read, whose goroutine then handles its flags.
func (c *Conn) Wake(flag uint32) {
	c.Flags.Or(flag)
	_ = c.SetReadDeadline(past)
	select {
	case c.News <- struct{}{}:
	default:
	}
}

// Has reports whether any of the flags is set.
func (c *Conn) Has(flags uint32) bool { return c.Flags.Load()&flags != 0 }

// Dead reports whether the peer has acknowledged nothing for as long as it may. The kernel ends the connection later if
// something was sent meanwhile.
func (c *Conn) Dead() bool { return c.options.Vanish >= 0 && tcp.Dead(c.Conn, c.options.Vanish) }

// Hurry ends a blocked write soon, and each later one. Any goroutine may call it.
func (c *Conn) Hurry() {
	c.hurried.Store(true)
	_ = c.Conn.SetWriteDeadline(time.Now().Add(LastWrite))
}

// Patient sets whether the peer may pause, as in a raw stream. Then the caller must set write deadlines, and a peer
// that takes nothing does not count as dead.
func (c *Conn) Patient(patient bool) {
	c.patient = patient
	if !patient {
		tcp.FindDead(c.Conn, c.options.Vanish, c.options.Write)
		return
	}
	c.setWriteDeadline() // now, because later it would undo the caller's
	tcp.SetUserTimeout(c.Conn, 0)
}

// Read reads from the peer. It returns ErrWoken if one of the flags is set, ErrDeadline after the deadline.
// crypto/tls calls it when it has no complete record left, which is the moment to write replies.
func (c *Conn) Read(p []byte) (int, error) {
	w := c.Wait
	if w.By.Equal(past) {
		return 0, ErrDeadline
	}
	if w.Flush {
		if err := c.options.Flush(); err != nil {
			return 0, err
		}
	}
	for late := false; ; late = !w.By.IsZero() && !c.Filled.Before(w.By) {
		c.setReadDeadline(w.By)
		if c.Has(w.Flags) { // after the deadline: Wake sets the flag first
			return 0, ErrWoken
		}
		if late {
			return 0, ErrDeadline
		}
		c.EOF = true // stays so if Read panics, and nothing is read after that
		n, err := c.Conn.Read(p)
		c.EOF, c.Filled, c.Heard = err == io.EOF, time.Now(), c.Heard || n > 0
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
		c.readBy = past
	}
}

// Begun notes that the ClientHello has come. Package secure calls it.
func (c *Conn) Begun() { c.options.Hello() }

// setReadDeadline makes a read end at that time or earlier.
func (c *Conn) setReadDeadline(by time.Time) {
	sooner := !by.IsZero() && (c.readBy.IsZero() || by.Before(c.readBy))
	if c.readBy.Equal(past) || sooner {
		c.readBy = by
		_ = c.Conn.SetReadDeadline(by)
	}
}

// errBroken stays the error of a write that has panicked.
var errBroken = errors.New("socket: a write panicked")

func (c *Conn) Write(p []byte) (n int, err error) {
	if c.broken == nil {
		c.setWriteDeadline()
		c.broken = errBroken // and nothing is written after that
		n, c.broken = c.Conn.Write(p)
	}
	return n, c.broken
}

// setWriteDeadline gives the peer Options.Write for the next record, and up to an eighth more, so that the
// deadline is not set for each record. WriteBy bounds all writes, if set. A patient connection has no deadline, and a
// hurried one a short one.
func (c *Conn) setWriteDeadline() {
	limit := c.options.Write
	by, slack := time.Now().Add(limit), limit/8
	if !c.WriteBy.IsZero() {
		by, slack = c.WriteBy, 0
	}
	if c.patient {
		by, slack = time.Time{}, 0
	}
	if c.writeBy.Before(by) || c.writeBy.After(by.Add(slack)) {
		c.writeBy = by.Add(slack)
		_ = c.Conn.SetWriteDeadline(c.writeBy)
	}
	if c.hurried.Load() { // after the deadline: Hurry sets it first
		c.lastBy = cmp.Or(c.lastBy, time.Now().Add(LastWrite))
		_ = c.Conn.SetWriteDeadline(c.lastBy)
	}
}

// SetWriteDeadline does nothing: crypto/tls would give its close_notify 5 s, but Write sets the deadline.
func (c *Conn) SetWriteDeadline(time.Time) error { return nil }

// Close closes the connection. Its error says only that Close panicked or failed.
func (c *Conn) Close() error { return c.options.Safely(c.Conn.Close) }

// Drain sends FIN and then discards what the peer still sends, within bounds, so that the last reply arrives.
func (c *Conn) Drain() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	if c.EOF {
		return nil
	}
	c.Wait = Wait{By: time.Now().Add(maxDrainTime)}
	_, err := io.CopyN(io.Discard, c, maxDrain)
	return err
}

// Discard discards input until the peer ends the connection (io.EOF), the connection breaks, or one of the flags
// is set (ErrWoken).
func (c *Conn) Discard(flags uint32) error {
	c.Wait = Wait{Flags: flags}
	_, err := io.Copy(io.Discard, c)
	return cmp.Or(err, io.EOF)
}
