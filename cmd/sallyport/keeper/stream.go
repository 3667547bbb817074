package keeper

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sallyport/sallyport/server/joint"
)

const (
	// patience is how long the backend waits for a client that takes nothing.
	patience = 5 * time.Second
	// writeSize is how much is written to the backend at once, and writeTime how long that may take after the end
	// of the stream.
	writeSize = 1 << 10
	writeTime = 2 * time.Second
)

// stream is a client's stream to the open backend.
type stream struct {
	keeper  *Keeper
	conn    io.ReadWriteCloser
	backlog []byte
	late    chan struct{} // closed when the client has taken nothing for too long
	writing chan struct{} // holds a value during a write to the backend

	lineSet atomic.Bool // the client has changed the line

	mu      sync.Mutex
	changed *sync.Cond
	unread  []byte // output of the backend, while its reader waits
	err     error  // follows it
}

func newStream(k *Keeper, conn io.ReadWriteCloser, backlog []byte) *stream {
	s := &stream{keeper: k, conn: conn, backlog: backlog, late: make(chan struct{}), writing: make(chan struct{}, 1)}
	s.changed = sync.NewCond(&s.mu)
	return s
}

// Kept is joint.Keeper.
func (s *stream) Kept() bool { return true }

// Backlog is joint.Backlogger.
func (s *stream) Backlog() []byte { return s.backlog }

// Late is joint.Impatient.
func (s *stream) Late() <-chan struct{} { return s.late }

// offer waits until the client has taken p, the stream has ended, or patience is over.
func (s *stream) offer(p []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return
	}
	s.unread = p
	s.changed.Broadcast()
	timer := time.AfterFunc(patience, s.lose)
	defer timer.Stop()
	for len(s.unread) > 0 && s.err == nil {
		s.changed.Wait()
	}
	s.unread = nil // the memory of p is the reader's again
}

// lose ends the stream of a client that takes nothing.
func (s *stream) lose() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = joint.ErrLate
		close(s.late)
		s.changed.Broadcast()
	}
}

// end sets the error that follows the output.
func (s *stream) end(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
		s.changed.Broadcast()
	}
}

// Read reads what the backend says after the backlog.
func (s *stream) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.unread) == 0 && s.err == nil {
		s.changed.Wait()
	}
	if len(s.unread) == 0 || s.err != nil {
		return 0, s.err
	}
	n := copy(p, s.unread)
	s.unread = s.unread[n:]
	s.changed.Broadcast()
	return n, nil
}

// Write writes in small parts, so that little is under way when the stream ends.
func (s *stream) Write(p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var m int
		m, err = s.writePart(p[n:min(len(p), n+writeSize)])
		n += m
	}
	return n, err
}

func (s *stream) writePart(p []byte) (int, error) {
	s.writing <- struct{}{}
	defer func() { <-s.writing }()
	s.mu.Lock()
	err := s.err
	s.mu.Unlock()
	switch _, isSocket := s.conn.(net.Conn); {
	case err == io.EOF && !isSocket: // a command that has ended, which the client knows
		return len(p), nil
	case err == io.EOF:
		return 0, ErrEnded
	case err != nil:
		return 0, err
	}
	return s.conn.Write(p)
}

// Close ends the stream, and leaves the backend open unless it doesn't take what is being written: no byte of this
// client may reach it later.
func (s *stream) Close() error {
	s.end(net.ErrClosed)
	select {
	case s.writing <- struct{}{}:
	case <-time.After(writeTime):
		s.keeper.options.Log.Warn("the backend takes nothing: it is closed, because a client has left in the middle of its bytes")
		_ = s.conn.Close()
		s.writing <- struct{}{}
	}
	<-s.writing
	if s.lineSet.Load() {
		if err := s.SetLine(s.keeper.options.Speed, s.keeper.options.Form); err != nil {
			s.keeper.options.Log.Warn("the serial line doesn't get its speed again: it is closed", "error", err)
			_ = s.conn.Close()
		}
	}
	s.keeper.detach()
	return nil
}

// Break is joint.Breaker.
func (s *stream) Break() error {
	if b, ok := s.conn.(joint.Breaker); ok {
		return b.Break()
	}
	return nil
}

// SetLine is joint.LineSetter.
func (s *stream) SetLine(speed int, form string) error {
	if b, ok := s.conn.(joint.LineSetter); ok {
		s.lineSet.Store(true)
		return b.SetLine(speed, form)
	}
	return nil
}

// SetWindow is joint.WindowSetter.
func (s *stream) SetWindow(columns, rows int) error {
	if b, ok := s.conn.(joint.WindowSetter); ok {
		return b.SetWindow(columns, rows)
	}
	return nil
}

var _ interface {
	joint.Keeper
	joint.Backlogger
	joint.Impatient
} = (*stream)(nil)
