package server_test

import (
	"context"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport/sallyport/server"
	"github.com/sallyport/sallyport/specs/harness"
)

// A stream whose answer the client never takes has an end in the log.
func TestStreamThatNobodyHears(t *testing.T) {
	t.Parallel()
	for verb, want := range map[string]string{
		"STREAM": "stream.open, stream.close, session.close write",
		"OPEN":   "request OPEN, stream.open, stream.close, session.close write",
	} {
		inSyntheticTime(t, func(s *server.Server) {
			s.Backend = func(context.Context, *server.Request) (io.ReadWriteCloser, error) {
				ours, _ := net.Pipe()
				return ours, nil
			}
		}, func(w world) {
			w.connect().Seated("alice").Send(verb + "\r\n")
			time.Sleep(time.Minute)
			same(w, logged(w, "verb", "reason"), strings.Split(want, ", ")...)
		})
	}
}

// slow is a backend whose Close takes its time.
type slow struct {
	net.Conn
	closed *atomic.Bool
}

func (s slow) Close() error {
	time.Sleep(5 * time.Second)
	s.closed.Store(true)
	return s.Conn.Close()
}

// A client that has to go is told at once, and once, though the backend is slow to close. The seat is free after that.
func TestStreamIsToldBeforeASlowClose(t *testing.T) {
	t.Parallel()
	for keyword, lose := range map[string]func(*server.Server){
		"evicted":       func(s *server.Server) { _, _ = s.Evict(nil, "the test", "") },
		"session-limit": func(*server.Server) { time.Sleep(10 * time.Minute) },
		"shutdown":      func(s *server.Server) { go func() { _ = s.Close() }() },
	} {
		var closed atomic.Bool
		streaming(t, func(s *server.Server) {
			inner := s.Backend
			s.Limits.Session = 10 * time.Minute
			s.Backend = func(ctx context.Context, r *server.Request) (io.ReadWriteCloser, error) {
				b, err := inner(ctx, r)
				return slow{b.(net.Conn), &closed}, err
			}
		}, func(w world, alice *harness.Conn, device net.Conn) {
			lose(w.Server.Server)
			lost := time.Now()
			if keyword == "session-limit" {
				expect(w, alice, "", "150 this session ends…")
			}
			expect(w, alice, "", "421 "+keyword+"…")
			if late := time.Since(lost); late > time.Second || closed.Load() {
				w.T.Fatalf("%s: told after %v", keyword, late)
			}
			same(w, logged(w, "verb", "keyword", "reason"), "stream.open", "stream.close", "request STREAM "+keyword)
			_, _ = io.WriteString(device, "too late")
			if got := alice.Line(); got != "EOF" && !strings.HasPrefix(got, "no close_notify") {
				w.T.Fatalf("%q behind the 421", got)
			}
			time.Sleep(10 * time.Second)
			same(w, logged(w, "verb", "keyword", "reason"), "stream.open", "stream.close", "request STREAM "+keyword, "session.close "+keyword)
		})
	}
}
