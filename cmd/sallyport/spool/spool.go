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
	queue   chan []byte
	dropped atomic.Int64
	end     sync.Once
	ending  chan struct{}
	done    chan struct{}
}

// New returns a Writer that passes each message, the bytes of one Write, on to out. A goroutine does so until
// Close. While out blocks, the queue keeps 256 messages and drops further ones. Out gets the number of
// dropped messages later.
func New(out io.Writer) *Writer {
	w := &Writer{out: out, queue: make(chan []byte, maxQueue), ending: make(chan struct{}), done: make(chan struct{})}
	go w.run()
	return w
}

// Write puts a message into the queue, or drops it if the queue is full. It never blocks. Its error is always
// nil.
func (w *Writer) Write(p []byte) (int, error) {
	select {
	case w.queue <- bytes.Clone(p):
	default:
		w.dropped.Add(1)
	}
	return len(p), nil
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
		case p := <-w.queue:
			w.write(p)
			continue
		default:
		}
		select {
		case p := <-w.queue:
			w.write(p)
		case <-w.ending:
			if len(w.queue) == 0 {
				return
			}
		}
	}
}

// write writes a message and, if others were dropped meanwhile, their number. It ignores an error, because
// there is no other place to report it.
func (w *Writer) write(p []byte) {
	_, _ = w.out.Write(p)
	if n := w.dropped.Swap(0); n > 0 {
		fmt.Fprintf(w.out, "%d messages were dropped\n", n)
	}
}
