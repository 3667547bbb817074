package joint

import (
	"sync"
	"time"

	"github.com/sallyport/sallyport/protocol/piece"
)

const (
	// minQueue is the initial size of a queue. Most clients of a terminal need no more.
	minQueue = 32 << 10
	// maxWrite is how much is written to the backend at once, so that an answer to PING is up to date.
	maxWrite = 64 << 10
	// fewBytes is how much the client's goroutine writes to the backend itself. More than that is read and written
	// at the same time.
	fewBytes = 4 << 10
)

// queue holds the client's bytes for the backend, in a ring that grows up to piece.Buffer. One goroutine fills it
// and another empties it, without a copy.
type queue struct {
	mu       sync.Mutex
	changed  sync.Cond
	buf      []byte
	r, n     int   // the bytes are buf[r:r+n], around its end
	taken    int64 // bytes that the backend has taken
	ended    bool  // no more will come
	dropping bool  // what comes is discarded
	closed   bool
}

func newQueue() *queue {
	q := &queue{buf: make([]byte, minQueue)}
	q.changed.L = &q.mu
	return q
}

// space waits for room and returns it. Nil means that the queue is closed.
func (q *queue) space() []byte {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.n == len(q.buf) && !q.closed {
		if len(q.buf) < piece.Buffer {
			q.grow()
		} else {
			q.changed.Wait()
		}
	}
	switch w := q.r + q.n; {
	case q.closed:
		return nil
	case q.n == 0: // from the front, which is in the cache
		q.r = 0
		return q.buf
	case w < len(q.buf):
		return q.buf[w:]
	default:
		return q.buf[w-len(q.buf) : q.r]
	}
}

// grow doubles the ring. A part of the old one that is being written to the backend stays as it is.
func (q *queue) grow() {
	buf := make([]byte, 2*len(q.buf))
	copied := copy(buf, q.buf[q.r:])
	copy(buf[copied:], q.buf[:q.r])
	q.buf, q.r = buf, 0
}

// idle reports whether the backend has taken all bytes so far, and still takes bytes.
func (q *queue) idle() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.n == 0 && !q.dropping && !q.closed
}

// add adds the first n bytes of the space. The backend has taken some of them if the queue was idle.
func (q *queue) add(n, taken int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.taken += int64(taken)
	if n > taken && !q.dropping {
		q.r += taken
		q.n += n - taken
		q.changed.Broadcast()
	}
}

// end means that no more bytes will come.
func (q *queue) end() { q.change(func() { q.ended = true }) }

// drop discards the bytes, and those that come.
func (q *queue) drop() { q.change(func() { q.n, q.dropping = 0, true }) }

// close ends all waiting.
func (q *queue) close() { q.change(func() { q.closed = true }) }

func (q *queue) change(f func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	f()
	q.changed.Broadcast()
}

// next waits for bytes and returns some. There are no more after the last, and nil means that the queue is closed.
func (q *queue) next() (p []byte, more bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.n == 0 && !q.ended && !q.closed {
		q.changed.Wait()
	}
	switch {
	case q.closed:
		return nil, true
	case q.n == 0:
		return nil, false
	}
	return q.buf[q.r:min(q.r+min(q.n, maxWrite), len(q.buf))], true
}

// took notes that the backend has taken the next n bytes.
func (q *queue) took(n int) {
	q.change(func() {
		q.taken += int64(n)
		q.n -= n
		q.r = (q.r + n) % len(q.buf)
	})
}

// total returns how many bytes the backend has taken.
func (q *queue) total() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.taken
}

// settle waits until the backend has taken all bytes, but not longer than limit.
func (q *queue) settle(limit time.Duration) {
	late := false
	timer := time.AfterFunc(limit, func() { q.change(func() { late = true }) })
	defer timer.Stop()
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.n > 0 && !q.closed && !late {
		q.changed.Wait()
	}
}
