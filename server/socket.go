package server

import (
	"cmp"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"syscall"
	"time"
)

// transport is the connection below TLS: all waiting for the peer is in its Read and its Write, those
// that crypto/tls calls by itself included.
//
// A deadline that is set already stays where it will do, because setting one takes as long as parsing
// a command and may wake an idle processor.
type transport struct {
	net.Conn
	owner  *conn
	wait   wait
	eof    bool      // the peer has ended the connection
	filled time.Time // when a read last returned

	readBy  time.Time // the read deadline that is set, unless wake has set another
	writeBy time.Time // the write deadline that is set
	lastBy  time.Time // the same for what an evicted client is still sent
	broken  error     // of the write that failed: all later ones fail, too
}

// wait says how a read waits.
type wait struct {
	by    time.Time // zero: no deadline
	flags uint32    // end it
	flush bool      // write first what is owed
}

// Read reads what the peer has sent. It returns errWoken when one of the flags is set, errDeadline
// when the deadline has passed. crypto/tls calls it when it has no whole record left, so this is the
// moment to write what is owed.
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
		n, err := t.Conn.Read(p)
		t.filled = time.Now()
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.eof = err == io.EOF
			return n, err
		}
		t.readBy = past
	}
}

// setReadDeadline sees to it that a read ends by then. It may end before, for nothing.
func (t *transport) setReadDeadline(by time.Time) {
	if t.readBy.Equal(past) || earlier(t.readBy, by) != t.readBy {
		t.readBy = by
		_ = t.Conn.SetReadDeadline(by)
	}
}

func (t *transport) Write(p []byte) (n int, err error) {
	if t.broken == nil {
		t.setWriteDeadline()
		n, t.broken = t.Conn.Write(p)
	}
	return n, t.broken
}

// setWriteDeadline gives the peer Limits.Write for the record that follows, or an eighth more so that
// the deadline need not be set at each record. In the lobby the login's deadline bounds all writes, and
// what an evicted client is still sent is bounded by a short one.
func (t *transport) setWriteDeadline() {
	c := t.owner
	by, slack := time.Now().Add(c.srv.limits.Write), c.srv.limits.Write/8
	if c.inLobby && !c.loginBy.IsZero() {
		by, slack = c.loginBy.Add(lastWrite), 0
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

// SetWriteDeadline does nothing: crypto/tls gives its close_notify 5 s, and Write knows better.
func (t *transport) SetWriteDeadline(time.Time) error { return nil }

// setSocket makes the kernel find out within about limit that a peer no longer answers.
func setSocket(c net.Conn, limit time.Duration) {
	tcp, ok := c.(*net.TCPConn)
	if !ok || limit < 0 {
		return
	}
	// Three probes in the second half of the time.
	_ = tcp.SetKeepAliveConfig(net.KeepAliveConfig{
		Enable: true, Idle: max(limit/2, time.Second), Interval: max(limit/6, time.Second), Count: 3,
	})
	setUserTimeout(tcp, limit)
}

// temporary reports whether accepting may work again later.
func temporary(err error) bool {
	number, ok := errors.AsType[syscall.Errno](err)
	return ok && slices.Contains([]syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.ECONNABORTED}, number)
}

// halfClose ends one direction of a connection that can do that.
func halfClose(c net.Conn) {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
}

// networkErrors are the ways in which a connection breaks, and the log's words for them.
var networkErrors = []struct {
	number syscall.Errno
	reason string
}{
	{syscall.ECONNRESET, "reset"},
	{syscall.EPIPE, "reset"},
	{syscall.ETIMEDOUT, "vanished"},
	{syscall.EHOSTUNREACH, "vanished"},
	{syscall.ENETUNREACH, "vanished"},
}
