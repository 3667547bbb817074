package server

import (
	"cmp"
	"errors"
	"io"
	"net"
	"os"
	"time"

	"github.com/sallyport/sallyport/server/lobby"
)

// transport is the connection below TLS. All waiting for the peer is in its Read and Write, also when
// crypto/tls calls them by itself.
//
// It leaves a deadline alone that is set already and comes sooner, because setting one takes as long as
// parsing a command and may wake an idle processor. A read that ends too early is retried.
type transport struct {
	net.Conn
	owner  *conn
	wait   wait
	eof    bool      // the peer has ended the connection
	filled time.Time // when the last read returned

	readBy  time.Time // current read deadline, unless wake has set another
	writeBy time.Time // current write deadline
	lastBy  time.Time // write deadline of an evicted client
	patient bool      // a raw stream: the peer may pause, and guard ends it
	broken  error     // of the first failed write, after which all writes fail
}

// wait says how a read waits.
type wait struct {
	by    time.Time // zero for no deadline
	flags uint32    // any of these ends the read
	flush bool      // write replies first
}

// Read reads from the peer. It returns errWoken if one of the flags is set, errDeadline after the deadline.
// crypto/tls calls it when it has no complete record left, which is the moment to write replies.
func (t *transport) Read(p []byte) (int, error) {
	w := t.wait
	if w.by.Equal(past) {
		return 0, errDeadline
	}
	if w.flush {
		if err := t.owner.flush(); err != nil {
			return 0, err
		}
	}
	for late := false; ; late = !w.by.IsZero() && !t.filled.Before(w.by) {
		t.setReadDeadline(w.by)
		if t.owner.has(w.flags) { // after the deadline: wake sets the flag first
			return 0, errWoken
		}
		if late {
			return 0, errDeadline
		}
		t.eof = true // stays so if Read panics, and nothing is read after that
		n, err := t.Conn.Read(p)
		t.eof, t.filled = err == io.EOF, time.Now()
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
		t.readBy = past
	}
}

// Begun is called when the ClientHello has come, see [secure.New].
func (t *transport) Begun() { t.owner.place.Reach(lobby.Begun) }

// setReadDeadline makes a read end at that time or earlier.
func (t *transport) setReadDeadline(by time.Time) {
	if t.readBy.Equal(past) || earlier(t.readBy, by) != t.readBy {
		t.readBy = by
		_ = t.Conn.SetReadDeadline(by)
	}
}

func (t *transport) Write(p []byte) (n int, err error) {
	if t.broken == nil {
		t.setWriteDeadline()
		t.broken = errPanic // stays so if Write panics, and nothing is written after that
		n, t.broken = t.Conn.Write(p)
	}
	return n, t.broken
}

// setWriteDeadline gives the peer Limits.Write for the next record, and up to an eighth more, so that the
// deadline is not set for each record. In the lobby the deadline of the login bounds all writes. After an
// eviction a short deadline does. A raw stream has none.
func (t *transport) setWriteDeadline() {
	c := t.owner
	by, slack := time.Now().Add(c.srv.limits.Write), c.srv.limits.Write/8
	if c.inLobby && !c.loginBy.IsZero() {
		by, slack = c.loginBy.Add(lastWrite), 0
	}
	if t.patient {
		by, slack = time.Time{}, 0
	}
	if t.writeBy.Before(by) || t.writeBy.After(by.Add(slack)) {
		t.writeBy = by.Add(slack)
		_ = t.Conn.SetWriteDeadline(t.writeBy)
	}
	if c.has(flagEvicted) { // after the deadline: evict sets the flag first
		t.lastBy = cmp.Or(t.lastBy, time.Now().Add(lastWrite))
		_ = t.Conn.SetWriteDeadline(t.lastBy)
	}
}

// SetWriteDeadline does nothing: crypto/tls would give its close_notify 5 s, but Write sets the deadline.
func (t *transport) SetWriteDeadline(time.Time) error { return nil }

// Close closes the connection. Its error says only that Close panicked or failed.
func (t *transport) Close() error { return t.owner.safely(t.Conn.Close) }

// halfClose ends the write direction of a connection or a backend that supports it.
func halfClose(c any) {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
}
