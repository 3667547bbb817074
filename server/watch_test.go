package server_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/server"
)

// However long its body took to arrive: a request is cancelled within a second of
// its client's end.
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
