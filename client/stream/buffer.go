package stream

import (
	"io"
	"sync"
)

const (
	minBuffer = 4 << 10
	maxBuffer = 1 << 20
	// fewBytes is how much the reader of the connection writes for the program. More than that is read and written at
	// the same time.
	fewBytes = 4 << 10
)

// buffer is a ring of bytes between the reader of the connection, which fills it, and the program. It grows from
// minBuffer to maxBuffer as the program falls behind.
type buffer struct {
	done         <-chan struct{} // the connection has ended
	filled, read chan struct{}   // get a value when there is something to read, or room

	mu   sync.Mutex
	data []byte // its length is a power of two
	r, w int    // data[r%len:w%len] is unread
	err  error  // follows the unread bytes
	lost bool   // drop was called

	// direct writes bytes to a program that has read everything, without waiting, and returns how many. Nil means
	// that next must return them. passed counts the bytes that direct has written.
	direct func(p []byte) int
	passed int
}

func newBuffer(done <-chan struct{}) *buffer {
	return &buffer{
		done: done, filled: make(chan struct{}, 1), read: make(chan struct{}, 1), data: make([]byte, minBuffer),
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// room waits for room and returns some of it, at most want bytes.
func (b *buffer) room(want int) ([]byte, error) {
	for {
		if room := b.free(want); len(room) > 0 {
			return room, nil
		}
		select {
		case <-b.read:
		case <-b.done:
			return nil, io.ErrClosedPipe
		}
	}
}

func (b *buffer) free(want int) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.r == b.w {
		b.r, b.w = 0, 0
	}
	b.grow(want)
	size := len(b.data)
	at := b.w % size
	return b.data[at:min(at+want, at+size-(b.w-b.r), size)]
}

// grow makes room for want bytes, up to maxBuffer. Slices of the old memory stay valid.
func (b *buffer) grow(want int) {
	unread, size := b.w-b.r, len(b.data)
	for size < maxBuffer && size-unread < want {
		size *= 2
	}
	if size > len(b.data) {
		data := make([]byte, size)
		at := b.r % len(b.data)
		n := copy(data, b.data[at:min(at+unread, len(b.data))])
		copy(data[n:], b.data[:unread-n])
		b.data, b.r, b.w = data, 0, unread
	}
}

// fill notes that n bytes were put into what room returned.
func (b *buffer) fill(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.lost {
		return
	}
	if b.direct != nil && b.r == b.w && n <= fewBytes {
		at := b.w % len(b.data)
		taken := b.direct(b.data[at : at+n])
		b.r += taken
		b.passed += taken
	}
	if b.w += n; b.r < b.w {
		signal(b.filled)
	}
}

// setDirect sets direct, and returns how many bytes the last one has taken.
func (b *buffer) setDirect(direct func(p []byte) int) (passed int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	passed, b.passed = b.passed, 0
	b.direct = direct
	return passed
}

// next waits for unread bytes and returns some of them.
func (b *buffer) next() ([]byte, error) {
	for {
		b.mu.Lock()
		at := b.r % len(b.data)
		p, err := b.data[at:min(at+b.w-b.r, len(b.data))], b.err
		b.mu.Unlock()
		if len(p) > 0 {
			return p, nil
		}
		if err != nil {
			return nil, err
		}
		<-b.filled
	}
}

// take notes that n bytes of what next returned were read.
func (b *buffer) take(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.lost {
		b.r += n
		signal(b.read)
	}
}

// end sets the error that follows the unread bytes, unless it is set.
func (b *buffer) end(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.err = err
	}
	signal(b.filled)
}

// drop loses unread bytes, and all that come. New memory leaves alone what next and room have returned.
func (b *buffer) drop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.data, b.r, b.w, b.lost = make([]byte, minBuffer), 0, 0, true
	if b.err == nil || b.err == io.EOF {
		b.err = ErrOver
	}
	signal(b.filled)
	signal(b.read)
}
