package forward

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sallyport/sallyport/protocol/tcp"
)

// presence says whether the program at the other end of a local connection is still there.
type presence int

const (
	here      presence = iota // as far as is known
	halfEnded                 // it has ended its direction, and may have left
	closed                    // it has left in order
	broken                    // the connection was reset
)

// local is the connection of a local program. The kernel resets it, if it can, unless it was closed by end.
type local struct {
	net.Conn
	trier   *tcp.Trier
	read    atomic.Int64 // bytes of the program
	ended   atomic.Bool  // the program has ended its direction
	moved   atomic.Int64 // when a byte was last read or written, in Unix nanoseconds
	writing atomic.Int64 // when the running Write began, in Unix nanoseconds; zero without one

	stop    func()        // ends the watch
	watched chan struct{} // closed when the watch has ended
	left    chan struct{} // closed when the program left while it was watched
}

// localError is an error of the local connection.
type localError struct{ error }

func (e localError) Unwrap() error { return e.error }

// newLocal returns a local connection that is watched: when its program leaves, onLeft is called.
func newLocal(conn net.Conn, onLeft func(*local)) *local {
	setLinger(conn, 0)
	l := &local{Conn: conn, trier: tcp.NewTrier(conn), watched: make(chan struct{}), left: make(chan struct{})}
	stopped := make(chan struct{})
	l.stop = sync.OnceFunc(func() {
		close(stopped)
		_ = conn.SetReadDeadline(time.Unix(1, 0))
		<-l.watched
		_ = conn.SetReadDeadline(time.Time{})
	})
	go func() {
		defer close(l.watched)
		if awaitLeft(conn, stopped) {
			close(l.left)
			onLeft(l)
		}
	}()
	return l
}

func setLinger(conn net.Conn, seconds int) {
	if c, ok := conn.(*net.TCPConn); ok {
		_ = c.SetLinger(seconds)
	}
}

// unwatch ends the watch, and reports whether the program is still there.
func (l *local) unwatch() bool {
	l.stop()
	return !isClosed(l.left)
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// Read reads what the program says.
func (l *local) Read(p []byte) (int, error) {
	n, err := l.Conn.Read(p)
	if n > 0 {
		l.read.Add(int64(n))
		l.moved.Store(time.Now().UnixNano())
	}
	switch {
	case err == io.EOF:
		l.ended.Store(true)
	case err != nil:
		err = localError{err}
	}
	return n, err
}

// Write writes what the backend says.
func (l *local) Write(p []byte) (int, error) {
	l.writing.Store(time.Now().UnixNano())
	n, err := l.Conn.Write(p)
	l.writing.Store(0)
	if n > 0 {
		l.moved.Store(time.Now().UnixNano())
	}
	if err != nil {
		err = localError{err}
	}
	return n, err
}

// TryWrite writes what the program's socket takes without waiting.
func (l *local) TryWrite(p []byte) int {
	n := l.trier.Try(p)
	if n > 0 {
		l.moved.Store(time.Now().UnixNano())
	}
	return n
}

// CloseWrite ends the backend's direction.
func (l *local) CloseWrite() error {
	half, ok := l.Conn.(interface{ CloseWrite() error })
	if !ok {
		return errors.ErrUnsupported
	}
	return half.CloseWrite()
}

// readsNothing reports whether the program has left what was written unread for some time.
func (l *local) readsNothing() bool {
	began := l.writing.Load()
	return began != 0 && time.Since(time.Unix(0, began)) > 2*lookEvery
}

// end closes the connection in order.
func (l *local) end() {
	setLinger(l.Conn, -1)
	_ = l.Close()
}

// reset closes the connection so that the program sees a failure. It waits, until then, for the kernel to send what
// was written. What was written to a Unix socket is at its other end.
func (l *local) reset(by time.Time) {
	_, isTCP := l.Conn.(*net.TCPConn)
	for isTCP && unsent(l.Conn) > 0 && time.Now().Before(by) {
		time.Sleep(time.Millisecond)
	}
	_ = l.Close()
}
