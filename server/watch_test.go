package server_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/server"
)

// However long its body took to arrive: a request is cancelled within a second of its client's end.
func TestClientGoneAfterASlowBody(t *testing.T) {
	t.Parallel()
	var ended time.Time
	hang := server.HandlerFunc(func(ctx context.Context, _ *server.Request) (r protocol.Reply, err error) {
		<-ctx.Done()
		ended = time.Now()
		return r, nil
	})
	inSyntheticTime(t, func(s *server.Server) { s.Handler = hang }, func(w world) {
		c := w.connect().Seated("alice")
		c.Send("BODY 2 HANG\r\nx")
		time.Sleep(10 * time.Second)
		c.Send("x")
		synctest.Wait() // the handler runs
		_ = c.NetConn().Close()
		gone := time.Now()
		time.Sleep(time.Minute)
		synctest.Wait()
		if took := ended.Sub(gone); ended.IsZero() || took > time.Second {
			w.T.Fatalf("cancelled %v after the client had gone", took)
		}
	})
}

// blocking is a handler that tells when it is cancelled, and else returns when it may.
func blocking(release <-chan struct{}) server.HandlerFunc {
	return func(ctx context.Context, r *server.Request) (protocol.Reply, error) {
		select {
		case <-ctx.Done():
			return protocol.Reply{}, ctx.Err()
		case <-release:
			return protocol.Reply{Text: r.Verb}, nil
		}
	}
}

// The watch for a client that has gone, which looks again and again while a handler runs, loses
// nothing of what the client sends meanwhile.
func TestPipelineIsKeptWhileAHandlerRuns(t *testing.T) {
	t.Parallel()
	var release chan struct{}
	inSyntheticTime(t, func(s *server.Server) {
		release = make(chan struct{})
		s.Handler = blocking(release)
	}, func(w world) {
		c := w.connect().Seated("alice")
		c.Send("ONE\r\n")
		time.Sleep(time.Minute)
		go c.Send("TWO\r\nBODY 3 THREE\r\nabcFOUR\r\n")
		time.Sleep(time.Minute)
		close(release)
		for _, want := range []string{"250 ONE", "250 TWO", "250 THREE", "250 FOUR"} {
			if got := c.Line(); got != want {
				w.T.Fatalf("%q, want %q", got, want)
			}
		}
	})
}

// A client that only ends its own direction, with close_notify, is answered.
func TestHalfClosedClientIsAnswered(t *testing.T) {
	t.Parallel()
	var release chan struct{}
	inSyntheticTime(t, func(s *server.Server) {
		release = make(chan struct{})
		s.Handler = blocking(release)
	}, func(w world) {
		c := w.connect().Seated("alice")
		c.Send("ONE\r\n")
		synctest.Wait() // the handler runs
		go func() { _ = c.CloseWrite() }()
		time.Sleep(time.Minute)
		close(release)
		for _, want := range []string{"250 ONE", "EOF"} {
			if got := c.Line(); got != want {
				w.T.Fatalf("%q, want %q", got, want)
			}
		}
	})
}

// A client that is granted the seat passes it on if it has sent anything before its 235, also a part of a line
// (CVE-2011-0411).
func TestGrantIsPassedOn(t *testing.T) {
	t.Parallel()
	inSyntheticTime(t, nil, func(w world) {
		alice := w.connect().Seated("alice")
		bob := w.connect().Greeted().LogIn("bob", "")
		go alice.Line() // 121 waiting 1
		if got := bob.Line(); got != "120 position 1 holder alice" {
			w.T.Fatalf("%q", got)
		}
		bob.Send("ECHO half a line")
		synctest.Wait()
		if got := alice.Ask("QUIT"); got != "221 bye" {
			w.T.Fatalf("%q", got)
		}
		if got := bob.Line(); !strings.HasPrefix(got, "503 sequence ") {
			w.T.Fatalf("%q", got)
		}
		_ = alice.Close()
		_ = bob.Close()
		w.connect().Seated("carol")
	})
}
