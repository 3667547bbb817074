package stream

import (
	"io"
	"sync"
	"testing"
)

// slot is a writer that takes at most three bytes without waiting.
type slot struct {
	mu    sync.Mutex
	got   []byte
	tried int
}

func (s *slot) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.got = append(s.got, p...)
	return len(p), nil
}

func (s *slot) TryWrite(p []byte) int {
	s.tried++
	n, _ := s.Write(p[:min(len(p), 3)])
	return n
}

// A writer that takes some bytes at once gets the others in order, and no byte twice.
func TestTryWrite(t *testing.T) {
	t.Parallel()
	_, s := open(t, func(p *peer) {
		p.expect("PING")
		p.send("151 5\nhello151 3\n wo153 0\n")
		p.expect("PING")
		p.send("151 3\nrld151 0\n153 0\n")
		p.line()
	})
	w := &slot{}
	written := make(chan int64, 1)
	go func() {
		n, err := s.WriteTo(w)
		if err != nil {
			t.Error(err)
		}
		written <- n
	}()
	for range 2 {
		if _, err := s.Ping(testContext(t), false); err != nil {
			t.Fatal(err)
		}
	}
	if n := <-written; n != 11 || string(w.got) != "hello world" {
		t.Errorf("%d bytes, %q", n, w.got)
	}
}

// What waits is not overtaken.
func TestTryWriteOrder(t *testing.T) {
	t.Parallel()
	b, w := newBuffer(nil), &slot{}
	fill := func(text string) {
		room, _ := b.room(len(text))
		b.fill(copy(room, text))
	}
	fill("one")
	b.setDirect(w.TryWrite)
	fill("two")
	p, err := b.next()
	if string(p) != "onetwo" || err != nil || w.tried > 0 {
		t.Fatalf("%q, %v, %d tries", p, err, w.tried)
	}
	b.take(len(p))
	fill("three")
	if p, _ = b.next(); string(p) != "ee" || string(w.got) != "thr" {
		t.Errorf("%q behind %q", p, w.got)
	}
	b.take(len(p))
	b.end(io.EOF)
	if passed := b.setDirect(nil); passed != 3 {
		t.Errorf("%d bytes passed", passed)
	}
}
