package joint

import (
	"errors"
	"strconv"
	"strings"

	"github.com/sallyport/sallyport/protocol/piece"
)

// backlogWord begins the 150 in front of a backlog.
const backlogWord = "backlog "

// Words returns an operator's text for a 150. A client must not take it for the announcement of a backlog.
func Words(text string) string {
	if strings.HasPrefix(text, backlogWord) {
		return " " + text
	}
	return text
}

// giveBacklog announces and writes the backend's output from before the stream. Buf is that of fromBackend.
func (r *run) giveBacklog(buf []byte) error {
	b, ok := r.Backend.(Backlogger)
	if !ok {
		return nil
	}
	backlog := b.Backlog()
	if len(backlog) == 0 {
		return nil
	}
	err := r.inTurn(func() error {
		return r.Client.Send([]byte("150 " + backlogWord + strconv.Itoa(len(backlog)) + "\r\n"))
	})
	if err != nil {
		return clientEnd{err}
	}
	for len(backlog) > 0 {
		n := copy(buf[piece.MaxHeader:], backlog)
		if err := r.give(buf, n); err != nil {
			return err
		}
		backlog = backlog[n:]
	}
	return nil
}

// lookForLate ends the stream when the backend waits no longer for the client. A write to the client, which may be
// stuck, gets a last second.
func (r *run) lookForLate() error {
	b, ok := r.Backend.(Impatient)
	if !ok {
		return nil
	}
	select {
	case <-b.Late():
		r.hurry()
		return errors.Join(ErrBackend, ErrLate)
	case <-r.ctx.Done():
		return nil
	}
}
