package stream

import (
	"fmt"
	"sync"

	"github.com/sallyport/sallyport/protocol/piece"
)

// pingEvery is how many bytes are sent between two PINGs, so that the answers come before piece.Ahead is reached.
const pingEvery = piece.Ahead / 4

// window counts the bytes that were sent, and how many of them the backend has taken.
type window struct {
	changed chan struct{} // gets a value when room has something new to say

	mu          sync.Mutex
	sent, taken int64
	asked       int64          // sent at the last PING
	answers     []chan<- int64 // for the PINGs without an answer so far, oldest first; nil if no caller waits
	closed      bool
}

func newWindow() *window { return &window{changed: make(chan struct{}, 1)} }

// room returns how many of want bytes may be sent, and whether a PING awaits its answer. open is false after close.
func (w *window) room(want int) (size int, asked, open bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return min(want, int(piece.Ahead-(w.sent-w.taken))), len(w.answers) > 0, !w.closed
}

// sends counts bytes that are sent next. If pinging, a PING must go before them.
func (w *window) sends(n int) (pinging bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if pinging = w.sent-w.asked >= pingEvery; pinging {
		w.asked, w.answers = w.sent, append(w.answers, nil)
	}
	w.sent += int64(n)
	return pinging
}

// asks notes a PING that is sent next.
func (w *window) asks(answer chan<- int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked, w.answers = w.sent, append(w.answers, answer)
}

// answer takes the text of a 153.
func (w *window) answer(text string) error {
	defer signal(w.changed)
	w.mu.Lock()
	defer w.mu.Unlock()
	n, err := piece.ParseTaken(text)
	if err != nil || n < w.taken || n > w.sent || len(w.answers) == 0 {
		return fmt.Errorf("%w: 153 %s", errPiece, text)
	}
	if to := w.answers[0]; to != nil {
		to <- n
	}
	w.taken, w.answers = n, w.answers[1:]
	return nil
}

func (w *window) total() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sent
}

// close tells writers that no more can be sent.
func (w *window) close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	signal(w.changed)
}
