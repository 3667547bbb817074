package joint

import (
	"errors"
	"time"
)

const (
	// stuckAfter is the time after the end of a stream at which a call of the backend that goes on counts as stuck.
	stuckAfter = 5 * time.Second
	// lookAgain is how often a stream whose client is slow looks for a stuck call after that.
	lookAgain = time.Second
)

// watchBackend calls Stuck, once, if the backend is in a call when stuckAfter is over. The backend is about to be
// closed when released is closed. The stream waits for done.
func (s *Stream) watchBackend(released, done <-chan struct{}) {
	select {
	case <-released:
	case <-done:
		return
	}
	for wait := stuckAfter; ; wait = lookAgain {
		select {
		case <-done:
			return
		case <-time.After(wait):
		}
		if s.calls.Load() > 0 {
			s.Stuck()
			return
		}
	}
}

// calling notes that a call of the backend begins. The caller calls done at its end.
func (s *Stream) calling() (done func()) {
	s.calls.Add(1)
	return func() { s.calls.Add(-1) }
}

func (s *Stream) read(p []byte) (int, error) {
	s.calls.Add(1)
	defer s.calls.Add(-1)
	return s.Backend.Read(p)
}

func (s *Stream) mayWrite() error {
	if s.MayWrite == nil {
		return nil
	}
	return s.MayWrite()
}

func (s *Stream) write(p []byte) (int, error) {
	if err := s.mayWrite(); err != nil {
		return 0, err
	}
	s.calls.Add(1)
	defer s.calls.Add(-1)
	return s.Backend.Write(p)
}

// closeWrite ends the client's direction. A command may do much at the end of its input, so this is like a write.
func (s *Stream) closeWrite() error {
	half, ok := s.Backend.(HalfCloser)
	if !ok {
		return errors.ErrUnsupported
	}
	if err := s.mayWrite(); err != nil {
		return err
	}
	defer s.calling()()
	return half.CloseWrite()
}

func (s *Stream) close() error {
	defer s.calling()()
	return s.Backend.Close()
}
