package stream

import "io"

// Read reads what the backend gave. The error is io.EOF after the end of its direction.
func (s *Stream) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	next, err := s.unread.next()
	n := copy(p, next)
	s.unread.take(n)
	return n, err
}

// TryWriter is a writer that can write without waiting. TryWrite writes as much of p as it can, and returns how much.
// After an error that is 0, and the next Write returns the error.
type TryWriter interface{ TryWrite(p []byte) int }

// WriteTo writes what Read would read to w until io.EOF, and saves the copy that Read makes. It uses TryWrite where w
// has it, from another goroutine, but not during a Write.
func (s *Stream) WriteTo(w io.Writer) (n int64, err error) {
	if t, ok := w.(TryWriter); ok {
		s.unread.setDirect(t.TryWrite)
		defer func() { n += int64(s.unread.setDirect(nil)) }()
	}
	for {
		next, err := s.unread.next()
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		m, err := w.Write(next)
		n += int64(m)
		s.unread.take(m)
		if err != nil {
			return n, err
		}
	}
}

// End makes Read return err after the bytes that have come, unless the backend's end or another error was next. Bytes
// that come later may be read before it. The stream goes on.
func (s *Stream) End(err error) { s.unread.end(err) }
