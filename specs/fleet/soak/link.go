//go:build linux

package main

import (
	"net"
	"sync"
	"time"
)

// link passes TCP connections on. While it is held nothing passes, and no connection ends. What was held arrives late.
type link struct {
	to       string
	listener net.Listener

	mu    sync.Mutex
	freed chan struct{} // closed while the link is not held
	delay time.Duration // of each chunk
}

func newLink(to string) (*link, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	l := &link{to: to, listener: listener, freed: make(chan struct{})}
	close(l.freed)
	go l.accept()
	return l, nil
}

func (l *link) addr() string { return l.listener.Addr().String() }

func (l *link) accept() {
	for {
		near, err := l.listener.Accept()
		if err != nil {
			return
		}
		go func() {
			defer near.Close()
			l.wait()
			far, err := net.Dial("tcp", l.to)
			if err != nil {
				return
			}
			defer far.Close()
			go l.pass(far, near)
			l.pass(near, far)
		}()
	}
}

// pass copies until one side ends.
func (l *link) pass(dst, src net.Conn) {
	defer dst.Close()
	defer src.Close()
	for buf := make([]byte, 32<<10); ; {
		n, err := src.Read(buf)
		l.wait()
		if _, failed := dst.Write(buf[:n]); err != nil || failed != nil {
			return
		}
	}
}

// wait waits until the link is not held.
func (l *link) wait() {
	l.mu.Lock()
	freed, delay := l.freed, l.delay
	l.mu.Unlock()
	<-freed
	if delay > 0 {
		time.Sleep(delay)
	}
}

func (l *link) hold() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.freed = make(chan struct{})
}

func (l *link) slow(delay time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.delay = delay
}

// free lets everything pass.
func (l *link) free() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.delay = 0
	select {
	case <-l.freed:
	default:
		close(l.freed)
	}
}
