package metrics_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/sallyport/sallyport/scenarios/testserver"
	"github.com/sallyport/sallyport/server/metrics"
)

// strangers is the number of clients that knock at once.
const strangers = 1000

// A scrape must take less than 50 ms while strangers knock. The server and the strangers share the processors with it.
func BenchmarkScrapeBesideStrangers(b *testing.B) {
	s, err := testserver.Start(nil)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Stop()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer metrics.Serve(l, metrics.New().Handler(metrics.Options{Status: s.Status}), slog.New(slog.DiscardHandler))()
	ctx, leave := context.WithTimeout(b.Context(), time.Minute)
	var crowd sync.WaitGroup
	defer crowd.Wait()
	defer leave()
	for range strangers {
		crowd.Go(func() { knock(ctx, s.Addr) })
	}
	for ctx.Err() == nil && s.Status().Lobby == 0 {
		runtime.Gosched()
	}
	for b.Loop() {
		reply, err := http.Get("http://" + l.Addr().String() + "/metrics")
		if err != nil {
			b.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, reply.Body)
		if _ = reply.Body.Close(); reply.StatusCode != http.StatusOK {
			b.Fatal(reply.Status)
		}
	}
}

// knock connects without a login, again and again.
func knock(ctx context.Context, addr string) {
	for ctx.Err() == nil {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
		if err != nil {
			return
		}
		stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
		_, _ = conn.Read(make([]byte, 1)) // until the server makes room for others
		stop()
		_ = conn.Close()
	}
}
