// Package spool writes messages for the operator without waiting for their reader. See [New].
package spool

import (
	"bytes"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// maxQueue bounds the messages that wait.
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

// New returns a queue of messages to out, each of one Write. A goroutine writes them, until Close. While out
// blocks, 256 messages wait; more are dropped, and out is told how many.
func New(out io.Writer) *Writer {
	w := &Writer{out: out, queue: make(chan []byte, maxQueue), ending: make(chan struct{}), done: make(chan struct{})}
	go w.run()
	return w
}

// Write queues or drops a message. It never blocks, and its error is always nil.
func (w *Writer) Write(p []byte) (int, error) {
	select {
	case w.queue <- bytes.Clone(p):
	default:
		w.dropped.Add(1)
	}
	return len(p), nil
}

// Close waits until the messages are written, at most that long. Later messages are dropped.
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

// write writes a message and, if some were dropped meanwhile, how many. Nobody can be told of an error.
func (w *Writer) write(p []byte) {
	_, _ = w.out.Write(p)
	if n := w.dropped.Swap(0); n > 0 {
		fmt.Fprintf(w.out, "%d messages were dropped\n", n)
	}
}
