package joint

import (
	"context"
	"errors"
	"io"
	"net"
	"syscall"
	"time"

	"github.com/sallyport/sallyport/protocol/tcp"
)

// lookAtPeer is how often a stream looks whether the client's kernel still answers.
const lookAtPeer = time.Second

// Limits are the limits of a stream. Negative means none.
type Limits struct {
	// Idle is how long neither end need send, and Vanish how long the client's kernel need not answer.
	Idle, Vanish time.Duration
	// Deadline returns when a stream with this idle limit ends if nothing more happens, or the zero time for never. It
	// also returns when to call Warn, once for each end.
	Deadline func(idle time.Duration) (by, warnAt time.Time)
	// Warn lets the client be warned: News gets a value.
	Warn func()
	// Overdue returns why a stream ends at its deadline.
	Overdue func() error
	// Conn is the client's connection below TLS.
	Conn net.Conn
}

// guard returns when ctx is cancelled, and bounds the last write unless the cause is io.EOF. It calls over at the
// deadline, and when the client's kernel no longer answers. A client that reads nothing is idle. The timer is not
// set for each byte, but again when it fires too early. After the client has ended its TCP direction (tail) it may
// have left, so the idle limit is Vanish then.
func (s *Stream) guard(ctx context.Context, over context.CancelCauseFunc, tail <-chan struct{}) {
	warned := time.Time{} // the end of which the client was warned
	for idle := s.Limits.Idle; ; {
		by, warnAt := s.Limits.Deadline(idle)
		look := time.Duration(1<<63 - 1)
		if !by.IsZero() {
			look = time.Until(by)
		}
		switch soon := time.Until(warnAt); {
		case warned.Equal(by):
		case soon > 0:
			look = min(look, soon)
		default:
			warned = by
			s.Limits.Warn()
		}
		switch {
		case look <= 0:
			over(s.Limits.Overdue())
		case s.Limits.Vanish < 0:
		case tcp.Dead(s.Limits.Conn, s.Limits.Vanish):
			over(syscall.ETIMEDOUT)
		default:
			look = min(look, lookAtPeer)
		}
		timer := time.NewTimer(look)
		select {
		case <-timer.C:
		case <-tail:
			if tail = nil; s.Limits.Vanish >= 0 && (idle < 0 || s.Limits.Vanish < idle) {
				idle = s.Limits.Vanish
			}
		case <-ctx.Done():
			timer.Stop()
			if !errors.Is(context.Cause(ctx), io.EOF) {
				s.hurry()
			}
			return
		}
		timer.Stop()
	}
}

// hurry bounds what is still written, because the client may read nothing.
func (s *Stream) hurry() { _ = s.Limits.Conn.SetWriteDeadline(time.Now().Add(lastWrite)) }
