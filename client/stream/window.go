package stream

import (
	"fmt"
	"sync"
	"time"

	"github.com/sallyport/sallyport/protocol/piece"
)

const (
	// pingEvery is how many bytes are sent between two PINGs. A stream that has sent piece.Ahead waits for an answer, and
	// to fall asleep and wake up takes longer than to send 64 KiB. So there are few PINGs.
	pingEvery = piece.Ahead * 3 / 4
	// pingOften is the same after an answer that took longer than slow. Then more bytes must be on the way.
	pingOften = piece.Ahead / 4
	slow      = 5 * time.Millisecond
)

// window counts the bytes that were sent, and how many of them the backend has taken.
type window struct {
	changed chan struct{} // gets a value when room has something new to say

	mu          sync.Mutex
	sent, taken int64
	asked       int64 // sent at the last PING
	every       int64 // how many bytes are sent between two PINGs
	owed        []owed
	closed      bool
}

// owed is a PING without an answer.
type owed struct {
	to    chan<- int64 // nil if no caller waits
	since time.Time
}

func newWindow() *window { return &window{changed: make(chan struct{}, 1), every: pingEvery} }

// room returns how many of want bytes may be sent, and whether a PING awaits its answer. open is false after close.
func (w *window) room(want int) (size int, asked, open bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return min(want, int(piece.Ahead-(w.sent-w.taken))), len(w.owed) > 0, !w.closed
}

// sends counts bytes that are sent next. If pinging, a PING must go before them.
func (w *window) sends(n int) (pinging bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if pinging = w.sent-w.asked >= w.every; pinging {
		w.ping(nil)
	}
	w.sent += int64(n)
	return pinging
}

// asks notes a PING that is sent next.
func (w *window) asks(answer chan<- int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ping(answer)
}

func (w *window) ping(answer chan<- int64) {
	w.asked, w.owed = w.sent, append(w.owed, owed{answer, time.Now()})
}

// answer takes the text of a 153.
func (w *window) answer(text string) error {
	defer signal(w.changed)
	w.mu.Lock()
	defer w.mu.Unlock()
	n, err := piece.ParseTaken(text)
	if err != nil || n < w.taken || n > w.sent || len(w.owed) == 0 {
		return fmt.Errorf("%w: 153 %s", errPiece, text)
	}
	first := w.owed[0]
	if first.to != nil {
		first.to <- n
	}
	w.every = pingEvery
	if time.Since(first.since) > slow {
		w.every = pingOften
	}
	w.taken, w.owed = n, w.owed[1:]
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
