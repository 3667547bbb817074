package joint

import (
	"errors"
	"io"
	"slices"

	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/protocol/piece"
)

// errOver means that the stream is over for another reason.
var errOver = errors.New("the stream is over")

// fromClient reads the client until the stream is over. A line that ends the stream or belongs to the next request
// is unread.
func (r *run) fromClient() error {
	for {
		line, err := r.Client.ReadLine()
		if err == io.EOF && r.ended { // it may still want its reply
			return r.await()
		}
		if err != nil {
			return clientEnd{err}
		}
		m, err := piece.Parse(line)
		if err == nil && m.Verb == "" || m.Verb == protocol.VerbData && r.ended {
			err = ErrSequence
		}
		if err == nil {
			err = r.obey(m)
		} else {
			r.Client.Unread(line)
			if m.Verb == "" && r.ended {
				return r.await() // a command
			}
		}
		if err != nil {
			return clientEnd{err}
		}
	}
}

// await waits for the end of the stream, and for that of a client that leaves before.
func (r *run) await() error {
	if err := r.Client.Wait(); err != nil {
		return clientEnd{err}
	}
	return nil
}

// obey does what the client says. After the end of its direction only ABORT and PING mean something.
func (r *run) obey(m piece.Message) error {
	switch m.Verb {
	case protocol.VerbData:
		if r.rest = m.Size; r.rest > 0 {
			return r.take()
		}
		r.ended = true
		r.queue.end()
	case protocol.VerbAbort:
		r.ended = true
		r.abort() // what follows is read on: a PING is answered until the reply
	case protocol.VerbPing:
		if m.Active {
			r.Active()
		}
		r.pings.Add(1)
		select {
		case r.pinged <- struct{}{}:
		default:
		}
	default:
		if r.ended {
			return nil
		}
		if err := r.steer(m); err != nil && !slices.Contains(r.refused, m.Verb) {
			r.refused = append(r.refused, m.Verb)
			r.Refused(err)
		}
	}
	return nil
}

// abort ends the stream without hearing the backend out, and has it reset. Only the client's goroutine calls it.
func (r *run) abort() {
	if !r.isAborted() {
		close(r.aborted)
	}
	r.over(clientEnd{errAbort})
}

func (r *run) isAborted() bool {
	select {
	case <-r.aborted:
		return true
	default:
		return false
	}
}

// take reads the bytes of a piece into the queue.
func (r *run) take() error {
	for r.rest > 0 {
		space := r.queue.space()
		if space == nil {
			return errOver
		}
		n, err := r.Client.Read(space[:min(len(space), r.rest)])
		if n > 0 {
			r.rest -= n
			r.Active()
			if err := r.Passed("in", space[:n]); err != nil {
				return err
			}
			r.pass(space[:n])
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// pass hands the bytes in the queue's space to the backend. It writes a few of them itself if the backend takes them
// at once, because waking toBackend takes longer.
func (r *run) pass(p []byte) {
	taken := 0
	if b, ok := r.Backend.(TryWriter); ok && len(p) <= fewBytes && r.queue.idle() && r.mayWrite() == nil {
		taken = b.TryWrite(p)
	}
	r.queue.add(len(p), taken)
}

// steer does what concerns the backend itself, if it has a use for it.
func (r *run) steer(m piece.Message) error {
	if err := r.mayWrite(); err != nil {
		return errors.Join(ErrBackend, err)
	}
	defer r.calling()()
	switch m.Verb {
	case protocol.VerbBreak:
		if b, ok := r.Backend.(Breaker); ok {
			r.queue.settle(settle)
			return b.Break()
		}
	case protocol.VerbLine:
		if b, ok := r.Backend.(LineSetter); ok {
			r.queue.settle(settle)
			return b.SetLine(m.Speed, m.Form)
		}
	case protocol.VerbWindow:
		if b, ok := r.Backend.(WindowSetter); ok {
			return b.SetWindow(m.Columns, m.Rows)
		}
	}
	return nil
}

// Discard reads a client's direction to its end after STREAM has been answered: rest bytes, and further pieces. Its
// errors are those of the source and the client's mistakes.
func Discard(c Source, rest int) error {
	for buf := make([]byte, 4<<10); ; {
		for rest > 0 {
			n, err := c.Read(buf[:min(len(buf), rest)])
			if rest -= n; err != nil {
				return err
			}
		}
		line, err := c.ReadLine()
		if err != nil {
			return err
		}
		m, err := piece.Parse(line)
		switch {
		case err != nil:
			return err
		case m.Verb == "":
			return ErrSequence
		case m.Verb == protocol.VerbAbort, m.Verb == protocol.VerbData && m.Size == 0:
			return nil
		}
		rest = m.Size
	}
}
