// Package acceptor accepts connections, and goes on after errors that may pass.
package acceptor

import (
	"errors"
	"net"
	"syscall"
	"time"
)

// Acceptor accepts connections. All fields are required.
type Acceptor struct {
	// Each gets each connection. The next one waits for it.
	Each func(net.Conn)
	// Closing reports whether the server is ending. Then any failure ends Run.
	Closing func() bool
	// Done ends the pause after a failure.
	Done <-chan struct{}
	// Warn gets failures that may pass, the same one at most once a minute.
	Warn func(error)
}

// Run accepts connections until the listener no longer listens, and returns its error. Any other failure may pass,
// such as too many open files, or one of the network that accept(2) passes on.
func (a Acceptor) Run(l net.Listener) error {
	last, warned := "", time.Time{}
	for delay := time.Duration(0); ; {
		conn, err := l.Accept()
		if err == nil {
			delay = 0
			a.Each(conn)
			continue
		}
		if a.Closing() || errors.Is(err, net.ErrClosed) || errors.Is(err, syscall.EINVAL) { // EINVAL: it no longer listens
			return err
		}
		delay = min(max(2*delay, 5*time.Millisecond), time.Second)
		if err.Error() != last || time.Since(warned) >= time.Minute {
			last, warned = err.Error(), time.Now()
			a.Warn(err)
		}
		select {
		case <-time.After(delay):
		case <-a.Done:
		}
	}
}
