package stream

import (
	"context"
	"io"
	"slices"
	"time"

	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/protocol/piece"
)

const (
	// maxData is what Write puts into a piece: with what stands before it, it fills four TLS records.
	maxData = 64<<10 - prefix
	prefix  = len("PING\r\n") + piece.MaxHeader

	// worthwhile is the room that Write waits for, so that a slow backend is not sent many small pieces.
	worthwhile = 16 << 10
	maxPause   = 250 * time.Millisecond
)

// Write sends p in pieces. It returns when all is sent, which does not mean that the backend has taken it: see
// Ping and Wait. It never sends more than 524,288 bytes beyond those that the backend is known to have taken, so
// it waits for a slow backend. After CloseWrite or Abort the error is io.ErrClosedPipe.
func (s *Stream) Write(p []byte) (n int, err error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	for n < len(p) {
		size, err := s.room(min(len(p)-n, maxData))
		if err != nil {
			return n, err
		}
		s.frame = append(slices.Grow(s.frame[:0], prefix+size)[:prefix], p[n:n+size]...)
		if err := s.sendPiece(s.frame); err != nil {
			return n, err
		}
		n += size
	}
	return n, nil
}

// ReadFrom writes what r gives until io.EOF, and saves the copy that Write makes.
func (s *Stream) ReadFrom(r io.Reader) (n int64, err error) {
	frame := make([]byte, prefix+maxData)
	for {
		got, errRead := r.Read(frame[prefix:])
		sent, err := s.sendAll(frame[:prefix+got])
		switch n += int64(sent); {
		case err != nil:
			return n, err
		case errRead == io.EOF:
			return n, nil
		case errRead != nil:
			return n, errRead
		}
	}
}

// sendAll sends what stands behind the prefix of frame, and uses the memory before it.
func (s *Stream) sendAll(frame []byte) (n int, err error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	for len(frame) > prefix {
		size, err := s.room(len(frame) - prefix)
		if err != nil {
			return n, err
		}
		if err := s.sendPiece(frame[:prefix+size]); err != nil {
			return n, err
		}
		n += size
		frame = frame[size:]
	}
	return n, nil
}

// sendPiece sends what stands behind the prefix of frame in one write, with its header, and with a PING if one is
// due.
func (s *Stream) sendPiece(frame []byte) error {
	if err := s.acquire(context.Background()); err != nil {
		return err
	}
	defer s.release()
	if s.finished {
		return io.ErrClosedPipe
	}
	var memory [prefix]byte
	head := memory[:0]
	if s.window.sends(len(frame) - prefix) {
		head = piece.Message{Verb: protocol.VerbPing}.Append(head)
	}
	head = piece.Message{Verb: protocol.VerbData, Size: len(frame) - prefix}.Append(head)
	frame = frame[prefix-len(head):]
	copy(frame, head)
	s.client.Send(frame)
	return nil
}

// room waits until a piece may be sent, and returns its size, at most want. A server answers a PING at once, so
// the pauses between them grow while the backend takes little.
func (s *Stream) room(want int) (int, error) {
	for pause := time.Duration(0); ; {
		size, asked, open := s.window.room(want)
		switch {
		case !open:
			return 0, s.closed()
		case size >= min(want, worthwhile):
			return size, nil
		case !asked:
			select {
			case <-time.After(pause):
			case <-s.over:
			}
			pause = min(max(2*pause, time.Millisecond), maxPause)
			if err := s.ask(context.Background(), false, nil); err != nil {
				return 0, err
			}
		}
		<-s.window.changed
	}
}

// closed returns why the client's direction is closed.
func (s *Stream) closed() error {
	select {
	case <-s.over:
		return s.err
	default:
		return io.ErrClosedPipe
	}
}

// Ping asks how many bytes of this stream the backend has taken, which the server answers at once, and so proves
// that the client has the seat. With active it counts as activity of the client, which keeps the server from
// ending an idle session. If ctx ends first, Ping returns its error. The stream goes on then, unless the PING
// itself could not be sent: then the connection is closed.
func (s *Stream) Ping(ctx context.Context, active bool) (taken int64, err error) {
	answer := make(chan int64, 1)
	if err := s.ask(ctx, active, answer); err != nil {
		return 0, err
	}
	select {
	case taken = <-answer:
		return taken, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-s.over:
	}
	select {
	case taken = <-answer: // before the end
		return taken, nil
	default:
		return 0, s.err
	}
}

// ask sends a PING. Its answer goes to the channel, which must have room for it. Nil discards the answer.
func (s *Stream) ask(ctx context.Context, active bool, answer chan<- int64) error {
	if err := s.acquire(ctx); err != nil {
		return err
	}
	defer s.release()
	defer context.AfterFunc(ctx, func() { s.client.Close() })()
	s.window.asks(answer)
	s.client.Send(piece.Message{Verb: protocol.VerbPing, Active: active}.Append(nil))
	return nil
}
