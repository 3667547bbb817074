package server_test

import (
	"context"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport/server"
)

// deaf is a backend whose Read, or Close, ends only when the test lets it.
type deaf struct {
	free, closed chan struct{}
	stuckInClose bool
}

func (d deaf) Read([]byte) (int, error) {
	if d.stuckInClose {
		<-d.closed
	} else {
		<-d.free
	}
	return 0, io.EOF
}

func (d deaf) Write(p []byte) (int, error) { return len(p), nil }

func (d deaf) Close() error {
	if close(d.closed); d.stuckInClose {
		<-d.free
	}
	return nil
}

// A backend that keeps the seat after it was closed is on record, once, as a handler is. It keeps the seat until it
// ends.
func TestStuckBackendIsNamed(t *testing.T) {
	t.Parallel()
	for _, stuckInClose := range []bool{false, true} {
		for _, verb := range []string{"OPEN", "STREAM"} {
			backend := deaf{stuckInClose: stuckInClose}
			inSyntheticTime(t, func(s *server.Server) {
				backend.free, backend.closed = make(chan struct{}), make(chan struct{})
				s.Backend = func(context.Context, *server.Request) (io.ReadWriteCloser, error) { return backend, nil }
			}, func(w world) {
				alice := w.connect().Seated("alice")
				expect(w, alice, "NOOP\r\n"+verb+"\r\n", "250 ok", map[string]string{"OPEN": "252 open", "STREAM": "152 stream"}[verb])
				_ = alice.NetConn().Close()
				time.Sleep(4 * time.Second)
				synctest.Wait()
				if named := w.Log.Records("handler.stuck"); len(named) != 0 {
					w.T.Fatalf("%s: named before its time: %v", verb, named)
				}
				time.Sleep(time.Minute)
				synctest.Wait()
				named := w.Log.Records("handler.stuck")
				if len(named) != 1 || named[0].Str("user") != "alice" || named[0].Str("verb") != verb || named[0]["n"] != 2.0 {
					w.T.Fatalf("%s: %v", verb, named)
				}
				if closed := w.Log.Records("session.close"); len(closed) != 0 {
					w.T.Fatalf("%s: the seat is free: %v", verb, closed)
				}
				close(backend.free)
				synctest.Wait()
				if closed := w.Log.Records("session.close"); len(closed) != 1 {
					w.T.Fatalf("%s: the seat is not free", verb)
				}
			})
		}
	}
}
