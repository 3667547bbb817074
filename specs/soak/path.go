package main

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// fate is what the network does to one connection.
type fate struct {
	kind   string
	after  int64         // it happens when this many bytes have passed, both directions together
	length time.Duration // of the pause before each piece (delay, drip), or of the whole (freeze, blackhole)
	size   int           // of a piece (drip)
}

// The kinds of fate.
const (
	clean     = "clean"
	delay     = "delay"      // each piece comes late
	drip      = "drip"       // a few bytes at a time
	drop      = "drop"       // a piece gets lost
	reset     = "reset"      // both ends get a TCP reset
	halfClose = "half-close" // the server gets a FIN, and its answers still pass
	blackhole = "blackhole"  // nothing passes any more, though both TCP connections stay open; at last a reset
	freeze    = "freeze"     // nothing passes for a while, and then all of it
)

var fates = []string{delay, drip, drop, reset, halfClose, blackhole, freeze}

// randomFate chooses a fate; half of the connections are clean.
func randomFate(r *rand.Rand) fate {
	if r.IntN(2) == 0 {
		return fate{kind: clean}
	}
	f := fate{kind: fates[r.IntN(len(fates))], after: r.Int64N(8 << 10)}
	switch f.kind {
	case delay:
		f.length = time.Duration(r.IntN(20)) * time.Millisecond
	case drip:
		f.length, f.size = time.Duration(r.IntN(1000))*time.Microsecond, 1+r.IntN(100)
	case blackhole, freeze: // a few of them longer than the server's limits
		f.length = time.Duration(20+r.IntN(200)) * time.Millisecond
		if r.IntN(8) == 0 {
			f.length *= 15
		}
	}
	return f
}

// path is a way to the server for one connection: an address to connect to, behind which the fate waits.
type path struct {
	fate
	addr     string
	listener net.Listener
	to, from string // the server's address, and the address to come from ("" for any)
	passed   atomic.Int64
	once     sync.Once
	ctx      context.Context
	cancel   context.CancelFunc
	ended    chan struct{}

	mu     sync.Mutex
	remote string    // the address that the server sees
	dialed time.Time // when the server was reached
}

// newPath returns a path to the server. It ends with ctx, with a reset of both ends.
func newPath(ctx context.Context, to, from string, f fate) (*path, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &path{fate: f, addr: listener.Addr().String(), listener: listener, to: to, from: from, ended: make(chan struct{})}
	p.ctx, p.cancel = context.WithCancel(ctx)
	context.AfterFunc(p.ctx, func() { _ = listener.Close() })
	go func() {
		defer close(p.ended)
		defer p.cancel()
		p.serve()
	}()
	return p, nil
}

// close waits for a moment until both ends have closed, ends the path, and waits for its end.
func (p *path) close() {
	timer := time.NewTimer(200 * time.Millisecond)
	defer timer.Stop()
	select {
	case <-p.ended:
	case <-p.ctx.Done():
	case <-timer.C:
	}
	p.cancel()
	<-p.ended
}

// seen returns the address that the server saw, and since when. It is empty if the server was not reached.
func (p *path) seen() (string, time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.remote, p.dialed
}

func (p *path) serve() {
	near, err := p.listener.Accept()
	_ = p.listener.Close()
	if err != nil {
		return
	}
	defer abort(near)
	dialer := net.Dialer{Timeout: 5 * time.Second}
	if p.from != "" && runtime.GOOS == "linux" { // elsewhere 127.0.0.1 is the only address of the loopback
		dialer.LocalAddr = &net.TCPAddr{IP: net.ParseIP(p.from)}
	}
	began := time.Now()
	far, err := dialer.DialContext(p.ctx, "tcp", p.to)
	if err != nil {
		return
	}
	defer abort(far)
	p.mu.Lock()
	p.remote, p.dialed = far.LocalAddr().String(), began
	p.mu.Unlock()
	stop := context.AfterFunc(p.ctx, func() {
		abort(near)
		abort(far)
	})
	defer stop()
	var both sync.WaitGroup
	both.Go(func() { p.pump(far, near, true) })
	both.Go(func() { p.pump(near, far, false) })
	both.Wait()
	if stop() {
		_ = near.Close() // in order: both have ended
		_ = far.Close()
	}
}

// abort closes a connection with a TCP reset. It does nothing to one that is closed.
func abort(conn net.Conn) {
	_ = conn.(*net.TCPConn).SetLinger(0)
	_ = conn.Close()
}

// pump copies one direction until its end, and does to it what the fate wants. up is the client's direction.
func (p *path) pump(dst, src net.Conn, up bool) {
	for buf := make([]byte, 16<<10); ; {
		n, err := src.Read(buf)
		if n > 0 && !p.pass(dst, buf[:n], up) {
			return
		}
		if err == nil {
			continue
		}
		if p.kind == blackhole && p.passed.Load() >= p.after {
			p.pause(p.length)
			p.cancel()
		}
		if errors.Is(err, io.EOF) {
			_ = dst.(*net.TCPConn).CloseWrite()
		} else {
			p.cancel()
		}
		return
	}
}

// pass passes a piece on. It returns false if the direction ends.
func (p *path) pass(dst net.Conn, piece []byte, up bool) bool {
	happens := p.passed.Add(int64(len(piece))) >= p.after
	switch {
	case !happens || p.kind == clean:
	case p.kind == delay:
		p.pause(p.length)
	case p.kind == drip:
		for ; len(piece) > p.size; piece = piece[p.size:] {
			if !p.write(dst, piece[:p.size]) || !p.pause(p.length) {
				return false
			}
		}
	case p.kind == freeze:
		p.once.Do(func() { p.pause(p.length) }) // the other direction waits for it too
	case p.kind == drop:
		lost := false
		if p.once.Do(func() { lost = true }); lost {
			return true
		}
	case p.kind == blackhole:
		p.pause(p.length)
		p.cancel()
		return false
	case p.kind == reset:
		p.cancel()
		return false
	case p.kind == halfClose && up:
		_ = dst.(*net.TCPConn).CloseWrite()
		return false
	}
	return p.write(dst, piece)
}

// write writes a piece. A peer that doesn't take it in time ends the path.
func (p *path) write(dst net.Conn, piece []byte) bool {
	_ = dst.SetWriteDeadline(time.Now().Add(20 * time.Second))
	_, err := dst.Write(piece)
	if err != nil && !errors.Is(err, syscall.EPIPE) {
		p.cancel()
	}
	return err == nil
}

// pause waits, and returns false if the path ends meanwhile.
func (p *path) pause(d time.Duration) bool { return pause(p.ctx, d) }

// pause waits, and returns false if ctx ends first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
