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

// transport is the connection below TLS. It knows whether the peer has ended it, which crypto/tls
// takes for a close_notify between two records, and it sets the deadline of every write, those that
// crypto/tls makes by itself included.
type transport struct {
	net.Conn
	owner  *conn
	eof    bool
	lastBy time.Time // crypto/tls writes one at a time
}

func (t *transport) Read(p []byte) (int, error) {
	n, err := t.Conn.Read(p)
	if err == io.EOF {
		t.eof = true
	}
	return n, err
}

// Write bounds a write: in the lobby by the deadline of the login, and what an evicted client is still
// sent by a short one. That flag is looked at last, because evict sets it before its own deadline.
func (t *transport) Write(p []byte) (int, error) {
	c, by := t.owner, time.Now().Add(t.owner.srv.limits.Write)
	if c.inLobby && !c.loginBy.IsZero() {
		by = c.loginBy.Add(lastWrite)
	}
	c.srv.clock.set(&c.writing, by)
	if c.has(flagEvicted) {
		t.lastBy = cmp.Or(t.lastBy, time.Now().Add(lastWrite))
		_ = t.Conn.SetWriteDeadline(t.lastBy)
	}
	n, err := t.Conn.Write(p)
	if c.writing.end() {
		err = cmp.Or(err, os.ErrDeadlineExceeded) // all later ones fail, too
	}
	return n, err
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
