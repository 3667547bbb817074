package server_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/sallyport/sallyport/server"
	"github.com/sallyport/sallyport/server/audit"
	"github.com/sallyport/sallyport/specs/harness"
)

// Each connection has deadlines of its own, whichever of them is due first.
func TestDeadlinesOfManyConnections(t *testing.T) {
	t.Parallel()
	inSyntheticTime(t, nil, func(w world) {
		w.connect().Seated("alice") // who has a quarter of an hour for her next request
		waited := make(chan time.Duration, 4)
		for _, later := range []time.Duration{0, 3 * time.Second, 1, 13 * time.Second} {
			time.Sleep(later)
			began, c := time.Now(), w.connect().Greeted()
			go func() {
				c.Line()
				waited <- time.Since(began)
			}()
		}
		for range cap(waited) {
			if got := <-waited; got != 10*time.Second {
				w.T.Fatalf("a stranger was sent away after %v, not 10 s", got)
			}
		}
		if _, err := w.Server.Evict(nil, "operator", ""); err != nil {
			w.T.Fatalf("alice has lost her seat: %v", err)
		}
	})
}

// A connection that is being closed goes on taking what its client still sends, though the server
// calls all connections meanwhile.
func TestShutdownDoesNotCutTheDrain(t *testing.T) {
	t.Parallel()
	inSyntheticTime(t, nil, func(w world) {
		c := w.connect().Seated("alice")
		if got := c.Ask("QUIT"); got != "221 bye" {
			w.T.Fatalf("%q", got)
		}
		c.Line() // takes the close_notify
		synctest.Wait()
		go func() { _ = w.Server.Shutdown(context.Background()) }()
		for range 9 {
			time.Sleep(100 * time.Millisecond)
			if _, err := c.Write([]byte("NOOP\r\n")); err != nil {
				w.T.Fatalf("cut off: %v", err)
			}
		}
		time.Sleep(200 * time.Millisecond)
		if _, err := c.Write([]byte("NOOP\r\n")); err == nil {
			w.T.Fatalf("a drain without an end")
		}
	})
}

// stalling is a log on a disk that takes its time once a connection is to be recorded.
type stalling struct {
	stalls        atomic.Bool
	entered, free chan struct{}
}

func (s *stalling) Write(p []byte) (int, error) {
	if s.stalls.Load() && bytes.Contains(p, []byte("conn.accept")) {
		s.entered <- struct{}{}
		<-s.free
	}
	return len(p), nil
}

// endless writes until it can't any more, which it reports.
func endless(ended chan<- struct{}) func(context.Context, *server.Request) (io.ReadWriteCloser, error) {
	return func(context.Context, *server.Request) (io.ReadWriteCloser, error) {
		ours, theirs := net.Pipe()
		go func() {
			for buf := make([]byte, 1<<16); ; {
				if _, err := theirs.Write(buf); err != nil {
					close(ended)
					return
				}
			}
		}()
		return ours, nil
	}
}

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// A log whose disk stalls is no concern of an open stream, which logs nothing.
func TestDeadlinesDoNotWaitForTheLog(t *testing.T) {
	t.Parallel()
	disk := &stalling{entered: make(chan struct{}, 8), free: make(chan struct{})}
	ended := make(chan struct{})
	h := harness.Start(t, func(s *server.Server) {
		certify(s)
		s.Audit, s.Backend = audit.New(disk, audit.Options{}), endless(ended)
		s.Limits.Idle = time.Second
	})
	alice := h.Connect(t.Context()).Seated("alice")
	if got := alice.Ask("OPEN"); got != "252 open" {
		t.Fatal(got)
	}
	disk.stalls.Store(true)
	defer close(disk.free)
	for range 2 { // the server waits for the disk with the lock of the log, and then for that lock
		stranger := dial(t, h.Addr)
		defer stranger.Close()
		go func() { _ = tls.Client(stranger, &tls.Config{RootCAs: h.Roots, ServerName: "localhost"}).Handshake() }()
	}
	<-disk.entered
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("a client that takes nothing still has the backend after ten times the idle time-out")
	}
}

func TestServerIsForgotten(t *testing.T) {
	t.Parallel()
	var ended weak.Pointer[server.Server]
	t.Run("stream", func(t *testing.T) {
		h := harness.Start(t, func(s *server.Server) {
			certify(s)
			s.Backend = endless(make(chan struct{}))
		})
		ended = weak.Make(h.Server.Server)
		alice := h.Connect(t.Context()).Seated("alice")
		if got := alice.Ask("OPEN"); got != "252 open" { // which may be idle for a quarter of an hour
			t.Fatal(got)
		}
	})
	for range 100 {
		if runtime.GC(); ended.Value() == nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("it is still in memory")
}
