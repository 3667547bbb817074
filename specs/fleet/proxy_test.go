package fleet

import (
	"io"
	"net"
	"sync"
	"testing"
)

// proxy is a path to etcd that can be cut.
type proxy struct {
	listener net.Listener
	target   string
	mu       sync.Mutex
	isCut    bool
	conns    []net.Conn
}

func newProxy(t *testing.T, target string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l, target: target}
	t.Cleanup(func() { _ = l.Close(); p.cut() })
	go p.serve()
	return p
}

func (p *proxy) addr() string { return p.listener.Addr().String() }

func (p *proxy) serve() {
	for {
		in, err := p.listener.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", p.target)
		if err != nil || !p.keep(in, out) {
			_ = in.Close()
			continue
		}
		for _, pair := range [][2]net.Conn{{in, out}, {out, in}} {
			go func() {
				_, _ = io.Copy(pair[0], pair[1])
				_ = pair[0].Close()
			}()
		}
	}
}

// keep keeps connections for cut. It is false if the path is cut.
func (p *proxy) keep(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns = append(p.conns, conns...)
	if p.isCut {
		p.closeAll()
	}
	return !p.isCut
}

func (p *proxy) closeAll() {
	for _, c := range p.conns {
		_ = c.Close()
	}
	p.conns = nil
}

// cut ends all connections, and each new one, until join.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.isCut = true
	p.closeAll()
}

func (p *proxy) join() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.isCut = false
}
