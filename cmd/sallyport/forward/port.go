package forward

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"time"
)

// Port is a listener for local programs, and the queue of their connections.
type Port struct {
	listener net.Listener
	say      Say
	tells    bool // how many bytes went each way
	begin    sync.Once
	ended    chan struct{} // closed when no more connections come
	changed  chan struct{} // gets a value when the queue has changed

	mu      sync.Mutex
	waiting []*local // first come, first served
}

// Listen opens a port on HOST:PORT, on PORT of 127.0.0.1, or on unix:PATH, whose mode is 0600. Its errors are
// sentences that say what to do; ErrAddress is one of them. Nothing is accepted until the port is served.
func Listen(addr string, say Say) (*Port, error) {
	l, err := listen(addr)
	if err != nil {
		return nil, err
	}
	return &Port{listener: l, say: say, ended: make(chan struct{}), changed: make(chan struct{}, 1)}, nil
}

// Addr returns the address on which the port listens: HOST:PORT or unix:PATH.
func (p *Port) Addr() string {
	if addr := p.listener.Addr(); addr.Network() == "unix" {
		return unixPrefix + addr.String()
	}
	return p.listener.Addr().String()
}

// Exposed reports whether other machines may reach the port.
func (p *Port) Exposed() bool {
	addr, ok := p.listener.Addr().(*net.TCPAddr)
	return ok && !addr.IP.IsLoopback()
}

// Drain closes the port to new connections. Serve returns when the connections that have come are served.
func (p *Port) Drain() {
	if l, ok := p.listener.(interface{ SetDeadline(time.Time) error }); ok {
		_ = l.SetDeadline(time.Now().Add(lookEvery)) // Accept takes what has come until then
	}
}

// Close closes the port and resets the local connections that wait.
func (p *Port) Close() {
	_ = p.listener.Close()
	p.begin.Do(func() { close(p.ended) })
	<-p.ended
	p.mu.Lock()
	waiting := p.waiting
	p.waiting = nil
	p.mu.Unlock()
	for _, l := range waiting {
		l.unwatch()
		_ = l.Close()
	}
}

// open begins to accept connections, once.
func (p *Port) open() {
	p.begin.Do(func() { go p.accept() })
}

func (p *Port) accept() {
	defer close(p.ended)
	for {
		conn, err := p.listener.Accept()
		timeout, _ := errors.AsType[net.Error](err)
		switch {
		case err == nil:
			p.admit(conn)
		case errors.Is(err, net.ErrClosed), timeout != nil && timeout.Timeout():
			return
		default: // no descriptors, or an error of the network, which is no end (accept(2))
			p.say("can't accept a local connection: %v", err)
			time.Sleep(time.Second)
		}
	}
}

// admit puts a connection into the queue, or resets it if the queue is full.
func (p *Port) admit(conn net.Conn) {
	p.mu.Lock()
	full := len(p.waiting) == maxWaiting
	if !full {
		p.waiting = append(p.waiting, newLocal(conn, p.lost))
	}
	p.mu.Unlock()
	if full {
		p.say("refused a local connection: %d wait already", maxWaiting)
		setLinger(conn, 0)
		_ = conn.Close()
		return
	}
	p.notify()
}

func (p *Port) notify() {
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

// lost takes a connection whose program has left out of the queue.
func (p *Port) lost(l *local) {
	if p.remove(l) {
		p.gone(l)
	}
}

func (p *Port) gone(l *local) {
	p.say("a local program left while it waited")
	_ = l.Close()
}

// remove takes a connection out of the queue, and reports whether it was there.
func (p *Port) remove(l *local) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := slices.Index(p.waiting, l)
	if at < 0 {
		return false
	}
	p.waiting = slices.Delete(p.waiting, at, at+1)
	return true
}

// take takes a connection out of the queue to serve it. It returns false if its program has left.
func (p *Port) take(l *local) bool {
	if !p.remove(l) {
		return false
	}
	if l.unwatch() {
		return true
	}
	p.gone(l)
	return false
}

// errNoMore means that no more local connections come.
var errNoMore = errors.New("the port is closed")

// idleError is why no more local connections are served. None was served then.
type idleError struct{ error }

func (e idleError) Unwrap() error { return e.error }

// Serve serves local connections with a seat, one after another. It returns nil after Drain, when no more come, and
// otherwise why there are no more: the cause of ctx's end, the loss of the seat, or ErrNoStream.
func (p *Port) Serve(ctx context.Context, seat *Seat) error {
	p.open()
	for {
		err := p.serveNext(ctx, seat)
		switch {
		case errors.Is(err, errNoMore):
			return nil
		case ctx.Err() != nil, isLost(err), errors.Is(err, ErrNoStream):
			return err
		case err != nil:
			p.say("ended: %v", err)
		}
	}
}

// serveNext serves the next local connection whose program is still there.
func (p *Port) serveNext(ctx context.Context, seat *Seat) error {
	for {
		l, err := p.next(ctx)
		if err != nil {
			return idleError{err}
		}
		if p.take(l) {
			return p.serve(ctx, seat, l, func() {})
		}
	}
}

// serve serves a local connection. It calls free when it needs the seat no longer.
func (p *Port) serve(ctx context.Context, seat *Seat, l *local, free func()) error {
	j, err := seat.join(ctx, l, free)
	read := l.read.Load()
	switch {
	case err != nil:
	case j.in < read:
		p.say("ended: the backend took %d of %d bytes, and gave %d", j.in, read, j.out)
	case p.tells:
		p.say("ended: %d bytes to the backend, %d from it", j.in, j.out)
	}
	return err
}

// next waits for a local connection and returns the first in the queue, which stays there until take or remove. The
// error is errNoMore, or the cause of ctx's end.
func (p *Port) next(ctx context.Context) (*local, error) {
	for {
		ended, first := isClosed(p.ended), p.first()
		switch {
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case first != nil:
			return first, nil
		case ended:
			return nil, errNoMore
		}
		select {
		case <-p.changed:
		case <-p.ended:
		case <-ctx.Done():
		}
	}
}

func (p *Port) first() *local {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.waiting) == 0 {
		return nil
	}
	return p.waiting[0]
}
