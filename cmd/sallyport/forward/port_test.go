package forward

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// heard collects what a Say says.
type heard struct {
	mu    sync.Mutex
	lines []string
}

func (h *heard) say(format string, arguments ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lines = append(h.lines, fmt.Sprintf(format, arguments...))
}

func (h *heard) has(line string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.Contains(strings.Join(h.lines, "\n"), line)
}

// await waits until a condition holds.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for by := time.Now().Add(20 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(by) {
			t.Fatal("never: ", what)
		}
	}
}

// opened returns a port whose connections nobody serves.
func opened(t *testing.T, addr string) (*Port, *heard) {
	t.Helper()
	h := &heard{}
	p, err := Listen(addr, h.say)
	if err != nil {
		t.Fatal(err)
	}
	p.open()
	t.Cleanup(p.Close)
	return p, h
}

// program connects to a port.
func program(t *testing.T, p *Port) net.Conn {
	t.Helper()
	network, addr := "tcp", p.Addr()
	if path, ok := strings.CutPrefix(addr, unixPrefix); ok {
		network, addr = "unix", path
	}
	conn, err := net.Dial(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	t.Cleanup(func() { conn.Close() })
	return conn
}

func (p *Port) queued() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.waiting)
}

func TestQueueIsBounded(t *testing.T) {
	t.Parallel()
	p, h := opened(t, "0")
	var all []net.Conn
	for n := range maxWaiting {
		all = append(all, program(t, p))
		await(t, "a place in the queue", func() bool { return p.queued() == n+1 })
	}
	refused, err := net.Dial("tcp", p.Addr())
	if err == nil { // or the reset came sooner
		defer refused.Close()
		_ = refused.SetDeadline(time.Now().Add(20 * time.Second))
		_, err = refused.Read(make([]byte, 1))
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Error(err)
	}
	if !h.has("refused a local connection: 16 wait already") {
		t.Error(h.lines)
	}
	first, err := p.next(t.Context())
	if err != nil || first.RemoteAddr().String() != all[0].LocalAddr().String() {
		t.Error(first, err)
	}
	p.Close()
	for _, conn := range all {
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Error(err)
		}
	}
	if _, err := p.next(t.Context()); err != errNoMore {
		t.Error(err)
	}
}

// What a program says is left where it is until its turn comes.
func TestTakeGivesWhatWasSaid(t *testing.T) {
	t.Parallel()
	for _, addr := range []string{"0", unixPrefix + filepath.Join(t.TempDir(), "port")} {
		p, _ := opened(t, addr)
		conn := program(t, p)
		if _, err := conn.Write([]byte("*IDN?\n")); err != nil {
			t.Fatal(err)
		}
		if err := conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		l, err := p.next(t.Context())
		if err != nil || !p.take(l) || p.queued() != 0 {
			t.Fatal(addr, err)
		}
		if said, err := io.ReadAll(l); string(said) != "*IDN?\n" || err != nil || !l.ended.Load() || l.read.Load() != 6 {
			t.Errorf("%s: %q, %v", addr, said, err)
		}
		if lookAt(l.Conn) >= closed {
			t.Error(addr, "a program that waits for its answer counts as one that has left")
		}
		_ = l.CloseWrite()
		if _, err := conn.Read(make([]byte, 1)); err != io.EOF {
			t.Error(addr, err)
		}
		_ = l.Close()
	}
}

func TestDrain(t *testing.T) {
	t.Parallel()
	p, err := Listen("0", t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	program(t, p) // in the backlog
	p.open()
	p.Drain()
	<-p.ended
	l, err := p.next(t.Context())
	if err != nil || !p.take(l) {
		t.Fatal(err)
	}
	_ = l.Close()
	if _, err := p.next(t.Context()); err != errNoMore {
		t.Error(err)
	}
}

func TestNextEnds(t *testing.T) {
	t.Parallel()
	p, _ := opened(t, "0")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(io.ErrNoProgress)
	if _, err := p.next(ctx); err != io.ErrNoProgress {
		t.Error(err)
	}
}

// A local connection that fails gives what was written, and then a reset.
func TestReset(t *testing.T) {
	t.Parallel()
	p, _ := opened(t, "0")
	conn := program(t, p)
	l, err := p.next(t.Context())
	if err != nil || !p.take(l) {
		t.Fatal(err)
	}
	const size = 1 << 20
	go func() {
		_, _ = l.Write(make([]byte, size))
		l.reset(time.Now().Add(lastWords))
	}()
	if got, err := io.ReadAll(conn); len(got) != size || !errors.Is(err, syscall.ECONNRESET) {
		t.Error(len(got), err)
	}
}

func TestEnd(t *testing.T) {
	t.Parallel()
	p, _ := opened(t, "0")
	conn := program(t, p)
	l, err := p.next(t.Context())
	if err != nil || !p.take(l) {
		t.Fatal(err)
	}
	_, _ = l.Write(make([]byte, 1<<20))
	l.end()
	if got, err := io.ReadAll(conn); len(got) != 1<<20 || err != nil {
		t.Error(len(got), err)
	}
}

func TestListen(t *testing.T) {
	t.Parallel()
	for addr, loopback := range map[string]bool{"0": true, ":0": true, "127.0.0.1:0": true, "[::1]:0": true, "0.0.0.0:0": false, "[::]:0": false} {
		p, err := Listen(addr, t.Logf)
		if err != nil {
			t.Error(addr, err)
			continue
		}
		if host, port, err := net.SplitHostPort(p.Addr()); err != nil || port == "0" || p.Exposed() == loopback {
			t.Error(addr, host, port, p.Exposed(), err)
		}
		_, err = Listen(p.Addr(), t.Logf)
		if runtime.GOOS != "windows" && (err == nil || !strings.Contains(err.Error(), p.Addr()+" is in use, by another forward or another program: choose another port")) {
			t.Error(addr, err)
		}
		p.Close()
	}
	for _, addr := range []string{"", "host", "65536", "127.0.0.1", "127.0.0.1:", "unix:", "unix:@abstract", "tcp:127.0.0.1:1"} {
		if _, err := Listen(addr, t.Logf); !errors.Is(err, ErrAddress) {
			t.Errorf("%q: %v", addr, err)
		}
	}
}

func TestListenOnUnixSocket(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "port")
	fails := func(path, want string) {
		t.Helper()
		if _, err := Listen(unixPrefix+path, t.Logf); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", path, err)
		}
	}
	p, err := Listen(unixPrefix+path, t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != os.ModeSocket|0o600 {
		t.Error(info.Mode(), err)
	}
	if p.Addr() != unixPrefix+path || p.Exposed() {
		t.Error(p.Addr())
	}
	fails(path, "is in use, by another forward or another program: choose another path")
	// A forward that was killed leaves its socket.
	p.listener.(*net.UnixListener).SetUnlinkOnClose(false)
	p.Close()
	p, err = Listen(unixPrefix+path, t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	p.Close()
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	fails(path, "exists and is not a socket: choose another path, or remove it")
	if text, err := os.ReadFile(path); string(text) != "precious" {
		t.Error(err)
	}
	fails(filepath.Join(dir, "nosuch", "port"), "can't listen on ")
	fails(filepath.Join(dir, strings.Repeat("x", 110)), "has at most 107 bytes")
}
