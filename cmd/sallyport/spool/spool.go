// Package spool writes messages for the operator without ever blocking the caller. See [New].
package spool

import (
	"bytes"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// maxQueue is the maximum number of messages in the queue.
const maxQueue = 256

// Writer is a queue of messages. It is safe for concurrent use.
type Writer struct {
	out     io.Writer
	queue   chan message
	dropped atomic.Int64
	end     sync.Once
	ending  chan struct{}
	done    chan struct{}
}

// A message is text for out, or else a channel that is closed when all messages before it were written.
type message struct {
	text   []byte
	passed chan<- struct{}
}

// New returns a Writer that passes each message, the bytes of one Write, on to out. A goroutine does so until
// Close. While out blocks, the queue keeps 256 messages and drops further ones. Out gets the number of
// dropped messages later.
func New(out io.Writer) *Writer {
	w := &Writer{out: out, queue: make(chan message, maxQueue), ending: make(chan struct{}), done: make(chan struct{})}
	go w.run()
	return w
}

// Write puts a message into the queue, or drops it if the queue is full. It never blocks. Its error is always
// nil.
func (w *Writer) Write(p []byte) (int, error) {
	select {
	case w.queue <- message{text: bytes.Clone(p)}:
	default:
		w.dropped.Add(1)
	}
	return len(p), nil
}

// Flush waits until all earlier messages were written to out, but not longer than atMost.
func (w *Writer) Flush(atMost time.Duration) {
	passed, late := make(chan struct{}), time.After(atMost)
	select {
	case w.queue <- message{passed: passed}:
	case <-late:
		return
	}
	select {
	case <-passed:
	case <-w.done:
	case <-late:
	}
}

// Close waits until out has all messages, but not longer than atMost. It drops later messages.
func (w *Writer) Close(atMost time.Duration) {
	w.end.Do(func() { close(w.ending) })
	select {
	case <-w.done:
	case <-time.After(atMost):
	}
}

func (w *Writer) run() {
	defer close(w.done)
	for {
		select {
		case m := <-w.queue:
			w.write(m)
			continue
		default:
		}
		select {
		case m := <-w.queue:
			w.write(m)
		case <-w.ending:
			if len(w.queue) == 0 {
				return
			}
		}
	}
}

// write writes a message and, if others were dropped meanwhile, their number. It ignores an error, because
// there is no other place to report it.
func (w *Writer) write(m message) {
	if m.passed != nil {
		close(m.passed)
		return
	}
	_, _ = w.out.Write(m.text)
	if n := w.dropped.Swap(0); n > 0 {
		fmt.Fprintf(w.out, "%d messages were dropped\n", n)
	}
}
