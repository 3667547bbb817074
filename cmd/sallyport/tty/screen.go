package tty

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"time"
)

// Screen gets the bytes of another program, and messages to a person between them. Write is for one goroutine, the
// other methods are safe for concurrent use.
type Screen struct {
	// Out gets the bytes, Messages the messages, which must not block.
	Out, Messages io.Writer
	// Raw means that both are a terminal in raw mode: lines end in CRLF, and a message does not begin in the middle
	// of a line.
	Raw bool

	midLine atomic.Bool // where the cursor is
	asked   atomic.Bool // a question has no answer so far
	writing atomic.Bool
	last    atomic.Pointer[time.Time] // end of the last Write

	count atomic.Int64         // bytes that were written
	mark  atomic.Pointer[mark] // that has not been reached, or nil
}

// mark is a message behind that many bytes.
type mark struct {
	at   int64
	text string
}

// Mark writes a message when the program has written this number of bytes in all, or at once if it has written more.
func (s *Screen) Mark(at int64, text string) {
	s.mark.Store(&mark{at, text})
	s.passMark()
}

// passMark writes the message of a mark that has been reached.
func (s *Screen) passMark() {
	if m := s.mark.Load(); m != nil && s.count.Load() >= m.at && s.mark.CompareAndSwap(m, nil) {
		s.Printf("%s", m.text)
	}
}

// Write writes bytes of the program, as they are.
func (s *Screen) Write(p []byte) (n int, err error) {
	if m := s.mark.Load(); m != nil {
		if before := m.at - s.count.Load(); before > 0 && before < int64(len(p)) {
			if n, err = s.write(p[:before]); err != nil {
				return n, err
			}
		}
	}
	m, err := s.write(p[n:])
	return n + m, err
}

func (s *Screen) write(p []byte) (int, error) {
	s.writing.Store(true)
	n, err := s.Out.Write(p)
	now := time.Now()
	s.last.Store(&now)
	s.writing.Store(false)
	if n > 0 {
		s.midLine.Store(!bytes.HasSuffix(p[:n], []byte("\n")) && !bytes.HasSuffix(p[:n], []byte("\n\r")))
	}
	s.count.Add(int64(n))
	s.passMark()
	return n, err
}

// Printf writes a message on lines of its own.
func (s *Screen) Printf(format string, args ...any) {
	s.message(fmt.Sprintf(format, args...)+"\n", false)
}

// Ask writes a question on a line of its own, and leaves the cursor behind it.
func (s *Screen) Ask(question string) {
	s.message(question, true)
	s.asked.Store(true)
}

// EndQuestion moves the cursor to a new line if a question has got its answer, and no message about that.
func (s *Screen) EndQuestion() {
	if s.asked.Load() {
		s.EndLine()
	}
}

// Echo writes text where the cursor is.
func (s *Screen) Echo(text []byte) { _, _ = s.Messages.Write(text) }

// EndLine moves the cursor to the beginning of a line.
func (s *Screen) EndLine() { s.message("", false) }

func (s *Screen) message(text string, midLine bool) {
	s.asked.Store(false)
	if s.midLine.Swap(midLine) && s.Raw {
		text = "\n" + text
	}
	if s.Raw {
		text = strings.ReplaceAll(text, "\n", "\r\n")
	}
	if text != "" {
		_, _ = io.WriteString(s.Messages, text)
	}
}

// flowing is how long after a Write more is expected.
const flowing = time.Second

// Flows reports whether a Write is running, which may block, or has just ended.
func (s *Screen) Flows() bool {
	last := s.last.Load()
	return s.writing.Load() || last != nil && time.Since(*last) < flowing
}

// AwaitQuiet returns when nothing was written for as long as d, counted from the call on, or when ctx ends.
func (s *Screen) AwaitQuiet(ctx context.Context, d time.Duration) {
	began := time.Now()
	for wait := d; wait > 0; {
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
		since := began
		if last := s.last.Load(); last != nil && last.After(began) {
			since = *last
		}
		if wait = d - time.Since(since); s.writing.Load() {
			wait = d
		}
	}
}
