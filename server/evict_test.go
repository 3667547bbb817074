package server_test

import (
	"context"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport/server"
)

// slowToWake is a connection that the first one who wakes its reader, once it is armed, must wait for.
type slowToWake struct {
	net.Conn
	armed atomic.Bool
}

func (s *slowToWake) SetReadDeadline(by time.Time) error {
	err := s.Conn.SetReadDeadline(by)
	if !by.IsZero() && by.Before(time.Now()) && s.armed.CompareAndSwap(true, false) {
		time.Sleep(time.Second)
	}
	return err
}

// A stream that is quicker to end than its evictor is to say why ends as evicted.
func TestStreamIsEvicted(t *testing.T) {
	t.Parallel()
	for _, halfClosed := range []bool{false, true} {
		inSyntheticTime(t, func(s *server.Server) {
			s.Backend = func(context.Context, *server.Request) (io.ReadWriteCloser, error) {
				silent, _ := net.Pipe()
				return silent, nil
			}
		}, func(w world) {
			ours, theirs := net.Pipe()
			conn := &slowToWake{Conn: theirs}
			w.l.conns <- conn
			alice := w.ConnectOn(context.Background(), ours).Seated("alice")
			if got := alice.Ask("OPEN"); got != "252 open" {
				w.T.Fatalf("%q", got)
			}
			if halfClosed {
				_ = alice.CloseWrite()
			}
			synctest.Wait()
			conn.armed.Store(true)
			if _, err := w.Server.Evict(nil, "operator", ""); err != nil {
				w.T.Fatalf("%v", err)
			}
			synctest.Wait()
			if closed := w.Log.Records("session.close"); len(closed) != 1 || closed[0].Str("reason") != "evicted" || closed[0].Str("by") != "operator" {
				w.T.Fatalf("half-closed %t: %v", halfClosed, closed)
			}
		})
	}
}
